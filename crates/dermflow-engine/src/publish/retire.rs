//! Removing what earlier runs laid and no output gives any more: one that was renamed or taken out,
//! or is laid in another format now. Old rows beside new ones would be taken for results.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use dermflow_core::StageError;
use dermflow_graph::Output;

use super::{Files, Results};

impl Results<'_> {
    /// Takes out what these outputs, all that the pipeline has, give no more; what people changed
    /// since it was laid stays. Returns the paths that were removed.
    pub(super) fn retire(&mut self, outputs: &[Output]) -> Result<Vec<PathBuf>, StageError> {
        let mut removed = Vec::new();
        for name in self.outdated(outputs) {
            let Some(held) = self.index.get(&name) else {
                continue;
            };
            let path = self.folder.join(&name);
            if path.symlink_metadata().is_ok() {
                if path.is_symlink() || !held.is_unchanged(&path, self.sources) {
                    continue;
                }
                remove(&path, &held.files).map_err(|error| StageError::io("removing", &path, &error))?;
                removed.push(path);
            }
            self.index.remove(&name);
            self.changed = true;
        }
        Ok(removed)
    }

    /// The names in the index that no output gives.
    fn outdated(&self, outputs: &[Output]) -> Vec<String> {
        let declared: BTreeSet<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
        let mut outdated = Vec::new();
        for (name, held) in &self.index {
            let output = output_of(name);
            let stays = match self.laid.get(output) {
                Some(names) => names.contains(name),
                // Not wanted this time, or failed: what lies there is the newest that there is.
                None if declared.contains(output) => true,
                // Two files may hold pipelines of one name, each with outputs of its own.
                None => held.file != self.file,
            };
            if !stays {
                outdated.push(name.clone());
            }
        }
        outdated
    }
}

/// The output that a name in the index was laid for. Names of outputs have no dots.
fn output_of(name: &str) -> &str {
    let stem = name.split_once('.').map(|(stem, _)| stem);
    stem.unwrap_or(name)
}

/// Removes a file, or those of a folder's files that are ours, and the folders that this empties.
fn remove(path: &Path, files: &Files) -> io::Result<()> {
    if files.is_empty() {
        // A folder without files: if people put some there, it is theirs.
        let _ = std::fs::remove_dir(path);
    }
    for name in files.keys() {
        if name.is_empty() {
            std::fs::remove_file(path)?;
            continue;
        }
        let file = path.join(name);
        std::fs::remove_file(&file)?;
        let above = file.ancestors().skip(1);
        for folder in above.take_while(|folder| folder.starts_with(path)) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
    Ok(())
}
