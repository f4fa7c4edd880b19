//! Where something stands: [`Place`] for people, [`Span`] for the inside, and the texts that
//! both point into.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Serialize, Serializer};

/// A place in a file, shown as `pipelines/x.yaml:14:7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as the user named it. `--set` stands for an override on the command line.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut place = serializer.serialize_struct("Place", 3)?;
        place.serialize_field("file", &self.file.to_string_lossy())?;
        place.serialize_field("line", &self.line)?;
        place.serialize_field("column", &self.column)?;
        place.end()
    }
}

/// A place and a length, small enough to stand beside every value: the file is an index into
/// [`SourceTexts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub file: u32,
    pub line: u32,
    pub column: u32,
    pub length: u32,
}

/// One text that was read.
#[derive(Debug)]
pub(crate) struct SourceText {
    pub path: Arc<Path>,
    /// What relative paths within it are relative to.
    pub folder: PathBuf,
    pub text: String,
    line_starts: OnceLock<Vec<usize>>,
}

impl SourceText {
    /// One line, without its end.
    pub fn line(&self, number: u32) -> &str {
        let starts = self.line_starts.get_or_init(|| {
            let ends = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        });
        let at = (number as usize).saturating_sub(1);
        let Some(start) = starts.get(at) else { return "" };
        let end = starts.get(at + 1).copied().unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\n', '\r'])
    }
}

/// Every text of one load, in the order of reading.
#[derive(Debug, Default)]
pub(crate) struct SourceTexts(Vec<Arc<SourceText>>);

impl SourceTexts {
    pub fn add(&mut self, path: Arc<Path>, folder: PathBuf, text: String) -> u32 {
        let source = SourceText {
            path,
            folder,
            text,
            line_starts: OnceLock::new(),
        };
        self.0.push(Arc::new(source));
        (self.0.len() - 1) as u32
    }

    pub fn get(&self, file: u32) -> &Arc<SourceText> {
        &self.0[file as usize]
    }

    pub fn place(&self, span: Span) -> Place {
        Place {
            file: self.get(span.file).path.clone(),
            line: span.line as usize,
            column: span.column as usize,
        }
    }

    /// The part of `span` where `needle` stands, if that is on the span's first line.
    pub fn locate(&self, span: Span, needle: &str) -> Span {
        let line = self.get(span.file).line(span.line);
        let from = line.char_indices().nth(span.column.saturating_sub(1) as usize);
        let Some(rest) = from.map(|(at, _)| &line[at..]) else {
            return span;
        };
        match rest.find(needle) {
            Some(at) => Span {
                column: span.column + rest[..at].chars().count() as u32,
                length: needle.chars().count() as u32,
                ..span
            },
            None => span,
        }
    }

    /// The same texts, shared: what stages keep for [`crate::Stage::place_of`].
    pub fn shared(&self) -> Arc<SourceTexts> {
        Arc::new(SourceTexts(self.0.clone()))
    }
}
