//! [`Action`]: a stage with its inputs fixed, ready to be looked up or run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dermflow_core::canonical::Value;
use dermflow_core::{
    Ancestor, Artifact, Column, Digest, FILES_PORT, InputDigest, InputSizes, InputTypes, Inputs, Key, Kind,
    Manifest, OutputPort, Parameters, Partition, PortType, Reads, SampleId, Shape, SideRows, SourceDigest,
    StageError, TableManifest, Take,
};
use dermflow_graph::Pipeline;

use crate::event::StageLabel;
use crate::finished::Finished;
use crate::sources::{BoundSource, Sources};

#[cfg(test)]
mod tests;

/// An input artifact: an output of something finished.
#[derive(Clone, Debug)]
pub struct BoundInput {
    /// Whose output.
    pub from: Arc<Finished>,
    /// Which output.
    pub output: String,
    /// Which columns may be read; `None` means all.
    pub reads: Option<Vec<String>>,
    /// Which rows a map reads of it; the input that a map is cut over is whole here.
    pub side_rows: SideRows,
}

impl BoundInput {
    /// The artifact.
    ///
    /// # Errors
    /// As [`Finished::output`].
    pub fn artifact(&self) -> Result<&Artifact, StageError> {
        self.from.output(&self.output)
    }

    /// The table that is read at the samples at hand only, if this is one.
    ///
    /// # Errors
    /// As [`Finished::output`].
    pub fn side_table(&self) -> Result<Option<&TableManifest>, StageError> {
        Ok(match (self.side_rows, self.artifact()?) {
            (SideRows::SameSample, Artifact::Table(table)) => Some(table),
            _ => None,
        })
    }
}

/// The source under which a manifest names forgotten samples. No parameter starts with a dot.
pub const FORGOTTEN_SOURCE: &str = ".forgotten";

/// A stage with its inputs fixed.
pub struct Action {
    /// Which stage, for people.
    pub label: StageLabel,
    /// The hash of the manifest.
    pub key: Key,
    /// All that the result depends on.
    pub manifest: Manifest,
    /// The kind that does it.
    pub kind: Arc<dyn Kind>,
    /// Its parameters.
    pub parameters: Parameters,
    /// What is wired to each port.
    pub inputs: BTreeMap<String, Vec<BoundInput>>,
    /// Its sources by parameter.
    pub sources: BTreeMap<String, Arc<BoundSource>>,
    /// Its external program.
    pub tool: Option<PathBuf>,
    /// Samples whose rows it must not let in: for an action that rows enter the graph by.
    pub forgotten: Option<Arc<BTreeSet<SampleId>>>,
}

/// A stage whose inputs are at hand, before anything of it was looked at.
pub struct Unbound {
    /// Which stage, for people.
    pub label: StageLabel,
    /// The kind.
    pub kind: Arc<dyn Kind>,
    /// Its parameters.
    pub parameters: Parameters,
    /// What is wired to each port, in order: whose output, and which.
    pub inputs: Vec<(String, Arc<Finished>, String)>,
    /// Where each source lies, by parameter.
    pub sources: Vec<(String, PathBuf, Take)>,
    /// What a program's relative path starts from.
    pub folder: PathBuf,
    /// The seed, used if the kind is random.
    pub seed: u64,
    /// The salt.
    pub salt: Option<String>,
}

impl Unbound {
    /// A stage of a pipeline with its seed and the results of the stages before it.
    pub fn of(
        pipeline: &Pipeline,
        at: usize,
        seed: u64,
        result_of: &dyn Fn(usize) -> Arc<Finished>,
    ) -> Unbound {
        let stage = &pipeline.stages[at];
        let inputs = stage.inputs.iter();
        let sources = stage.sources.iter();
        Unbound {
            label: StageLabel::of(pipeline, at),
            kind: stage.kind.clone(),
            parameters: stage.parameters.clone(),
            inputs: inputs
                .map(|wire| (wire.port.clone(), result_of(wire.from), wire.output.clone()))
                .collect(),
            sources: sources
                .map(|found| {
                    (
                        found.source.parameter.clone(),
                        found.path.clone(),
                        found.source.take.clone(),
                    )
                })
                .collect(),
            folder: stage
                .place
                .file
                .parent()
                .map(Path::to_path_buf)
                .unwrap_or_default(),
            seed,
            salt: stage.salt.clone(),
        }
    }
}

impl Action {
    /// Binds a stage to its inputs and to the sources as they are.
    ///
    /// # Errors
    /// Where a source or the external program can't be read.
    pub fn bind(stage: Unbound, sources: &Sources) -> Result<Action, StageError> {
        let ports = stage.kind.inputs(&stage.parameters);
        let shape = stage.kind.shape(&stage.parameters);
        let mut inputs: BTreeMap<String, Vec<BoundInput>> = BTreeMap::new();
        for (port, from, output) in stage.inputs {
            let input = BoundInput {
                from,
                output,
                reads: declared_reads(&ports, &port),
                side_rows: declared_rows(&ports, map_port(&shape), &port),
            };
            inputs.entry(port).or_default().push(input);
        }
        let mut bound = BTreeMap::new();
        for (parameter, path, take) in stage.sources {
            bound.insert(parameter, sources.bind(&path, &take)?);
        }
        let tool = match stage.kind.tool(&stage.parameters) {
            Some(tool) => Some(sources.tool(&tool, &stage.folder)?),
            None => None,
        };
        let forgotten = forgotten_rows(stage.kind.as_ref(), &stage.parameters, &inputs, sources)?;
        let forgotten_digest = forgotten.as_deref().map(forgotten_digest);
        let manifest = Manifest {
            kind: stage.kind.name().to_string(),
            version: stage.kind.version(),
            parameters: without_source_paths(&stage.parameters, bound.keys()),
            seed: stage.kind.random().then_some(stage.seed),
            inputs: input_digests(&inputs)?,
            sources: bound
                .iter()
                .map(|(name, source)| (name.clone(), source.digest.clone()))
                .chain(forgotten_digest)
                .collect(),
            tool: tool.as_ref().map(|(_, digest)| *digest),
            salt: stage.salt,
        };
        Ok(Action {
            label: stage.label,
            key: key_of(&manifest)?,
            manifest,
            kind: stage.kind,
            parameters: stage.parameters,
            inputs,
            sources: bound,
            tool: tool.map(|(path, _)| path),
            forgotten,
        })
    }

    /// The output ports, from what is really wired in.
    ///
    /// # Errors
    /// What the kind refuses now that types are known in full.
    pub fn output_ports(&self) -> Result<Vec<OutputPort>, StageError> {
        let mut types = InputTypes::new();
        for (port, inputs) in &self.inputs {
            let of = |input: &BoundInput| -> Result<PortType, StageError> {
                Ok(match input.artifact()? {
                    Artifact::Table(table) => PortType::Table(table.table_type()),
                    Artifact::Model(_) => PortType::Model(None),
                    Artifact::Files(_) => PortType::Files,
                })
            };
            types.insert(port.clone(), inputs.iter().map(of).collect::<Result<_, _>>()?);
        }
        self.kind.outputs(&self.parameters, &types).map_err(|problem| {
            let place = if problem.parameter.is_empty() {
                String::new()
            } else {
                format!("{}: ", problem.parameter)
            };
            let error = StageError::new(format!("{place}{}", problem.message));
            match problem.help {
                Some(help) => error.with_help(help),
                None => error,
            }
        })
    }

    /// Where the inputs came from, for the record.
    ///
    /// # Errors
    /// As [`Finished::output`].
    pub fn ancestry(&self) -> Result<BTreeMap<String, Vec<Ancestor>>, StageError> {
        let mut ancestry = BTreeMap::new();
        for (port, inputs) in &self.inputs {
            let of = |input: &BoundInput| -> Result<Ancestor, StageError> {
                Ok(Ancestor {
                    artifact: input.artifact()?.name(),
                    action: Some(input.from.key),
                    port: input.output.clone(),
                })
            };
            ancestry.insert(port.clone(), inputs.iter().map(of).collect::<Result<_, _>>()?);
        }
        Ok(ancestry)
    }

    /// How much is wired in.
    pub fn sizes(&self) -> InputSizes {
        let mut sizes = InputSizes::default();
        for input in self.inputs.values().flatten() {
            if let Ok(artifact) = input.artifact() {
                sizes.rows += artifact.rows();
                sizes.bytes += artifact.bytes();
            }
        }
        sizes
    }
}

/// The forgotten samples, for an action by which rows enter: one that has tables, and no inputs
/// or source files that it reads itself. A map over files is not among them, because forgotten
/// files are missing in its listing; a program with inputs isn't, because its files are scripts.
fn forgotten_rows(
    kind: &dyn Kind,
    parameters: &Parameters,
    inputs: &BTreeMap<String, Vec<BoundInput>>,
    sources: &Sources,
) -> Result<Option<Arc<BTreeSet<SampleId>>>, StageError> {
    let forgotten = sources.forgotten()?;
    let reads_files = !kind.sources(parameters).is_empty() && kind.tool(parameters).is_none();
    let enters = inputs.is_empty() || reads_files;
    if forgotten.is_empty() || !enters || kind.shape(parameters) == Shape::MapFiles {
        return Ok(None);
    }
    if inputs.is_empty() {
        let ports = kind.outputs(parameters, &InputTypes::new()).unwrap_or_default();
        let is_table = |port: &OutputPort| matches!(port.port_type, PortType::Table(_));
        return Ok(ports.iter().any(is_table).then_some(forgotten));
    }
    Ok(Some(forgotten))
}

fn forgotten_digest(samples: &BTreeSet<SampleId>) -> (String, SourceDigest) {
    let ids: Vec<u8> = samples.iter().flat_map(|id| *id.as_bytes()).collect();
    let digest = SourceDigest::File {
        name: "forgotten".to_string(),
        digest: Digest::derive("dermflow forgotten samples v1", &ids),
    };
    (FORGOTTEN_SOURCE.to_string(), digest)
}

/// The key of a manifest that was made here.
pub(crate) fn key_of(manifest: &Manifest) -> Result<Key, StageError> {
    manifest.key().map_err(|error| StageError::new(error.to_string()))
}

fn declared_reads(ports: &Inputs, name: &str) -> Option<Vec<String>> {
    let port = ports.ports.iter().find(|port| port.name == name)?;
    match &port.reads {
        Reads::All => None,
        Reads::Columns(columns) => Some(columns.clone()),
    }
}

/// Only a map has inputs beside the one that it is cut over.
fn declared_rows(ports: &Inputs, over: Option<&str>, name: &str) -> SideRows {
    let port = ports.ports.iter().find(|port| port.name == name);
    match (over, port) {
        (Some(over), Some(port)) if over != name => port.side_rows,
        _ => SideRows::Whole,
    }
}

/// The port that a kind of this shape is cut over.
pub(crate) fn map_port(shape: &Shape) -> Option<&str> {
    match shape {
        Shape::Whole => None,
        Shape::Map { over } => Some(over),
        Shape::MapFiles => Some(FILES_PORT),
    }
}

fn without_source_paths<'a>(parameters: &Parameters, sources: impl Iterator<Item = &'a String>) -> Value {
    let mut value = parameters.value().clone();
    for parameter in sources {
        if let Some(place) = value.at_mut(parameter.split('.')) {
            *place = Value::Source;
        }
    }
    value
}

fn input_digests(
    inputs: &BTreeMap<String, Vec<BoundInput>>,
) -> Result<BTreeMap<String, Vec<InputDigest>>, StageError> {
    let mut digests = BTreeMap::new();
    for (port, inputs) in inputs {
        let of = |input: &BoundInput| Ok::<_, StageError>(input_digest(input.artifact()?, &input.reads));
        digests.insert(port.clone(), inputs.iter().map(of).collect::<Result<_, _>>()?);
    }
    Ok(digests)
}

/// What counts of an artifact for a reader of these columns.
pub(crate) fn input_digest(artifact: &Artifact, reads: &Option<Vec<String>>) -> InputDigest {
    match artifact {
        Artifact::Table(table) => InputDigest::Table(read_digests(table, None, reads)),
        Artifact::Model(_) => InputDigest::Model(artifact.name()),
        Artifact::Files(_) => InputDigest::Files(artifact.name()),
    }
}

/// The columns of a table that a reader of `reads` may see.
pub(crate) fn readable(table: &TableManifest, reads: &Option<Vec<String>>) -> Vec<Column> {
    let columns = table.columns.iter();
    columns
        .filter(|column| may_read(&column.name, reads))
        .cloned()
        .collect()
}

fn may_read(column: &str, reads: &Option<Vec<String>>) -> bool {
    let declared = |columns: &Vec<String>| columns.iter().any(|name| name == column);
    column == dermflow_core::SAMPLE_ID || reads.as_ref().is_none_or(declared)
}

/// What counts of a table, or of one partition of it: the sample id and the columns that are read.
pub(crate) fn read_digests(
    table: &TableManifest,
    partition: Option<&Partition>,
    reads: &Option<Vec<String>>,
) -> BTreeMap<String, Digest> {
    let digests = partition.map_or(&table.digests, |partition| &partition.digests);
    let columns = table.columns.iter().zip(digests.iter().copied());
    seen_digests(columns.filter(|(column, _)| may_read(&column.name, reads)))
}

/// A digest of each column that a kind sees, from those of the values. Whether values may be missing
/// and which column stands before it count too: the kind is given both, and its own columns may be
/// as they are.
pub(crate) fn seen_digests<'a>(
    columns: impl Iterator<Item = (&'a Column, Digest)>,
) -> BTreeMap<String, Digest> {
    let mut before = "";
    let mut digests = BTreeMap::new();
    for (column, values) in columns {
        let seen = Value::List(vec![
            Value::Text(before.to_string()),
            Value::Boolean(column.nullable),
            Value::Bytes(values.as_bytes().to_vec()),
        ]);
        let digest = Digest::derive("dermflow read column v1", &seen.encode());
        digests.insert(column.name.clone(), digest);
        before = &column.name;
    }
    digests
}
