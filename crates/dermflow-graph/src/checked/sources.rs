//! The source files that stages name: where they lie, and whether they are there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dermflow_core::{Parameters, Source, Take};

use super::pipeline::ResolvedSource;
use super::stage::Draft;
use crate::report::{Report, Reporter};
use crate::suggest;

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    File,
    Folder,
    Nothing,
    Unreadable(String),
}

/// Looks at each path once in a load.
#[derive(Default)]
pub(crate) struct Disk(HashMap<PathBuf, Found>);

impl Disk {
    fn at(&mut self, path: &Path) -> Found {
        if let Some(found) = self.0.get(path) {
            return found.clone();
        }
        let found = match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Found::Folder,
            Ok(_) => Found::File,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::Nothing,
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Found::Nothing,
            Err(error) => Found::Unreadable(error.to_string()),
        };
        self.0.insert(path.to_path_buf(), found.clone());
        found
    }
}

/// The sources of a stage; `disk` is `None` where it doesn't matter whether they are there.
pub(crate) fn resolve(
    reporter: &mut Reporter,
    draft: &Draft,
    parameters: &Parameters,
    mut disk: Option<&mut Disk>,
) -> Vec<ResolvedSource> {
    let Some(kind) = &draft.kind else {
        return Vec::new();
    };
    let sources = kind.sources(parameters);
    let mut resolved = Vec::with_capacity(sources.len());
    for source in sources {
        let (node, _) = draft.with.nearest(&source.parameter);
        let folder = reporter.texts.get(node.writer().file).folder.clone();
        let path = folder.join(&source.path);
        if let Some(disk) = disk.as_deref_mut()
            && let Some(report) = wrong(disk, &source, &path, node.span)
        {
            reporter.add(report);
        }
        let place = reporter.texts.place(draft.place_of(node));
        resolved.push(ResolvedSource { source, path, place });
    }
    resolved
}

fn wrong(disk: &mut Disk, source: &Source, path: &Path, span: crate::place::Span) -> Option<Report> {
    let shown = path.display();
    match (disk.at(path), &source.take) {
        (Found::Nothing, _) => {
            let message = format!("`{}` names `{shown}`, which is not there", source.parameter);
            Some(Report::error("missing-source", span, message).maybe_help(nearest(path)))
        }
        (Found::Unreadable(why), _) => {
            let message = format!(
                "`{}` names `{shown}`, which can't be looked at: {why}",
                source.parameter
            );
            Some(Report::error("missing-source", span, message))
        }
        (Found::Folder, Take::File) => {
            let message = format!(
                "`{}` names the folder `{shown}`, and takes a file",
                source.parameter
            );
            Some(Report::error("wrong-source", span, message))
        }
        (Found::File, Take::Folder { .. }) => {
            let message = format!(
                "`{}` names the file `{shown}`, and takes a folder",
                source.parameter
            );
            Some(Report::error("wrong-source", span, message))
        }
        _ => None,
    }
}

/// The nearest name where the path stops being there.
fn nearest(path: &Path) -> Option<String> {
    let missing = path
        .ancestors()
        .take_while(|part| !part.exists() && !part.as_os_str().is_empty())
        .last()?;
    let parent = missing.parent()?;
    let folder = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let wanted = missing.file_name()?.to_str()?;
    // A folder of a million files isn't worth a hint.
    let names = std::fs::read_dir(folder).ok()?.flatten().take(10_000);
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let near = suggest::nearest(wanted, names.iter().map(String::as_str));
    Some(match near {
        Some(name) => format!("did you mean `{}`?", parent.join(name).display()),
        None => format!(
            "`{}` is there, and has no `{wanted}`; paths are relative to the file that names them",
            folder.display()
        ),
    })
}
