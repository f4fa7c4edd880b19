//! Collects what is wrong, so that all of it is told in one go and nothing twice.

use std::cell::Cell;
use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Diagnostics, Note, Severity};
use crate::place::{SourceTexts, Span};
use crate::suggest;

/// Comparisons for "did you mean" in one load; a file that is wrong in ten thousand places
/// must not take minutes to say so.
const SUGGESTION_BUDGET: usize = 2_000_000;

/// Errors that may be why something looks unused: warnings are kept back until they are mended.
const MISLEADING: &[&str] = &[
    "bad-override",
    "bad-reference",
    "bad-wire",
    "invalid-name",
    "not-a-mapping",
    "unknown-key",
    "unknown-param",
    "unknown-stage",
    "unreadable-file",
    "wrong-shape",
    "yaml-syntax",
];

/// One thing that is wrong, with spans.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    severity: Severity,
    code: &'static str,
    span: Span,
    message: String,
    notes: Vec<(Span, String)>,
    help: Option<String>,
}

impl Report {
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Report {
        Report {
            severity: Severity::Error,
            code,
            span,
            message: message.into(),
            notes: Vec::new(),
            help: None,
        }
    }

    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Report {
        Report {
            severity: Severity::Warning,
            ..Report::error(code, span, message)
        }
    }

    pub fn note(mut self, span: Span, message: impl Into<String>) -> Report {
        self.notes.push((span, message.into()));
        self
    }

    pub fn help(self, help: impl Into<String>) -> Report {
        Report {
            help: Some(help.into()),
            ..self
        }
    }

    pub fn maybe_help(self, help: Option<String>) -> Report {
        Report {
            help: help.or(self.help.clone()),
            ..self
        }
    }
}

/// A report and the cells that it came up in.
struct Told {
    report: Report,
    cells: Vec<usize>,
}

/// All reports of one load.
pub(crate) struct Reporter {
    pub texts: SourceTexts,
    told: Vec<Told>,
    seen: HashMap<(&'static str, Span, String), usize>,
    /// The labels of the cells that are looked at, and which one is now.
    cells: Vec<String>,
    cell: Option<usize>,
    /// Whether there are further cells, which are not looked at.
    partial: bool,
    errors: usize,
    budget: Cell<usize>,
}

impl Reporter {
    pub fn new() -> Reporter {
        Reporter {
            texts: SourceTexts::default(),
            told: Vec::new(),
            seen: HashMap::new(),
            cells: Vec::new(),
            cell: None,
            partial: false,
            errors: 0,
            budget: Cell::new(SUGGESTION_BUDGET),
        }
    }

    pub fn add(&mut self, report: Report) {
        self.errors += usize::from(report.severity == Severity::Error);
        let key = (report.code, report.span, report.message.clone());
        let at = *self.seen.entry(key).or_insert_with(|| {
            self.told.push(Told {
                report,
                cells: Vec::new(),
            });
            self.told.len() - 1
        });
        if let Some(cell) = self.cell
            && self.told[at].cells.last() != Some(&cell)
        {
            self.told[at].cells.push(cell);
        }
    }

    /// How many errors were added so far, repeated ones counted again: whether a step failed
    /// is whether this grew.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Not all cells of the file will be looked at.
    pub fn leave_some_cells_out(&mut self) {
        self.partial = true;
    }

    /// What is added from now on belongs to this cell.
    pub fn enter_cell(&mut self, label: &str) {
        self.cells.push(label.to_string());
        self.cell = Some(self.cells.len() - 1);
    }

    pub fn leave_cells(&mut self) {
        self.cell = None;
    }

    /// "did you mean `x`?", or what there is.
    pub fn suggest<'a>(
        &self,
        wrong: &str,
        what: &str,
        candidates: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<String> {
        let count = candidates.clone().count();
        let left = self.budget.get();
        self.budget.set(left.saturating_sub(count));
        Some(match left >= count {
            true => suggest::suggestion(wrong, what, candidates),
            false => suggest::choice(what, candidates),
        })
    }

    /// Everything, sorted by place. A warning that only some cells have is left out: what one
    /// variant leaves unused, another uses; also one that wasn't asked for.
    pub fn finish(self) -> Diagnostics {
        let Reporter {
            texts,
            mut told,
            cells,
            partial,
            ..
        } = self;
        let misled = told.iter().any(|each| MISLEADING.contains(&each.report.code));
        told.retain(|each| {
            let everywhere = each.cells.is_empty() || each.cells.len() == cells.len() && !partial;
            each.report.severity == Severity::Error || everywhere && !misled
        });
        told.sort_by(|a, b| (a.report.span, &a.report.message).cmp(&(b.report.span, &b.report.message)));
        Diagnostics(
            told.into_iter()
                .map(|each| diagnostic(&texts, each, &cells))
                .collect(),
        )
    }
}

fn diagnostic(texts: &SourceTexts, told: Told, cells: &[String]) -> Diagnostic {
    let Told {
        report,
        cells: concerned,
    } = told;
    let line = |span: Span| texts.get(span.file).line(span.line).to_string();
    let everywhere = concerned.len() == cells.len();
    let notes = report.notes.into_iter().map(|(span, message)| Note {
        place: texts.place(span),
        length: span.length as usize,
        message,
        source_line: line(span),
    });
    Diagnostic {
        severity: report.severity,
        code: report.code,
        message: report.message,
        place: texts.place(report.span),
        length: report.span.length as usize,
        source_line: line(report.span),
        notes: notes.collect(),
        help: report.help,
        cells: match everywhere && (cells.len() != 1 || cells[0] == "base") {
            true => Vec::new(),
            false => concerned.into_iter().map(|cell| cells[cell].clone()).collect(),
        },
    }
}
