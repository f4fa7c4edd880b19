//! What a program tells while it runs: lines on a pipe, JSON lines in a file. Knows nothing
//! of processes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use dermflow_core::StageContext;
use serde::Deserialize;

/// A line that never ends must not fill the memory.
const LONGEST: usize = 64 << 10;

/// Cuts bytes into lines. A carriage return ends one too, as progress bars write it.
#[derive(Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes bytes; calls `each` with every line that they complete.
    pub fn take(&mut self, bytes: &[u8], each: &mut dyn FnMut(&str)) {
        for byte in bytes {
            let ends = matches!(byte, b'\n' | b'\r');
            if !ends {
                self.rest.push(*byte);
            }
            if ends || self.rest.len() >= LONGEST {
                self.finish(each);
            }
        }
    }

    /// Gives the line that was begun and not ended.
    pub fn finish(&mut self, each: &mut dyn FnMut(&str)) {
        let line = String::from_utf8_lossy(&self.rest);
        if !line.trim().is_empty() {
            each(line.trim_end());
        }
        self.rest.clear();
    }
}

/// The last lines that a program printed, for the error if it fails.
#[derive(Default)]
pub struct LastLines(VecDeque<String>);

impl LastLines {
    const KEPT: usize = 40;

    /// Takes a line.
    pub fn push(&mut self, line: &str) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line.chars().take(2000).collect());
    }
}

impl std::fmt::Display for LastLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.is_empty() {
            true => f.write_str("it printed nothing"),
            false => {
                f.write_str("it printed last:")?;
                self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Message {
    Progress { done: u64, total: Option<u64> },
    Log { line: String },
    Metric { name: String, value: f64 },
}

/// Follows the file of messages, once there is one.
pub struct Messages {
    path: PathBuf,
    file: Option<File>,
    lines: Lines,
}

impl Messages {
    /// From the start of the file.
    pub fn follow(path: &Path) -> Messages {
        Messages {
            path: path.to_path_buf(),
            file: None,
            lines: Lines::default(),
        }
    }

    /// Tells what has come since.
    pub fn tell(&mut self, context: &mut dyn StageContext) {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(file) = &mut self.file else { return };
        let mut bytes = [0; 8192];
        loop {
            match file.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(count) => self.lines.take(&bytes[..count], &mut |line| tell(line, context)),
            }
        }
    }

    /// Tells the rest; the program has ended.
    pub fn finish(mut self, context: &mut dyn StageContext) {
        self.tell(context);
        self.lines.finish(&mut |line| tell(line, context));
    }
}

fn tell(line: &str, context: &mut dyn StageContext) {
    match serde_json::from_str(line) {
        Ok(Message::Progress { done, total }) => context.progress(done, total),
        Ok(Message::Log { line }) => context.log(&line),
        Ok(Message::Metric { name, value }) => context.metric(&name, value),
        Err(_) => context.log(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_feeds_and_carriage_returns_and_endless_ones_are_cut() {
        let mut given = Vec::new();
        let mut lines = Lines::default();
        let mut each = |line: &str| given.push(line.to_string());
        lines.take(b"on", &mut each);
        lines.take(b"e\r\n 10%\r 20%\r\n\n", &mut each);
        lines.take(&[b'x'; LONGEST + 1], &mut each);
        lines.finish(&mut each);
        assert_eq!(&given[..3], ["one", " 10%", " 20%"]);
        assert_eq!((given[3].len(), given[4].as_str()), (LONGEST, "x"));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut last = LastLines::default();
        (0..100).for_each(|line| last.push(&line.to_string()));
        let text = last.to_string();
        assert!(!text.contains("59") && text.contains("60") && text.ends_with("99"));
    }
}
