//! Journals: the chain of seals, and what they say against what is on record.

use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::{Artifact, Digest, StageError};
use dermflow_engine::cell_digest;
use dermflow_store::{JournalName, Store};

use super::{Problem, Remedy, Verified};
use crate::records::Records;
use crate::sign::{PublicKey, Signature};

/// The seals, and the chain that they form.
pub(super) fn chain(store: &Store, found: &mut Verified) -> Result<(), StageError> {
    found.checked.journals = store.list_journals().len();
    let wrong = store.verify_journals()?.into_iter();
    found
        .problems
        .extend(wrong.map(|sentence| Problem::new("journal", "the chain of seals", sentence)));
    for name in store.list_journals() {
        if let Err(error) = store.read_journal(&name) {
            found
                .problems
                .push(Problem::new("journal", name.to_string(), error.message()));
        }
    }
    Ok(())
}

/// Every stage that a journal tells of: is its record there, and the one that was sealed?
pub(super) fn lines(records: &Records, found: &mut Verified) {
    let newest = newest_journals(records);
    let mut gone_of_old = 0usize;
    for (key, uses) in records.named() {
        let Some(last) = uses.last() else { continue };
        found.checked.lines += uses.len();
        let what = format!("{} ({})", last.stage(), key.digest().short());
        let Some(node) = records.node(key) else {
            let in_newest = uses.iter().any(|one| newest.contains(&one.journal));
            match in_newest && !records.broken().contains_key(key) {
                true => found.problems.push(
                    Problem::new(
                        "record",
                        what,
                        format!(
                            "is not in the store, and the run {} used it: the next run makes it again",
                            last.journal
                        ),
                    )
                    .with(Remedy::LayAgain),
                ),
                false => gone_of_old += 1,
            }
            continue;
        };
        let Some(sealed) = &last.line.sealed else { continue };
        let outputs: BTreeMap<String, Digest> = node
            .outputs
            .iter()
            .map(|(port, artifact)| (port.clone(), Artifact::name(artifact)))
            .collect();
        if outputs != sealed.outputs {
            let reason = format!(
                "gives other artifacts than the sealed journal {} says",
                last.journal
            );
            let problem = Problem::new("record", what, reason);
            found.problems.push(problem.with(Remedy::SetRecordAside(*key)));
        } else if node.digest != sealed.record {
            let reason = format!(
                "is not the record that the sealed journal {} names: its artifacts are, but not its times, figures \
                 or inputs",
                last.journal
            );
            let problem = Problem::new("record", what, reason);
            found.problems.push(problem.with(Remedy::SetRecordAside(*key)));
        }
    }
    if gone_of_old > 0 {
        found.notices.push(format!(
            "{gone_of_old} actions of older runs are no longer on record (`gc` removes them)"
        ));
    }
}

/// The newest run of each pipeline's cell.
fn newest_journals(records: &Records) -> BTreeSet<JournalName> {
    let lines = records.named().flat_map(|(_, uses)| uses);
    let cells: BTreeSet<(String, Option<String>)> = lines
        .map(|one| (one.line.pipeline.clone(), one.line.cell.clone()))
        .collect();
    let newest = cells.iter().filter_map(|(pipeline, cell)| {
        records
            .store()
            .get_latest(&cell_digest(pipeline, cell.as_deref()))
    });
    newest.collect()
}

/// Every forgetting that a journal tells of has its tombstone, and the other way round.
pub(super) fn forgettings(records: &Records, found: &mut Verified) -> Result<(), StageError> {
    let store = records.store();
    let Ok(tombstones) = store.tombstones() else {
        // Told already.
        return Ok(());
    };
    let mut there: BTreeSet<String> = tombstones.iter().map(|(digest, _)| digest.hex()).collect();
    for name in store.list_journals() {
        let Ok(lines) = store.read_journal(&name) else {
            continue;
        };
        let told = lines
            .first()
            .and_then(|line| line["forget"]["tombstone"].as_str());
        if let Some(told) = told
            && !there.remove(told)
            && !tombstones.iter().any(|(digest, _)| digest.hex() == told)
        {
            found.problems.push(Problem::new(
                "tombstone",
                told,
                format!(
                    "is missing, and the journal {name} says that it was put up: what it kept out could come back"
                ),
            ));
        }
    }
    found.notices.extend(there.iter().map(|tombstone| {
        format!("the forgetting {tombstone} was not completed: `dermflow forget` again finishes it")
    }));
    Ok(())
}

/// Signatures of seals by this key.
pub(super) fn signatures(store: &Store, key: &PublicKey, found: &mut Verified) {
    let mut signed = 0;
    for name in store.list_journals() {
        let Some(bytes) = store.signature(&name) else {
            continue;
        };
        let checked = Signature::read(&bytes).and_then(|signature| signature.check(store, &name, key));
        match checked {
            Ok(()) => signed += 1,
            Err(reason) => found
                .problems
                .push(Problem::new("signature", name.to_string(), reason)),
        }
    }
    found.checked.signatures = signed;
    if signed == 0 {
        let reason = "no run of this store is signed with the key that was given";
        found.problems.push(Problem::new(
            "signature",
            store.root().display().to_string(),
            reason,
        ));
    }
    let unsigned_tail = unsigned_after_the_last(store);
    if signed > 0 && unsigned_tail > 0 {
        found.notices.push(format!(
            "the newest {unsigned_tail} journals came after the last signature"
        ));
    }
}

fn unsigned_after_the_last(store: &Store) -> usize {
    let journals = store.list_journals();
    let newest_first = journals.iter().rev();
    newest_first
        .take_while(|name| store.signature(name).is_none())
        .count()
}
