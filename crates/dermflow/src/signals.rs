//! Ctrl-C: the first asks to stop at the next safe point, the second stops at once and takes
//! the programs that stages started along.

use dermflow_engine::Interrupt;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// From now on SIGINT and SIGTERM ask `interrupt` to stop; a second one ends this process with
/// code 130.
pub fn stop_on_signals(interrupt: &Interrupt) {
    let interrupt = interrupt.clone();
    let set = ctrlc::set_handler(move || {
        if interrupt.ask() {
            eprintln!("stopping at the next safe point; once more to stop at once");
        } else {
            kill_children();
            std::process::exit(130);
        }
    });
    if let Err(error) = set {
        eprintln!("warning: Ctrl-C stops at once, because no handler could be set: {error}");
    }
}

/// Kills every child of this process with its process group: each program of a stage leads
/// one. Where there is no /proc, none is found, and programs end by themselves.
fn kill_children() {
    let own = std::process::id();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id: Option<i32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(child) = id.and_then(Pid::from_raw) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if parent(&stat) == Some(own) {
            // Each may be gone by now, which is what is wanted.
            let _ = kill_process_group(child, Signal::KILL);
            let _ = kill_process(child, Signal::KILL);
        }
    }
}

/// The parent in a line of `/proc/<id>/stat`: the second word after the name in parentheses,
/// which may itself contain spaces and parentheses.
fn parent(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_parent_is_found_whatever_the_program_is_called() {
        assert_eq!(super::parent("12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(super::parent("12 (a ) S 3 (b) R 9 12"), Some(9));
        assert_eq!(super::parent(""), None);
    }
}
