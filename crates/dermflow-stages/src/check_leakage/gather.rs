//! Samples of all sides, read into compact rows. Knows nothing of leaks.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_vision::similarity::perceptual_hash;

use super::{CheckLeakageParameters, SOURCE};
use crate::columns::{failure, ids_of};

/// A sample in a side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub id: SampleId,
    pub side: u16,
    /// Its group's number; [`NONE`] without one.
    pub group: u32,
    /// Where its source starts in the text of all, and its bytes; none without one.
    source: (u64, u32),
    /// Its perceptual hash, where pixels are compared.
    pub hash: Option<u64>,
}

/// No group.
pub const NONE: u32 = u32::MAX;

/// All samples, in the order of tables and of their ids within. Memory: about 100 bytes a sample
/// and its source.
#[derive(Debug, Default)]
pub struct Gathered {
    pub rows: Vec<Row>,
    sides: Vec<String>,
    groups: Vec<String>,
    sources: String,
}

impl Gathered {
    /// A side's name.
    pub fn side(&self, side: u16) -> &str {
        self.sides.get(usize::from(side)).map_or("", String::as_str)
    }

    /// A row's group.
    pub fn group(&self, row: &Row) -> Option<&str> {
        self.groups.get(row.group as usize).map(String::as_str)
    }

    /// A row's source.
    pub fn source(&self, row: &Row) -> Option<&str> {
        let (start, bytes) = (row.source.0 as usize, row.source.1 as usize);
        self.sources
            .get(start..start + bytes)
            .filter(|source| !source.is_empty())
    }

    fn number_of_side(&mut self, name: String) -> Result<u16, StageError> {
        let known = self.sides.iter().position(|side| *side == name);
        let number = known.unwrap_or_else(|| {
            self.sides.push(name);
            self.sides.len() - 1
        });
        u16::try_from(number).map_err(|_| StageError::new("there are more than 65,536 folds"))
    }
}

/// Reads all tables.
///
/// # Errors
/// Where one can't be read, groups that were asked for can't be compared, or the run is interrupted.
pub fn gather(
    parameters: &CheckLeakageParameters,
    context: &dyn StageContext,
) -> Result<Gathered, StageError> {
    let folds = match context.has_input("splits") {
        true => Some(read_folds(context)?),
        false => None,
    };
    let tables = context.tables("samples")?;
    let several = tables.len() > 1;
    if let Some(group) = &parameters.group {
        let mut lacking = Vec::new();
        for (place, table) in tables.iter().enumerate() {
            if table.schema().column_with_name(group).is_none() {
                lacking.push(format!("`{}` has no column `{group}`", parameters.name(place)));
            }
        }
        let compared = parameters.compares_groups(&lacking, tables.len(), folds.is_some());
        compared.map_err(failure)?;
        if !lacking.is_empty() {
            let lacking = lacking.join(", ");
            context.log(&format!("{lacking}: groups are not compared there"));
        }
    }
    let total = tables.iter().map(|table| table.rows()).sum();
    let mut gathered = Gathered::default();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let (mut done, mut without_fold) = (0, 0u64);
    for (number, table) in tables.into_iter().enumerate() {
        let name = parameters.name(number);
        let mut sides: HashMap<Option<u32>, u16> = HashMap::new();
        for batch in table {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let hashes = match parameters.near_duplicates {
                Some(_) => hashes(&batch, context.threads())?,
                None => vec![None; batch.num_rows()],
            };
            let ids = ids_of(&batch)?;
            let groups = match &parameters.group {
                Some(group) => texts(&batch, group)?,
                None => None,
            };
            let sources = texts(&batch, SOURCE)?;
            for (row, hash) in hashes.into_iter().enumerate() {
                let mut id = [0; 32];
                id.copy_from_slice(ids.value(row));
                let id = SampleId::from_bytes(id);
                let fold = match &folds {
                    None => None,
                    Some(folds) => match folds.of(&id) {
                        Some(fold) => Some(fold),
                        None => {
                            without_fold += 1;
                            continue;
                        }
                    },
                };
                let side = match sides.get(&fold) {
                    Some(side) => *side,
                    None => {
                        let fold_name = fold.and_then(|fold| folds.as_ref()?.names.get(fold as usize));
                        let side = gathered.number_of_side(match (fold_name, several) {
                            (None, _) => name.clone(),
                            (Some(fold), false) => fold.clone(),
                            (Some(fold), true) => format!("{name} {fold}"),
                        })?;
                        sides.insert(fold, side);
                        side
                    }
                };
                let group = match text_at(&groups, row).filter(|group| !group.is_empty()) {
                    None => NONE,
                    Some(group) => match numbers.get(group) {
                        Some(number) => *number,
                        None => {
                            let number = numbers.len() as u32;
                            numbers.insert(group.to_string(), number);
                            gathered.groups.push(group.to_string());
                            number
                        }
                    },
                };
                let source = text_at(&sources, row).unwrap_or_default();
                let start = gathered.sources.len() as u64;
                gathered.sources.push_str(source);
                gathered.rows.push(Row {
                    id,
                    side,
                    group,
                    source: (start, source.len() as u32),
                    hash,
                });
            }
            done += batch.num_rows() as u64;
            context.progress(done, Some(total));
        }
    }
    if without_fold > 0 {
        context.log(&format!(
            "{without_fold} samples have no fold, and are not compared"
        ));
    }
    Ok(gathered)
}

/// The first fold of each sample, in order of ids.
struct Folds {
    of_sample: Vec<(SampleId, u32)>,
    names: Vec<String>,
}

impl Folds {
    fn of(&self, id: &SampleId) -> Option<u32> {
        let found = self.of_sample.binary_search_by(|(other, _)| other.cmp(id));
        found.ok().map(|at| self.of_sample[at].1)
    }
}

fn read_folds(context: &dyn StageContext) -> Result<Folds, StageError> {
    let mut folds = Folds {
        of_sample: Vec::new(),
        names: Vec::new(),
    };
    for batch in context.table("splits")? {
        let batch = batch?;
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let ids = ids_of(&batch)?;
        let names = texts(&batch, "fold")?;
        for row in 0..batch.num_rows() {
            let Some(name) = text_at(&names, row) else {
                continue;
            };
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            let id = SampleId::from_bytes(id);
            if folds.of_sample.last().is_some_and(|(last, _)| *last == id) {
                continue;
            }
            let known = folds.names.iter().position(|other| other == name);
            let number = known.unwrap_or_else(|| {
                folds.names.push(name.to_string());
                folds.names.len() - 1
            });
            folds.of_sample.push((id, number as u32));
        }
    }
    Ok(folds)
}

/// The perceptual hash of each row's picture; none where the pixels don't fit their size.
fn hashes(batch: &RecordBatch, threads: usize) -> Result<Vec<Option<u64>>, StageError> {
    let missing = || StageError::new("the samples came without their pixels");
    let column = |name: &str| batch.column_by_name(name).ok_or_else(missing);
    let pixels = column("pixels")?.as_binary_opt::<i32>().ok_or_else(missing)?;
    let side = |name: &str| column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(missing);
    let (widths, heights) = (side("width")?, side("height")?);
    let of = |row: usize| {
        let width = usize::try_from(widths.value(row)).ok()?;
        let height = usize::try_from(heights.value(row)).ok()?;
        perceptual_hash(pixels.value(row), width, height)
    };
    let mut hashes = vec![None; batch.num_rows()];
    let part = hashes.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for (number, hashes) in hashes.chunks_mut(part).enumerate() {
            scope.spawn(move || {
                for (at, hash) in hashes.iter_mut().enumerate() {
                    *hash = of(number * part + at);
                }
            });
        }
    });
    Ok(hashes)
}

/// A column as texts, where there is such a column.
fn texts(batch: &RecordBatch, name: &str) -> Result<Option<ArrayRef>, StageError> {
    let column = batch.column_by_name(name);
    Ok(column.map(|column| cast(column, &DataType::Utf8)).transpose()?)
}

fn text_at(texts: &Option<ArrayRef>, row: usize) -> Option<&str> {
    let texts = texts.as_ref()?.as_string_opt::<i32>()?;
    (!texts.is_null(row)).then(|| texts.value(row))
}
