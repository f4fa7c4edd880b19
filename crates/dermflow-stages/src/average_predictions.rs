//! `average-predictions`: what several models say of a sample, as one prediction; and, where each
//! model was trained without one fold, what the one said that never learned from the sample.
//!
//! The mean of probabilities (a "deep ensemble", Lakshminarayanan et al. 2017) is right more often than
//! the models by themselves, and out-of-fold probabilities are what confident learning and honest
//! pseudo labels of labelled samples ask for. A merge of sorted streams in bounded memory (a batch of
//! each). Must not know how predictions are made.

mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Arity, Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem, Resources,
    SampleId, StageContext, StageError, StageKind, TableType, TableWriter, sample_ids,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attributes::several;
use crate::class_list::{self, ClassList, text};
use crate::columns::wired_tables;
use crate::prediction_rows::{prediction_rows, predictions_type};
use crate::whole_samples::Cursor;
use source::Source;

/// See the module.
pub struct AveragePredictions;

/// What `average-predictions` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "AveragePredictions")]
pub struct AveragePredictionsParameters {
    /// The models' classes in the order of `probabilities`, where no table is wired to `classes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    /// The fold that each table's model did not learn from, in the order they are wired. A sample of
    /// such a fold takes what that model says and nothing else; all others take the mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held_out: Vec<String>,
}

impl StageKind for AveragePredictions {
    type Parameters = AveragePredictionsParameters;
    const NAME: &'static str = "average-predictions";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Averages what several models say; of samples that they learned from, takes the one that did not.";
    const EXAMPLE: &'static str = "\
name: average-predictions-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  folds:
    kind: split
    in: {samples: labels.labels}
    with: {shares: {one: 0.5, two: 0.5}}
  without-one:
    kind: classifier-train
    in: {samples: photos.samples, labels: labels.labels, splits: folds.splits}
    with: {side: 96, folds: {train: [two], valid: [one]}}
  without-two:
    kind: classifier-train
    in: {samples: photos.samples, labels: labels.labels, splits: folds.splits}
    with: {side: 96, folds: {train: [one], valid: [two]}}
  first:
    kind: classifier-infer
    in: {samples: photos.samples, model: without-one.model}
  second:
    kind: classifier-infer
    in: {samples: photos.samples, model: without-two.model}
  averaged:
    kind: average-predictions
    in: {predictions: [first.predictions, second.predictions], classes: without-one.classes, splits: folds.splits}
    with: {held-out: [one, two]}
outputs:
  predictions: averaged.predictions
";

    fn inputs(_: &AveragePredictionsParameters) -> Inputs {
        let about = "what each model says; all of the same classes in the same order";
        let splits = Contract::named("Splits").map_or_else(TableType::any, TableType::of);
        let splits = InputPort::one(
            "splits",
            PortType::Table(splits),
            "the folds that models were trained by",
        )
        .with_arity(Arity::Optional)
        .reading(["fold"]);
        Inputs {
            ports: vec![
                class_list::predictions_port(about, &["energy"]).with_arity(Arity::Many),
                class_list::classes_port(),
                splits,
            ],
            open: false,
        }
    }

    fn outputs(
        parameters: &AveragePredictionsParameters,
        wired: &InputTypes,
    ) -> Result<Vec<OutputPort>, Problem> {
        class_list::check_source(&parameters.classes, wired)?;
        let tables = wired_tables(wired, "predictions");
        let folds = parameters.held_out.len();
        if folds > 0 && folds != tables.len() {
            let message = format!("{folds} folds for {} tables of predictions", tables.len());
            return Err(Problem::new("held-out", message));
        }
        match (folds > 0, wired.contains_key("splits")) {
            (true, false) => {
                let message = "nothing is wired to `splits`, which tells the fold of each sample";
                return Err(Problem::new("held-out", message));
            }
            (false, true) => {
                let message = "`splits` is wired, but which fold each model did not learn from is not said";
                return Err(Problem::new("held-out", message));
            }
            _ => {}
        }
        let energy = tables.iter().all(|table| table.column("energy").is_some());
        Ok(vec![OutputPort::new(
            "predictions",
            PortType::Table(predictions_type(energy)),
            "the likeliest class by the mean, its probability, the mean of all probabilities, and that of the \
             energies where all tables have them",
        )])
    }

    fn check(parameters: &AveragePredictionsParameters) -> Vec<Problem> {
        let mut problems = class_list::check_names(&parameters.classes);
        for (at, fold) in parameters.held_out.iter().enumerate() {
            if parameters.held_out[..at].contains(fold) {
                let message = format!("two models are said not to have learned from `{fold}`");
                problems.push(Problem::new(format!("held-out.{at}"), message));
            }
        }
        problems
    }

    fn resources(_: &AveragePredictionsParameters, _: &InputSizes) -> Resources {
        Resources {
            memory: 256 << 20,
            threads: 1,
        }
    }

    fn run(
        parameters: &AveragePredictionsParameters,
        context: &mut dyn StageContext,
    ) -> Result<(), StageError> {
        let classes = ClassList::read(&parameters.classes, context)?;
        let readers = context.tables("predictions")?;
        let total = readers.iter().map(|reader| reader.rows()).sum();
        let energy = readers
            .iter()
            .all(|reader| reader.schema().column_with_name("energy").is_some());
        let sources = readers
            .into_iter()
            .map(|reader| Source::new(reader, &classes, energy))
            .collect::<Result<_, _>>()?;
        let folds = match parameters.held_out.is_empty() {
            true => None,
            false => Some(HeldOut::new(&parameters.held_out, context)?),
        };
        let schema = predictions_type(energy).schema();
        let mut averaging = Averaging {
            out: context.write_table("predictions", schema.clone())?,
            rows: Rows::default(),
            schema,
            classes,
            sources,
            folds,
            energy,
            counts: Counts::default(),
        };
        averaging.run(context, total)?;
        averaging.counts.tell(context);
        averaging.out.finish()
    }
}

/// Which model did not learn from a sample.
struct HeldOut {
    splits: Cursor,
    /// The table of each fold's model.
    tables: BTreeMap<String, usize>,
}

impl HeldOut {
    fn new(folds: &[String], context: &dyn StageContext) -> Result<HeldOut, StageError> {
        let tables = folds
            .iter()
            .enumerate()
            .map(|(table, fold)| (fold.clone(), table));
        Ok(HeldOut {
            splits: Cursor::new(context.table("splits")?)?,
            tables: tables.collect(),
        })
    }

    fn table_of(&mut self, id: &[u8]) -> Result<Option<usize>, StageError> {
        let Some(rows) = self.splits.rows_of(id)? else {
            return Ok(None);
        };
        if rows.len() > 1 {
            return Err(several("splits", id, rows.len()));
        }
        let Some(batch) = self.splits.batch() else {
            return Ok(None);
        };
        Ok(self.tables.get(text(batch, "fold")?.value(rows.start)).copied())
    }
}

#[derive(Default)]
struct Counts {
    samples: u64,
    out_of_fold: u64,
    unanimous: u64,
}

impl Counts {
    fn tell(&self, context: &mut dyn StageContext) {
        let averaged = self.samples - self.out_of_fold;
        context.metric("samples", self.samples as f64);
        context.metric("out-of-fold samples", self.out_of_fold as f64);
        if averaged > 0 {
            let share = self.unanimous as f64 / averaged as f64;
            context.metric(
                "share of averaged samples of which all models say the same",
                share,
            );
        }
    }
}

/// Rows that are to be written.
#[derive(Default)]
struct Rows {
    ids: Vec<SampleId>,
    probabilities: Vec<f32>,
    energies: Vec<f32>,
}

/// Rows of a written batch.
const BATCH: usize = 8192;

struct Averaging {
    out: Box<dyn TableWriter>,
    rows: Rows,
    schema: SchemaRef,
    classes: ClassList,
    sources: Vec<Source>,
    folds: Option<HeldOut>,
    energy: bool,
    counts: Counts,
}

impl Averaging {
    fn run(&mut self, context: &mut dyn StageContext, total: u64) -> Result<(), StageError> {
        let mut done = 0;
        while let Some(id) = self.sources.iter().filter_map(Source::id).min() {
            let own = match &mut self.folds {
                Some(folds) => folds.table_of(id.as_bytes())?,
                None => None,
            };
            self.take(&id, own)?;
            for source in self.sources.iter_mut().filter(|source| source.id() == Some(id)) {
                done += 1;
                source.pass(&self.classes)?;
            }
            if self.rows.ids.len() == BATCH {
                if context.cancelled() {
                    return Err(StageError::cancelled());
                }
                self.write()?;
                context.progress(done, Some(total));
            }
        }
        self.write()
    }

    /// The mean of what the tables say of a sample, or what the table `own` says.
    fn take(&mut self, id: &SampleId, own: Option<usize>) -> Result<(), StageError> {
        let asked = match own {
            Some(table) => table..table + 1,
            None => 0..self.sources.len(),
        };
        let mut sums = vec![0.0_f64; self.classes.len()];
        let (mut energy, mut said) = (0.0_f64, None);
        let mut unanimous = true;
        let count = asked.len() as f64;
        for table in asked {
            let row = self.sources[table]
                .row_of(id)
                .ok_or_else(|| lacking(table, id, own.is_some()))?;
            for (sum, probability) in sums.iter_mut().zip(row.probabilities) {
                *sum += f64::from(*probability);
            }
            energy += f64::from(row.energy);
            unanimous &= *said.get_or_insert(row.label) == row.label;
        }
        self.counts.samples += 1;
        self.counts.out_of_fold += u64::from(own.is_some());
        self.counts.unanimous += u64::from(own.is_none() && unanimous);
        self.rows.ids.push(*id);
        let means = sums.iter().map(|sum| (sum / count) as f32);
        self.rows.probabilities.extend(means);
        self.rows.energies.push((energy / count) as f32);
        Ok(())
    }

    fn write(&mut self) -> Result<(), StageError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.ids.is_empty() {
            return Ok(());
        }
        let batch = prediction_rows(
            &self.schema,
            sample_ids(&rows.ids),
            self.classes.names(),
            &rows.probabilities,
            self.energy.then_some(rows.energies),
        )?;
        self.out.write(&batch)
    }
}

fn lacking(table: usize, id: &SampleId, out_of_fold: bool) -> StageError {
    let number = table + 1;
    let error = StageError::new(format!("table {number} of `predictions` lacks sample {id}"));
    error.with_help(match out_of_fold {
        true => "let each model predict the fold that it did not learn from",
        false => "let all models predict the same samples",
    })
}
