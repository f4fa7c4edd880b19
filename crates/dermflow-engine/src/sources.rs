//! Sources: files on disk that pipelines name. Finds them, hashes them through the store's
//! source index, and looks again after they were read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dermflow_core::{BlobRef, Cause, Digest, NamedFile, SampleId, SourceDigest, StageError, Take, Tool};
use dermflow_store::{SourceIndex, Store, walk};

/// A source as it was found: where it lies and what is in it.
#[derive(Debug)]
pub struct BoundSource {
    /// Where it lies on this machine.
    pub path: PathBuf,
    /// Its files by relative path (a single file by its own name), in order, with digests.
    pub files: Vec<(String, BlobRef)>,
    /// What enters the manifest.
    pub digest: SourceDigest,
    folder: bool,
    take: Take,
}

impl BoundSource {
    /// Every file with the place where it lies.
    pub fn named_files(&self) -> Vec<NamedFile> {
        let place = |name: &String| {
            if self.folder {
                self.path.join(name)
            } else {
                self.path.clone()
            }
        };
        let named = |(name, _): &(String, BlobRef)| NamedFile {
            name: name.clone(),
            path: place(name),
        };
        self.files.iter().map(named).collect()
    }

    /// The listing of a folder in `b3sum` form: what [`SourceDigest::Folder`] is the hash of.
    pub fn listing(&self) -> Option<String> {
        self.folder.then(|| listing(&self.files))
    }
}

fn listing(files: &[(String, BlobRef)]) -> String {
    files
        .iter()
        .map(|(name, blob)| listed(name, &blob.digest))
        .collect()
}

/// A line of a listing. A name with a line break is escaped as `b3sum` does it, so that no two
/// folders have one listing.
fn listed(name: &str, digest: &Digest) -> String {
    if !name.contains(['\n', '\\']) {
        return format!("{digest}  {name}\n");
    }
    let name = name.replace('\\', "\\\\").replace('\n', "\\n");
    format!("\\{digest}  {name}\n")
}

/// How the files of two listings differ, in words.
pub fn listing_change(before: &str, now: &str) -> String {
    let parse = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.split_once("  "));
        lines
            .map(|(digest, name)| (name.to_string(), digest.to_string()))
            .collect()
    };
    let (before, now) = (parse(before), parse(now));
    let added: Vec<&String> = now.keys().filter(|name| !before.contains_key(*name)).collect();
    let removed: Vec<&String> = before.keys().filter(|name| !now.contains_key(*name)).collect();
    let changed: Vec<&String> = now
        .iter()
        .filter(|(name, digest)| before.get(*name).is_some_and(|old| old != *digest))
        .map(|(name, _)| name)
        .collect();
    let count = |what: &str, names: &[&String]| match names {
        [] => None,
        [one] => Some(format!("{what} `{one}`")),
        [first, ..] => Some(format!("{what} {} files (`{first}`, …)", names.len())),
    };
    let parts = [
        count("added", &added),
        count("removed", &removed),
        count("changed", &changed),
    ];
    let told: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}; {} files now", told.join(", "), now.len())
}

/// Looks sources up once a run, however many stages name them.
pub struct Sources {
    index: SourceIndex,
    forgotten: Result<Arc<BTreeSet<SampleId>>, StageError>,
    bound: Mutex<BTreeMap<(PathBuf, String), Arc<BoundSource>>>,
    tools: Mutex<BTreeMap<(Tool, PathBuf), (PathBuf, Digest)>>,
}

impl Sources {
    /// With what the store knows of files; `rehash` believes none of it.
    pub fn new(store: &Store, rehash: bool) -> Sources {
        Sources {
            index: SourceIndex::load(store).with_rehash(rehash),
            forgotten: store.forgotten().map(Arc::new).map_err(StageError::from),
            bound: Mutex::default(),
            tools: Mutex::default(),
        }
    }

    /// The samples that were forgotten: a file of that content is as good as absent, and rows
    /// with such an id don't enter.
    ///
    /// # Errors
    /// Where a tombstone is damaged: nothing may run that could bring a sample back.
    pub fn forgotten(&self) -> Result<Arc<BTreeSet<SampleId>>, StageError> {
        self.forgotten.clone()
    }

    /// The files whose content had one of these digests when they were last looked at.
    pub fn files_of(&self, digests: &BTreeSet<Digest>) -> Vec<(PathBuf, Digest)> {
        self.index.files_of(digests)
    }

    /// Keeps what was learned for the next run.
    ///
    /// # Errors
    /// Where the store can't be written.
    pub fn save(&self) -> Result<(), StageError> {
        Ok(self.index.save()?)
    }

    /// The digest of a file, read only where it may have changed.
    ///
    /// # Errors
    /// Where it is missing, unreadable or no file.
    pub fn digest(&self, file: &Path) -> Result<Digest, StageError> {
        Ok(self.index.digest_file(file)?.0)
    }

    /// The source as it is now.
    ///
    /// # Errors
    /// Where it is missing, unreadable, or neither file nor folder as asked.
    pub fn bind(&self, path: &Path, take: &Take) -> Result<Arc<BoundSource>, StageError> {
        let identity = (path.to_path_buf(), format!("{take:?}"));
        let known = self
            .bound
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&identity)
            .cloned();
        if let Some(bound) = known {
            return Ok(bound);
        }
        let bound = Arc::new(self.look(path, take)?);
        let mut all = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.entry(identity).or_insert(bound).clone())
    }

    fn look(&self, path: &Path, take: &Take) -> Result<BoundSource, StageError> {
        let found = std::fs::metadata(path).map_err(|error| {
            StageError::io("reading the source", path, &error)
                .with_help("paths are relative to the pipeline file that writes them")
        })?;
        let folder = match take {
            Take::File if found.is_dir() => {
                return Err(StageError::new(format!(
                    "{} is a folder, a file is expected",
                    path.display()
                )));
            }
            Take::Folder { .. } if !found.is_dir() => {
                return Err(StageError::new(format!(
                    "{} is a file, a folder is expected",
                    path.display()
                )));
            }
            Take::File | Take::FileOrFolder => found.is_dir(),
            Take::Folder { .. } => true,
        };
        let (files, digest) = match folder {
            false => self.one_file(path)?,
            true => self.folder(path, take)?,
        };
        Ok(BoundSource {
            path: path.to_path_buf(),
            files,
            digest,
            folder,
            take: take.clone(),
        })
    }

    fn one_file(&self, path: &Path) -> Result<(Vec<(String, BlobRef)>, SourceDigest), StageError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| StageError::new(format!("{} has no name in UTF-8", path.display())))?;
        let blob = blob(self.index.digest_file(path)?);
        if self
            .forgotten()?
            .contains(&SampleId::of_content_digest(blob.digest))
        {
            let error = StageError::new(format!("{} was forgotten: no run reads it", path.display()));
            return Err(error.with_help("take it out of the pipeline"));
        }
        let digest = SourceDigest::File {
            name: name.to_string(),
            digest: blob.digest,
        };
        Ok((vec![(name.to_string(), blob)], digest))
    }

    fn folder(&self, path: &Path, take: &Take) -> Result<(Vec<(String, BlobRef)>, SourceDigest), StageError> {
        let everything = Vec::new();
        let matching = match take {
            Take::Folder { matching } => matching,
            _ => &everything,
        };
        let names = walk(path, matching)?;
        let paths: Vec<PathBuf> = names.iter().map(|name| path.join(name)).collect();
        let blobs = self.index.digest_files(&paths)?.into_iter().map(blob);
        let forgotten = self.forgotten()?;
        let remembered =
            |(_, blob): &(String, BlobRef)| !forgotten.contains(&SampleId::of_content_digest(blob.digest));
        let files: Vec<(String, BlobRef)> = names.into_iter().zip(blobs).filter(remembered).collect();
        let text = listing(&files);
        let digest = SourceDigest::Folder {
            listing: blob((Digest::of(text.as_bytes()), text.len() as u64)),
            files: files.len() as u64,
        };
        Ok((files, digest))
    }

    /// Looks at a source again after it was read.
    ///
    /// # Errors
    /// With [`Cause::SourceChanged`] where it is not what the manifest says.
    pub fn confirm(&self, bound: &BoundSource) -> Result<(), StageError> {
        let now = self.look(&bound.path, &bound.take)?;
        if now.digest == bound.digest {
            return Ok(());
        }
        let mut all = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(path, _), _| *path != bound.path);
        let message = format!("{} changed while it was read", bound.path.display());
        Err(StageError::new(message).with_cause(Cause::SourceChanged))
    }

    /// The file of a program, with its digest; a relative path starts from `folder`. Looked up
    /// once a run, however many stages ask for it.
    ///
    /// # Errors
    /// Where there is no such program.
    pub fn tool(&self, tool: &Tool, folder: &Path) -> Result<(PathBuf, Digest), StageError> {
        let wanted = (tool.clone(), folder.to_path_buf());
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tools.get(&wanted) {
            return Ok(known.clone());
        }
        let found = tool.find(folder).ok_or_else(|| {
            StageError::new(format!("the program `{}` was not found", tool.name))
                .with_help("write a path relative to the pipeline file, or a name that is in PATH")
        })?;
        let (digest, _) = self.index.digest_file(&found)?;
        tools.insert(wanted, (found.clone(), digest));
        Ok((found, digest))
    }

    /// Looks at a program again after it ran.
    ///
    /// # Errors
    /// With [`Cause::SourceChanged`] where it is not what the manifest says, or gone.
    pub fn confirm_tool(&self, program: &Path, digest: &Digest) -> Result<(), StageError> {
        let now = self.index.digest_file(program);
        if now.is_ok_and(|(now, _)| now == *digest) {
            return Ok(());
        }
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        tools.retain(|_, (path, _)| path.as_path() != program);
        let message = format!("the program {} changed while it ran", program.display());
        Err(StageError::new(message).with_cause(Cause::SourceChanged))
    }
}

fn blob((digest, bytes): (Digest, u64)) -> BlobRef {
    BlobRef { digest, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_folder_is_told_by_file() {
        let before = "aa  1.jpg\nbb  2.jpg\n";
        assert_eq!(
            listing_change(before, "aa  1.jpg\ncc  2.jpg\n"),
            "changed `2.jpg`; 2 files now"
        );
        assert_eq!(
            listing_change(before, "aa  1.jpg\n"),
            "removed `2.jpg`; 1 files now"
        );
        let more = "aa  1.jpg\nbb  2.jpg\nbb  3.jpg\nbb  4.jpg\n";
        assert_eq!(
            listing_change(before, more),
            "added 2 files (`3.jpg`, …); 4 files now"
        );
    }
}
