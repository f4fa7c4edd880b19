//! [`DataCard`]: what a model was trained on, counted from its tables.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::{Artifact, ColumnType, Key, SampleId, StageError, TableManifest};
use serde::Serialize;

use crate::graph::Graph;
use crate::records::{Node, Records};
use crate::rows::open;

/// Texts of more values than this are told as how many there are.
const MOST_VALUES: usize = 24;

/// Samples of a fold, by class.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Samples.
    pub samples: u64,
    /// Patients or other groups; missing where no column names them.
    pub groups: Option<u64>,
    /// Samples by label.
    pub classes: BTreeMap<String, u64>,
}

/// A stage on the way to the training, with what came in and what it gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flow {
    /// The stage.
    pub stage: String,
    /// Its kind.
    pub kind: String,
    /// Rows of the tables that came in, by port.
    pub came: BTreeMap<String, u64>,
    /// Rows of the tables that it gave, by port.
    pub gave: BTreeMap<String, u64>,
    /// Why rows were refused, and how often.
    pub refusals: BTreeMap<String, u64>,
}

/// The values of a column over the training's samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Values {
    /// The table, as people call it.
    pub table: String,
    /// Values that are there.
    pub present: u64,
    /// Values that are missing.
    pub missing: u64,
    /// How often each text is there, where they are few.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// How many different texts there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<u64>,
    /// Smallest, middle and largest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 3]>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DataCard {
    /// By fold; `all` where the training had none.
    pub folds: BTreeMap<String, Counts>,
    /// Samples by source folder or set.
    pub sources: BTreeMap<String, u64>,
    /// Where the labels come from, in words.
    pub label_provenance: Vec<String>,
    /// Whether labels were made by a model.
    pub pseudo_labels: bool,
    /// Every stage before the training that gave tables, in order.
    pub flow: Vec<Flow>,
    /// Columns that describe samples.
    pub columns: BTreeMap<String, Values>,
    /// Source files by what they were read as.
    pub files: Vec<String>,
}

/// Columns of the training's tables that say nothing about a patient.
const TECHNICAL: [&str; 14] = [
    "label",
    "source",
    "fold",
    "group",
    "patient",
    "pixels",
    "placed_left",
    "placed_top",
    "placed_width",
    "placed_height",
    "width",
    "height",
    "perceptual_hash",
    "rank",
];

impl DataCard {
    /// Of the training that an action was.
    ///
    /// # Errors
    /// Where a record can't be read.
    pub fn of(records: &Records, graph: &Graph<'_>, key: &Key) -> Result<DataCard, StageError> {
        let mut card = DataCard::default();
        let Some(node) = records.node(key) else {
            return Ok(card);
        };
        let ancestry = graph.ancestry(key);
        let tables = |port: &str| tables_at(records, node, port);
        let labels: BTreeMap<SampleId, String> = texts(records, &tables("labels"), "label");
        let folds: BTreeMap<SampleId, String> = texts(records, &tables("splits"), "fold");
        let pictures = ids(records, &tables("samples"));
        let groups = groups(records, &ancestry);
        let mut members: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
        for (id, label) in labels
            .iter()
            .filter(|(id, _)| pictures.is_empty() || pictures.contains(id))
        {
            let fold = match folds.is_empty() {
                true => "all".to_string(),
                false => folds.get(id).cloned().unwrap_or_else(|| "none".to_string()),
            };
            let counts = card.folds.entry(fold.clone()).or_default();
            counts.samples += 1;
            *counts.classes.entry(label.clone()).or_default() += 1;
            if let Some(group) = groups.get(id) {
                members.entry(fold).or_default().insert(group);
            }
        }
        for (fold, groups) in members {
            card.folds.entry(fold).or_default().groups = Some(groups.len() as u64);
        }
        for (id, source) in texts(records, &tables("samples"), "source") {
            if labels.contains_key(&id) || labels.is_empty() {
                let set = source
                    .rsplit_once('/')
                    .map_or("(no folder)", |(folder, _)| folder);
                *card.sources.entry(set.to_string()).or_default() += 1;
            }
        }
        card.columns = columns(records, &ancestry, &labels);
        provenance(records, graph, node, &mut card);
        for key in &ancestry {
            let record = records.record(key)?;
            for (parameter, source) in &record.manifest.sources {
                let told = match source {
                    dermflow_core::SourceDigest::File { name, digest } => format!("{name} ({digest})"),
                    dermflow_core::SourceDigest::Folder { listing, files } => {
                        format!("{files} files (listing {})", listing.digest)
                    }
                };
                card.files
                    .push(format!("{} {parameter}: {told}", records.title(key)));
            }
            card.flow.extend(flow(records, key));
        }
        Ok(card)
    }

    /// Samples over all folds.
    pub fn samples(&self) -> u64 {
        self.folds.values().map(|counts| counts.samples).sum()
    }
}

fn tables_at(records: &Records, node: &Node, port: &str) -> Vec<TableManifest> {
    let wired = node.inputs.get(port).into_iter().flatten();
    let tables = wired.filter_map(|one| match table_of(records, &one.artifact) {
        Some(Artifact::Table(table)) => Some(table.clone()),
        _ => None,
    });
    tables.collect()
}

fn table_of<'a>(records: &'a Records, name: &dermflow_core::Digest) -> Option<&'a Artifact> {
    let (key, port) = records.makers(name).first()?;
    records.node(key)?.outputs.get(port)
}

/// Calls `take` with the ids and one column of every batch that can be read.
fn read(
    records: &Records,
    table: &TableManifest,
    column: &str,
    take: &mut dyn FnMut(&[SampleId], &ArrayRef),
) {
    let columns = [column.to_string()];
    let Ok(reader) = open(records.store(), table, 0..table.partitions.len(), &columns) else {
        return;
    };
    for batch in reader.flatten() {
        let bytes = batch.column(0).as_fixed_size_binary();
        let ids: Vec<SampleId> = bytes
            .iter()
            .flatten()
            .map(|bytes| {
                let mut id = [0; 32];
                id.copy_from_slice(bytes);
                SampleId::from_bytes(id)
            })
            .collect();
        if let Some(values) = batch.column_by_name(column) {
            take(&ids, values);
        }
    }
}

fn has_text(table: &TableManifest, column: &str) -> bool {
    let mut columns = table.columns.iter();
    columns.any(|one| one.name == column && one.column_type == ColumnType::Text)
}

fn texts(records: &Records, tables: &[TableManifest], column: &str) -> BTreeMap<SampleId, String> {
    let mut found = BTreeMap::new();
    for table in tables.iter().filter(|table| has_text(table, column)) {
        read(records, table, column, &mut |ids, values| {
            let values = values.as_string::<i32>();
            for (row, id) in ids.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
                found.insert(*id, values.value(row).to_string());
            }
        });
    }
    found
}

fn ids(records: &Records, tables: &[TableManifest]) -> BTreeSet<SampleId> {
    let mut found = BTreeSet::new();
    for table in tables {
        read(records, table, dermflow_core::SAMPLE_ID, &mut |ids, _| {
            found.extend(ids)
        });
    }
    found
}

/// Who each sample is of: the column `patient`, or else `group`, of any table before.
fn groups(records: &Records, ancestry: &[Key]) -> BTreeMap<SampleId, String> {
    let mut found = BTreeMap::new();
    for column in ["patient", "group"] {
        for (_, artifact) in ancestry
            .iter()
            .filter_map(|key| records.node(key))
            .flat_map(Node::shown)
        {
            if let Artifact::Table(table) = artifact
                && has_text(table, column)
            {
                for (id, group) in texts(records, std::slice::from_ref(table), column) {
                    found.entry(id).or_insert(group);
                }
            }
        }
    }
    found
}

/// Every describing column of the tables before the training, over its labelled samples.
fn columns(
    records: &Records,
    ancestry: &[Key],
    labels: &BTreeMap<SampleId, String>,
) -> BTreeMap<String, Values> {
    let mut found: BTreeMap<String, Values> = BTreeMap::new();
    // The last table that has a column is the one nearest to the training.
    for key in ancestry.iter().rev() {
        let Some(node) = records.node(key) else { continue };
        for (port, artifact) in node.shown() {
            let Artifact::Table(table) = artifact else {
                continue;
            };
            if matches!(table.contract.as_str(), "Metrics" | "History" | "Rejects") {
                continue;
            }
            for column in table.columns.iter().skip(1) {
                let plain = matches!(
                    column.column_type,
                    ColumnType::Text | ColumnType::Integer | ColumnType::Float64 | ColumnType::Boolean
                );
                if !plain || TECHNICAL.contains(&column.name.as_str()) || found.contains_key(&column.name) {
                    continue;
                }
                let title = records.output_title(key, port);
                let values = values(records, table, &column.name, labels, title);
                if values.present + values.missing > 0 {
                    found.insert(column.name.clone(), values);
                }
            }
        }
    }
    found
}

fn values(
    records: &Records,
    table: &TableManifest,
    column: &str,
    labels: &BTreeMap<SampleId, String>,
    title: String,
) -> Values {
    let mut told = Values {
        table: title,
        ..Values::default()
    };
    let mut numbers = Vec::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    read(records, table, column, &mut |ids, values| {
        for row in (0..ids.len()).filter(|row| labels.is_empty() || labels.contains_key(&ids[*row])) {
            if values.is_null(row) {
                told.missing += 1;
                continue;
            }
            told.present += 1;
            if let Some(values) = values.as_primitive_opt::<Int64Type>() {
                numbers.push(values.value(row) as f64);
            } else if let Some(values) = values.as_primitive_opt::<Float64Type>() {
                numbers.push(values.value(row));
            } else if let Some(values) = values.as_string_opt::<i32>() {
                *counts.entry(values.value(row).to_string()).or_default() += 1;
            } else if let Some(values) = values.as_boolean_opt() {
                *counts.entry(values.value(row).to_string()).or_default() += 1;
            }
        }
    });
    numbers.sort_by(f64::total_cmp);
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
        told.range = Some([*first, numbers[numbers.len() / 2], *last]);
    }
    if !counts.is_empty() {
        told.distinct = Some(counts.len() as u64);
        if counts.len() <= MOST_VALUES {
            told.counts = counts;
        }
    }
    told
}

/// Where labels come from: the stage that gave them, and whether a model had a part in it.
fn provenance(records: &Records, graph: &Graph<'_>, node: &Node, card: &mut DataCard) {
    for port in ["labels", "heatmaps"] {
        for ancestor in node.inputs.get(port).into_iter().flatten() {
            let Some(maker) = ancestor.action else { continue };
            let behind = graph.ancestry(&maker);
            let model = behind.iter().find(|key| {
                let node = records.node(key);
                node.is_some_and(|node| node.outputs.values().any(|artifact| artifact.sort() == "model"))
            });
            let kind = records.node(&maker).map_or("", |node| node.kind.as_str());
            let mut told = format!("`{port}`: {} ({kind})", records.title(&maker));
            match model {
                Some(model) => {
                    card.pseudo_labels = true;
                    told += &format!(", made with the model of {}: pseudo labels", records.title(model));
                }
                None => {
                    let entered = behind.iter().filter(|key| {
                        records
                            .node(key)
                            .is_some_and(|node| node.outputs.len() > 1 || node.inputs.is_empty())
                    });
                    let names: Vec<String> = entered.map(|key| records.title(key)).collect();
                    told += &format!(
                        ", as imported (by way of {}): no model had a part in them",
                        names.join(", ")
                    );
                }
            }
            card.label_provenance.push(told);
        }
    }
}

fn flow(records: &Records, key: &Key) -> Option<Flow> {
    let node = records.node(key)?;
    let rows = |artifact: &Artifact| match artifact {
        Artifact::Table(table) => Some(table.rows),
        _ => None,
    };
    let gave: BTreeMap<String, u64> = node
        .shown()
        .filter_map(|(port, artifact)| Some((port.to_string(), rows(artifact)?)))
        .collect();
    if gave.is_empty() {
        return None;
    }
    let mut came: BTreeMap<String, u64> = BTreeMap::new();
    for (port, _, ancestor) in node.wires() {
        if let Some(count) = table_of(records, &ancestor.artifact).and_then(rows) {
            *came.entry(port.to_string()).or_default() += count;
        }
    }
    let mut refusals: BTreeMap<String, u64> = BTreeMap::new();
    for (_, artifact) in node.shown() {
        if let Artifact::Table(table) = artifact
            && table.contract == "Rejects"
        {
            for (_, reason) in texts(records, std::slice::from_ref(table), "reason") {
                // What stands in quotes differs from row to row.
                let general: String = reason.split('`').step_by(2).collect::<Vec<_>>().join("…");
                *refusals.entry(general).or_default() += 1;
            }
        }
    }
    Some(Flow {
        stage: records.title(key),
        kind: node.kind.clone(),
        came,
        gave,
        refusals,
    })
}
