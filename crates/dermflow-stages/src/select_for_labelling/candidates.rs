//! The samples that may be chosen, with their scores. Knows nothing of quotas.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use dermflow_core::{SampleId, StageContext, StageError};

use super::features::{Features, features_of};
use super::{By, SelectForLabellingParameters};
use crate::columns::ids_of;
use crate::draws::Draws;

/// A sample that may be chosen, or one that is labelled and only shows what is there.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub id: SampleId,
    pub stratum: Option<String>,
    pub group: Option<u32>,
    pub labelled: bool,
    /// How much it is worth; none where chance or diversity decides.
    pub score: Option<f64>,
    /// The number of its predicted label.
    pub predicted: Option<u32>,
    pub probability: f32,
    /// Puts equal ones in order.
    pub draw: u64,
}

/// All of them, in order of their ids.
pub struct Candidates {
    pub all: Vec<Candidate>,
    /// Predicted labels by number.
    pub labels: Vec<String>,
    /// What `diverse` tells them apart by, one row each.
    pub features: Features,
}

impl Candidates {
    /// Reads the samples, and what is said of them. Of a sample with several rows the first counts.
    /// Samples without a prediction can't be chosen by it, and are told.
    ///
    /// # Errors
    /// Where an input can't be read, or probabilities are no numbers.
    pub fn read(
        parameters: &SelectForLabellingParameters,
        context: &dyn StageContext,
    ) -> Result<Candidates, StageError> {
        let labelled = match context.has_input("labelled") {
            true => ids(context, "labelled")?,
            false => Vec::new(),
        };
        let predictions = match parameters.by.needs_predictions() {
            true => Some(Predictions::read(parameters.by, context)?),
            false => None,
        };
        let draw = Draws::new("dermflow labelling choice v1", context.seed());
        let mut candidates = Candidates {
            all: Vec::new(),
            labels: Vec::new(),
            features: Features::default(),
        };
        let mut groups: HashMap<String, u32> = HashMap::new();
        let mut unpredicted = 0u64;
        let table = context.table("samples")?;
        let (total, mut done) = (table.rows(), 0);
        for batch in table {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let batch_ids = ids_of(&batch)?;
            let strata = texts(&batch, parameters.stratify.as_deref())?;
            let group_names = texts(&batch, parameters.group.as_deref())?;
            let mut kept = Vec::new();
            for row in 0..batch.num_rows() {
                let id = id_at(batch_ids.value(row));
                if candidates.all.last().is_some_and(|last| last.id == id) {
                    continue;
                }
                let known = labelled.binary_search(&id).is_ok();
                let predicted = predictions.as_ref().map(|predictions| predictions.of(&id));
                if predicted == Some(None) && !known {
                    unpredicted += 1;
                    continue;
                }
                let predicted = predicted.flatten();
                let group = text_at(&group_names, row).filter(|name| !name.is_empty());
                candidates.all.push(Candidate {
                    id,
                    stratum: text_at(&strata, row).map(str::to_string),
                    group: group.map(|name| {
                        let next = groups.len() as u32;
                        *groups.entry(name.to_string()).or_insert(next)
                    }),
                    labelled: known,
                    score: predicted.map(|predicted| predicted.score),
                    predicted: predicted.map(|predicted| predicted.label),
                    probability: predicted.map_or(0.0, |predicted| predicted.probability),
                    draw: draw.of(id.as_bytes()),
                });
                kept.push(row);
            }
            if parameters.by == By::Diverse {
                features_of(&batch, &kept, &parameters.features, &mut candidates.features)?;
            }
            done += batch.num_rows() as u64;
            context.progress(done, Some(total));
        }
        if unpredicted > 0 {
            context.log(&format!(
                "{unpredicted} samples have no prediction, and are not chosen"
            ));
        }
        if let Some(predictions) = predictions {
            candidates.labels = predictions.labels;
        }
        candidates.features.standardise();
        Ok(candidates)
    }
}

/// What a model makes of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Predicted {
    id: SampleId,
    label: u32,
    probability: f32,
    score: f64,
}

/// Of all samples, in order of their ids.
struct Predictions {
    all: Vec<Predicted>,
    labels: Vec<String>,
}

impl Predictions {
    fn of(&self, id: &SampleId) -> Option<Predicted> {
        let found = self.all.binary_search_by(|predicted| predicted.id.cmp(id));
        found.ok().map(|at| self.all[at])
    }

    fn read(by: By, context: &dyn StageContext) -> Result<Predictions, StageError> {
        let mut predictions = Predictions {
            all: Vec::new(),
            labels: Vec::new(),
        };
        let mut numbers: HashMap<String, u32> = HashMap::new();
        for batch in context.table("predictions")? {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let missing = || StageError::new("the predictions came without a column of theirs");
            let column = |name: &str| batch.column_by_name(name).ok_or_else(missing);
            let ids = ids_of(&batch)?;
            let labels = column("label")?.as_string_opt::<i32>().ok_or_else(missing)?;
            let sure = column("probability")?
                .as_primitive_opt::<Float32Type>()
                .ok_or_else(missing)?;
            let lists = column("probabilities")?
                .as_list_opt::<i32>()
                .ok_or_else(missing)?;
            for row in 0..batch.num_rows() {
                let id = id_at(ids.value(row));
                if predictions.all.last().is_some_and(|last| last.id == id) {
                    continue;
                }
                let list = lists.value(row);
                let list = list
                    .as_primitive_opt::<Float32Type>()
                    .ok_or_else(missing)?
                    .values()
                    .to_vec();
                let score = score(by, &list).ok_or_else(|| {
                    StageError::new(format!(
                        "the probabilities of sample {id} are no numbers from 0 to 1"
                    ))
                })?;
                let label = labels.value(row);
                let number = match numbers.get(label) {
                    Some(number) => *number,
                    None => {
                        predictions.labels.push(label.to_string());
                        let number = numbers.len() as u32;
                        numbers.insert(label.to_string(), number);
                        number
                    }
                };
                predictions.all.push(Predicted {
                    id,
                    label: number,
                    probability: sure.value(row),
                    score,
                });
            }
        }
        Ok(predictions)
    }
}

/// How uncertain probabilities are, from 0 to 1; none where they are none.
fn score(by: By, probabilities: &[f32]) -> Option<f64> {
    let sound = |p: &f32| (0.0..=1.000_01).contains(p);
    if probabilities.is_empty() || !probabilities.iter().all(sound) {
        return None;
    }
    let mut sorted: Vec<f64> = probabilities.iter().map(|p| f64::from(*p)).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (first, second) = (sorted[0], sorted.get(1).copied().unwrap_or(0.0));
    Some(match by {
        By::Margin => 1.0 - (first - second),
        By::Entropy => {
            let entropy: f64 = sorted.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            match sorted.len() {
                1 => 0.0,
                classes => entropy / (classes as f64).ln(),
            }
        }
        By::Random | By::LeastConfident | By::Diverse => 1.0 - first,
    })
}

/// The sample ids of a table, in order.
fn ids(context: &dyn StageContext, port: &str) -> Result<Vec<SampleId>, StageError> {
    let mut all = Vec::new();
    for batch in context.table(port)? {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let batch = batch?;
        all.extend(ids_of(&batch)?.iter().flatten().map(id_at));
    }
    Ok(all)
}

/// An id of 32 bytes, as every column of ids has them.
fn id_at(bytes: &[u8]) -> SampleId {
    let mut id = [0; 32];
    id.copy_from_slice(bytes);
    SampleId::from_bytes(id)
}

fn texts(batch: &RecordBatch, name: Option<&str>) -> Result<Option<ArrayRef>, StageError> {
    let Some(name) = name else { return Ok(None) };
    let column = batch.column_by_name(name);
    let column = column.ok_or_else(|| StageError::new(format!("the samples have no column `{name}`")))?;
    Ok(Some(cast(column, &DataType::Utf8)?))
}

fn text_at(texts: &Option<ArrayRef>, row: usize) -> Option<&str> {
    let texts = texts.as_ref()?.as_string_opt::<i32>()?;
    (!texts.is_null(row)).then(|| texts.value(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncertainty_runs_from_0_to_1_and_what_is_no_probability_has_none() {
        let even = [0.25; 4];
        for by in [By::Margin, By::Entropy] {
            assert!((score(by, &even).unwrap() - 1.0).abs() < 1e-12);
            assert_eq!(score(by, &[0.0, 1.0]), Some(0.0));
        }
        assert_eq!(score(By::LeastConfident, &even), Some(0.75));
        let close = score(By::Margin, &[0.5, 0.125, 0.375]).unwrap();
        assert!((close - 0.875).abs() < 1e-9);
        assert_eq!(score(By::Entropy, &[f32::NAN, 0.5]), None);
        assert_eq!(score(By::Entropy, &[]), None);
        assert_eq!(score(By::Margin, &[-0.5, 1.0]), None);
    }
}
