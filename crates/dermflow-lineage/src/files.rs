//! Samples as files rather than as rows: artifacts of files that hold one as it is, and all that
//! programs made whose declared files and folders had one among them.

use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::{Artifact, BlobRef, Digest, Key, SampleId, SourceDigest, StageError};

use crate::records::Records;

/// What an artifact has to do with files of some samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileReach {
    /// A program made it that was given a folder, and nothing tells any more what was in that.
    Unknown,
    /// A program made it that was given a file of them.
    Given,
    /// One of its files is one of theirs.
    Holds,
}

/// The artifacts that files of these samples reached, but for what was made from those.
///
/// # Errors
/// Where the record of a program can't be read.
pub(crate) fn reached(
    records: &Records,
    ids: &BTreeSet<SampleId>,
) -> Result<BTreeMap<Digest, FileReach>, StageError> {
    let mut finder = Finder {
        records,
        ids,
        listings: BTreeMap::new(),
    };
    let mut reached: BTreeMap<Digest, FileReach> = BTreeMap::new();
    for (key, node) in records.stages() {
        let given = match node.opaque {
            true => finder.given(key)?,
            false => None,
        };
        for (artifact, name) in node.named() {
            let reach = match finder.is_held(artifact) {
                true => Some(FileReach::Holds),
                false => given,
            };
            if let Some(reach) = reach {
                let known = reached.entry(name).or_insert(reach);
                *known = reach.max(*known);
            }
        }
    }
    Ok(reached)
}

struct Finder<'a> {
    records: &'a Records,
    ids: &'a BTreeSet<SampleId>,
    /// What is known of listings of folders: many stages may be given one folder.
    listings: BTreeMap<Digest, Option<FileReach>>,
}

impl Finder<'_> {
    fn is_theirs(&self, digest: Digest) -> bool {
        self.ids.contains(&SampleId::of_content_digest(digest))
    }

    fn is_held(&self, artifact: &Artifact) -> bool {
        let Artifact::Files(files) = artifact else {
            return false;
        };
        let mut blobs = files.values();
        blobs.any(|blob| self.is_theirs(blob.digest) && self.records.store().has_blob(blob))
    }

    /// Whether files that a program declares are among those of the samples.
    fn given(&mut self, key: &Key) -> Result<Option<FileReach>, StageError> {
        let mut given: Option<FileReach> = None;
        for source in self.records.record(key)?.manifest.sources.into_values() {
            let reach = match source {
                SourceDigest::File { digest, .. } => self.is_theirs(digest).then_some(FileReach::Given),
                SourceDigest::Folder { listing, .. } => self.listed(&listing),
            };
            given = given.max(reach);
        }
        Ok(given)
    }

    fn listed(&mut self, listing: &BlobRef) -> Option<FileReach> {
        if let Some(known) = self.listings.get(&listing.digest) {
            return *known;
        }
        let reach = match self.records.store().read_blob(listing) {
            Err(_) => Some(FileReach::Unknown),
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                // As `b3sum` writes them: a line with an odd name starts with a backslash.
                let digest = |line: &str| line.trim_start_matches('\\').get(..64)?.parse::<Digest>().ok();
                let mut digests = text.lines().filter_map(digest);
                let is_given = digests.any(|digest| self.is_theirs(digest));
                is_given.then_some(FileReach::Given)
            }
        };
        self.listings.insert(listing.digest, reach);
        reach
    }
}
