//! From a request to checked pipelines: files once, then each cell.

use std::path::{Path, PathBuf};

use dermflow_core::Registry;

use crate::checked::cell;
use crate::checked::pipeline::Pipeline;
use crate::checked::stage::Workshop;
use crate::diagnostic::Diagnostics;
use crate::report::{Report, Reporter};
use crate::written::cells::{self, CellSelection};
use crate::written::files::ReadFile;
use crate::written::overrides::Assignment;
use crate::written::{Key, Node, WrittenPipeline, files, parameters};

/// What is to be loaded.
#[derive(Clone)]
pub struct Request<'a> {
    /// The pipeline file.
    pub file: &'a Path,
    /// The kinds that it may use.
    pub registry: &'a Registry,
    /// `--set` overrides, such as `stages.x.with.y=3`; they win over variants and matrices.
    pub overrides: &'a [String],
    /// Which of the file's pipelines.
    pub cells: CellSelection,
}

/// What was loaded, without an error.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// One for each cell, in written order.
    pub pipelines: Vec<Pipeline>,
    /// What is hardly meant.
    pub warnings: Diagnostics,
    /// The files that it was read from: the one that was asked for and all that it includes.
    pub files: Vec<ReadFile>,
}

/// Reads and checks a pipeline file.
///
/// # Errors
/// Everything that is wrong, in one go, warnings included.
pub fn load(request: &Request) -> Result<Loaded, Diagnostics> {
    let mut reporter = Reporter::new();
    let (written, files) = files::read(&mut reporter, request.file);
    let loaded = finish(reporter, written, request, true)?;
    Ok(Loaded { files, ..loaded })
}

/// Checks a pipeline that is in memory, such as a kind's example. Source files need not be
/// there; paths are relative to the current folder.
///
/// # Errors
/// As [`load`].
pub fn load_text(text: &str, registry: &Registry) -> Result<Loaded, Diagnostics> {
    let mut reporter = Reporter::new();
    let name = "example.yaml";
    let written = files::read_text(&mut reporter, name, text);
    let request = Request {
        file: Path::new(name),
        registry,
        overrides: &[],
        cells: CellSelection::All,
    };
    finish(reporter, written, &request, false)
}

fn finish(
    mut reporter: Reporter,
    written: WrittenPipeline,
    request: &Request,
    look_at_sources: bool,
) -> Result<Loaded, Diagnostics> {
    let folder = request.file.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let overrides = overrides(&mut reporter, request.overrides, &folder);
    // A file that can't be read or parsed says nothing that could be checked further.
    let readable = !written.stages.is_empty() || reporter.errors() == 0;
    let mut pipelines = Vec::new();
    if readable {
        warn_unused_params(&mut reporter, &written, &overrides);
        let mut workshop = Workshop::new(request.registry, look_at_sources);
        let cells = cells::select(&mut reporter, &written, &request.cells);
        let is_alone = written.variants.entries.is_empty() && written.matrix.entries.is_empty();
        if !is_alone && !matches!(request.cells, CellSelection::All) {
            reporter.leave_some_cells_out();
        }
        let texts = reporter.texts.shared();
        for cell in cells {
            // What is wrong with a change was told of the change, whatever cell makes it.
            reporter.leave_cells();
            let mut changed = written.clone();
            for change in cell.changes.iter().chain(&overrides) {
                change.apply(&mut reporter, &mut changed);
            }
            let label = cell.label.as_deref();
            reporter.enter_cell(label.unwrap_or("base"));
            pipelines.extend(cell::check(
                &mut reporter,
                &mut workshop,
                &changed,
                label,
                request.file,
                &texts,
            ));
        }
        reporter.leave_cells();
    }
    let told = reporter.finish();
    match told.has_errors() {
        true => Err(told),
        false => Ok(Loaded {
            pipelines,
            warnings: told,
            files: Vec::new(),
        }),
    }
}

fn overrides(reporter: &mut Reporter, texts: &[String], folder: &Path) -> Vec<Assignment> {
    let read = texts
        .iter()
        .filter_map(|text| files::read_override(reporter, text, folder));
    read.map(|(key, node): (Key, Node)| Assignment::new(&key, node))
        .collect()
}

fn warn_unused_params(reporter: &mut Reporter, written: &WrittenPipeline, overrides: &[Assignment]) {
    let nodes = written.nodes().chain(overrides.iter().map(Assignment::value));
    let used = parameters::used(nodes);
    for (key, _) in &written.params.entries {
        if !used.contains(key.text.as_str()) {
            let message = format!("nothing uses the param `{}`", key.text);
            let help = format!("write `${{{}}}` where it is meant, or take it out", key.text);
            reporter.add(Report::warning("unused-param", key.span, message).help(help));
        }
    }
}

impl Loaded {
    /// The pipeline without a variant, if it was asked for.
    pub fn base(&self) -> Option<&Pipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.cell.is_none())
    }
}
