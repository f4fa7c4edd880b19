//! What the engine costs beside the work: layered graphs of a kind that does next to nothing,
//! in this process. Cold, with nothing to do, and as a plan.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use dermflow_benches::{median, tell, wanted};
use dermflow_core::{
    InputTypes, Inputs, NamedFile, OutputPort, PortType, Problem, Registry, StageContext, StageError,
    StageKind,
};
use dermflow_engine::{Interrupt, Options, Sources, plan, run};
use dermflow_graph::{CellSelection, Pipeline, Request, load};
use dermflow_store::Store;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Writes its number into a file.
struct Number;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NumberParameters {
    number: u32,
}

impl StageKind for Number {
    type Parameters = NumberParameters;
    const NAME: &'static str = "number";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Writes its number into a file.";
    const EXAMPLE: &'static str = "name: number\nstages: {one: {kind: number, with: {number: 1}}}\n";

    fn inputs(_: &NumberParameters) -> Inputs {
        Inputs {
            ports: Vec::new(),
            open: true,
        }
    }

    fn outputs(_: &NumberParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![OutputPort::new(
            "file",
            PortType::Files,
            "a file with the number",
        )])
    }

    fn run(parameters: &NumberParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let path = context.scratch().join("number");
        let written = std::fs::write(&path, parameters.number.to_string());
        written.map_err(|error| StageError::io("writing", &path, &error))?;
        let name = "number".to_string();
        context.write_files("file", &[NamedFile { name, path }])
    }
}

fn main() {
    if !wanted() {
        return;
    }
    for count in [10, 100, 1_000, 10_000] {
        layers(count);
    }
}

fn layers(count: usize) {
    let folder = tempfile::tempdir().expect("a folder for stores");
    let file = folder.path().join("layers.yaml");
    std::fs::write(&file, layered(count)).expect("room on the disk");
    let registry = Registry::new().with::<Number>();
    let read = || read(&file, &registry);
    let told = |what: &str, taken: Duration| tell(&format!("{count} stages: {what}"), taken, count);
    let rounds = if count > 1_000 { 3 } else { 7 };

    told("the file read and checked", median(rounds, || (), |()| read()));
    let pipelines = read();
    let mut stores = 0;
    let mut fresh = || {
        stores += 1;
        Store::open(folder.path().join(stores.to_string())).expect("a new store")
    };
    let cold = median(3, &mut fresh, |store| {
        assert_eq!(executed(&pipelines, &store), count)
    });
    told("run, cold", cold);
    let store = fresh();
    executed(&pipelines, &store);
    let idle = median(rounds, || (), |()| assert_eq!(executed(&pipelines, &store), 0));
    told("run, nothing to do", idle);
    let asked = median(
        rounds,
        || (),
        |()| {
            plan(&pipelines[0], &store, &Sources::new(&store, false), &[]).expect("a store that can be read")
        },
    );
    told("plan", asked);
}

fn read(file: &Path, registry: &Registry) -> Vec<Pipeline> {
    let request = Request {
        file,
        registry,
        overrides: &[],
        cells: CellSelection::Base,
    };
    load(&request).expect("a good pipeline").pipelines
}

fn executed(pipelines: &[Pipeline], store: &Store) -> usize {
    let sources = Sources::new(store, false);
    let (options, interrupt) = (Options::default(), Interrupt::new());
    let summary = run(pipelines, store, &sources, &options, &|_| {}, &interrupt).expect("room on the disk");
    assert_eq!(summary.failed + summary.skipped, 0);
    summary.executed
}

/// As many layers as each is wide; a stage takes two neighbours of the layer before.
fn layered(count: usize) -> String {
    let width = count.isqrt();
    let mut yaml = "name: layers\nstages:\n".to_string();
    for stage in 0..count {
        let wires = match stage.checked_sub(width) {
            None => String::new(),
            Some(above) => {
                let other = above - above % width + (above % width + width - 1) % width;
                format!(" in: {{a: s{above}.file, b: s{other}.file}},")
            }
        };
        // Writing to a String can't fail.
        let _ = writeln!(
            yaml,
            "  s{stage}: {{kind: number,{wires} with: {{number: {stage}}}}}"
        );
    }
    yaml
}
