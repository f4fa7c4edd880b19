//! [`Samples`]: what `SAMPLE` means on the command line: an image file, a sample id or its first
//! digits, a patient, a file's name, or any `column=value`.
//!
//! One image is a sample under several ids: its own (the blake3 of the file) and those of the
//! rows that tables without images have of it, which are made from the name that they call it
//! by. All of them are looked for, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::{Array, AsArray};
use dermflow_core::{Artifact, ColumnType, Digest, SampleId, StageError, TableManifest};
use serde::Serialize;

use crate::forget::waiting;
use crate::records::Records;
use crate::rows::{Rows, partition_ids, texts};

/// The columns that a plain text is looked for in.
const NAMING: [&str; 3] = ["group", "patient", "source"];

/// How many meanings of a name are told.
const MOST_MEANINGS: usize = 4;

/// Fewer digits than this are no prefix of an id.
const SHORTEST: usize = 6;

/// Samples, and how each was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Samples {
    /// What was asked for.
    pub asked: Vec<String>,
    /// The samples, with the words that say how they were found.
    pub ids: BTreeMap<SampleId, String>,
}

impl Samples {
    /// Finds the samples that all these names mean.
    ///
    /// # Errors
    /// Where one means nothing in this store, or a prefix fits several samples.
    pub fn find(records: &Records, names: &[String]) -> Result<Samples, StageError> {
        let mut samples = Samples {
            asked: names.to_vec(),
            ..Samples::default()
        };
        for name in names {
            let (found, by_text) = named(records, name)?;
            samples.ids.extend(linked(records, found, by_text));
        }
        Ok(samples)
    }

    /// The ids that rows about the same images would have, whether or not there are any.
    pub fn names(&self, records: &Records) -> BTreeSet<SampleId> {
        let sources = sources_of(records, &self.set());
        let mut keys: BTreeSet<SampleId> = sources
            .iter()
            .flat_map(|source| keys_of(source))
            .map(|(key, _)| key)
            .collect();
        let others = of_others(records, &keys, &self.ids);
        keys.retain(|key| !others.contains(key));
        keys
    }

    /// The ids alone.
    pub fn set(&self) -> BTreeSet<SampleId> {
        self.ids.keys().copied().collect()
    }
}

type Named = BTreeMap<SampleId, String>;

/// What one name means, and whether it was found by a text in tables.
fn named(records: &Records, name: &str) -> Result<(Named, bool), StageError> {
    let path = Path::new(name);
    if path.is_file() {
        let bytes = std::fs::read(path).map_err(|error| StageError::io("reading", path, &error))?;
        let told = format!("the content of {name}");
        return Ok((Named::from([(SampleId::of_content(&bytes), told)]), false));
    }
    if let Ok(id) = name.parse::<SampleId>() {
        return Ok((Named::from([(id, "its id".to_string())]), false));
    }
    let found = by_text(records, name);
    let is_prefix =
        name.len() >= SHORTEST && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_prefix {
        let fitting = by_prefix(records, name);
        match fitting.len() {
            0 => {}
            _ if found.keys().any(|id| !fitting.contains(id)) => {
                return Err(ambiguous(name, &fitting, &found));
            }
            1 => {
                let told = "the first digits of its id".to_string();
                return Ok((fitting.into_iter().map(|id| (id, told.clone())).collect(), false));
            }
            many => {
                return Err(StageError::new(format!("`{name}` fits {many} sample ids"))
                    .with_help("give more digits, or all 64"));
            }
        }
    }
    match found.is_empty() {
        true => Err(unknown(records, name)),
        false => Ok((found, true)),
    }
}

/// A name that is the beginning of ids, and a name in tables besides.
fn ambiguous(name: &str, fitting: &BTreeSet<SampleId>, found: &Named) -> StageError {
    let ids = fitting
        .iter()
        .map(|id| format!("the beginning of the sample id {id}"));
    let others = found.iter().filter(|(id, _)| !fitting.contains(id));
    let rows = others.map(|(id, told)| format!("{told} (sample id {id})"));
    let all: Vec<String> = ids.chain(rows).collect();
    let more = match all.len().saturating_sub(MOST_MEANINGS) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let shown = &all[..all.len().min(MOST_MEANINGS)];
    StageError::new(format!(
        "`{name}` means several samples: {}{more}",
        shown.join(", ")
    ))
    .with_help(
        "write all 64 digits of the sample id that is meant, or `column=value` for all rows with a text",
    )
}

/// A name that means nothing now: it may have, before results were removed.
fn unknown(records: &Records, name: &str) -> StageError {
    let waiting: Vec<String> = waiting(records).into_iter().collect();
    match waiting.as_slice() {
        [] => StageError::new(format!("`{name}` is no sample of this store")).with_help(
            "name an image file, a sample id or its first 6 digits or more, a patient (a value of the column \
             `group` or `patient`), a file as a table names it, or `column=value`",
        ),
        [first, ..] => StageError::new(format!(
            "`{name}` is no sample of this store as it is now; it may be one of those in the {} results (`{first}`, …) \
             that an earlier forgetting removed and that wait to be made anew",
            waiting.len()
        ))
        .with_help(
            "run their pipelines first, and then ask again. An image file, or all 64 digits of a sample id, needs no \
             such run",
        ),
    }
}

/// Every id that starts with these digits.
fn by_prefix(records: &Records, digits: &str) -> BTreeSet<SampleId> {
    let bound = |fill: &str| -> Option<SampleId> {
        let padded = format!("{digits}{}", fill.repeat(64 - digits.len().min(64)));
        padded.parse().ok()
    };
    let (Some(low), Some(high)) = (bound("0"), bound("f")) else {
        return BTreeSet::new();
    };
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for table in tables(records) {
        for (at, partition) in table.partitions.iter().enumerate() {
            let overlaps = partition.first <= high && low <= partition.last;
            if overlaps && seen.insert(partition.digests[0]) {
                // One that can't be read holds nothing that could be shown.
                let ids = partition_ids(records.store(), table, at).unwrap_or_default();
                found.extend(ids.into_iter().filter(|id| low <= *id && *id <= high));
            }
        }
    }
    found
}

fn by_text(records: &Records, name: &str) -> Named {
    if let Some((column, value)) = name.split_once('=') {
        let rows = texts(records, column).into_iter();
        let fitting = rows.filter(|(_, text)| text == value);
        return fitting.map(|(id, _)| (id, format!("{column} {value}"))).collect();
    }
    let mut found = Named::new();
    for column in NAMING {
        for (id, text) in texts(records, column) {
            let is_file = column == "source" && text.ends_with(&format!("/{name}"));
            if text == name || is_file {
                found.insert(id, format!("{column} {text}"));
            }
        }
    }
    let key = SampleId::of_key(name);
    if exist(records, &BTreeSet::from([key])).contains(&key) {
        found.insert(key, format!("the row that a table calls {name}"));
    }
    found
}

/// Those that any table has a row of.
fn exist(records: &Records, ids: &BTreeSet<SampleId>) -> BTreeSet<SampleId> {
    if ids.is_empty() {
        return BTreeSet::new();
    }
    let rows = Rows::of(records, ids);
    let mut found = BTreeSet::new();
    for table in tables(records) {
        // A table that can't be read has no row that could be told of.
        found.extend(rows.count(table).unwrap_or_default().into_keys());
    }
    found
}

/// The ids that rows of tables without images have for a file called `source`: import kinds make
/// them from a key column, which holds the name with or without its folders and ending.
fn keys_of(source: &str) -> [(SampleId, String); 3] {
    let base = source.rsplit('/').next().unwrap_or(source);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    [source, base, stem].map(|key| (SampleId::of_key(key), format!("the row that a table calls {key}")))
}

/// Adds the other ids of the same images. A name that was found as a text may stand in a table
/// without images, so there the images are looked for as well.
fn linked(records: &Records, mut found: Named, by_text: bool) -> Named {
    if by_text {
        for (id, source) in texts(records, "source") {
            if keys_of(&source).iter().any(|(key, _)| found.contains_key(key)) {
                found.insert(id, format!("the image {source}"));
            }
        }
    }
    let sources = sources_of(records, &found.keys().copied().collect());
    let candidates: Named = sources.iter().flat_map(|source| keys_of(source)).collect();
    let there = exist(records, &candidates.keys().copied().collect());
    let whole: BTreeSet<SampleId> = sources.iter().map(|source| SampleId::of_key(source)).collect();
    let doubtful: BTreeSet<SampleId> = there.difference(&whole).copied().collect();
    let others = of_others(records, &doubtful, &found);
    for (id, told) in candidates {
        if there.contains(&id) && !others.contains(&id) {
            found.entry(id).or_insert(told);
        }
    }
    found
}

/// The texts in columns `source` of the rows of these samples.
fn sources_of(records: &Records, ids: &BTreeSet<SampleId>) -> BTreeSet<String> {
    let rows = Rows::of(records, ids);
    let mut sources = BTreeSet::new();
    for table in tables(records) {
        let is_source = |column: &dermflow_core::Column| {
            column.name == "source" && column.column_type == ColumnType::Text
        };
        if !table.columns.iter().any(is_source) {
            continue;
        }
        for batch in rows.take(table).unwrap_or_default() {
            let Some(column) = batch.column_by_name("source") else {
                continue;
            };
            let texts = column.as_string::<i32>();
            let there = (0..texts.len()).filter(|row| !texts.is_null(*row));
            sources.extend(there.map(|row| texts.value(row).to_string()));
        }
    }
    sources
}

/// Those keys that are the name of another image, too: `1.jpg` in two folders says nothing.
fn of_others(records: &Records, keys: &BTreeSet<SampleId>, own: &Named) -> BTreeSet<SampleId> {
    if keys.is_empty() {
        return BTreeSet::new();
    }
    let mut others = BTreeSet::new();
    for (id, source) in texts(records, "source") {
        if !own.contains_key(&id) {
            let named = keys_of(&source).into_iter().map(|(key, _)| key);
            others.extend(named.filter(|key| keys.contains(key)));
        }
    }
    others
}

/// Every table on record, those of the same content once.
fn tables(records: &Records) -> impl Iterator<Item = &TableManifest> {
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let artifacts = records.stages().flat_map(|(_, node)| node.named());
    artifacts.filter_map(move |(artifact, name)| match artifact {
        Artifact::Table(table) if seen.insert(name) => Some(table),
        _ => None,
    })
}
