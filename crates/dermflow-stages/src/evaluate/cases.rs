//! Reads predictions beside true labels and what else is known of their samples.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type};
use dermflow_core::{SampleId, StageContext, StageError};

use super::parameters::{EvaluateParameters, Score};
use crate::attributes::{Attributes, AttributesReader, several};
use crate::class_list::{ClassList, text};
use crate::columns::ids_of;
use crate::whole_samples::Cursor;

/// Every sample that has a prediction and a true label, in order of sample ids.
pub struct Cases {
    /// The samples.
    pub ids: Vec<[u8; 32]>,
    /// The model's classes.
    pub classes: ClassList,
    /// True labels that the model doesn't know, in alphabetical order.
    pub unseen: Vec<String>,
    /// The true class: an index of `classes`, or the number of classes plus an index of `unseen`.
    pub truth: Vec<u32>,
    /// The predicted class.
    pub predicted: Vec<u32>,
    /// The probability of the predicted class.
    pub confidence: Vec<f64>,
    /// Energies, where the predictions have them.
    pub energy: Option<Vec<f64>>,
    /// The probabilities of a sample's classes, sample after sample.
    pub probabilities: Vec<f32>,
    /// Groups, folds and slices.
    pub attributes: Attributes,
    /// Predictions without a true label, which are not judged.
    pub without_truth: u64,
    /// True labels without a prediction, which are not judged.
    pub without_prediction: u64,
}

impl Cases {
    /// Those with a true label in `truth`, and what else is known of them.
    ///
    /// # Errors
    /// Where rows don't fit the classes or each other; the sample is named.
    pub fn read(parameters: &EvaluateParameters, context: &dyn StageContext) -> Result<Cases, StageError> {
        let attributes = AttributesReader::new(parameters.group.as_deref(), &parameters.slices, context)?;
        let cases = Cases::with_truth("truth", Some(attributes), parameters, context)?;
        if cases.without_truth + cases.without_prediction > 0 {
            context.log(&format!(
                "{} predictions without a true label and {} true labels without a prediction are not judged",
                cases.without_truth, cases.without_prediction
            ));
        }
        Ok(cases)
    }

    /// Those with a true label in `validation`, where that is wired; they are never judged.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_validation(
        parameters: &EvaluateParameters,
        context: &dyn StageContext,
    ) -> Result<Option<Cases>, StageError> {
        match context.has_input("validation") {
            true => Cases::with_truth("validation", None, parameters, context).map(Some),
            false => Ok(None),
        }
    }

    fn with_truth(
        port: &'static str,
        attributes: Option<AttributesReader>,
        parameters: &EvaluateParameters,
        context: &dyn StageContext,
    ) -> Result<Cases, StageError> {
        let predictions = context.table("predictions")?;
        let total = predictions.rows();
        let mut reading = Reading {
            port,
            cases: Cases {
                ids: Vec::new(),
                classes: ClassList::read(&parameters.classes, context)?,
                unseen: Vec::new(),
                truth: Vec::new(),
                predicted: Vec::new(),
                confidence: Vec::new(),
                energy: predictions
                    .schema()
                    .column_with_name("energy")
                    .map(|_| Vec::new()),
                probabilities: Vec::new(),
                attributes: Attributes::default(),
                without_truth: 0,
                without_prediction: 0,
            },
            attributes,
            truth: Cursor::new(context.table(port)?)?,
            unseen: BTreeMap::new(),
            last: None,
        };
        let mut done = 0;
        for batch in predictions {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            reading.take(&batch)?;
            done += batch.num_rows() as u64;
            context.progress(done, Some(total));
        }
        let truths = context.table(port)?.rows();
        let cases = reading.finish(truths);
        if total > 0 && truths > 0 && cases.truth.is_empty() {
            let message = format!("no sample has both a prediction and a true label in `{port}`");
            return Err(StageError::new(message)
                .with_help("make both tables with the same `key`, or from the same images"));
        }
        Ok(cases)
    }

    /// Whether the model knows the true class of a sample.
    pub fn is_seen(&self, sample: usize) -> bool {
        (self.truth[sample] as usize) < self.classes.len()
    }

    /// How sure the model is of a sample by a score, higher being surer; none where the
    /// predictions lack it.
    pub fn sureness(&self, by: Score, sample: usize) -> Option<f64> {
        match by {
            Score::Probability => Some(self.confidence[sample]),
            Score::Energy => self.energy.as_ref().map(|energy| by.surer(energy[sample])),
        }
    }

    /// That nothing is chosen on a sample that is judged.
    ///
    /// # Errors
    /// Names the first sample that is in both.
    pub fn check_apart(&self, judged: &[u32], validation: &Cases) -> Result<(), StageError> {
        let both = judged.iter().map(|sample| &self.ids[*sample as usize]);
        let mut both = both.filter(|id| validation.ids.binary_search(id).is_ok());
        let Some(first) = both.next() else { return Ok(()) };
        let count = both.count() + 1;
        let id = SampleId::from_bytes(*first);
        let message = format!("{count} judged samples are in `validation` too, the first is {id}");
        Err(StageError::new(message)
            .with_help("thresholds chosen on what is judged look better than they are; wire other samples"))
    }

    /// That the model really doesn't know the classes that were left out of its training, and that
    /// some judged sample is of each.
    ///
    /// # Errors
    /// Names the class. Nothing is wrong where nothing is judged.
    pub fn check_unseen(&self, judged: &[u32], left_out: &[String]) -> Result<(), StageError> {
        for class in left_out {
            let wrong = |message: String| StageError::new(format!("`unseen`: {message}"));
            if self.classes.index(class).is_some() {
                return Err(wrong(format!("the model knows the class `{class}`"))
                    .with_help("leave its samples out of everything that the model learns from"));
            }
            let is_of = |sample: &u32| self.truth_name(self.truth[*sample as usize]) == class;
            if !judged.is_empty() && !judged.iter().any(is_of) {
                let known = [self.classes.names(), &self.unseen].concat().join("`, `");
                return Err(wrong(format!("no judged sample is of the class `{class}`"))
                    .with_help(format!("known are `{known}`")));
            }
        }
        Ok(())
    }

    /// What a true class is called.
    pub fn truth_name(&self, truth: u32) -> &str {
        let names = self.classes.names();
        match names.get(truth as usize) {
            Some(name) => name,
            None => &self.unseen[truth as usize - names.len()],
        }
    }

    /// The samples that are judged.
    ///
    /// # Errors
    /// Where the fold to be judged has none.
    pub fn judged(&self, parameters: &EvaluateParameters) -> Result<Vec<u32>, StageError> {
        match &parameters.fold {
            Some(fold) => self.attributes.of_fold("fold", fold),
            None => Ok((0..self.truth.len() as u32).collect()),
        }
    }
}

struct Reading {
    /// Where true labels come from.
    port: &'static str,
    cases: Cases,
    attributes: Option<AttributesReader>,
    truth: Cursor,
    /// Unseen labels with the numbers that `truth` holds so far, behind the classes.
    unseen: BTreeMap<String, u32>,
    last: Option<[u8; 32]>,
}

impl Reading {
    fn take(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        let ids = ids_of(batch)?;
        let energies = match &self.cases.energy {
            Some(_) => Some(energies(batch)?),
            None => None,
        };
        let classes = self.cases.classes.clone();
        classes.each_prediction(batch, |row, label, probability, list| {
            let id = ids.value(row);
            if self.last.is_some_and(|last| last[..] == *id) {
                return Err(several("predictions", id, 2));
            }
            let mut bytes = [0; 32];
            bytes.copy_from_slice(id);
            self.last = Some(bytes);
            let Some(rows) = self.truth.rows_of(id)? else {
                self.cases.without_truth += 1;
                return Ok(());
            };
            if rows.len() > 1 {
                return Err(several(self.port, id, rows.len()));
            }
            let Some(truths) = self.truth.batch() else {
                return Ok(());
            };
            let truth = self.truth_number(text(truths, "label")?.value(rows.start).to_string());
            self.cases.ids.push(bytes);
            self.cases.truth.push(truth);
            self.cases.predicted.push(label);
            self.cases.confidence.push(f64::from(probability));
            self.cases.probabilities.extend_from_slice(list);
            if let (Some(all), Some(energies)) = (&mut self.cases.energy, &energies) {
                all.push(energies[row]);
            }
            match &mut self.attributes {
                Some(attributes) => attributes.take(id),
                None => Ok(()),
            }
        })
    }

    fn truth_number(&mut self, label: String) -> u32 {
        let classes = self.cases.classes.len() as u32;
        match self.cases.classes.index(&label) {
            Some(index) => index,
            None => {
                let next = classes + self.unseen.len() as u32;
                *self.unseen.entry(label).or_insert(next)
            }
        }
    }

    /// Numbers the unseen labels in alphabetical order.
    fn finish(mut self, truths: u64) -> Cases {
        let classes = self.cases.classes.len() as u32;
        let mut sorted = vec![0; self.unseen.len()];
        for (at, number) in (classes..).zip(self.unseen.values()) {
            sorted[(*number - classes) as usize] = at;
        }
        for truth in self.cases.truth.iter_mut().filter(|truth| **truth >= classes) {
            *truth = sorted[(*truth - classes) as usize];
        }
        self.cases.attributes = self.attributes.map(AttributesReader::finish).unwrap_or_default();
        self.cases.unseen = self.unseen.into_keys().collect();
        self.cases.without_prediction = truths - self.cases.truth.len() as u64;
        self.cases
    }
}

fn energies(batch: &RecordBatch) -> Result<Vec<f64>, StageError> {
    let column = batch.column_by_name("energy");
    let wrong = || StageError::new("`energy` of the predictions must be float32 or float64, and never null");
    let column = column
        .filter(|column| column.null_count() == 0)
        .ok_or_else(wrong)?;
    let values: Vec<f64> = if let Some(floats) = column.as_primitive_opt::<Float32Type>() {
        floats.values().iter().map(|value| f64::from(*value)).collect()
    } else if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
        floats.values().to_vec()
    } else {
        return Err(wrong());
    };
    match values.iter().any(|value| value.is_nan()) {
        true => Err(StageError::new("an `energy` of the predictions is not a number")),
        false => Ok(values),
    }
}
