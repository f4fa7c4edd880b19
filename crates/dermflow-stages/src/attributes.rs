//! What is known of samples besides predictions: the group that each belongs to, its fold, and
//! the slices that figures are told for.
//!
//! Reads the ports `attributes` and `splits` beside another table, in order of sample ids. Must
//! not know what figures there are.

mod slice_by;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::columns::{in_words, wired_table};
use crate::whole_samples::Cursor;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use dermflow_core::{
    Arity, ColumnType, Contract, InputPort, InputTypes, PortType, Problem, SampleId, StageContext,
    StageError, TableType,
};
pub use slice_by::{SliceBy, check_slices};

/// The input ports `attributes` and `splits`.
pub fn ports(group: Option<&str>, slices: &[SliceBy]) -> [InputPort; 2] {
    let any = PortType::Table(TableType::any());
    let columns = group
        .into_iter()
        .chain(slices.iter().map(|slice| slice.column.as_str()));
    let about = "a row a sample: the group it belongs to and what the slices are made by";
    let attributes = InputPort::one("attributes", any, about)
        .with_arity(Arity::Optional)
        .reading(columns);
    let splits = Contract::named("Splits").map_or_else(TableType::any, TableType::of);
    let splits = InputPort::one("splits", PortType::Table(splits), "the fold of each sample")
        .with_arity(Arity::Optional)
        .reading(["fold"]);
    [attributes, splits]
}

/// That the columns are there and of a type that groups or slices can be made of.
///
/// # Errors
/// Names the parameter and what is missing.
pub fn check_columns(group: Option<&str>, slices: &[SliceBy], wired: &InputTypes) -> Result<(), Problem> {
    let splits = wired.contains_key("splits");
    let table = wired
        .contains_key("attributes")
        .then(|| wired_table(wired, "attributes"));
    let wanted = group
        .map(|column| ("group".to_string(), column, None))
        .into_iter();
    let sliced = slices
        .iter()
        .enumerate()
        .filter(|(_, slice)| !slice.of_splits(splits));
    let sliced = sliced.map(|(at, slice)| (format!("slices.{at}"), slice.column.as_str(), Some(slice)));
    for (parameter, column, slice) in wanted.chain(sliced) {
        let Some(table) = &table else {
            let message = format!("`{column}` is a column of `attributes`, to which nothing is wired");
            return Err(Problem::new(parameter, message));
        };
        match table.column(column) {
            Some(found) => check_type(&parameter, column, &found.column_type, slice)?,
            None if table.open => {}
            None => {
                let message = format!("`attributes` has no column `{column}`; {}", in_words(table));
                return Err(Problem::new(parameter, message));
            }
        }
    }
    Ok(())
}

fn check_type(
    parameter: &str,
    column: &str,
    found: &ColumnType,
    slice: Option<&SliceBy>,
) -> Result<(), Problem> {
    let bounded = slice.is_some_and(|slice| !slice.bounds.is_empty());
    let number = matches!(
        found,
        ColumnType::Integer | ColumnType::Float32 | ColumnType::Float64
    );
    let exact = matches!(
        found,
        ColumnType::Integer | ColumnType::Text | ColumnType::Boolean
    );
    let problem = |message: String| Err(Problem::new(parameter, message));
    match (bounded, number, exact) {
        (true, true, _) | (false, _, true) => Ok(()),
        (true, false, _) => problem(format!("`{column}` is {found}; only numbers have bounds")),
        (false, true, false) if slice.is_some() => problem(format!(
            "`{column}` is {found}; numbers with fractions make slices by `bounds` only"
        )),
        (false, _, false) => problem(format!(
            "`{column}` is {found}; text, integer or boolean was expected"
        )),
    }
}

/// Names that come again, numbered in the order they are first met.
#[derive(Clone, Debug, Default)]
pub struct Numbered {
    numbers: BTreeMap<String, u32>,
    names: Vec<String>,
}

impl Numbered {
    /// The number of a name.
    pub fn number(&mut self, name: &str) -> u32 {
        match self.numbers.get(name) {
            Some(number) => *number,
            None => {
                let number = self.names.len() as u32;
                self.numbers.insert(name.to_string(), number);
                self.names.push(name.to_string());
                number
            }
        }
    }

    /// The number of a name that was met.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The names, by number.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// The slices by one column.
#[derive(Clone, Debug)]
pub struct Slices {
    /// What makes them.
    pub by: SliceBy,
    /// What they are called.
    pub names: Numbered,
    /// The slice of each sample.
    pub of: Vec<u32>,
}

/// What is known of samples, in the order they were asked for.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// How many groups there are.
    pub groups: u32,
    /// The group of each sample; a sample without one, or with an empty name for it, is a group of its
    /// own.
    pub group: Vec<u32>,
    /// What the folds are called.
    pub folds: Numbered,
    /// The fold of each sample that has one.
    pub fold: Vec<Option<u32>>,
    /// The slices by each column.
    pub slices: Vec<Slices>,
}

impl Attributes {
    /// The samples of a fold.
    ///
    /// # Errors
    /// Where there are samples and none is of it.
    pub fn of_fold(&self, parameter: &str, fold: &str) -> Result<Vec<u32>, StageError> {
        let number = self.folds.find(fold);
        let of = (0..)
            .zip(&self.fold)
            .filter(|(_, of)| number.is_some() && **of == number);
        let samples: Vec<u32> = of.map(|(sample, _)| sample).collect();
        if samples.is_empty() && !self.fold.is_empty() {
            let message = format!("`{parameter}`: no sample that could be judged is of the fold `{fold}`");
            let folds = self.folds.names().join("`, `");
            return Err(
                StageError::new(message).with_help(format!("those samples are of the folds `{folds}`"))
            );
        }
        Ok(samples)
    }
}

/// Reads [`Attributes`].
pub struct AttributesReader {
    attributes: Option<Cursor>,
    splits: Option<Cursor>,
    group_column: Option<String>,
    named_groups: BTreeMap<String, u32>,
    read: Attributes,
}

/// What the slice of samples without a value is called.
const MISSING: &str = "missing";

impl AttributesReader {
    /// Before the first sample.
    ///
    /// # Errors
    /// Where a table can't be read.
    pub fn new(
        group: Option<&str>,
        slices: &[SliceBy],
        context: &dyn StageContext,
    ) -> Result<AttributesReader, StageError> {
        let cursor = |port: &str| match context.has_input(port) {
            true => Ok(Some(Cursor::new(context.table(port)?)?)),
            false => Ok::<_, StageError>(None),
        };
        let made = |by: &SliceBy| Slices {
            by: by.clone(),
            names: Numbered::default(),
            of: Vec::new(),
        };
        Ok(AttributesReader {
            attributes: cursor("attributes")?,
            splits: cursor("splits")?,
            group_column: group.map(str::to_string),
            named_groups: BTreeMap::new(),
            read: Attributes {
                slices: slices.iter().map(made).collect(),
                ..Attributes::default()
            },
        })
    }

    /// Takes the next sample, in rising order of ids.
    ///
    /// # Errors
    /// Where a table can't be read, has several rows of the sample, or lacks a column.
    pub fn take(&mut self, id: &[u8]) -> Result<(), StageError> {
        let fold = match &mut self.splits {
            Some(splits) => one_row("splits", splits, id)?
                .and_then(|row| {
                    splits
                        .batch()
                        .and_then(|batch| value(batch, "fold", row).transpose())
                })
                .transpose()?,
            None => None,
        };
        let row = match &mut self.attributes {
            Some(attributes) => one_row("attributes", attributes, id)?,
            None => None,
        };
        let here = self.attributes.as_ref().and_then(Cursor::batch).zip(row);
        let group = match (&self.group_column, here) {
            (Some(column), Some((batch, row))) => value(batch, column, row)?.filter(|name| !name.is_empty()),
            _ => None,
        };
        let splits = self.splits.is_some();
        for slices in &mut self.read.slices {
            let name = match (slices.by.of_splits(splits), here) {
                (true, _) => fold.clone(),
                (false, Some((batch, row))) => slices.by.name(batch, row)?,
                (false, None) => None,
            };
            slices
                .of
                .push(slices.names.number(name.as_deref().unwrap_or(MISSING)));
        }
        let fold = fold.map(|fold| self.read.folds.number(&fold));
        self.read.fold.push(fold);
        let fresh = self.read.groups;
        let group = group.map_or(fresh, |name| *self.named_groups.entry(name).or_insert(fresh));
        self.read.groups += u32::from(group == fresh);
        self.read.group.push(group);
        Ok(())
    }

    /// What was read of the samples taken.
    pub fn finish(self) -> Attributes {
        self.read
    }
}

/// The one row of a sample, none where the table lacks it.
fn one_row(port: &str, cursor: &mut Cursor, id: &[u8]) -> Result<Option<usize>, StageError> {
    match cursor.rows_of(id)? {
        Some(Range { start, end }) if end - start > 1 => Err(several(port, id, end - start)),
        rows => Ok(rows.map(|rows| rows.start)),
    }
}

/// A sample has more rows than the one that makes sense.
pub fn several(port: &str, id: &[u8], rows: usize) -> StageError {
    let mut bytes = [0; 32];
    let length = bytes.len().min(id.len());
    bytes[..length].copy_from_slice(&id[..length]);
    let id = SampleId::from_bytes(bytes);
    StageError::new(format!(
        "`{port}` has {rows} rows of sample {id}; one was expected"
    ))
    .with_help("choose one row a sample before this stage")
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, StageError> {
    batch
        .column_by_name(name)
        .ok_or_else(|| StageError::new(format!("`attributes` has no column `{name}`")))
}

/// A value as text, none where it is missing.
fn value(batch: &RecordBatch, name: &str, row: usize) -> Result<Option<String>, StageError> {
    let column = column(batch, name)?;
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Ok((!texts.is_null(row)).then(|| texts.value(row).to_string()));
    }
    let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default())?;
    Ok((!column.is_null(row)).then(|| formatter.value(row).to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};
    use dermflow_core::memory::{MemoryContext, batch};

    use super::*;

    fn slices(yaml: &str) -> Vec<SliceBy> {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn samples_without_a_row_are_groups_of_their_own_in_the_missing_slice() {
        let patients: StringArray = [Some("p"), Some("q"), None, Some("p")].into_iter().collect();
        let ages: Float64Array = [Some(10.0), Some(f64::NAN), Some(70.0), None]
            .into_iter()
            .collect();
        let tones: Int64Array = [Some(1), Some(2), Some(2), Some(1)].into_iter().collect();
        let mut keys = ["1", "2", "3", "4"];
        keys.sort_by_key(|key| SampleId::of_key(key));
        let columns: [(&str, ArrayRef); 3] = [
            ("patient", Arc::new(patients)),
            ("age", Arc::new(ages)),
            ("tone", Arc::new(tones)),
        ];
        let mut context = MemoryContext::default();
        context.batch_rows = 1;
        context.add_table("attributes", batch(&keys, columns));
        let by = slices("[{column: age, bounds: [50]}, tone]");
        let mut reader = AttributesReader::new(Some("patient"), &by, &context).unwrap();
        let mut asked: Vec<SampleId> = keys.iter().copied().chain(["5"]).map(SampleId::of_key).collect();
        asked.sort();
        asked.iter().for_each(|id| reader.take(id.as_bytes()).unwrap());
        let attributes = reader.finish();
        assert_eq!(attributes.groups, 4);
        let of = |key: &str| asked.iter().position(|id| *id == SampleId::of_key(key)).unwrap();
        let named = |slices: &Slices, key: &str| slices.names.names()[slices.of[of(key)] as usize].clone();
        assert_eq!(attributes.group[of(keys[0])], attributes.group[of(keys[3])]);
        let ages: Vec<String> = keys.iter().map(|key| named(&attributes.slices[0], key)).collect();
        assert_eq!(ages, ["below 50", MISSING, "50 or more", MISSING]);
        assert_eq!(named(&attributes.slices[1], keys[1]), "2");
        assert_eq!(named(&attributes.slices[1], "5"), MISSING);
    }

    #[test]
    fn samples_with_an_empty_group_are_groups_of_their_own() {
        let mut keys = ["1", "2", "3", "4"];
        keys.sort_by_key(|key| SampleId::of_key(key));
        let patients: StringArray = ["", "p", "", "p"].into_iter().map(Some).collect();
        let mut context = MemoryContext::default();
        context.add_table(
            "attributes",
            batch(&keys, [("patient", Arc::new(patients) as ArrayRef)]),
        );
        let mut reader = AttributesReader::new(Some("patient"), &[], &context).unwrap();
        for key in keys {
            reader.take(SampleId::of_key(key).as_bytes()).unwrap();
        }
        let attributes = reader.finish();
        assert_eq!(attributes.groups, 3);
        assert_eq!(attributes.group, [0, 1, 2, 1]);
    }

    #[test]
    fn two_rows_of_a_sample_are_refused() {
        let mut context = MemoryContext::default();
        context.add_table("attributes", batch(&["a", "a"], []));
        let mut reader = AttributesReader::new(None, &[], &context).unwrap();
        let refusal = reader.take(SampleId::of_key("a").as_bytes()).unwrap_err().message;
        assert!(refusal.contains("2 rows"), "{refusal}");
    }
}
