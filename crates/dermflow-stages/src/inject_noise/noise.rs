//! Which labels become wrong, and what they become. Must not know of tables beyond the count
//! of each class.

use std::collections::BTreeMap;

use arrow::array::StringArray;
use dermflow_core::{Problem, StageContext, StageError};

use super::{InjectNoiseParameters, Target};
use crate::columns::typed_column;
use crate::draws::Draws;

/// The noise of one stage.
pub struct Noise<'a> {
    parameters: &'a InjectNoiseParameters,
    /// Every class with its count.
    classes: BTreeMap<String, u64>,
    whether: Draws,
    which: Draws,
}

impl<'a> Noise<'a> {
    /// Counts the classes in a first pass.
    pub fn new(
        parameters: &'a InjectNoiseParameters,
        context: &dyn StageContext,
    ) -> Result<Noise<'a>, StageError> {
        let mut classes: BTreeMap<String, u64> = BTreeMap::new();
        for batch in context.table("labels")? {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let batch = batch?;
            for label in typed_column::<StringArray>(&batch, "label")?.iter().flatten() {
                match classes.get_mut(label) {
                    Some(count) => *count += 1,
                    None => drop(classes.insert(label.to_string(), 1)),
                }
            }
        }
        for class in parameters.confusion.iter().flat_map(BTreeMap::keys) {
            if !classes.contains_key(class) {
                context.log(&format!(
                    "`confusion` names the class `{class}`, which no label has"
                ));
            }
        }
        Ok(Noise {
            parameters,
            classes,
            whether: Draws::new("dermflow inject-noise whether v1", context.seed()),
            which: Draws::new("dermflow inject-noise which v1", context.seed()),
        })
    }

    /// The wrong label of a sample's row; none where it stays right.
    pub fn flipped(&self, id: &[u8], row: u64, label: &str) -> Option<&str> {
        let drawn = self.whether.unit(id, row);
        if let Some(confusion) = &self.parameters.confusion {
            let wrong = confusion.get(label)?.iter();
            return pick(wrong.map(|(class, share)| (class.as_str(), *share)), drawn);
        }
        if drawn >= self.parameters.share.unwrap_or(0.0) {
            return None;
        }
        self.other(Some(label), self.parameters.to, self.which.unit(id, row))
    }

    /// The class that a foreign image is filed under; none where it is left out.
    pub fn filed(&self, id: &[u8]) -> Option<&str> {
        let foreign = &self.parameters.foreign;
        if self.whether.unit(id, 0) >= foreign.share {
            return None;
        }
        self.other(None, foreign.to, self.which.unit(id, 0))
    }

    /// What the truth calls a foreign image.
    pub fn foreign_truth(&self) -> &str {
        &self.parameters.foreign.truth
    }

    /// One of the classes besides `than`; none where there is no other.
    fn other(&self, than: Option<&str>, to: Target, drawn: f64) -> Option<&str> {
        let others = || {
            let others = self
                .classes
                .iter()
                .filter(|(class, _)| Some(class.as_str()) != than);
            others.map(|(class, count)| match to {
                Target::Uniform => (class.as_str(), 1.0),
                Target::Frequent => (class.as_str(), *count as f64),
            })
        };
        let total: f64 = others().map(|(_, weight)| weight).sum();
        pick(others(), drawn * total)
    }
}

/// The one whose stretch of the line holds `at`, stretches laid end to end from 0.
fn pick<'a>(stretches: impl Iterator<Item = (&'a str, f64)>, at: f64) -> Option<&'a str> {
    let mut end = 0.0;
    for (name, length) in stretches {
        end += length;
        if at < end {
            return Some(name);
        }
    }
    None
}

/// Probabilities must be some, and what is left for the true label not below 0.
pub fn check_confusion(confusion: &BTreeMap<String, BTreeMap<String, f64>>, problems: &mut Vec<Problem>) {
    for (class, wrong) in confusion {
        let place = format!("confusion.{class}");
        for (other, share) in wrong {
            if !(0.0..=1.0).contains(share) {
                problems.push(Problem::new(
                    format!("{place}.{other}"),
                    "must lie between 0 and 1",
                ));
            } else if other == class {
                let message = "a class is not confused with itself; what its wrong labels leave stays right";
                problems.push(Problem::new(format!("{place}.{other}"), message));
            }
        }
        let sum: f64 = wrong.values().sum();
        if sum > 1.0 + 1e-9 {
            problems.push(Problem::new(
                place,
                format!("its shares add up to {sum}, above 1"),
            ));
        }
    }
}
