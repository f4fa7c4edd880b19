//! [`verify`]: everything in a store, checked against everything else.
//!
//! Nothing is touched; [`Verified::repair`] sets aside what is wrong, so that the next run makes
//! it again. What a clean verification proves, and what it doesn't, stands in [`crate::seal`].

mod journals;
mod results;
mod shared;
mod tables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dermflow_core::{Artifact, BlobRef, Contract, Digest, Key, StageError, TableType};
use dermflow_store::Store;
use rayon::prelude::*;
use serde::Serialize;

use crate::records::{Node, Records};
use crate::sign::PublicKey;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// What sort of thing: `blob`, `record`, `table`, `journal`, `index`, `result`, `tombstone`,
    /// `signature`, `shared` (in the store that a team shares).
    pub sort: &'static str,
    /// Which: a path, a digest, a stage.
    pub what: String,
    /// What is wrong with it, and what was expected.
    pub reason: String,
    #[serde(skip)]
    remedy: Remedy,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Remedy {
    Nothing,
    SetBlobAside(BlobRef),
    SetRecordAside(Key),
    SetFileAside(PathBuf),
    SetSharedBlobAside(BlobRef),
    SetSharedRecordAside(Key),
    LayAgain,
}

impl Problem {
    fn new(sort: &'static str, what: impl Into<String>, reason: impl Into<String>) -> Problem {
        Problem {
            sort,
            what: what.into(),
            reason: reason.into(),
            remedy: Remedy::Nothing,
        }
    }

    fn with(self, remedy: Remedy) -> Problem {
        Problem { remedy, ..self }
    }
}

/// How much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Blobs hashed.
    pub blobs: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Records read.
    pub records: usize,
    /// Partitions of tables whose columns were digested again.
    pub partitions: usize,
    /// Journals.
    pub journals: usize,
    /// Lines of journals that were compared with a record.
    pub lines: usize,
    /// Results that runs laid out.
    pub results: usize,
    /// Signatures checked with the key that was given.
    pub signatures: usize,
    /// Records here that the shared store has as well.
    pub shared_records: usize,
    /// Blobs of them that were hashed there.
    pub shared_blobs: usize,
    /// Bytes of them.
    pub shared_bytes: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// How much was looked at.
    pub checked: Checked,
    /// What is wrong, in order.
    pub problems: Vec<Problem>,
    /// What is worth knowing and not wrong.
    pub notices: Vec<String>,
}

/// What to look at besides the store.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a> {
    /// Where runs lay results out.
    pub results: Option<&'a Path>,
    /// The key that journals should be signed with.
    pub public_key: Option<&'a PublicKey>,
    /// The store that a team shares, opened by itself: what it has of the records here is looked
    /// at too.
    pub shared: Option<&'a Store>,
}

/// Checks a store. Touches nothing.
///
/// # Errors
/// Where a journal can't be read at all.
pub fn verify(store: &Store, scope: &Scope<'_>) -> Result<Verified, StageError> {
    let mut found = Verified {
        checked: Checked::default(),
        problems: Vec::new(),
        notices: Vec::new(),
    };
    let removed = tombstones(store, &mut found);
    let sound = blobs(store, &mut found);
    journals::chain(store, &mut found)?;
    // A journal that can't be parsed was told by the chain; what the others say is still asked.
    let records = Records::read_anew(store).or_else(|_| Records::without_journals(store))?;
    for (key, node) in records.all() {
        record(&records, key, node, &removed, &mut found);
    }
    for (key, reason) in records.broken() {
        let path = store.record_path(key).display().to_string();
        found
            .problems
            .push(Problem::new("record", path, reason).with(Remedy::SetRecordAside(*key)));
    }
    found.checked.records = records.all().count() + records.broken().len();
    tables::columns(&records, &sound, &mut found);
    tables::unions(&records, &sound, &mut found);
    tables::forgotten(&records, &mut found);
    journals::lines(&records, &mut found);
    journals::forgettings(&records, &mut found)?;
    indexes(store, &mut found);
    if let Some(results) = scope.results {
        results::check(&records, results, &mut found);
    }
    if let Some(key) = scope.public_key {
        journals::signatures(store, key, &mut found);
    }
    if let Some(far) = scope.shared {
        shared::check(&records, far, &mut found);
    }
    found.problems.sort();
    found.problems.dedup();
    Ok(found)
}

/// Hashes every blob; gives those that are what their names say.
fn blobs(store: &Store, found: &mut Verified) -> BTreeSet<Digest> {
    let all = store.blobs();
    let look = |blob: &BlobRef| {
        store
            .inspect_blob(blob)
            .map(|()| blob.digest)
            .map_err(|reason| (*blob, reason))
    };
    let looked: Vec<Result<Digest, (BlobRef, String)>> = all.par_iter().map(look).collect();
    found.checked.blobs = all.len();
    found.checked.bytes = all.iter().map(|blob| blob.bytes).sum();
    let mut sound = BTreeSet::new();
    for one in looked {
        match one {
            Ok(digest) => drop(sound.insert(digest)),
            Err((blob, reason)) => {
                let problem = Problem::new("blob", blob.digest.hex(), reason);
                found.problems.push(problem.with(Remedy::SetBlobAside(blob)));
            }
        }
    }
    sound
}

/// The blobs that were removed on purpose.
fn tombstones(store: &Store, found: &mut Verified) -> BTreeSet<Digest> {
    match store.tombstones() {
        Ok(all) => {
            let removed: BTreeSet<Digest> = all.into_iter().flat_map(|(_, one)| one.blobs).collect();
            if !removed.is_empty() {
                found.notices.push(format!(
                    "{} blobs were removed because samples were forgotten",
                    removed.len()
                ));
            }
            removed
        }
        Err(error) => {
            let problem = Problem::new(
                "tombstone",
                store.root().join("forgotten").display().to_string(),
                error.message(),
            );
            found.problems.push(problem);
            BTreeSet::new()
        }
    }
}

/// One record: are its blobs there, does every table have the columns of its contract?
fn record(records: &Records, key: &Key, node: &Node, removed: &BTreeSet<Digest>, found: &mut Verified) {
    for (port, artifact) in &node.outputs {
        let title = format!("{} ({})", records.output_title(key, port), key.digest().short());
        let is_gone = |blob: &&BlobRef| !records.store().has_blob(blob) && !removed.contains(&blob.digest);
        let blobs = artifact.blobs();
        let gone: Vec<&BlobRef> = blobs.iter().filter(is_gone).collect();
        if let Some(first) = gone.first() {
            let reason = format!(
                "{} of its {} blobs are missing or of another size, first {}",
                gone.len(),
                blobs.len(),
                first.digest
            );
            let problem = Problem::new("record", &title, reason);
            found.problems.push(problem.with(Remedy::SetRecordAside(*key)));
        }
        if let Artifact::Table(table) = artifact
            && let Some(contract) = Contract::named(&table.contract)
            && let Err(reason) = TableType::of(contract).accepts(&table.table_type())
        {
            let reason = format!("is no table of {}: {reason}", table.contract);
            let problem = Problem::new("table", title, reason);
            found.problems.push(problem.with(Remedy::SetRecordAside(*key)));
        }
    }
    for (port, _, ancestor) in node.wires() {
        let Some(maker) = ancestor.action else { continue };
        let what = format!("{} ({})", records.title(key), key.digest().short());
        match records.node(&maker) {
            None => found.notices.push(format!(
                "{what}: the record of its input `{port}`, action {}, is not in the store",
                maker.digest().short()
            )),
            Some(node) => {
                let made = node.outputs.get(&ancestor.port).map(Artifact::name);
                if made != Some(ancestor.artifact) {
                    let reason = format!(
                        "says that its input `{port}` was {}, and action {} gave something else there",
                        ancestor.artifact.short(),
                        maker.digest().short()
                    );
                    let problem = Problem::new("record", what, reason);
                    found.problems.push(problem.with(Remedy::SetRecordAside(*key)));
                }
            }
        }
    }
}

fn indexes(store: &Store, found: &mut Verified) {
    for trouble in store.index_troubles() {
        let problem = Problem::new("index", trouble.path.display().to_string(), trouble.reason);
        found
            .problems
            .push(problem.with(Remedy::SetFileAside(trouble.path)));
    }
    let strays = store.strays().into_iter();
    found
        .notices
        .extend(strays.map(|stray| format!("{} {}", stray.path.display(), stray.reason)));
    let damaged = std::fs::read_dir(store.root().join("damaged"));
    let reasons = damaged
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "reason"));
    let aside = reasons.count();
    if aside > 0 {
        found.notices.push(format!(
            "{aside} damaged files were set aside in {}",
            store.root().join("damaged").display()
        ));
    }
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// Sets aside what is wrong, so that the next run makes it again, or pushes it again to the
    /// shared store. Gives the problems that nothing can be done about from here.
    pub fn repair(&self, store: &Store, shared: Option<&Store>) -> Vec<&Problem> {
        let mut left = Vec::new();
        let mut emptied = false;
        for problem in &self.problems {
            match &problem.remedy {
                Remedy::Nothing => left.push(problem),
                Remedy::SetBlobAside(blob) => store.set_aside(blob, &problem.reason),
                Remedy::SetRecordAside(key) => store.invalidate_record(key, &problem.reason),
                Remedy::SetFileAside(path) => store.set_file_aside(path, &problem.reason),
                Remedy::SetSharedBlobAside(blob) => match shared {
                    Some(far) => {
                        far.set_aside(blob, &problem.reason);
                        emptied = true;
                    }
                    None => left.push(problem),
                },
                Remedy::SetSharedRecordAside(key) => match shared {
                    Some(far) => {
                        far.invalidate_record(key, &problem.reason);
                        emptied = true;
                    }
                    None => left.push(problem),
                },
                Remedy::LayAgain => {}
            }
        }
        if emptied {
            store.ask_remotes_again();
        }
        left
    }
}
