//! The trait that a stage kind implements, and what it says of itself.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::canonical::Value;
use crate::context::{StageContext, StageError};
use crate::port::{InputTypes, Inputs, OutputPort};

/// A type of step, written once. See the crate page for a whole one.
///
/// A kind is **deterministic given its key**: the same parameters, seed and inputs give the
/// same bytes, whatever the thread count, the host or the time.
pub trait StageKind: Send + Sync + 'static {
    /// The parameters under `with:`. Doc comments become the reference page and the editor's
    /// help. Use `#[serde(deny_unknown_fields)]`, and `#[schemars(range(…))]` for ranges.
    type Parameters: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// The name in pipelines, in kebab case.
    const NAME: &'static str;
    /// Raised whenever the kind computes something else for the same manifest.
    const VERSION: u32;
    /// One sentence: what it does.
    const ABOUT: &'static str;
    /// A complete pipeline that uses it and passes `check` (source paths aside).
    const EXAMPLE: &'static str;
    /// Whether the pipeline's seed enters the key, so that [`StageContext::seed`] may be used.
    const RANDOM: bool = false;

    /// The input ports, given the parameters.
    fn inputs(parameters: &Self::Parameters) -> Inputs;

    /// The output ports, given the parameters and what is wired in. Called when every input
    /// has passed its type check.
    ///
    /// # Errors
    /// A combination that can't work, such as joined tables that share a column.
    fn outputs(parameters: &Self::Parameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem>;

    /// What types and ranges can't express: parameters that exclude each other, and the like.
    fn check(_parameters: &Self::Parameters) -> Vec<Problem> {
        Vec::new()
    }

    /// The source files that the parameters name. Their contents enter the key; how their
    /// paths are spelled doesn't.
    fn sources(_parameters: &Self::Parameters) -> Vec<Source> {
        Vec::new()
    }

    /// The external program that is run, if any. The digest of the file enters the key.
    fn tool(_parameters: &Self::Parameters) -> Option<Tool> {
        None
    }

    /// How the work may be cut.
    fn shape(_parameters: &Self::Parameters) -> Shape {
        Shape::Whole
    }

    /// What a running action takes, so that the scheduler doesn't start too many.
    fn resources(_parameters: &Self::Parameters, _inputs: &InputSizes) -> Resources {
        Resources::default()
    }

    /// Does the work: reads inputs and writes every output through `context`.
    ///
    /// # Errors
    /// In words for the person who can act. Nothing that was written is kept.
    fn run(parameters: &Self::Parameters, context: &mut dyn StageContext) -> Result<(), StageError>;
}

/// How an action's work may be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All at once.
    Whole,
    /// The output rows of a sample depend on that sample's rows in the input `over`, on its rows
    /// in inputs declared as [`crate::SideRows::SameSample`], and on the other inputs whole.
    /// `run` is called with some samples at a time, and writes only rows with their ids; results
    /// are cached per partition and taken over per sample.
    Map {
        /// The input port that is cut.
        over: String,
    },
    /// As `Map`, over the files of the kind's one source: the port `files` (`FileList`, one
    /// row a file, its sample id the blake3 of the content) is made by the engine.
    MapFiles,
}

/// The input port that [`Shape::MapFiles`] provides.
pub const FILES_PORT: &str = "files";

/// Something on disk that a pipeline names and that is not an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The parameter that holds the path, as a path into the parameters: `path`, `files.0`.
    pub parameter: String,
    /// The path as written, relative to the pipeline file.
    pub path: String,
    /// What is taken.
    pub take: Take,
}

/// What is taken of a [`Source`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Take {
    /// One file.
    File,
    /// A file, or everything below a folder.
    FileOrFolder,
    /// The files below a folder whose relative path matches one of these patterns
    /// (`*` within a part, `**` across parts, `?`, `{a,b}`); no pattern means all.
    Folder {
        /// The patterns.
        matching: Vec<String>,
    },
}

/// An external program, as it is asked for. Where it is found is looked up anew by every run: a
/// program may be put before another of its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tool {
    /// A path (with a `/`), or a name to look up.
    pub name: String,
    /// Where a name is looked up first; after these, in this process's `PATH`.
    pub folders: Vec<PathBuf>,
}

impl Tool {
    /// The file that it is now; a relative path starts from `folder`.
    pub fn find(&self, folder: &Path) -> Option<PathBuf> {
        if self.name.contains('/') {
            return Some(folder.join(&self.name)).filter(|path| path.is_file());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.folders.iter().cloned().chain(std::env::split_paths(&path));
        folders
            .map(|folder| folder.join(&self.name))
            .find(|file| file.is_file())
    }
}

/// The sizes of what is wired in.
#[derive(Clone, Debug, Default)]
pub struct InputSizes {
    /// Rows of all tables together (of the part at hand, for a map).
    pub rows: u64,
    /// Bytes of all blobs together.
    pub bytes: u64,
}

/// What a running action takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Most bytes of memory.
    pub memory: u64,
    /// Threads that it keeps busy; 0 means all that the run may use.
    pub threads: usize,
}

impl Default for Resources {
    fn default() -> Resources {
        Resources {
            memory: 256 << 20,
            threads: 1,
        }
    }
}

/// Something wrong with a stage's parameters, told at the place in the pipeline file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A path into the parameters (`foreground.probability`), empty for the stage itself.
    pub parameter: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do, if there is more to say.
    pub help: Option<String>,
}

impl Problem {
    /// A problem with one parameter.
    pub fn new(parameter: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem {
            parameter: parameter.into(),
            message: message.into(),
            help: None,
        }
    }

    /// The same with advice.
    pub fn with_help(self, help: impl Into<String>) -> Problem {
        Problem {
            help: Some(help.into()),
            ..self
        }
    }
}

/// Typed parameters with their type hidden, and the value that enters the key.
#[derive(Clone)]
pub struct Parameters {
    typed: Arc<dyn Any + Send + Sync>,
    value: Value,
}

impl Parameters {
    /// The parameters with every default filled in.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

/// A [`StageKind`] behind an object: what the registry holds and the engine calls.
///
/// Every method that takes [`Parameters`] takes those that `parse` of the same kind gave.
#[allow(
    missing_docs,
    reason = "each method mirrors the one of StageKind, documented there"
)]
pub trait Kind: Send + Sync {
    fn name(&self) -> &'static str;
    fn version(&self) -> u32;
    fn about(&self) -> &'static str;
    fn example(&self) -> &'static str;
    fn random(&self) -> bool;
    /// The JSON Schema of the parameters, doc comments and defaults included.
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;
    /// Reads `with:`, a mapping or null.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    fn parse(&self, with: &serde_yaml::Value) -> Result<Parameters, Problem>;
    fn inputs(&self, parameters: &Parameters) -> Inputs;
    /// # Errors
    /// As [`StageKind::outputs`].
    fn outputs(&self, parameters: &Parameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem>;
    fn check(&self, parameters: &Parameters) -> Vec<Problem>;
    fn sources(&self, parameters: &Parameters) -> Vec<Source>;
    fn tool(&self, parameters: &Parameters) -> Option<Tool>;
    fn shape(&self, parameters: &Parameters) -> Shape;
    fn resources(&self, parameters: &Parameters, inputs: &InputSizes) -> Resources;
    /// # Errors
    /// As [`StageKind::run`].
    fn run(&self, parameters: &Parameters, context: &mut dyn StageContext) -> Result<(), StageError>;
}

/// The one implementation of [`Kind`].
struct Erased<K>(std::marker::PhantomData<fn() -> K>);

/// Hides the type of a kind: `registry.add(dermflow_core::erase::<Filter>())`.
pub fn erase<K: StageKind>() -> Arc<dyn Kind> {
    Arc::new(Erased::<K>(std::marker::PhantomData))
}

/// A place in parameters as paths are written here: `files.0.name`.
fn dotted(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let steps = path.iter().filter_map(|step| match step {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    });
    steps.collect::<Vec<_>>().join(".")
}

impl<K: StageKind> Erased<K> {
    fn typed<'a>(&self, parameters: &'a Parameters) -> &'a K::Parameters {
        match parameters.typed.downcast_ref() {
            Some(typed) => typed,
            // A bug in the caller, not an input: the graph pairs each stage with its own kind.
            None => unreachable!("the parameters of another kind were given to `{}`", K::NAME),
        }
    }
}

impl<K: StageKind> Kind for Erased<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }
    fn version(&self) -> u32 {
        K::VERSION
    }
    fn about(&self) -> &'static str {
        K::ABOUT
    }
    fn example(&self) -> &'static str {
        K::EXAMPLE
    }
    fn random(&self) -> bool {
        K::RANDOM
    }
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        K::Parameters::json_schema(generator)
    }
    fn parse(&self, with: &serde_yaml::Value) -> Result<Parameters, Problem> {
        let empty = serde_yaml::Value::Mapping(serde_yaml::Mapping::new());
        let with = if with.is_null() { &empty } else { with };
        // An enum's variant with content is `{name: content}`, as the JSON Schema has it;
        // serde_yaml by itself wants a tag.
        let mut track = serde_path_to_error::Track::new();
        let reader = serde_path_to_error::Deserializer::new(with, &mut track);
        let typed: K::Parameters = serde_yaml::with::singleton_map_recursive::deserialize(reader)
            .map_err(|error| Problem::new(dotted(&track.path()), error.to_string()))?;
        let value = Value::from_serialize(&typed).map_err(|error| Problem::new("", error.to_string()))?;
        Ok(Parameters {
            typed: Arc::new(typed),
            value,
        })
    }
    fn inputs(&self, parameters: &Parameters) -> Inputs {
        K::inputs(self.typed(parameters))
    }
    fn outputs(&self, parameters: &Parameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        K::outputs(self.typed(parameters), wired)
    }
    fn check(&self, parameters: &Parameters) -> Vec<Problem> {
        K::check(self.typed(parameters))
    }
    fn sources(&self, parameters: &Parameters) -> Vec<Source> {
        K::sources(self.typed(parameters))
    }
    fn tool(&self, parameters: &Parameters) -> Option<Tool> {
        K::tool(self.typed(parameters))
    }
    fn shape(&self, parameters: &Parameters) -> Shape {
        K::shape(self.typed(parameters))
    }
    fn resources(&self, parameters: &Parameters, inputs: &InputSizes) -> Resources {
        K::resources(self.typed(parameters), inputs)
    }
    fn run(&self, parameters: &Parameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        K::run(self.typed(parameters), context)
    }
}
