//! Samples with their groups and labels, read into compact numbers. Knows no folds.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use dermflow_core::{SampleId, StageContext, StageError};

use super::SplitParameters;
use crate::columns::{failure, ids_of};
use crate::draws::Draws;

/// A sample. Its group and label are numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub id: SampleId,
    pub group: u32,
    pub label: u32,
}

/// A group: the label that most of its samples have, and its draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub draw: u64,
    pub label: u32,
    /// How many samples it has.
    pub size: u32,
    /// The fold that it had before, by name.
    pub previous: Option<String>,
}

/// All samples, in order of their ids. Memory: 40 bytes a sample, and each group's name.
#[derive(Debug, Default)]
pub struct Gathered {
    pub samples: Vec<Sample>,
    pub groups: Vec<Group>,
    /// The labels by number; none for samples without one. In order.
    pub labels: Vec<Option<String>>,
}

/// Texts as numbers, in the order in which they came.
#[derive(Default)]
struct Numbers {
    known: HashMap<Box<str>, u32>,
}

impl Numbers {
    fn of(&mut self, text: &str) -> (u32, bool) {
        match self.known.get(text) {
            Some(number) => (*number, false),
            None => {
                let number = self.known.len() as u32;
                self.known.insert(text.into(), number);
                (number, true)
            }
        }
    }
}

/// Reads the samples, and the folds they had before. Of a sample with several rows the first one
/// counts.
///
/// # Errors
/// Where the input can't be read or lacks a column that has to be there, or previous folds
/// contradict each other.
pub fn gather(parameters: &SplitParameters, context: &dyn StageContext) -> Result<Gathered, StageError> {
    // Groups and samples draw apart, so that a group that is called as a sample is another one.
    let of_groups = Draws::new("dermflow split group v1", context.seed());
    let of_samples = Draws::new("dermflow split sample v1", context.seed());
    let table = context.table("samples")?;
    parameters.are_in(&table.schema()).map_err(failure)?;
    let total = table.rows();
    let mut gathered = Gathered::default();
    let (mut groups, mut labels) = (Numbers::default(), Numbers::default());
    // Number 0 is for samples without a label.
    let mut label_names: Vec<Option<String>> = vec![None];
    let mut alone = 0u32;
    let mut group_of_number: Vec<u32> = Vec::new();
    let mut done = 0;
    for batch in table {
        let batch = batch?;
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let ids = ids_of(&batch)?;
        let group_names = match &parameters.group {
            Some(group) => texts(&batch, group)?,
            None => None,
        };
        let label_texts = texts(&batch, parameters.strata())?;
        for row in 0..batch.num_rows() {
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            let id = SampleId::from_bytes(id);
            if gathered.samples.last().is_some_and(|last| last.id == id) {
                continue;
            }
            let number = match text_at(&label_texts, row) {
                None => 0,
                Some(text) => {
                    let (number, new) = labels.of(text);
                    if new {
                        label_names.push(Some(text.to_string()));
                    }
                    number + 1
                }
            };
            let add = |gathered: &mut Gathered, draw: u64| {
                gathered.groups.push(Group {
                    draw,
                    label: 0,
                    size: 0,
                    previous: None,
                });
                gathered.groups.len() as u32 - 1
            };
            let group = match text_at(&group_names, row).filter(|name| !name.is_empty()) {
                Some(name) => {
                    let (number, new) = groups.of(name);
                    if new {
                        let added = add(&mut gathered, of_groups.of(name.as_bytes()));
                        group_of_number.push(added);
                    }
                    group_of_number[number as usize]
                }
                None => {
                    alone += 1;
                    add(&mut gathered, of_samples.of(id.as_bytes()))
                }
            };
            gathered.samples.push(Sample {
                id,
                group,
                label: number,
            });
        }
        done += batch.num_rows() as u64;
        context.progress(done, Some(total));
    }
    let named = gathered.groups.len() as u32 - alone;
    context.log(&format!(
        "{} samples in {named} groups and {alone} without a group",
        gathered.samples.len()
    ));
    gathered.name_labels(label_names);
    gathered.label_groups();
    if context.has_input("previous") {
        gathered.read_previous(context)?;
    }
    Ok(gathered)
}

impl Gathered {
    /// Gives labels that occur numbers in order of their names, so that no order of rows shows.
    fn name_labels(&mut self, names: Vec<Option<String>>) {
        let unlabelled = self.samples.iter().any(|sample| sample.label == 0);
        let mut order: Vec<usize> = (usize::from(!unlabelled)..names.len()).collect();
        order.sort_by(|a, b| names[*a].cmp(&names[*b]));
        let mut place = vec![0u32; names.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = new as u32;
        }
        for sample in &mut self.samples {
            sample.label = place[sample.label as usize];
        }
        self.labels = order.into_iter().map(|old| names[old].clone()).collect();
    }

    /// Tells each group's size, and the label that most of its samples have; of equally many the
    /// first by name.
    fn label_groups(&mut self) {
        let mut pairs: Vec<(u32, u32)> = self.samples.iter().map(|s| (s.group, s.label)).collect();
        pairs.sort_unstable();
        for of_group in pairs.chunk_by(|a, b| a.0 == b.0) {
            let mut best = (0, 0);
            for of_label in of_group.chunk_by(|a, b| a.1 == b.1) {
                if of_label.len() > best.0 {
                    best = (of_label.len(), of_label[0].1);
                }
            }
            let group = &mut self.groups[of_group[0].0 as usize];
            (group.size, group.label) = (of_group.len() as u32, best.1);
        }
    }

    fn read_previous(&mut self, context: &dyn StageContext) -> Result<(), StageError> {
        for batch in context.table("previous")? {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let ids = ids_of(&batch)?;
            let folds = texts(&batch, "fold")?;
            for row in 0..batch.num_rows() {
                let id = ids.value(row);
                let found = self
                    .samples
                    .binary_search_by(|sample| sample.id.as_bytes()[..].cmp(id));
                let (Ok(at), Some(fold)) = (found, text_at(&folds, row)) else {
                    continue;
                };
                let group = &mut self.groups[self.samples[at].group as usize];
                match &group.previous {
                    Some(other) if other != fold => {
                        let message = format!(
                            "`previous` has samples of one group in `{other}` and in `{fold}`, such as {}",
                            self.samples[at].id
                        );
                        return Err(StageError::new(message).with_help(
                            "mend the previous folds, or leave them out: a group is never split",
                        ));
                    }
                    _ => group.previous = Some(fold.to_string()),
                }
            }
        }
        Ok(())
    }
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
