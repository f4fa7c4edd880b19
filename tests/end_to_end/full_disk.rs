//! A disk that is full: clear words, nothing lost, and a whole result once there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::project::{CHAIN_STAGES, chain, digests};

/// A small file system of its own, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    /// `None` where this user may not mount.
    fn mount(at: &Path, size: &str) -> Option<Small> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={size}"))
            .arg("tmpfs")
            .arg(at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Small(at.to_path_buf())),
            Ok(output) => {
                eprintln!(
                    "skipped: no file system can be mounted: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                None
            }
            Err(error) => {
                eprintln!("skipped: `mount` can't be started: {error}");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
}

#[test]
fn a_full_disk_is_told_and_a_run_with_room_completes_what_is_missing() {
    let project = chain(2000);
    project.run(&["run"]);
    let expected = digests(&project);
    let Some(_small) = Small::mount(&project.at("small"), "4m") else {
        return;
    };
    std::fs::write(project.at("small/ballast"), vec![7; 5 << 20]).unwrap_err();
    let store = ["--store", "small/store"];
    let run = ["run", store[0], store[1], "--results", "elsewhere"];
    let mut failed = 0;
    // Room is made in small steps, so that the disk runs full at many different places.
    let mut ballast = std::fs::metadata(project.at("small/ballast")).unwrap().len();
    loop {
        let ended = project.ended(&run);
        match ended.code {
            Some(0) => break,
            code => assert_eq!(code, Some(1), "{ended:?}"),
        }
        failed += 1;
        assert!(
            ended.err.contains("the disk is full") && ended.err.contains("free space"),
            "{ballast}: {}",
            ended.err
        );
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        ballast = ballast.saturating_sub(12 << 10);
        assert!(ballast > 0, "it never completes: {}", ended.err);
        let file = std::fs::File::options()
            .write(true)
            .open(project.at("small/ballast"))
            .unwrap();
        file.set_len(ballast).unwrap();
    }
    assert!(failed > 1, "the disk was never full");
    let listed = project.done(&["ls", "--json", store[0], store[1]]).out;
    for digest in expected.values() {
        assert!(listed.contains(digest.as_str()), "{digest} is not in {listed}");
    }
    let mut again = run.to_vec();
    again.push("--json");
    let events = dermflow_tests::Events::from(project.ended(&again));
    assert_eq!(
        (events.code, events.executed(), events.hit()),
        (Some(0), 0, CHAIN_STAGES.len() as u64)
    );
}

#[test]
fn results_on_a_full_disk_fail_with_words_and_keep_what_was_computed() {
    let project = chain(2000);
    let Some(_small) = Small::mount(&project.at("small"), "64k") else {
        return;
    };
    let _ = std::fs::write(project.at("small/ballast"), vec![7; 64 << 10]);
    let run = project.ended(&["run", "--results", "small/results"]);
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("could not be laid out"), "{}", run.err);
    assert_eq!(project.run(&["run"]).executed(), 0);
}
