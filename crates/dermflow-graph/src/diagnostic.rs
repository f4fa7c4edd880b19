//! [`Diagnostic`]: one thing that is wrong, for the person who can mend it.

use std::fmt;

use serde::Serialize;

use crate::place::Place;
use crate::render;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing can be run.
    Error,
    /// It can be run, but is hardly meant.
    Warning,
}

/// A place with the line it is on, and words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// How many characters are meant, from the place on.
    pub length: usize,
    /// What is to be seen there.
    pub message: String,
    /// The line of the file.
    #[serde(skip)]
    pub source_line: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name in kebab case; [`crate::CODES`] lists all of them.
    pub code: &'static str,
    /// What is wrong, and what was expected.
    pub message: String,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// How many characters are meant, from the place on.
    pub length: usize,
    /// The line of the file.
    #[serde(skip)]
    pub source_line: String,
    /// Other places that matter.
    pub notes: Vec<Note>,
    /// What to do.
    pub help: Option<String>,
    /// The variants and matrix cells that it concerns; empty where it concerns all that were
    /// asked for. The pipeline without a variant is called `base`.
    pub cells: Vec<String>,
}

/// Everything that is wrong, in order of files and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|each| each.severity == Severity::Error)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// All of them as text: message, place, the source line with a caret, notes and help.
    pub fn render(&self, colour: bool) -> String {
        let each: Vec<String> = self.iter().map(|one| render::render(one, colour)).collect();
        each.join("\n")
    }

    /// A JSON list, one object each.
    pub fn to_json(&self) -> serde_json::Value {
        // Every field is text, a number or a list of them, so this can't fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render::render(self, false))
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
