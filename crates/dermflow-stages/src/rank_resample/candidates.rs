//! The first pass: how many samples each class has, and roughly where the last one to be taken
//! lies, so that the second pass needs to sort little more than what is taken.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::Float32Type;
use dermflow_core::{SampleId, StageContext, StageError};

use super::quotas::{Quota, fill};
use super::{Order, RankResampleParameters, Short};
use crate::attributes::several;
use crate::class_list::text;
use crate::columns::ids_of;
use crate::draws::Draws;

/// How finely places in the order are told apart by the first pass.
const STEPS: usize = 4096;

/// Where a sample stands in the order of its class: a rough step, and exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Below [`STEPS`].
    pub step: u16,
    /// Lower comes first; equal ones by sample id.
    pub exact: u64,
}

/// What puts the samples of a class in order.
pub struct Ordering {
    order: Order,
    draws: Draws,
}

impl Ordering {
    fn new(order: Order, seed: u64) -> Ordering {
        Ordering {
            order,
            draws: Draws::new("dermflow rank-resample order v1", seed),
        }
    }

    /// The place of a sample with a probability from 0 to 1.
    pub fn place(&self, id: &[u8], probability: f32) -> Place {
        match self.order {
            Order::Probability => {
                let from_top = STEPS - 1 - ((f64::from(probability) * STEPS as f64) as usize).min(STEPS - 1);
                // The bits of numbers that are not negative rise as the numbers do; adding 0
                // makes -0 the 0 that it is equal to.
                let bits = (probability + 0.0).to_bits();
                Place {
                    step: from_top as u16,
                    exact: u64::from(u32::MAX - bits),
                }
            }
            Order::Random => {
                let drawn = self.draws.of(id);
                Place {
                    step: (drawn >> 52) as u16,
                    exact: drawn,
                }
            }
        }
    }
}

/// One predicted class.
struct Class {
    training: u64,
    predicted: u64,
    /// How many of the samples that are likely enough lie in each step; empty for none.
    steps: Vec<u64>,
}

/// What the first pass found.
pub struct Candidates {
    /// What orders them.
    pub ordering: Ordering,
    min_probability: f64,
    classes: BTreeMap<String, Class>,
}

impl Candidates {
    /// Counts the training labels and the predictions.
    ///
    /// # Errors
    /// Where a probability is none, a sample has two predictions, or there are predictions and
    /// no training labels.
    pub fn count(
        parameters: &RankResampleParameters,
        context: &dyn StageContext,
    ) -> Result<Candidates, StageError> {
        let mut candidates = Candidates {
            ordering: Ordering::new(parameters.order, context.seed()),
            min_probability: parameters.min_probability,
            classes: BTreeMap::new(),
        };
        for batch in context.table("training")? {
            let batch = batch?;
            for label in text(&batch, "label")?.iter().flatten() {
                candidates.class(label).training += 1;
            }
        }
        let trained = candidates.classes.values().any(|class| class.training > 0);
        let predictions = context.table("predictions")?;
        let total = predictions.rows();
        if total > 0 && !trained {
            let message = "`training` has no labels, so there are no class shares to keep";
            return Err(StageError::new(message).with_help("wire the labels that the model was trained on"));
        }
        let mut last = None;
        let mut done = 0;
        for batch in predictions {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            candidates.count_batch(&batch, &mut last)?;
            // Each pass is half of the work.
            done += batch.num_rows() as u64;
            context.progress(done / 2, Some(total));
        }
        Ok(candidates)
    }

    fn class(&mut self, name: &str) -> &mut Class {
        if !self.classes.contains_key(name) {
            let class = Class {
                training: 0,
                predicted: 0,
                steps: Vec::new(),
            };
            self.classes.insert(name.to_string(), class);
        }
        // It was put there just now, if it wasn't before.
        match self.classes.get_mut(name) {
            Some(class) => class,
            None => unreachable!("the class was inserted above"),
        }
    }

    fn count_batch(&mut self, batch: &RecordBatch, last: &mut Option<[u8; 32]>) -> Result<(), StageError> {
        let rows = Rows::of(batch)?;
        for row in 0..batch.num_rows() {
            let (id, label, probability) = rows.row(row);
            if last.is_some_and(|last| last[..] == *id) {
                return Err(several("predictions", id, 2));
            }
            let mut bytes = [0; 32];
            bytes.copy_from_slice(id);
            *last = Some(bytes);
            if !(0.0..=1.0).contains(&probability) {
                let id = SampleId::from_bytes(bytes);
                let message =
                    format!("the probability of sample {id} is {probability}, which is not from 0 to 1");
                return Err(StageError::new(message));
            }
            let enough = self.is_likely(probability);
            let place = self.ordering.place(id, probability);
            let class = self.class(label);
            class.predicted += 1;
            if enough {
                if class.steps.is_empty() {
                    class.steps = vec![0; STEPS];
                }
                class.steps[usize::from(place.step)] += 1;
            }
        }
        Ok(())
    }

    /// How many samples were predicted.
    pub fn predicted_in_all(&self) -> u64 {
        self.classes.values().map(|class| class.predicted).sum()
    }

    /// What each class gives, in order of the names.
    ///
    /// # Errors
    /// As [`fill`].
    pub fn quotas(&self, size: u64, short: Short) -> Result<Vec<Quota>, StageError> {
        let quota = |(name, class): (&String, &Class)| Quota {
            class: name.clone(),
            training: class.training,
            predicted: class.predicted,
            available: class.steps.iter().sum(),
            wanted: 0,
            taken: 0,
        };
        let mut quotas: Vec<Quota> = self.classes.iter().map(quota).collect();
        // No predictions, nothing to share out: not an error.
        if self.predicted_in_all() > 0 {
            fill(&mut quotas, size, short)?;
        }
        Ok(quotas)
    }

    /// For each class that gives something: its number among the quotas, and the last step that a
    /// sample to be taken lies in.
    pub fn bounds(&self, quotas: &[Quota]) -> BTreeMap<String, Bound> {
        let mut bounds = BTreeMap::new();
        for (number, (quota, class)) in (0..).zip(quotas.iter().zip(self.classes.values())) {
            let mut left = quota.taken;
            let last = class.steps.iter().position(|count| {
                left = left.saturating_sub(*count);
                left == 0
            });
            if quota.taken > 0 {
                let last_step = last.unwrap_or(STEPS - 1) as u16;
                bounds.insert(quota.class.clone(), Bound { number, last_step });
            }
        }
        bounds
    }

    /// Whether a sample is likely enough.
    pub fn is_likely(&self, probability: f32) -> bool {
        // In the precision that probabilities have: 0.7 as float32 is less than 0.7.
        probability >= self.min_probability as f32
    }
}

/// A class that gives something.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Its number among the quotas.
    pub number: u32,
    /// The last step that a sample to be taken lies in.
    pub last_step: u16,
}

/// The columns of a batch of predictions.
pub struct Rows<'a> {
    ids: &'a arrow::array::FixedSizeBinaryArray,
    labels: &'a StringArray,
    probabilities: &'a Float32Array,
}

impl<'a> Rows<'a> {
    /// Of this batch.
    ///
    /// # Errors
    /// Where it lacks one.
    pub fn of(batch: &'a RecordBatch) -> Result<Rows<'a>, StageError> {
        let probabilities = batch
            .column_by_name("probability")
            .and_then(|column| column.as_primitive_opt::<Float32Type>())
            .filter(|column| column.null_count() == 0)
            .ok_or_else(|| StageError::new("`predictions` has no proper column `probability`"))?;
        Ok(Rows {
            ids: ids_of(batch)?,
            labels: text(batch, "label")?,
            probabilities,
        })
    }

    /// The id, the label and the probability of a row.
    pub fn row(&self, row: usize) -> (&'a [u8], &'a str, f32) {
        (
            self.ids.value(row),
            self.labels.value(row),
            self.probabilities.value(row),
        )
    }
}
