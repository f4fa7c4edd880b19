//! `compound-scale`: the largest balanced version of a baseline network that keeps to limits on
//! parameters, computation and memory set beforehand (`method.md` C2).
//!
//! How candidates are made, costed and chosen stands in [`dermflow_nn::scaling`]. Must not know of
//! data: who wants to compare trained candidates takes them from the list, and narrows the grid to
//! the ratios that did best.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Column, ColumnType, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem, Resources, SampleId,
    StageContext, StageError, StageKind, TableType, sample_ids,
};
use dermflow_nn::scaling::{Candidate, Limits, Scaled, ScalingError, Search, search_watched};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::network::NetworkChoice;
use crate::learning::wired_architecture::architecture_type;

/// See the module.
pub struct CompoundScale;

/// What `compound-scale` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CompoundScale")]
pub struct CompoundScaleParameters {
    /// The network that is scaled; its number of classes is replaced by `classes`.
    #[serde(default = "baseline")]
    baseline: NetworkChoice,
    /// How many classes costs are counted for. Whoever trains the network gives it as many as
    /// the data have.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1_000_000))]
    classes: u32,
    /// What the network may cost at most; at least one limit must be set.
    limits: Limits,
    /// Which candidates are looked at, how costs are counted, and by which rule one is chosen. Without
    /// a `rule`, channels and layers are rounded as the published baseline's family does.
    #[serde(default)]
    search: Search,
}

fn baseline() -> NetworkChoice {
    use dermflow_nn::architecture::{Named, Published};
    NetworkChoice::Published(Named::plain(Published::EfficientNetB0))
}

fn ten() -> u32 {
    10
}

impl StageKind for CompoundScale {
    type Parameters = CompoundScaleParameters;
    const NAME: &'static str = "compound-scale";
    const VERSION: u32 = 7;
    const ABOUT: &'static str = "Scales depth, width and image size of a network together, as far as limits on its cost allow, by grid search.";
    const EXAMPLE: &'static str = "\
name: compound-scale-example
seed: 20
stages:
  scaled:
    kind: compound-scale
    with:
      baseline: {published: {name: efficientnet-b0}}
      classes: 5
      limits: {parameters: 4000000, multiply-adds: 150000000, training-memory: 1500000000}
      search:
        size: 128
        size-multiple: 32
        batch: 16
        share-of-most: 0.9
        growth:
          grid:
            alpha: {from: 1.0, to: 1.4, step: 0.1}
            beta: {from: 1.0, to: 1.2, step: 0.05}
            gamma: {from: 1.0, to: 1.3, step: 0.05}
            phi: {from: -2.0, to: 1.0, step: 0.25}
            tolerance: 0.15
  photos:
    kind: ingest
    with: {root: photos, size: 128}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  classifier:
    kind: classifier-train
    in: {samples: photos.samples, labels: labels.labels, architecture: scaled.architecture}
outputs:
  model: classifier.model
  candidates: scaled.candidates
";

    fn inputs(_: &CompoundScaleParameters) -> Inputs {
        Inputs::default()
    }

    fn outputs(_: &CompoundScaleParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![
            OutputPort::new(
                "architecture",
                PortType::Table(architecture_type()),
                "the chosen network, for the port `architecture` of kinds that train",
            ),
            OutputPort::new(
                "candidates",
                PortType::Table(candidates_type()),
                "every candidate with its factors and costs; memory only where all else is within the limits",
            ),
        ])
    }

    fn check(parameters: &CompoundScaleParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(error) = parameters.baseline.of_classes(parameters.classes) {
            problems.push(Problem::new("baseline", error.to_string()));
        }
        if let Err(error) = parameters.search.check(&parameters.limits) {
            problems.push(problem(error));
        }
        problems
    }

    fn resources(_: &CompoundScaleParameters, _: &InputSizes) -> Resources {
        Resources {
            memory: 512 << 20,
            threads: 0,
        }
    }

    fn run(parameters: &CompoundScaleParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let baseline = parameters.baseline.of_classes(parameters.classes);
        let baseline = baseline.map_err(|error| StageError::new(error.to_string()))?;
        let threads = context.threads();
        let mut go_on = |done: usize, all: usize| {
            context.progress(done as u64, Some(all as u64));
            !context.cancelled()
        };
        let mut search = parameters.search.clone();
        search.rule = search.rule.or(parameters.baseline.scaling_rule());
        let found = search_watched(&baseline, &search, &parameters.limits, threads, &mut go_on);
        let scaled = found.map_err(|error| match error {
            ScalingError::Stopped => StageError::cancelled(),
            other => StageError::new(other.to_string()),
        })?;
        tell(&scaled, context);
        write_architecture(&scaled, context)?;
        write_candidates(&scaled, context)
    }
}

/// A fault of the search at its place among the parameters.
fn problem(error: ScalingError) -> Problem {
    match error {
        ScalingError::Setting("limits", why) => Problem::new("limits", why),
        ScalingError::Setting(place, why) => Problem::new(format!("search.{place}"), why),
        other => Problem::new("", other.to_string()),
    }
}

fn tell(scaled: &Scaled, context: &mut dyn StageContext) {
    let best = scaled.best();
    let costs = best.costs;
    let fitting = scaled
        .candidates
        .iter()
        .filter(|candidate| candidate.fits)
        .count();
    context.log(&format!(
        "{} for pictures of {} × {} pixels: {} multiply-adds, {} parameters, {} bytes to train; {} of {} candidates keep to the limits",
        scaled.architecture.name,
        best.size,
        best.size,
        costs.multiply_adds,
        costs.parameters,
        costs.training_memory.unwrap_or_default(),
        fitting,
        scaled.candidates.len()
    ));
    context.metric("side", f64::from(best.size));
    context.metric("multiply-adds", costs.multiply_adds as f64);
    context.metric("parameters", costs.parameters as f64);
    context.metric(
        "training memory",
        costs.training_memory.unwrap_or_default() as f64,
    );
    context.metric("candidates", scaled.candidates.len() as f64);
    context.metric("candidates within the limits", fitting as f64);
}

fn write_architecture(scaled: &Scaled, context: &mut dyn StageContext) -> Result<(), StageError> {
    let document = serde_json::to_string_pretty(&scaled.architecture)
        .map_err(|error| StageError::new(format!("writing the document: {error}")))?;
    let schema = architecture_type().schema();
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&[SampleId::of_key("architecture")]),
        Arc::new(StringArray::from(vec![document])),
        Arc::new(Int64Array::from(vec![i64::from(scaled.best().size)])),
    ];
    let mut out = context.write_table("architecture", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}

fn candidates_type() -> TableType {
    TableType::exactly([
        Column::new("candidate", ColumnType::Integer),
        Column::nullable("alpha", ColumnType::Float64),
        Column::nullable("beta", ColumnType::Float64),
        Column::nullable("gamma", ColumnType::Float64),
        Column::nullable("phi", ColumnType::Float64),
        Column::new("depth", ColumnType::Float64),
        Column::new("width", ColumnType::Float64),
        Column::new("side", ColumnType::Integer),
        Column::new("multiply_adds", ColumnType::Integer),
        Column::new("parameters", ColumnType::Integer),
        Column::nullable("training_memory", ColumnType::Integer),
        Column::new("fits", ColumnType::Boolean),
        Column::new("chosen", ColumnType::Boolean),
    ])
}

fn write_candidates(scaled: &Scaled, context: &mut dyn StageContext) -> Result<(), StageError> {
    let all = &scaled.candidates;
    let ids: Vec<SampleId> = (0..all.len())
        .map(|number| SampleId::of_key(&format!("candidate {number}")))
        .collect();
    let integers = |of: &dyn Fn(&Candidate) -> Option<u64>| -> ArrayRef {
        let values = all
            .iter()
            .map(|one| of(one).map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
        Arc::new(values.collect::<Int64Array>())
    };
    let floats = |of: &dyn Fn(&Candidate) -> Option<f64>| -> ArrayRef {
        Arc::new(all.iter().map(of).collect::<Float64Array>())
    };
    let ratio = |place: usize| floats(&move |one| one.ratios.map(|ratios| ratios[place]));
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new((0..all.len() as i64).map(Some).collect::<Int64Array>()),
        ratio(0),
        ratio(1),
        ratio(2),
        floats(&|one| one.phi),
        floats(&|one| Some(one.depth)),
        floats(&|one| Some(one.width)),
        integers(&|one| Some(u64::from(one.size))),
        integers(&|one| Some(one.costs.multiply_adds)),
        integers(&|one| Some(one.costs.parameters)),
        integers(&|one| one.costs.training_memory),
        Arc::new(all.iter().map(|one| Some(one.fits)).collect::<BooleanArray>()),
        Arc::new(
            (0..all.len())
                .map(|at| Some(at == scaled.chosen))
                .collect::<BooleanArray>(),
        ),
    ];
    let schema = candidates_type().schema();
    let mut out = context.write_table("candidates", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use dermflow_core::Registry;
    use dermflow_core::memory::MemoryContext;

    use super::*;

    const SMALL: &str = "{baseline: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}, \
        limits: {multiply-adds: 9000000, training-memory: 60000000}, \
        search: {size: 32, size-multiple: 8, batch: 8, growth: {grid: {phi: {from: -1.0, to: 2.0, step: 0.5}}}}}";

    fn registry() -> Registry {
        crate::registry()
    }

    fn run(kind: &str, with: &str, context: &mut MemoryContext) -> Result<(), StageError> {
        let kind = registry().get(kind).unwrap().clone();
        let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
        assert_eq!(kind.check(&parameters), []);
        kind.run(&parameters, context)
    }

    #[test]
    fn the_chosen_network_is_the_one_that_is_trained() {
        let mut scaled = MemoryContext::default();
        run("compound-scale", SMALL, &mut scaled).unwrap();
        let candidates = scaled.output("candidates");
        let chosen = candidates.column_by_name("chosen").unwrap().as_boolean();
        assert_eq!(chosen.true_count(), 1);
        let row = (0..chosen.len()).find(|row| chosen.value(*row)).unwrap();
        let of = |name: &str| {
            let column = candidates.column_by_name(name).unwrap();
            column.as_primitive::<Int64Type>().value(row)
        };
        assert!(candidates.column_by_name("fits").unwrap().as_boolean().value(row));
        assert!(of("multiply_adds") <= 9_000_000 && of("training_memory") <= 60_000_000);
        let architecture = scaled.output("architecture");
        let side = architecture
            .column_by_name("side")
            .unwrap()
            .as_primitive::<Int64Type>();
        assert_eq!(side.value(0), of("side"));

        let mut made = MemoryContext::default();
        run(
            "synthesize",
            "{images: 12, width: 32, height: 32, classes: 2}",
            &mut made,
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut training = MemoryContext::default();
        training.scratch = folder.path().to_owned();
        training.add_table("samples", made.output("samples"));
        training.add_table("labels", made.output("truth"));
        training.add_table("architecture", architecture);
        run("classifier-train", "{training: {epochs: 1}}", &mut training).unwrap();
        let model = dermflow_nn::model_file::Model::from_bytes(&training.output_models["model"]).unwrap();
        let found = model.description;
        assert_eq!(i64::from(found.preprocessing.width), of("side"));
        assert_eq!(found.architecture.classes(), 2);
        let counted = found.architecture.clone().with_classes(10);
        assert_eq!(dermflow_nn::cost::parameters(&counted) as i64, of("parameters"));
    }

    #[test]
    fn limits_that_nothing_keeps_to_are_told_with_the_cheapest() {
        let with = SMALL.replace("9000000", "9");
        let error = run("compound-scale", &with, &mut MemoryContext::default()).unwrap_err();
        assert!(
            error.message.contains("no candidate keeps to the limits"),
            "{error}"
        );
        assert!(error.message.contains("(limit 9)"), "{error}");
    }

    #[test]
    fn settings_that_can_not_be_are_told_at_their_place() {
        let place = |with: &str| {
            let parameters: serde_yaml::Value = serde_yaml::from_str(with).unwrap();
            let kind = registry().get("compound-scale").unwrap().clone();
            let problems = kind.check(&kind.parse(&parameters).unwrap());
            problems.first().map(|problem| problem.parameter.clone())
        };
        assert_eq!(place("{limits: {}}").as_deref(), Some("limits"));
        assert_eq!(
            place("{limits: {parameters: 9}, search: {growth: {table: []}}}").as_deref(),
            Some("search.growth.table")
        );
        let grid =
            "{limits: {parameters: 9}, search: {growth: {grid: {alpha: {from: 2.0, to: 1.0, step: 0.1}}}}}";
        assert_eq!(place(grid).as_deref(), Some("search.growth.grid.alpha"));
    }

    #[test]
    fn a_network_comes_from_one_place_and_a_side_from_somewhere() {
        let place = |kind: &str, with: &str, ports: &[&str]| {
            let kind = registry().get(kind).unwrap().clone();
            let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
            let wired: InputTypes = ports.iter().map(|port| (port.to_string(), Vec::new())).collect();
            kind.outputs(&parameters, &wired)
                .err()
                .map(|problem| (problem.parameter, problem.message))
        };
        let written = "{architecture: {published: {name: efficientnet-b0}}}";
        let both = place("classifier-train", written, &["architecture"]).unwrap();
        assert_eq!(both.0, "architecture");
        assert_eq!(place("classifier-train", "{}", &["architecture"]), None);
        assert_eq!(place("classifier-train", "{side: 64}", &[]), None);
        assert_eq!(place("classifier-train", "{}", &[]).unwrap().0, "side");
        assert_eq!(
            place("classifier-train", "{side: 64}", &["architecture"])
                .unwrap()
                .0,
            "side"
        );
        let init = place("classifier-train", "{}", &["architecture", "init"]).unwrap();
        assert!(init.1.contains("`init`"), "{init:?}");
        assert_eq!(place("regressor-train", "{}", &[]).unwrap().0, "side");
        assert_eq!(place("regressor-train", "{}", &["architecture"]), None);
        let joint = "{classifier: {side: 64}, foreground: {probability: 0.0}}";
        assert_eq!(
            place("joint-retrain", joint, &["architecture"]).unwrap().0,
            "classifier.side"
        );
    }

    #[test]
    fn a_regressor_takes_the_backbone_of_a_chosen_classifier() {
        let mut scaled = MemoryContext::default();
        run("compound-scale", SMALL, &mut scaled).unwrap();
        let mut made = MemoryContext::default();
        run(
            "synthesize",
            "{images: 8, width: 32, height: 32, classes: 2}",
            &mut made,
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut context = MemoryContext::default();
        context.scratch = folder.path().to_owned();
        context.add_table("samples", made.output("samples"));
        context.add_table("boxes", made.output("boxes"));
        run("box-to-heatmap", "{stride: 4}", &mut context).unwrap();
        let heatmaps = context.output("heatmaps");
        context.add_table("heatmaps", heatmaps);
        context.add_table("architecture", scaled.output("architecture"));
        run(
            "regressor-train",
            "{head-channels: 8, training: {epochs: 1}}",
            &mut context,
        )
        .unwrap();
        let model = dermflow_nn::model_file::Model::from_bytes(&context.output_models["model"]).unwrap();
        assert!(model.description.architecture.regressor().is_some());
        let document = scaled.output("architecture");
        let document = document.column_by_name("document").unwrap().as_string::<i32>();
        let chosen: dermflow_nn::architecture::Architecture =
            serde_json::from_str(document.value(0)).unwrap();
        assert_eq!(model.description.architecture.backbone, chosen.backbone);
    }
}
