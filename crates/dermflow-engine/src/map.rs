//! Maps: kinds whose output rows of a sample depend on that sample alone (in the input that is
//! cut and in its side tables, see [`crate::side_rows`]) and on other inputs whole. Their work is
//! cut into the partitions of one input; each partition is an action with a key of its own, so a
//! change costs the partitions it falls in, and inside those only the samples that changed (see
//! [`crate::takeover`]).

mod driver;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use dermflow_core::{
    Artifact, Digest, FILES_PORT, InputDigest, Key, Manifest, Partition, PortType, Record, SampleId, Shape,
    StageError, TableManifest,
};
use dermflow_store::{Store, assemble};

use crate::action::{Action, key_of, map_port, read_digests};
use crate::context::StoreContext;
use crate::event::Event;
use crate::finished::Finished;
use crate::rows::Rows;
use crate::side_rows::{SideTable, samples_in, side_tables};
use crate::takeover::{self, Takeover};
use crate::workshop::{How, Lookup, Made, Workshop, look_up, making};
use driver::driver_table;
pub(crate) use driver::{LISTING_OUTPUT, driver_of};

/// A map being computed.
pub(crate) struct MapWork {
    pub action: Arc<Action>,
    /// The input port that is cut.
    pub over: String,
    /// Its table.
    pub driver: TableManifest,
    pub parts: Vec<Part>,
    /// All actions of stages with this name that differ from this one only in the driver and in side
    /// tables. Stages with another name may be of one kind with the same parameters, and would
    /// stand in for each other with rows that have nothing in common.
    pub family: Digest,
    pub forced: bool,
    started: SystemTime,
    rows_done: AtomicU64,
    previous: OnceLock<Option<takeover::Previous>>,
}

/// One partition of a map.
pub(crate) struct Part {
    pub key: Key,
    manifest: Manifest,
    /// The driver's table with this partition alone.
    table: TableManifest,
    pub result: OnceLock<Arc<Finished>>,
}

impl MapWork {
    /// Cuts a map into its partitions and looks each up in the store.
    pub fn prepare(store: &Store, action: Arc<Action>, forced: bool) -> Result<MapWork, StageError> {
        let shape = action.kind.shape(&action.parameters);
        let over = map_port(&shape).unwrap_or_default().to_string();
        let driver = driver_table(store, &action, &over)?;
        let sides = side_tables(&action)?;
        let mut parts = Vec::with_capacity(driver.partitions.len());
        for partition in &driver.partitions {
            let columns = driver.columns.clone();
            let table = TableManifest::new(driver.contract.clone(), columns, vec![partition.clone()]);
            let mut manifest = part_manifest(&action, &over, &driver, Some(partition));
            cut_sides(&mut manifest, store, &sides, partition, &table)?;
            let key = key_of(&manifest)?;
            let result = OnceLock::new();
            if !forced && let Lookup::Complete(finished) = look_up(store, &key)? {
                let _ = result.set(finished);
            }
            parts.push(Part {
                key,
                manifest,
                table,
                result,
            });
        }
        let is_side = |port: &str, at: usize| sides.iter().any(|side| (side.port, side.at) == (port, at));
        let family = part_manifest(&action, &over, &driver, None).family(&over, &is_side);
        let family = family.map_err(|error| StageError::new(error.to_string()))?;
        let named = [family.as_bytes(), action.label.stage.as_bytes()].concat();
        let family = Digest::derive("dermflow stage family v1", &named);
        let done = parts
            .iter()
            .filter(|part| part.result.get().is_some())
            .map(|part| part.table.rows)
            .sum();
        Ok(MapWork {
            action,
            over,
            driver,
            parts,
            family,
            forced,
            started: SystemTime::now(),
            rows_done: AtomicU64::new(done),
            previous: OnceLock::new(),
        })
    }

    /// The partitions that the store has no result of.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.parts.len())
            .filter(|part| self.parts[*part].result.get().is_none())
            .collect()
    }

    /// The table of a map over files, where it found none.
    pub fn empty_listing(&self) -> Option<&TableManifest> {
        (self.over == FILES_PORT && !self.action.inputs.contains_key(FILES_PORT)).then_some(&self.driver)
    }
}

/// The manifest of one partition: that of the whole, with the driver's digests of that
/// partition (of the whole driver, where none is given). The files of a map over files stand in
/// its table by their content (which the kind checks as it reads them), whether the engine listed
/// them or the table was wired, so the folder does not count.
fn part_manifest(
    action: &Action,
    over: &str,
    driver: &TableManifest,
    partition: Option<&Partition>,
) -> Manifest {
    let mut manifest = action.manifest.clone();
    if action.kind.shape(&action.parameters) == Shape::MapFiles {
        manifest.sources.clear();
    }
    let reads = action
        .inputs
        .get(over)
        .and_then(|inputs| inputs.first()?.reads.clone());
    let digest = InputDigest::Table(read_digests(driver, partition, &reads));
    manifest.inputs.insert(over.to_string(), vec![digest]);
    manifest
}

/// Leaves of every side table only what the samples of a partition have in it.
fn cut_sides(
    manifest: &mut Manifest,
    store: &Store,
    sides: &[SideTable<'_>],
    partition: &Partition,
    table: &TableManifest,
) -> Result<(), StageError> {
    // Several sides may ask for them.
    let known: OnceCell<Vec<SampleId>> = OnceCell::new();
    let samples = || match known.get() {
        Some(samples) => Ok(samples.clone()),
        None => {
            let samples = samples_in(store, table)?;
            Ok(known.get_or_init(|| samples).clone())
        }
    };
    for side in sides {
        let digests = side.digests(store, partition, &samples)?;
        let inputs = manifest.inputs.get_mut(side.port);
        if let Some(input) = inputs.and_then(|inputs| inputs.get_mut(side.at)) {
            *input = InputDigest::Table(digests);
        }
    }
    Ok(())
}

/// Computes one partition, taking over the samples that did not change.
pub(crate) fn run_part(workshop: &Workshop<'_>, work: &MapWork, at: usize) -> Result<Made, StageError> {
    let part = &work.parts[at];
    let lock = workshop.lock(&part.key)?;
    if !work.forced
        && let Lookup::Complete(finished) = look_up(workshop.store, &part.key)?
    {
        // As where a whole action is found: scratch that stays is in nobody's way.
        let _ = lock.done();
        return Ok(finish_part(workshop, work, at, finished, How::Found));
    }
    let started = SystemTime::now();
    let taken = match work.forced {
        true => None,
        false => {
            let previous = work
                .previous
                .get_or_init(|| takeover::previous(workshop.store, work));
            previous
                .as_ref()
                .and_then(|previous| takeover::compare(workshop.store, work, &part.table, previous))
        }
    };
    let (computed, reused) = match &taken {
        None => (part.table.rows, 0),
        Some(taken) => (taken.rows, part.table.rows - taken.rows),
    };
    let scratch = lock.folder_path().to_path_buf();
    let (outputs, metrics) = compute_part(workshop, work, part, taken.as_ref(), scratch)?;
    // Before the part is filed; sources are confirmed once, as the map is finished.
    workshop.confirm_tool(&work.action)?;
    let mut making = making(started, metrics);
    (making.rows_computed, making.rows_reused) = (computed, reused);
    let record = Record {
        manifest: part.manifest.clone(),
        outputs,
        ancestry: work.action.ancestry()?,
        making,
    };
    let made = workshop.settle(&work.action, record, part.key, lock, None)?;
    let commit = made.commit;
    Ok(Made {
        commit,
        ..finish_part(workshop, work, at, made.finished, made.how)
    })
}

type Outputs = (BTreeMap<String, Artifact>, BTreeMap<String, f64>);

fn compute_part(
    workshop: &Workshop<'_>,
    work: &MapWork,
    part: &Part,
    taken: Option<&Takeover>,
    scratch: std::path::PathBuf,
) -> Result<Outputs, StageError> {
    let rows = match taken {
        None => Rows::All(part.table.clone()),
        Some(taken) => Rows::OfSamples(part.table.clone(), taken.changed.clone()),
    };
    let missing = work.missing().len().max(1);
    let threads = (workshop.jobs / missing).max(1);
    let (store, action) = (workshop.store, &work.action);
    let context = StoreContext::new(store, action, scratch, threads, workshop.interrupt, workshop.sink)?;
    let mut context = context.over(&work.over, rows, &workshop.spare);
    if !side_tables(action)?.is_empty() {
        context = context.at_samples(match taken {
            None => samples_in(store, &part.table)?,
            Some(taken) => taken.changed.clone(),
        });
    }
    workshop.call(action, &mut context)?;
    let produced = context.finish()?;
    let mut outputs = produced.outputs;
    if let Some(taken) = taken {
        for (port, artifact) in &mut outputs {
            *artifact = taken.unite(store, port, artifact)?;
        }
    }
    for (port, artifact) in &outputs {
        inside_range(port, artifact, &part.table)?;
    }
    Ok((outputs, produced.metrics))
}

/// A map that writes rows of samples it was not given would break the order of its table.
fn inside_range(port: &str, artifact: &Artifact, given: &TableManifest) -> Result<(), StageError> {
    let Artifact::Table(table) = artifact else {
        return Err(StageError::new(format!(
            "a map writes tables only, and `{port}` holds a {}",
            artifact.sort()
        )));
    };
    let range =
        |table: &TableManifest| Some((table.partitions.first()?.first, table.partitions.last()?.last));
    match (range(table), range(given)) {
        (Some((first, last)), Some((from, to))) if first < from || last > to => Err(StageError::new(
            format!("the output `{port}` of a map has rows of samples that it was not given"),
        )),
        _ => Ok(()),
    }
}

fn finish_part(
    workshop: &Workshop<'_>,
    work: &MapWork,
    at: usize,
    finished: Arc<Finished>,
    how: How,
) -> Made {
    let part = &work.parts[at];
    let _ = part.result.set(finished.clone());
    let done = work.rows_done.fetch_add(part.table.rows, Ordering::Relaxed) + part.table.rows;
    (workshop.sink)(&Event::StageProgress {
        label: work.action.label.clone(),
        done,
        total: Some(work.driver.rows),
    });
    Made {
        finished,
        how,
        commit: None,
    }
}

/// Unites the results of all partitions. `computed` are those that this run computed.
pub(crate) fn finish_map(
    workshop: &Workshop<'_>,
    work: &MapWork,
    computed: &[usize],
) -> Result<Made, StageError> {
    let (store, action) = (workshop.store, &work.action);
    let lock = workshop.lock(&action.key)?;
    // Where a part was computed, an earlier result may be whole again by that, and is compared below.
    if !work.forced
        && computed.is_empty()
        && let Lookup::Complete(finished) = look_up(store, &action.key)?
    {
        let _ = lock.done();
        return Ok(Made {
            finished,
            how: How::Found,
            commit: None,
        });
    }
    workshop.confirm_sources(action)?;
    let results: Vec<&Arc<Finished>> = work.parts.iter().filter_map(|part| part.result.get()).collect();
    let mut outputs = BTreeMap::new();
    for port in action.output_ports()? {
        let PortType::Table(declared) = &port.port_type else {
            return Err(StageError::new(format!(
                "a map writes tables only, and `{}` is none",
                port.name
            )));
        };
        let mut fragments = Vec::with_capacity(results.len());
        for result in &results {
            match result.output(&port.name)? {
                Artifact::Table(table) => fragments.push(table.clone()),
                other => {
                    return Err(StageError::new(format!(
                        "`{}` came as a {}",
                        port.name,
                        other.sort()
                    )));
                }
            }
        }
        outputs.insert(
            port.name.clone(),
            Artifact::Table(unite(store, &port.name, &declared.contract, fragments)?),
        );
    }
    let mut making = making(work.started, BTreeMap::new());
    for (at, result) in results.iter().enumerate() {
        let part = &result.record()?.making;
        match computed.contains(&at) {
            true => {
                (making.rows_computed, making.rows_reused) = (
                    making.rows_computed + part.rows_computed,
                    making.rows_reused + part.rows_reused,
                )
            }
            false => making.rows_reused += work.parts[at].table.rows,
        }
        making.partitions.push(result.key);
        making.metrics.extend(part.metrics.clone());
    }
    if work.empty_listing().is_some() {
        outputs.insert(LISTING_OUTPUT.to_string(), Artifact::Table(work.driver.clone()));
    }
    let record = Record {
        manifest: action.manifest.clone(),
        outputs,
        ancestry: action.ancestry()?,
        making,
    };
    workshop.settle(action, record, action.key, lock, Some(work.family))
}

/// One table of the results of all partitions.
fn unite(
    store: &Store,
    port: &str,
    contract: &str,
    fragments: Vec<TableManifest>,
) -> Result<TableManifest, StageError> {
    let columns = fragments
        .first()
        .map(|fragment| fragment.columns.clone())
        .unwrap_or_default();
    if fragments.iter().any(|fragment| fragment.columns != columns) {
        return Err(StageError::new(format!(
            "the output `{port}` has other columns in some partitions than in others: the columns that a map writes \
             must not depend on which rows it is given"
        )));
    }
    Ok(assemble(store, contract, &columns, &fragments)?)
}
