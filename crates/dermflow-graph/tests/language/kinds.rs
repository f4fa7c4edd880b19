//! Kinds that exist for these tests: they have every sort of port, parameter and complaint.

use std::collections::BTreeMap;

use dermflow_core::{
    Arity, Contract, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, Registry, Source,
    StageContext, StageError, StageKind, TableType, Take,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub fn registry() -> Registry {
    Registry::new()
        .with::<Ingest>()
        .with::<Labels>()
        .with::<Train>()
        .with::<Concat>()
        .with::<Evaluate>()
        .with::<Script>()
        .with::<Pass>()
}

fn table(contract: &str) -> PortType {
    PortType::Table(TableType::of(Contract::named(contract).unwrap()))
}

fn ports(ports: impl IntoIterator<Item = InputPort>) -> Inputs {
    Inputs {
        ports: ports.into_iter().collect(),
        open: false,
    }
}

fn classifier() -> PortType {
    PortType::Model(Some("classifier".to_string()))
}

macro_rules! kind {
    ($kind:ident, $parameters:ident, $name:literal, $about:literal, $example:literal, { $($rest:item)* }) => {
        pub struct $kind;
        impl StageKind for $kind {
            type Parameters = $parameters;
            const NAME: &'static str = $name;
            const VERSION: u32 = 1;
            const ABOUT: &'static str = $about;
            const EXAMPLE: &'static str = $example;
            $($rest)*
            fn run(_: &$parameters, _: &mut dyn StageContext) -> Result<(), StageError> {
                Ok(())
            }
        }
    };
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestParameters {
    /// The folder with the images.
    root: String,
    /// The longer side in pixels.
    #[serde(default = "ninety_six")]
    #[schemars(range(min = 8, max = 2048))]
    size: u32,
    /// How much of the images is taken.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    share: f64,
}

fn ninety_six() -> u32 {
    96
}
fn one() -> f64 {
    1.0
}

kind!(
    Ingest,
    IngestParameters,
    "ingest",
    "Reads images.",
    "stages: {full: {kind: ingest, with: {root: data, size: 64}}}",
    {
        fn inputs(_: &IngestParameters) -> Inputs {
            Inputs::default()
        }
        fn outputs(_: &IngestParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
            Ok(vec![
                OutputPort::new("samples", table("Samples"), "images"),
                OutputPort::new("rejects", table("Rejects"), ""),
            ])
        }
        fn sources(parameters: &IngestParameters) -> Vec<Source> {
            let path = parameters.root.clone();
            vec![Source {
                parameter: "root".into(),
                path,
                take: Take::Folder { matching: Vec::new() },
            }]
        }
    }
);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelsParameters {
    /// The table of labels.
    path: String,
}

kind!(
    Labels,
    LabelsParameters,
    "import-labels",
    "Reads labels.",
    "stages:\n  full: {kind: ingest, with: {root: data}}\n  labels: {kind: import-labels, in: full, with: {path: x.csv}}",
    {
        fn inputs(_: &LabelsParameters) -> Inputs {
            ports([InputPort::one("samples", table("Samples"), "the images")])
        }
        fn outputs(_: &LabelsParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
            Ok(vec![OutputPort::new(
                "labels",
                table("Labels"),
                "one label an image",
            )])
        }
        fn sources(parameters: &LabelsParameters) -> Vec<Source> {
            vec![Source {
                parameter: "path".into(),
                path: parameters.path.clone(),
                take: Take::File,
            }]
        }
    }
);

/// What is done with the background.
#[derive(Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Apply {
    /// Nothing.
    #[default]
    Nothing,
    /// Cut to the lesion.
    Crop,
    /// Blacken the rest.
    Mask,
}

/// How steps are made.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimiser {
    /// Gradient descent.
    Descent {
        /// How much of the last step is kept.
        #[schemars(range(min = 0.0, max = 0.999))]
        momentum: f64,
    },
    /// Adam.
    Adam {},
}

/// What limits training.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// No limit.
    Unlimited,
    /// So many steps.
    Steps(#[schemars(range(min = 1))] u64),
}

#[derive(Serialize, Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Foreground {
    /// How often it is used.
    #[schemars(range(min = 0.0, max = 1.0))]
    probability: f64,
    apply: Apply,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainParameters {
    /// How often all samples are seen.
    #[schemars(range(min = 1))]
    epochs: u32,
    #[serde(default)]
    warmup: u32,
    #[serde(default)]
    foreground: Foreground,
    #[serde(default)]
    optimiser: Option<Optimiser>,
    #[serde(default)]
    budget: Option<Budget>,
    #[serde(default)]
    #[schemars(length(max = 3), inner(range(min = 1)))]
    widths: Vec<u16>,
    #[serde(default)]
    rate: Option<f64>,
    #[serde(default)]
    note: Option<String>,
}

kind!(
    Train,
    TrainParameters,
    "train",
    "Trains a network.",
    "params: {rounds: 3}\nstages:\n  full: {kind: ingest, with: {root: data}}\n  \
     net: {kind: train, in: {samples: full}, with: {epochs: \"${rounds}\", budget: {steps: 9}, optimiser: {method: adam}}}\n\
     variants: {long: {rounds: 5}}\nmatrix: {sweep: {seed: [1, 2]}}\noutputs: {model: net.model}",
    {
        const RANDOM: bool = true;
        fn inputs(_: &TrainParameters) -> Inputs {
            ports([
                InputPort::one("samples", table("Samples"), "what to learn from"),
                InputPort::one("labels", table("Labels"), "").with_arity(Arity::Optional),
                InputPort::one("init", PortType::Model(None), "").with_arity(Arity::Optional),
            ])
        }
        fn outputs(_: &TrainParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
            Ok(vec![
                OutputPort::new("model", classifier(), ""),
                OutputPort::new("history", table("History"), ""),
            ])
        }
        fn check(parameters: &TrainParameters) -> Vec<Problem> {
            match parameters.warmup > parameters.epochs {
                true => vec![
                    Problem::new("warmup", "`warmup` is longer than all `epochs`")
                        .with_help("shorten it, or train longer"),
                ],
                false => Vec::new(),
            }
        }
    }
);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

kind!(
    Concat,
    NoParameters,
    "concat",
    "Puts tables one after the other.",
    "stages:\n  a: {kind: ingest, with: {root: a}}\n  b: {kind: concat, in: [a.samples, a.samples]}",
    {
        fn inputs(_: &NoParameters) -> Inputs {
            ports([
                InputPort::one("tables", PortType::Table(TableType::any()), "tables of one sort")
                    .with_arity(Arity::Many),
            ])
        }
        fn outputs(_: &NoParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
            let tables = &wired["tables"];
            match tables.iter().all(|table| *table == tables[0]) {
                true => Ok(vec![OutputPort::new("table", tables[0].clone(), "all rows")]),
                false => {
                    Err(Problem::new("", "the tables have different columns").with_help("join them instead"))
                }
            }
        }
    }
);

kind!(
    Evaluate,
    NoParameters,
    "evaluate",
    "Measures a model.",
    "stages:\n  full: {kind: ingest, with: {root: data}}\n  net: {kind: train, in: {samples: full}, with: {epochs: 1}}\n  \
     score: {kind: evaluate, in: {model: net, samples: full}}",
    {
        fn inputs(_: &NoParameters) -> Inputs {
            ports([
                InputPort::one("model", classifier(), "what to measure"),
                InputPort::one("samples", table("Samples"), ""),
            ])
        }
        fn outputs(_: &NoParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
            Ok(vec![OutputPort::new("metrics", table("Metrics"), "")])
        }
    }
);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScriptParameters {
    #[schemars(length(min = 1))]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

kind!(
    Script,
    ScriptParameters,
    "script",
    "Runs anything.",
    "stages: {x: {kind: script, with: {command: [ls]}}}",
    {
        fn inputs(_: &ScriptParameters) -> Inputs {
            Inputs {
                ports: Vec::new(),
                open: true,
            }
        }
        fn outputs(_: &ScriptParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
            Ok(vec![OutputPort::new("files", PortType::Files, "")])
        }
    }
);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassParameters {
    #[serde(default)]
    value: i64,
}

kind!(
    Pass,
    PassParameters,
    "pass",
    "Does nothing.",
    "stages: {a: {kind: pass}, b: {kind: pass, in: a}}",
    {
        fn inputs(_: &PassParameters) -> Inputs {
            ports([InputPort::one("of", PortType::Anything, "").with_arity(Arity::Optional)])
        }
        fn outputs(_: &PassParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
            Ok(vec![OutputPort::new("same", PortType::Files, "")])
        }
    }
);
