//! Walks the samples that have both a prediction and a given label.

use dermflow_core::{StageContext, StageError};

use crate::attributes::several;
use crate::class_list::{ClassList, text};
use crate::columns::ids_of;
use crate::whole_samples::Cursor;

/// The classes, and a way to walk the samples.
pub struct Pairs {
    /// The model's classes.
    pub classes: ClassList,
}

/// A sample with a prediction and a label.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Its sample id.
    pub id: &'a [u8],
    /// Its label as given.
    pub label: &'a str,
    /// The index of the label, where the model knows it.
    pub given: Option<u32>,
    /// The likeliest class.
    pub predicted: u32,
    /// The probabilities of the classes.
    pub probabilities: &'a [f32],
}

impl Pair<'_> {
    /// The probability of the class `given`.
    pub fn self_confidence(&self, given: u32) -> f32 {
        self.probabilities[given as usize]
    }

    /// The likeliest class besides `given`, the first of equal ones; none where it is the only
    /// class.
    pub fn best_other(&self, given: u32) -> Option<u32> {
        let others = (0_u32..)
            .zip(self.probabilities)
            .filter(|(class, _)| *class != given);
        let best = others.fold(None, |best: Option<(u32, f32)>, (class, share)| match best {
            Some((_, highest)) if highest >= *share => best,
            _ => Some((class, *share)),
        });
        best.map(|(class, _)| class)
    }

    /// How much likelier the class `given` is than all others, from 0 to 1.
    pub fn margin(&self, given: u32) -> f64 {
        let other = self
            .best_other(given)
            .map_or(0.0, |class| self.probabilities[class as usize]);
        (f64::from(self.self_confidence(given)) - f64::from(other) + 1.0) / 2.0
    }
}

impl Pairs {
    /// With the classes of the parameter or the port.
    ///
    /// # Errors
    /// As [`ClassList::read`].
    pub fn new(classes: &[String], context: &dyn StageContext) -> Result<Pairs, StageError> {
        Ok(Pairs {
            classes: ClassList::read(classes, context)?,
        })
    }

    /// Calls `each` for every sample that has both, in order of sample ids. `pass` of 3 is for
    /// the progress.
    ///
    /// # Errors
    /// Where the run is interrupted, a row doesn't fit the classes, a sample has two rows, or
    /// `each` fails.
    pub fn each(
        &self,
        pass: u64,
        context: &dyn StageContext,
        mut each: impl FnMut(Pair<'_>) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let mut labels = Cursor::new(context.table("labels")?)?;
        let predictions = context.table("predictions")?;
        let total = predictions.rows();
        let mut done = pass * total;
        let mut last: Option<[u8; 32]> = None;
        for batch in predictions {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let ids = ids_of(&batch)?;
            self.classes
                .each_prediction(&batch, |row, predicted, _, probabilities| {
                    let id = ids.value(row);
                    if last.is_some_and(|last| last[..] == *id) {
                        return Err(several("predictions", id, 2));
                    }
                    let mut bytes = [0; 32];
                    bytes.copy_from_slice(id);
                    last = Some(bytes);
                    let (rows, at_hand) = (labels.rows_of(id)?, labels.batch());
                    let (Some(rows), Some(at_hand)) = (rows, at_hand) else {
                        return Ok(());
                    };
                    if rows.len() > 1 {
                        return Err(several("labels", id, rows.len()));
                    }
                    let label = text(at_hand, "label")?.value(rows.start);
                    each(Pair {
                        id,
                        label,
                        given: self.classes.index(label),
                        predicted,
                        probabilities,
                    })
                })?;
            done += batch.num_rows() as u64;
            context.progress(done / 3, Some(total));
        }
        Ok(())
    }
}
