//! Finding source files by their content: records name no paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dermflow_core::{Digest, SourceDigest, StageError, Take};
use dermflow_engine::Sources;
use dermflow_store::Store;

use crate::records::Records;

/// Looks where the store last saw a file, and below a folder that the user named.
pub(super) struct Finder<'a> {
    records: &'a Records,
    /// What the store remembers of files.
    known: Sources,
    /// What is really there, for the store that is run into.
    now: Sources,
    named: Option<PathBuf>,
    below_named: BTreeMap<Digest, Vec<PathBuf>>,
    empty: PathBuf,
}

impl<'a> Finder<'a> {
    pub(super) fn new(
        records: &'a Records,
        into: &Store,
        named: Option<&Path>,
    ) -> Result<Finder<'a>, StageError> {
        let now = Sources::new(into, false);
        let mut below_named: BTreeMap<Digest, Vec<PathBuf>> = BTreeMap::new();
        if let Some(folder) = named {
            for name in dermflow_store::walk(folder, &[])? {
                let path = folder.join(name);
                below_named.entry(now.digest(&path)?).or_default().push(path);
            }
        }
        Ok(Finder {
            records,
            known: Sources::new(records.store(), false),
            now,
            named: named.map(Path::to_path_buf),
            below_named,
            empty: into.root().join("tmp").join("empty-source"),
        })
    }

    /// Where a source lies that is what it was.
    ///
    /// # Errors
    /// Where there is none, with what was looked for.
    pub(super) fn find(
        &self,
        parameter: &str,
        wanted: &SourceDigest,
        take: &Take,
    ) -> Result<PathBuf, StageError> {
        let candidates = match wanted {
            SourceDigest::File { name, digest } => {
                let files = self.files(digest).into_iter();
                files
                    .filter(|path| path.file_name().and_then(|last| last.to_str()) == Some(name))
                    .collect()
            }
            SourceDigest::Folder { listing, .. } => self.folders(listing)?,
        };
        let fits = |path: &PathBuf| {
            let bound = self.now.bind(path, take);
            bound.is_ok_and(|bound| bound.digest == *wanted)
        };
        if let Some(path) = candidates.iter().find(|path| fits(path)) {
            return Ok(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        }
        let told = match wanted {
            SourceDigest::File { name, digest } => format!("the file {name} with the blake3 {digest}"),
            SourceDigest::Folder { files, .. } => format!("a folder with the {files} files that it had"),
        };
        Err(
            StageError::new(format!("its source `{parameter}` is not to be found: {told}"))
                .with_help("name a folder that has it with --sources"),
        )
    }

    fn files(&self, digest: &Digest) -> Vec<PathBuf> {
        let known = self.known.files_of(&BTreeSet::from([*digest])).into_iter();
        let mut files: Vec<PathBuf> = known
            .map(|(path, _)| path)
            .filter(|path| path.is_file())
            .collect();
        files.extend(self.below_named.get(digest).cloned().unwrap_or_default());
        files
    }

    /// Folders that have one of the files of a listing at its place.
    fn folders(&self, listing: &dermflow_core::BlobRef) -> Result<Vec<PathBuf>, StageError> {
        let mut folders: Vec<PathBuf> = self.named.iter().cloned().collect();
        if listing.bytes == 0 {
            // A folder without files is as good as any other.
            let made = std::fs::create_dir_all(&self.empty);
            made.map_err(|error| StageError::io("creating", &self.empty, &error))?;
            folders.push(self.empty.clone());
            return Ok(folders);
        }
        let text = self.records.store().read_blob(listing).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        // Names with line breaks are escaped; another file of the folder will do.
        let entry = text
            .lines()
            .filter(|line| !line.starts_with('\\'))
            .find_map(|line| line.split_once("  "));
        let Some((digest, name)) = entry.and_then(|(digest, name)| Some((digest.parse().ok()?, name))) else {
            return Ok(folders);
        };
        let below = Path::new(name);
        let depth = below.iter().count();
        for path in self.files(&digest) {
            if path.ends_with(below)
                && let Some(folder) = path.ancestors().nth(depth)
            {
                folders.push(folder.to_path_buf());
            }
        }
        Ok(folders)
    }
}
