//! A checkpoint on disk: one safetensors file, written whole or not at all.
//!
//! The header's metadata carries the format's version, the configuration that the checkpoint
//! belongs to, the progress as JSON, and the blake3 of all of it with every buffer, since
//! safetensors has no checksum. A new file replaces the old one by a rename, after it is on
//! disk: a kill at any instant leaves one whole checkpoint.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::error::TrainingError;

const NAME: &str = "checkpoint.safetensors";
const METADATA_KEY: &str = "dermflow";
const FORMAT: u32 = 1;

/// What a checkpoint holds.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The digest of everything that decides the training's result.
    pub(super) configuration: String,
    /// Where the training stands, as JSON.
    pub(super) progress: String,
    /// Everything that is numbers.
    pub(super) buffers: BTreeMap<String, Vec<f32>>,
}

/// What [`read`] finds.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Whole(Checkpoint),
    /// A file that isn't what was written, and why.
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u32,
    configuration: String,
    progress: String,
    checksum: String,
}

/// Replaces the checkpoint in `folder`.
pub(super) fn write(
    folder: &Path,
    configuration: &str,
    progress: &str,
    buffers: &BTreeMap<&str, &[f32]>,
) -> Result<(), TrainingError> {
    let header = Header {
        format: FORMAT,
        configuration: configuration.into(),
        progress: progress.into(),
        checksum: checksum(
            configuration,
            progress,
            buffers.iter().map(|(name, values)| (*name, *values)),
        ),
    };
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        TrainingError::Checkpoint(format!("{what} {}: {error}", folder.join(NAME).display()))
    };
    let header = serde_json::to_string(&header).map_err(|error| failed("describing", &error))?;
    let metadata = HashMap::from([(METADATA_KEY.to_string(), header)]);
    let unfinished = folder.join(format!("{NAME}.unfinished"));
    let tensors = buffers
        .iter()
        .map(|(name, values)| (*name, Numbers(values, [values.len()])));
    safetensors::serialize_to_file(tensors, Some(metadata), &unfinished)
        .map_err(|error| failed("writing", &error))?;
    let landed = || -> io::Result<()> {
        File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, folder.join(NAME))?;
        File::open(folder)?.sync_all()
    };
    landed().map_err(|error| failed("writing", &error))
}

/// The checkpoint in `folder`.
pub(super) fn read(folder: &Path) -> Result<Found, TrainingError> {
    let path = folder.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => {
            let message = format!("reading {}: {error}", path.display());
            return Err(TrainingError::Checkpoint(message));
        }
    };
    let (header, buffers) = match parse(&bytes) {
        Ok(parsed) => parsed,
        Err(reason) => return Ok(Found::Damaged(reason)),
    };
    if header.format != FORMAT {
        let message = format!(
            "{} has format {}; this program reads format {FORMAT}: remove the file to train from the start",
            path.display(),
            header.format
        );
        return Err(TrainingError::Checkpoint(message));
    }
    let named = buffers
        .iter()
        .map(|(name, values)| (name.as_str(), values.as_slice()));
    if checksum(&header.configuration, &header.progress, named) != header.checksum {
        return Ok(Found::Damaged("its checksum is another".into()));
    }
    Ok(Found::Whole(Checkpoint {
        configuration: header.configuration,
        progress: header.progress,
        buffers,
    }))
}

/// Puts a damaged checkpoint aside, for whoever wants to look at it.
pub(super) fn set_aside(folder: &Path) -> Result<(), TrainingError> {
    let path = folder.join(NAME);
    fs::rename(&path, folder.join(format!("{NAME}.damaged")))
        .map_err(|error| TrainingError::Checkpoint(format!("setting {} aside: {error}", path.display())))
}

fn parse(bytes: &[u8]) -> Result<(Header, BTreeMap<String, Vec<f32>>), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| told(&error))?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(METADATA_KEY));
    let header = header.ok_or("it is a safetensors file of another program")?;
    let header: Header = serde_json::from_str(header).map_err(|error| told(&error))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| told(&error))?;
    let mut buffers = BTreeMap::new();
    for (name, view) in tensors.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("`{name}` is {:?}, not float32", view.dtype()));
        }
        let numbers = view.data().chunks_exact(4);
        let numbers = numbers.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        buffers.insert(name.to_string(), numbers.collect());
    }
    Ok((header, buffers))
}

fn checksum<'a>(
    configuration: &str,
    progress: &str,
    buffers: impl Iterator<Item = (&'a str, &'a [f32])>,
) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("dermflow training checkpoint v1");
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(configuration);
    text(progress);
    for (name, values) in buffers {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(values.len() as u64).to_le_bytes());
        for block in values.chunks(1 << 14) {
            hasher.update(&little_endian(block));
        }
    }
    hasher.finalize().to_hex().to_string()
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 4];
    for (four, value) in bytes.chunks_exact_mut(4).zip(values) {
        four.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A buffer as safetensors writes it.
struct Numbers<'a>(&'a [f32], [usize; 1]);

impl View for Numbers<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(little_endian(self.0))
    }
    fn data_len(&self) -> usize {
        self.0.len() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path) {
        let numbers = [1.5, f32::NAN, -0.0];
        let buffers = BTreeMap::from([("a", &numbers[..]), ("none", &[][..])]);
        write(folder, "this", r#"{"epoch": 3}"#, &buffers).unwrap();
    }

    #[test]
    fn what_is_written_is_read_bit_by_bit() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()).unwrap(), Found::Nothing));
        written(folder.path());
        let Found::Whole(checkpoint) = read(folder.path()).unwrap() else {
            panic!("it should be whole");
        };
        assert_eq!(
            (checkpoint.configuration.as_str(), checkpoint.progress.as_str()),
            ("this", r#"{"epoch": 3}"#)
        );
        let bits: Vec<u32> = checkpoint.buffers["a"]
            .iter()
            .map(|value| value.to_bits())
            .collect();
        assert_eq!(bits, [1.5f32.to_bits(), f32::NAN.to_bits(), (-0.0f32).to_bits()]);
        assert!(checkpoint.buffers["none"].is_empty());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_cut_or_has_another_byte_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let path = folder.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            assert!(
                matches!(read(folder.path()).unwrap(), Found::Damaged(_)),
                "cut at {at}"
            );
        }
        for at in (0..whole.len()).filter(|&at| whole[at] != b' ') {
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&path, &other).unwrap();
            // A changed version is refused, not damaged.
            assert!(
                !matches!(read(folder.path()), Ok(Found::Whole(_) | Found::Nothing)),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), b"rubbish").unwrap();
        assert!(matches!(read(folder.path()).unwrap(), Found::Damaged(_)));
        set_aside(folder.path()).unwrap();
        assert!(matches!(read(folder.path()).unwrap(), Found::Nothing));
        assert!(folder.path().join("checkpoint.safetensors.damaged").exists());
    }
}
