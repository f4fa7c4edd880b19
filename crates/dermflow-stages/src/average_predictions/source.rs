//! [`Source`]: one model's predictions, sample by sample, each batch checked against the classes.

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;
use dermflow_core::{SampleId, StageError, TableReader};

use crate::attributes::several;
use crate::class_list::ClassList;
use crate::whole_samples::Cursor;

/// A table of predictions.
pub struct Source {
    cursor: Cursor,
    energy: bool,
    /// Of the batch at hand: labels, probabilities of all classes row by row, and energies.
    labels: Vec<u32>,
    probabilities: Vec<f32>,
    energies: Vec<f32>,
    /// The sample at hand, and its row.
    at: Option<(SampleId, usize)>,
}

/// What a model says of a sample.
pub struct Row<'a> {
    /// The index of the likeliest class.
    pub label: u32,
    /// Of all classes.
    pub probabilities: &'a [f32],
    /// Zero where energies aren't read.
    pub energy: f32,
}

impl Source {
    /// At the first sample; energies are read if `energy`.
    ///
    /// # Errors
    /// Where the table can't be read, or a row doesn't fit the classes.
    pub fn new(
        reader: Box<dyn TableReader>,
        classes: &ClassList,
        energy: bool,
    ) -> Result<Source, StageError> {
        let mut source = Source {
            cursor: Cursor::new(reader)?,
            energy,
            labels: Vec::new(),
            probabilities: Vec::new(),
            energies: Vec::new(),
            at: None,
        };
        source.read(classes)?;
        source.step()?;
        Ok(source)
    }

    /// The sample at hand; none at the end.
    pub fn id(&self) -> Option<SampleId> {
        self.at.map(|(id, _)| id)
    }

    /// What is said of a sample, if it is the one at hand.
    pub fn row_of(&self, id: &SampleId) -> Option<Row<'_>> {
        let (_, row) = self.at.filter(|(own, _)| own == id)?;
        let classes = self.probabilities.len() / self.labels.len().max(1);
        Some(Row {
            label: self.labels[row],
            probabilities: &self.probabilities[row * classes..(row + 1) * classes],
            energy: self.energies.get(row).copied().unwrap_or(0.0),
        })
    }

    /// Goes on to the next sample.
    ///
    /// # Errors
    /// As [`Source::new`], and where a sample has several rows.
    pub fn pass(&mut self, classes: &ClassList) -> Result<(), StageError> {
        if self.cursor.exhausted() {
            self.cursor.next_batch()?;
            self.read(classes)?;
        }
        self.step()
    }

    /// Makes the sample that the cursor stands at the one at hand.
    fn step(&mut self) -> Result<(), StageError> {
        self.at = None;
        let Some(id) = self.cursor.id().and_then(|id| <[u8; 32]>::try_from(id).ok()) else {
            return Ok(());
        };
        let rows = self.cursor.pass();
        if rows.len() > 1 {
            return Err(several("predictions", &id, rows.len()));
        }
        self.at = Some((SampleId::from_bytes(id), rows.start));
        Ok(())
    }

    /// Checks and unpacks the batch at hand.
    fn read(&mut self, classes: &ClassList) -> Result<(), StageError> {
        self.labels.clear();
        self.probabilities.clear();
        self.energies.clear();
        let Some(batch) = self.cursor.batch() else {
            return Ok(());
        };
        classes.each_prediction(batch, |_, label, _, probabilities| {
            self.labels.push(label);
            self.probabilities.extend_from_slice(probabilities);
            Ok(())
        })?;
        if self.energy {
            let column = batch.column_by_name("energy");
            let energies = column.and_then(|column| column.as_primitive_opt::<Float32Type>());
            let energies =
                energies.ok_or_else(|| StageError::new("`energy` of `predictions` is not float32"))?;
            self.energies.extend_from_slice(energies.values());
        }
        Ok(())
    }
}
