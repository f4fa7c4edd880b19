//! [`Model`]: the native model file. One safetensors file whose header carries, beside the
//! tensors, all that is needed to use them: the architecture document, the classes, how pictures
//! are prepared, and what the network was trained from.
//!
//! Any program that reads safetensors reads the tensors; the rest is one JSON text under the
//! header's key `dermflow-model`. The same model gives the same bytes. A file may come from
//! anyone: what is cut, foreign or absurd is refused, at a cost bounded by its own size.

mod description;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use description::{Description, Interpolation, Preprocessing, ResizeMode, check_class_name};

use crate::layout::{Layout, Weights};
use crate::weights::{
    Convention, Imported, MAX_HEADER_BYTES, TensorFile, WeightsError, exported, header_length, import_from,
};

/// The key of the header's text.
const KEY: &str = "dermflow-model";

/// A network with its weights and all that is needed to use it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What the header tells.
    pub description: Description,
    /// The weights; their layout is that of the description's architecture.
    pub weights: Weights,
}

impl Model {
    /// Puts a model together.
    ///
    /// # Errors
    /// Where the description is not consistent, or the weights are another architecture's.
    pub fn new(description: Description, weights: Weights) -> Result<Model, WeightsError> {
        description.check().map_err(WeightsError::Unwritable)?;
        if *weights.layout().architecture() != description.architecture {
            let why = "they are those of another architecture than the description's";
            return Err(WeightsError::Unwritable(why.to_owned()));
        }
        Ok(Model { description, weights })
    }

    /// The whole file.
    ///
    /// # Errors
    /// Where the description is not consistent.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let unwritable = |why: String| WeightsError::Unwritable(why);
        self.description.check().map_err(unwritable)?;
        let text = serde_json::to_string(&self.description).map_err(|error| unwritable(error.to_string()))?;
        // The library keeps these texts in a hash map: more than one would give files whose
        // bytes differ from run to run.
        let texts = HashMap::from([(KEY.to_owned(), text)]);
        let tensors = exported(&self.weights, Convention::Native);
        let bytes =
            safetensors::serialize(tensors, Some(texts)).map_err(|error| unwritable(error.to_string()))?;
        header_length(&bytes)?;
        Ok(bytes)
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// Where it is cut or damaged, something else than a model of this crate, or one whose parts
    /// don't fit each other.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, WeightsError> {
        let file = TensorFile::parse(bytes)?;
        let description = describe(&file.texts)?;
        // The description is checked, so that the layout can be made.
        let layout = Layout::of(&description.architecture)
            .map_err(|error| WeightsError::NotAModel(error.to_string()))?;
        let Imported { weights, report } = import_from(&file, Arc::new(layout), None)?;
        if report.convention != Convention::Native {
            let why = "its tensors are not those of the architecture in its header";
            return Err(WeightsError::NotAModel(why.to_owned()));
        }
        Ok(Model { description, weights })
    }

    /// Writes the file at a path, through a neighbouring one, so that there is never a part of it.
    ///
    /// # Errors
    /// Where the description is not consistent, or the file can't be written.
    pub fn save(&self, path: &Path) -> Result<(), ModelFileError> {
        let fault = |error: std::io::Error| ModelFileError::of_io(path, &error);
        let bytes = self
            .to_bytes()
            .map_err(|error| ModelFileError::of_weights(path, error))?;
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = Path::new(&partial);
        let written = File::create(partial).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        let moved = written.and_then(|()| std::fs::rename(partial, path));
        moved.map_err(|error| {
            // It may never have been made; the fault that counts is the one above.
            std::fs::remove_file(partial).ok();
            fault(error)
        })
    }

    /// Reads the file at a path.
    ///
    /// # Errors
    /// As [`Model::from_bytes`], and where the file can't be read.
    pub fn load(path: &Path) -> Result<Model, ModelFileError> {
        let bytes = std::fs::read(path).map_err(|error| ModelFileError::of_io(path, &error))?;
        Model::from_bytes(&bytes).map_err(|error| ModelFileError::of_weights(path, error))
    }
}

impl Description {
    /// Reads no more than the header of the file at a path.
    ///
    /// # Errors
    /// Where the file can't be read, or its header is not a model's.
    pub fn load(path: &Path) -> Result<Description, ModelFileError> {
        let io = |error: std::io::Error| ModelFileError::of_io(path, &error);
        let mut file = File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file)
            .take(8)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        let length = header_length(&bytes).map_err(|error| ModelFileError::of_weights(path, error))?;
        let mut header = Vec::new();
        let most = length.min(MAX_HEADER_BYTES);
        file.take(most).read_to_end(&mut header).map_err(io)?;
        let described = TensorFile::texts_of_header(&header, length).and_then(|texts| describe(&texts));
        described.map_err(|error| ModelFileError::of_weights(path, error))
    }
}

fn describe(texts: &BTreeMap<String, String>) -> Result<Description, WeightsError> {
    let Some(text) = texts.get(KEY) else {
        let why = format!(
            "its header has no `{KEY}`; weights of other programs are imported, with an architecture that they fit"
        );
        return Err(WeightsError::NotAModel(why));
    };
    let description: Description = serde_json::from_str(text)
        .map_err(|error| WeightsError::NotAModel(format!("`{KEY}` in its header: {error}")))?;
    description
        .check()
        .map_err(|why| WeightsError::NotAModel(format!("`{KEY}` in its header: {why}")))?;
    Ok(description)
}

/// A fault with the path of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub fault: String,
}

impl ModelFileError {
    fn of_io(path: &Path, error: &std::io::Error) -> ModelFileError {
        ModelFileError {
            path: path.to_owned(),
            fault: error.to_string(),
        }
    }

    fn of_weights(path: &Path, error: WeightsError) -> ModelFileError {
        ModelFileError {
            path: path.to_owned(),
            fault: error.to_string(),
        }
    }
}

impl fmt::Display for ModelFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.fault)
    }
}

impl std::error::Error for ModelFileError {}
