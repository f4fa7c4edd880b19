//! Reads pipeline files and what they include.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dermflow_core::Digest;
use serde::{Deserialize, Serialize};

use super::node::{Key, Node, Value};
use super::pipeline::{self, WrittenPipeline};
use super::reader;
use crate::place::Span;
use crate::report::{Report, Reporter};

/// The largest file that is read.
const MOST_BYTES: u64 = 64 << 20;

/// A file that a pipeline was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadFile {
    /// The path by which it was found, as the user wrote it or an `include` led to it.
    pub path: PathBuf,
    /// Where links lead: two paths to one file count once.
    pub identity: PathBuf,
    /// blake3 of the bytes that were read.
    pub digest: Digest,
}

impl ReadFile {
    /// Whether the same path still leads to the same bytes of the same file.
    pub fn is_unchanged(&self) -> bool {
        let read = || -> std::io::Result<bool> {
            let same_place = self.path.canonicalize()? == self.identity;
            Ok(same_place && Digest::of(&std::fs::read(&self.path)?) == self.digest)
        };
        // A pipe would wait for a writer; a file that can't be read is no longer what it was.
        self.path.is_file() && read().unwrap_or(false)
    }
}

/// The pipeline of `file` with all that it includes, and every file that was looked at.
pub(crate) fn read(reporter: &mut Reporter, file: &Path) -> (WrittenPipeline, Vec<ReadFile>) {
    let mut reading = Reading::new(reporter);
    reading.file(file, None);
    (reading.pipeline, reading.files)
}

/// The pipeline of a text, which counts as a file of this name in the current folder.
pub(crate) fn read_text(reporter: &mut Reporter, name: &str, text: &str) -> WrittenPipeline {
    let mut reading = Reading::new(reporter);
    let file = reading
        .reporter
        .texts
        .add(Arc::from(Path::new(name)), PathBuf::new(), text.to_string());
    reading.text(file, true);
    reading.pipeline
}

struct Reading<'a> {
    reporter: &'a mut Reporter,
    pipeline: WrittenPipeline,
    /// Files by their true path, as they were read; `None` while they are being read.
    known: HashMap<PathBuf, Option<Digest>>,
    /// Every path that led to a file, also where the file was known by another.
    files: Vec<ReadFile>,
    /// The `include:` entries that led to the file at hand.
    chain: Vec<(PathBuf, Span)>,
}

impl<'a> Reading<'a> {
    fn new(reporter: &'a mut Reporter) -> Reading<'a> {
        Reading {
            reporter,
            pipeline: WrittenPipeline::default(),
            known: HashMap::new(),
            files: Vec::new(),
            chain: Vec::new(),
        }
    }

    /// Reads a file once; `by` is the place that includes it.
    fn file(&mut self, path: &Path, by: Option<Span>) {
        let identity = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        match self.known.get(&identity) {
            Some(Some(digest)) => {
                let digest = *digest;
                return self.looked_at(path, identity, digest);
            }
            Some(None) => return self.include_cycle(&identity, by),
            None => {}
        }
        self.known.insert(identity.clone(), None);
        let read = read_text_of(path);
        let digest = Digest::of(read.as_ref().map(String::as_bytes).unwrap_or_default());
        let text = read.as_ref().map(String::as_str).unwrap_or_default().to_string();
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let file = self.reporter.texts.add(Arc::from(path), folder, text);
        match read {
            Ok(_) => {
                self.chain.push((identity.clone(), by.unwrap_or_default()));
                self.text(file, by.is_none());
                self.chain.pop();
            }
            Err((code, why)) => {
                let span = by.unwrap_or(Span {
                    file,
                    line: 1,
                    column: 1,
                    length: 0,
                });
                let message = format!("`{}` {why}", path.display());
                let help = by.map(|_| "included paths are relative to the file that includes".to_string());
                self.reporter
                    .add(Report::error(code, span, message).maybe_help(help));
            }
        }
        self.known.insert(identity.clone(), Some(digest));
        self.looked_at(path, identity, digest);
    }

    fn looked_at(&mut self, path: &Path, identity: PathBuf, digest: Digest) {
        self.files.push(ReadFile {
            path: path.to_path_buf(),
            identity,
            digest,
        });
    }

    fn include_cycle(&mut self, identity: &Path, by: Option<Span>) {
        let from = self
            .chain
            .iter()
            .position(|(path, _)| path == identity)
            .unwrap_or(0);
        let mut report = Report::error(
            "include-cycle",
            by.unwrap_or_default(),
            "this file includes itself, through this entry",
        );
        for (_, span) in &self.chain[from + 1..] {
            report = report.note(*span, "which is included here");
        }
        self.reporter.add(report);
    }

    /// Reads a text that is registered: first what it includes, then what it says itself.
    fn text(&mut self, file: u32, top: bool) {
        let source = self.reporter.texts.get(file).clone();
        let Some(root) = reader::read(self.reporter, file, &source.text, 0) else {
            return;
        };
        if root.is_null() {
            let report = Report::error("not-a-mapping", root.span, "the file is empty");
            self.reporter
                .add(report.help("a pipeline has at least `stages:`"));
            return;
        }
        let entries = pipeline::entries(
            self.reporter,
            root,
            "a pipeline",
            "it starts with `name:` and `stages:`",
        );
        if let Some((_, include)) = entries.iter().find(|(key, _)| key.text == "include") {
            self.includes(include, &source.folder);
        }
        self.pipeline.add_file(self.reporter, entries, top);
    }

    fn includes(&mut self, include: &Node, folder: &Path) {
        let files = match &include.value {
            Value::List(files) => files.iter().collect(),
            Value::Null => Vec::new(),
            _ => vec![include],
        };
        for file in files {
            match file.text() {
                Some(path) => self.file(&folder.join(path), Some(file.span)),
                None => {
                    let message = format!("`include` takes paths of files, and this is {}", file.describe());
                    let report = Report::error("wrong-shape", file.span, message);
                    self.reporter
                        .add(report.help("write `include: other.yaml` or `include: [one.yaml, two.yaml]`"));
                }
            }
        }
    }
}

/// The text of a file, or a code and why not.
fn read_text_of(path: &Path) -> Result<String, (&'static str, String)> {
    let unreadable = |error: std::io::Error| {
        (
            "unreadable-file",
            format!("can't be read: {}", plain_words(&error)),
        )
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err((
            "unreadable-file",
            "is a folder, and a pipeline is a file".to_string(),
        ));
    }
    let too_large = || {
        (
            "file-too-large",
            format!("is larger than {} MiB", MOST_BYTES >> 20),
        )
    };
    if metadata.len() > MOST_BYTES {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // A pipe or a device says nothing of its length beforehand.
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(too_large());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        (
            "not-utf8",
            format!("is not UTF-8 text: line {line} has other bytes"),
        )
    })
}

/// What went wrong, without the operating system's number.
fn plain_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_string(),
        std::io::ErrorKind::PermissionDenied => "you may not read it".to_string(),
        _ => error.to_string(),
    }
}

/// The override `text` of the command line as path and value.
pub(crate) fn read_override(reporter: &mut Reporter, text: &str, folder: &Path) -> Option<(Key, Node)> {
    let file = reporter.texts.add(
        Arc::from(Path::new("--set")),
        folder.to_path_buf(),
        text.to_string(),
    );
    let whole = Span {
        file,
        line: 1,
        column: 1,
        length: text.chars().count() as u32,
    };
    let Some((path, value)) = text.split_once('=') else {
        let report = Report::error("bad-set", whole, format!("`--set {text}` has no `=`"));
        reporter.add(report.help("write `--set param=value` or `--set stages.name.with.parameter=value`"));
        return None;
    };
    let length = path.chars().count() as u32;
    let key = Key {
        text: path.trim().to_string(),
        span: Span { length, ..whole },
    };
    let mut node = reader::read(reporter, file, value, length + 1)?;
    if node.span.length == 0 {
        node.span = whole;
    }
    Some((key, node))
}
