//! What a checked file is: [`Pipeline`], its [`Stage`]s and their [`Wire`]s.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use dermflow_core::{Inputs, Kind, OutputPort, Parameters, Source};
use petgraph::graph::{DiGraph, NodeIndex};

use crate::place::{Place, SourceTexts};
use crate::written::{Node, WrittenStage};

/// One pipeline, ready to be planned.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// What it is for, in the author's words.
    pub description: Option<String>,
    /// The variant (`no-prior`) or matrix cell (`prior-sweep[prior=0.25,seed=1]`) that it is;
    /// `None` for the pipeline itself.
    pub cell: Option<String>,
    /// The file that was asked for.
    pub file: PathBuf,
    /// The folder of that file: where results lie.
    pub folder: PathBuf,
    /// The stages, each after all that it needs; among those that could come next, the one
    /// written first.
    pub stages: Vec<Stage>,
    /// The results to keep for people, in written order.
    pub outputs: Vec<Output>,
}

impl Pipeline {
    /// The stage with this name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The name with the cell: `joint-retrain`, `joint-retrain/no-prior`.
    pub fn label(&self) -> String {
        match &self.cell {
            Some(cell) => format!("{}/{cell}", self.name),
            None => self.name.clone(),
        }
    }

    /// The stages as a graph: node `i` is `stages[i]`, and an edge goes from the stage that
    /// makes an artifact to the one that takes it, with the position of the wire in the
    /// taker's `inputs`.
    pub fn graph(&self) -> DiGraph<usize, usize> {
        let mut graph = DiGraph::with_capacity(self.stages.len(), self.stages.len());
        for at in 0..self.stages.len() {
            graph.add_node(at);
        }
        for (at, stage) in self.stages.iter().enumerate() {
            for (wire, Wire { from, .. }) in stage.inputs.iter().enumerate() {
                graph.add_edge(NodeIndex::new(*from), NodeIndex::new(at), wire);
            }
        }
        graph
    }
}

/// One use of a kind.
#[derive(Clone)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// What it is for, in the author's words.
    pub description: Option<String>,
    /// The type of step.
    pub kind: Arc<dyn Kind>,
    /// The parameters, typed, with defaults.
    pub parameters: Parameters,
    /// The parameters as the kind read them: `${…}` replaced, defaults not filled in.
    pub with: serde_yaml::Value,
    /// The stage's own seed or the pipeline's; 0 where neither is written.
    pub seed: u64,
    /// The pipeline's and the stage's salt; `None` where neither is written.
    pub salt: Option<String>,
    /// What is wired in, in written order.
    pub inputs: Vec<Wire>,
    /// The input ports with these parameters.
    pub ports: Inputs,
    /// The output ports with these parameters and inputs.
    pub outputs: Vec<OutputPort>,
    /// The source files that the parameters name.
    pub sources: Vec<ResolvedSource>,
    /// Where the stage's name is written.
    pub place: Place,
    pub(crate) written: Arc<WrittenStage>,
    pub(crate) with_places: Arc<Node>,
    pub(crate) texts: Arc<SourceTexts>,
}

impl Stage {
    /// Where a parameter was written: `foreground.probability`, `files.0`. Where it was not
    /// (it has its default), the place of what it would stand in.
    pub fn place_of(&self, parameter: &str) -> Place {
        let (node, _) = self.with_places.nearest(parameter);
        match std::ptr::eq(node, &*self.with_places) && self.written.with.is_none() {
            true => self.place.clone(),
            false => self.texts.place(node.span),
        }
    }

    /// Where the kind is written.
    pub fn place_of_kind(&self) -> Place {
        let kind = self.written.kind.as_ref();
        kind.map_or_else(|| self.place.clone(), |kind| self.texts.place(kind.span))
    }

    /// The wires of one port, in order.
    pub fn wires<'a>(&'a self, port: &'a str) -> impl Iterator<Item = &'a Wire> {
        self.inputs.iter().filter(move |wire| wire.port == port)
    }

    /// The output port with this name.
    pub fn output(&self, name: &str) -> Option<&OutputPort> {
        self.outputs.iter().find(|port| port.name == name)
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("name", &self.name)
            .field("kind", &self.kind.name())
            .field("parameters", &self.parameters)
            .field("seed", &self.seed)
            .field("salt", &self.salt)
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("sources", &self.sources)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// An artifact that a stage takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The input port.
    pub port: String,
    /// The stage that makes it, as an index into [`Pipeline::stages`].
    pub from: usize,
    /// The output port of that stage.
    pub output: String,
    /// Where the wire is written.
    pub place: Place,
}

/// A source with its place on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedSource {
    /// What the kind says of it.
    pub source: Source,
    /// The path, joined to the folder of the file that wrote it.
    pub path: PathBuf,
    /// Where it is written.
    pub place: Place,
}

/// A result to keep for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The stage that makes it, as an index into [`Pipeline::stages`].
    pub stage: usize,
    /// The output port of that stage.
    pub port: String,
    /// Where it is written.
    pub place: Place,
}
