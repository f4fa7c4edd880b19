//! [`Ready`]: the samples of a side, read as `evaluate` reads them. Must not know what they are held
//! against.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use dermflow_core::StageError;
use dermflow_core::canonical::Value;
use dermflow_core::memory::MemoryContext;

use super::Side;
use crate::columns::ids_of;
use crate::evaluate::cases::Cases;
use crate::evaluate::parameters::EvaluateParameters;
use crate::evaluate::subset::{Setup, Subset};
use crate::evaluate::targets::Target;

/// What a side is judged by: the first side says what is true, and who belongs together.
pub(super) fn context(
    first: &Side,
    side: &Side,
    predictions: RecordBatch,
) -> Result<MemoryContext, StageError> {
    let mut context = MemoryContext::default();
    context.add_table("predictions", predictions);
    for port in ["truth", "attributes", "splits"] {
        if first.tables.contains_key(port) {
            context.add_table(port, table(first, port)?);
        }
    }
    if side.tables.contains_key("classes") {
        context.add_table("classes", table(side, "classes")?);
    }
    Ok(context)
}

/// A side's samples.
pub(super) struct Ready {
    parameters: EvaluateParameters,
    /// Those that it predicted.
    pub(super) cases: Cases,
    /// Those of them that are judged.
    pub(super) judged: Vec<u32>,
}

impl Ready {
    /// By these parameters.
    pub(super) fn new(parameters: EvaluateParameters, context: &MemoryContext) -> Result<Ready, StageError> {
        let cases = Cases::read(&parameters, context)?;
        let judged = cases.judged(&parameters)?;
        Ok(Ready {
            parameters,
            cases,
            judged,
        })
    }

    /// As the side's own stage judged it.
    pub(super) fn alone(side: &Side, predictions: &RecordBatch) -> Result<Ready, StageError> {
        let mut own = parameters(&side.parameters)?;
        // Who belongs together says nothing about what is judged.
        own.group = None;
        Ready::new(own, &context(side, side, predictions.clone())?)
    }

    /// Judges no others than these.
    pub(super) fn keep(&mut self, samples: &BTreeSet<[u8; 32]>) {
        let ids = &self.cases.ids;
        self.judged
            .retain(|sample| samples.contains(&ids[*sample as usize]));
    }

    /// The true label of each judged sample.
    pub(super) fn truths(&self) -> BTreeMap<[u8; 32], &str> {
        let truth = |sample: &u32| {
            let sample = *sample as usize;
            (
                self.cases.ids[sample],
                self.cases.truth_name(self.cases.truth[sample]),
            )
        };
        self.judged.iter().map(truth).collect()
    }

    /// How many groups the judged samples are of.
    pub(super) fn groups_judged(&self) -> usize {
        let group = |sample: &u32| self.cases.attributes.group[*sample as usize];
        self.judged.iter().map(group).collect::<BTreeSet<u32>>().len()
    }

    /// Which of the judged samples are right.
    pub(super) fn right(&self) -> Vec<bool> {
        let is_right = |sample: &u32| {
            let sample = *sample as usize;
            self.cases.truth_name(self.cases.truth[sample])
                == self.cases.classes.names()[self.cases.predicted[sample] as usize]
        };
        self.judged.iter().map(is_right).collect()
    }

    /// Ready to be measured.
    pub(super) fn subset(&self) -> Result<Subset, StageError> {
        let setup = Setup {
            parameters: &self.parameters,
            points: Vec::new(),
            fitted: None,
            targets: Target::all(&self.parameters, &self.cases.classes)?,
            rates: Vec::new(),
        };
        Ok(Subset::new(&self.cases, &self.judged, &setup))
    }
}

/// The parameters without what comparing doesn't look at.
pub(super) fn parameters(value: &Value) -> Result<EvaluateParameters, StageError> {
    let read: Result<EvaluateParameters, _> =
        serde_yaml::with::singleton_map_recursive::deserialize(value.to_yaml());
    let mut read = read.map_err(|error| {
        StageError::new(format!(
            "the parameters of `evaluate` can't be read back: {error}"
        ))
    })?;
    read.slices.clear();
    read.operating_points.clear();
    read.top.clear();
    read.temperature = None;
    read.choose_on = None;
    read.class_groups.clear();
    Ok(read)
}

/// The table of a port.
pub(super) fn table(side: &Side, port: &str) -> Result<RecordBatch, StageError> {
    let batches = side.tables.get(port).map(Vec::as_slice).unwrap_or_default();
    let Some(first) = batches.first() else {
        return Err(StageError::new(format!(
            "the table wired to `{port}` has no rows"
        )));
    };
    Ok(concat_batches(&first.schema(), batches)?)
}

/// The samples of a table.
pub(super) fn ids(table: &RecordBatch) -> Result<BTreeSet<Vec<u8>>, StageError> {
    let ids = ids_of(table)?;
    Ok(ids.iter().flatten().map(<[u8]>::to_vec).collect())
}

/// The rows of these samples.
pub(super) fn kept(table: &RecordBatch, common: &BTreeSet<Vec<u8>>) -> Result<RecordBatch, StageError> {
    let ids = ids_of(table)?;
    let keep: BooleanArray = ids
        .iter()
        .map(|id| Some(id.is_some_and(|id| common.contains(id))))
        .collect();
    Ok(filter_record_batch(table, &keep)?)
}
