//! [`Figure`]: what came out of each group: the rows of every `Metrics` table, and the numbers that
//! stages reported. Must not know of parameters.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::{Artifact, Contract, Record, StageError, TableManifest, TableType};
use dermflow_store::{Store, TableReader};
use serde::Serialize;

use crate::groups::Group;
use crate::sides::Side;

/// A figure of every group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The stage that told it.
    pub stage: String,
    /// Its name.
    pub name: String,
    /// The class it is about; none for all together.
    pub class: Option<String>,
    /// Of which samples; none for all.
    pub slice: Option<String>,
    /// What each group has, in their order; none where it has no such figure.
    pub groups: Vec<Option<Of>>,
}

/// A figure of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Of {
    /// The mean over the group's cells.
    pub value: f64,
    /// The standard deviation over them (n - 1), where there are several.
    pub deviation: Option<f64>,
    /// Its interval within the one cell, where there is one.
    pub interval: Option<(f64, f64)>,
    /// How many cells have it.
    pub cells: u64,
    /// Over how many samples, of the first cell.
    pub samples: Option<u64>,
}

/// Name, class and slice.
type Name = (String, Option<String>, Option<String>);

/// A figure of one cell.
#[derive(Clone, Copy, Debug)]
struct One {
    value: f64,
    interval: Option<(f64, f64)>,
    samples: Option<u64>,
}

/// Figures of each stage in the order that it tells them, and whether a stage reported them while
/// it worked, beside its tables.
type Told = Vec<((String, Name), One, bool)>;

/// Figures that a stage reports of any work, which no one compares.
const OF_WORK: [&str; 1] = ["seconds"];

/// The figures of all groups, in the order of the first group that tells them.
///
/// # Errors
/// Where a table can't be read.
pub(crate) fn gather(
    store: &Store,
    sides: &[Side],
    groups: &[Group],
    all: bool,
) -> Result<Vec<Figure>, StageError> {
    let told: Vec<Told> = sides
        .iter()
        .map(|side| of_side(store, side, all))
        .collect::<Result<_, _>>()?;
    let mut order: Vec<&(String, Name)> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let mut reported = std::collections::BTreeSet::new();
    for (name, _, is_reported) in told.iter().flatten() {
        if known.insert(name) {
            order.push(name);
        }
        if *is_reported {
            reported.insert(name);
        }
    }
    // Stages stay together, whichever group told a figure of them first.
    let stages: Vec<&String> = {
        let mut seen = std::collections::BTreeSet::new();
        order
            .iter()
            .map(|(stage, _)| stage)
            .filter(|stage| seen.insert(*stage))
            .collect()
    };
    order.sort_by_key(|(stage, _)| stages.iter().position(|own| *own == stage));
    let indexed: Vec<BTreeMap<&(String, Name), One>> = told
        .iter()
        .map(|told| told.iter().map(|(name, one, _)| (name, *one)).collect())
        .collect();
    let of_group = |group: &Group, name: &(String, Name)| {
        let found: Vec<One> = group
            .members
            .iter()
            .filter_map(|member| indexed[member.side].get(name).copied())
            .collect();
        summed(&found)
    };
    let figure = |name: &(String, Name)| {
        let (stage, (figure, class, slice)) = name.clone();
        Figure {
            stage,
            name: figure,
            class,
            slice,
            groups: groups.iter().map(|group| of_group(group, name)).collect(),
        }
    };
    // Counts that stages report of their work are many, and mostly the same everywhere.
    let is_told = |name: &&(String, Name), figure: &Figure| {
        all || !reported.contains(*name) || !same_everywhere(figure)
    };
    let figures = order.into_iter().map(|name| (name, figure(name)));
    Ok(figures
        .filter(|(name, figure)| is_told(name, figure))
        .map(|(_, figure)| figure)
        .collect())
}

fn same_everywhere(figure: &Figure) -> bool {
    let value = |of: &Option<Of>| {
        of.as_ref()
            .map(|of| (of.value.to_bits(), of.deviation.map(f64::to_bits)))
    };
    figure
        .groups
        .iter()
        .all(|of| value(of) == value(&figure.groups[0]))
}

fn summed(found: &[One]) -> Option<Of> {
    let first = found.first()?;
    let count = found.len() as f64;
    let mean = found.iter().map(|one| one.value).sum::<f64>() / count;
    let squares: f64 = found.iter().map(|one| (one.value - mean).powi(2)).sum();
    Some(Of {
        value: mean,
        deviation: (found.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        interval: first.interval.filter(|_| found.len() == 1),
        cells: found.len() as u64,
        samples: first.samples,
    })
}

fn of_side(store: &Store, side: &Side, all: bool) -> Result<Told, StageError> {
    let mut told = Vec::new();
    for (stage, (_, record)) in &side.stages {
        let tables = tables_of_figures(record.outputs.values());
        for table in &tables {
            let mut rows = Vec::new();
            for batch in TableReader::open(store, table, None)? {
                rows.extend(of_table(&batch?, all)?);
            }
            // Rows lie in order of ids, which tells people nothing.
            rows.sort_by(|(left, _), (right, _)| place(left).cmp(&place(right)));
            told.extend(
                rows.into_iter()
                    .map(|(name, one)| ((stage.clone(), name), one, false)),
            );
        }
        if tables.is_empty() {
            told.extend(of_record(stage, record));
        }
    }
    Ok(told)
}

/// The tables of figures among a stage's outputs: those that it declares to be `Metrics`, and where
/// there is none, those that have the columns of one. A table beside its `Metrics` may tell the same
/// figures with other intervals, as `proportions` of `evaluate` does.
fn tables_of_figures<'a>(outputs: impl Iterator<Item = &'a Artifact>) -> Vec<&'a TableManifest> {
    let metrics = Contract::named("Metrics").map_or_else(TableType::any, TableType::of);
    let mut tables: Vec<&TableManifest> = outputs
        .filter_map(|artifact| match artifact {
            Artifact::Table(table) => Some(table),
            _ => None,
        })
        .filter(|table| metrics.accepts(&table.table_type()).is_ok())
        .collect();
    let is_declared = |table: &TableManifest| table.contract == metrics.contract;
    if tables.iter().any(|table| is_declared(table)) {
        tables.retain(|table| is_declared(table));
    }
    tables
}

/// Those that people look at first, then by name; all samples before slices and classes.
fn place(name: &Name) -> (bool, bool, usize, &Name) {
    let known = dermflow_stages::paired::COMPARED
        .iter()
        .position(|known| *known == name.0);
    (
        name.2.is_some(),
        name.1.is_some(),
        known.unwrap_or(usize::MAX),
        name,
    )
}

fn of_record(stage: &str, record: &Record) -> Told {
    let figures = record.making.metrics.iter();
    let shown = figures.filter(|(name, _)| !OF_WORK.contains(&name.as_str()));
    shown
        .map(|(name, value)| {
            let one = One {
                value: *value,
                interval: None,
                samples: None,
            };
            ((stage.to_string(), (name.clone(), None, None)), one, true)
        })
        .collect()
}

fn of_table(batch: &RecordBatch, all: bool) -> Result<Vec<(Name, One)>, StageError> {
    let missing = |name: &str| StageError::new(format!("a table of figures has no proper column `{name}`"));
    let texts = |name: &str| {
        batch
            .column_by_name(name)
            .and_then(|column| column.as_string_opt::<i32>())
    };
    let numbers = |name: &str| {
        batch
            .column_by_name(name)
            .and_then(|column| column.as_primitive_opt::<Float64Type>())
            .ok_or_else(|| missing(name))
    };
    let names = texts("name").ok_or_else(|| missing("name"))?;
    let (values, low, high) = (numbers("value")?, numbers("low")?, numbers("high")?);
    let samples = batch
        .column_by_name("n")
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or_else(|| missing("n"))?;
    let text = |name: &str, row: usize| {
        let column = texts(name).filter(|column| !column.is_null(row));
        column.map(|column| column.value(row).to_string())
    };
    let mut rows = Vec::new();
    for row in 0..batch.num_rows() {
        let (class, slice) = (text("class", row), text("slice", row));
        if !all && (class.is_some() || slice.is_some()) {
            continue;
        }
        let interval = (!low.is_null(row) && !high.is_null(row)).then(|| (low.value(row), high.value(row)));
        let one = One {
            value: values.value(row),
            interval,
            samples: (!samples.is_null(row)).then(|| samples.value(row).unsigned_abs()),
        };
        rows.push(((names.value(row).to_string(), class, slice), one));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use dermflow_core::{Column, ColumnType};

    use super::*;

    #[test]
    fn figures_are_those_of_the_metrics_and_not_of_a_table_like_them_beside_it() {
        let metrics = TableType::of(Contract::named("Metrics").unwrap());
        let table = |contract: &str, more: &[Column]| {
            let columns = metrics.columns.iter().chain(more).cloned().collect();
            Artifact::Table(TableManifest::new(contract, columns, Vec::new()))
        };
        // As `proportions` is: all columns of `Metrics`, and the hits.
        let hits = [Column::new("hits", ColumnType::Integer)];
        let outputs = [table("Metrics", &[]), table("Table", &hits)];
        let found = tables_of_figures(outputs.iter());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].contract, "Metrics");
        // A stage that declares none has its figures told all the same.
        assert_eq!(tables_of_figures(outputs[1..].iter()).len(), 1);
        let other = [Artifact::Table(TableManifest::new(
            "Table",
            hits.to_vec(),
            Vec::new(),
        ))];
        assert!(tables_of_figures(other.iter()).is_empty());
    }

    #[test]
    fn several_cells_give_a_mean_and_a_deviation_and_one_keeps_its_interval() {
        let one = |value: f64| One {
            value,
            interval: Some((value - 0.1, value + 0.1)),
            samples: Some(7),
        };
        let alone = summed(&[one(0.5)]).unwrap();
        assert_eq!(
            (alone.value, alone.deviation, alone.interval),
            (0.5, None, Some((0.4, 0.6)))
        );
        let three = summed(&[one(1.0), one(2.0), one(3.0)]).unwrap();
        assert_eq!(
            (three.value, three.deviation, three.interval),
            (2.0, Some(1.0), None)
        );
        assert_eq!(summed(&[]), None);
    }
}
