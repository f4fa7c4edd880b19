//! A checkpoint on disk: one safetensors file, written whole or not at all.
//!
//! The header's metadata carries the format's version, the configuration that the checkpoint
//! belongs to, the progress as JSON, and the blake3 of all of it with every buffer, since
//! safetensors has no checksum. A new file replaces the old one by a rename, after it is on
//! disk: a kill at any instant leaves one whole checkpoint.
//!
//! Numbers are written and read a few at a time: a checkpoint takes no memory of its own.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};

use super::error::TrainingError;

const NAME: &str = "checkpoint.safetensors";
const METADATA_KEY: &str = "dermflow";
const FORMAT: u32 = 1;

/// Bytes that are read or written at once; whole numbers.
const BLOCK: usize = 1 << 16;

/// Bytes of a float32.
const NUMBER: usize = 4;

/// Bytes before the header, which tell its length.
const LENGTH: u64 = 8;

/// Where each buffer lies in the file, in bytes.
type Places = BTreeMap<String, Range<u64>>;

/// What a checkpoint holds.
#[derive(Debug)]
pub(super) struct Checkpoint {
    /// The digest of everything that decides the training's result.
    pub(super) configuration: String,
    /// Where the training stands, as JSON.
    pub(super) progress: String,
    path: PathBuf,
    file: File,
    places: Places,
}

impl Checkpoint {
    /// The numbers of a buffer, none where there is no such buffer. They are read now, so that no more
    /// of them are in memory than are asked for.
    pub(super) fn buffer(&self, name: &str) -> Result<Option<Vec<f32>>, TrainingError> {
        let Some(place) = self.places.get(name) else {
            return Ok(None);
        };
        let mut numbers = Vec::with_capacity((place.end - place.start) as usize / NUMBER);
        let read = each_block(&self.file, place, |bytes| {
            let fours = bytes.chunks_exact(NUMBER);
            numbers.extend(fours.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])));
        });
        match read {
            Ok(()) => Ok(Some(numbers)),
            Err(error) => Err(unreadable(&self.path, &error)),
        }
    }
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
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        TrainingError::Checkpoint(format!("{what} {}: {error}", folder.join(NAME).display()))
    };
    let header = Header {
        format: FORMAT,
        configuration: configuration.into(),
        progress: progress.into(),
        checksum: checksum(configuration, progress, buffers),
    };
    let header = serde_json::to_string(&header).map_err(|error| failed("describing", &error))?;
    let metadata = HashMap::from([(METADATA_KEY.to_string(), header)]);
    let metadata = Metadata::new(Some(metadata), infos(buffers));
    let metadata = metadata.map_err(|error| failed("describing", &error))?;
    let mut text = serde_json::to_vec(&metadata).map_err(|error| failed("describing", &error))?;
    // The format has numbers begin at a multiple of 8.
    text.resize(text.len().next_multiple_of(LENGTH as usize), b' ');
    let unfinished = folder.join(format!("{NAME}.unfinished"));
    let landed = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(&unfinished)?);
        file.write_all(&(text.len() as u64).to_le_bytes())?;
        file.write_all(&text)?;
        for values in buffers.values() {
            for block in values.chunks(BLOCK / NUMBER) {
                file.write_all(&little_endian(block))?;
            }
        }
        file.into_inner()?.sync_all()?;
        fs::rename(&unfinished, folder.join(NAME))?;
        File::open(folder)?.sync_all()
    };
    landed().map_err(|error| failed("writing", &error))
}

/// The buffers, one behind the other.
fn infos(buffers: &BTreeMap<&str, &[f32]>) -> Vec<(String, TensorInfo)> {
    let mut end = 0;
    let mut infos = Vec::with_capacity(buffers.len());
    for (name, values) in buffers {
        let start = end;
        end += NUMBER * values.len();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: vec![values.len()],
            data_offsets: (start, end),
        };
        infos.push(((*name).to_string(), info));
    }
    infos
}

/// The checkpoint in `folder`.
pub(super) fn read(folder: &Path) -> Result<Found, TrainingError> {
    let path = folder.join(NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(unreadable(&path, &error)),
    };
    let (header, places) = match parse(&file).map_err(|error| unreadable(&path, &error))? {
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
    let mut hasher = hasher(&header.configuration, &header.progress);
    for (name, place) in &places {
        begin_buffer(&mut hasher, name, (place.end - place.start) / NUMBER as u64);
        let read = each_block(&file, place, |bytes| {
            hasher.update(bytes);
        });
        read.map_err(|error| unreadable(&path, &error))?;
    }
    if hasher.finalize().to_hex().to_string() != header.checksum {
        return Ok(Found::Damaged("its checksum is another".into()));
    }
    Ok(Found::Whole(Checkpoint {
        configuration: header.configuration,
        progress: header.progress,
        path,
        file,
        places,
    }))
}

fn unreadable(path: &Path, error: &io::Error) -> TrainingError {
    TrainingError::Checkpoint(format!("reading {}: {error}", path.display()))
}

/// Puts a damaged checkpoint aside, for whoever wants to look at it.
pub(super) fn set_aside(folder: &Path) -> Result<(), TrainingError> {
    let path = folder.join(NAME);
    fs::rename(&path, folder.join(format!("{NAME}.damaged")))
        .map_err(|error| TrainingError::Checkpoint(format!("setting {} aside: {error}", path.display())))
}

/// What the beginning of a file tells, or why it is damaged.
fn parse(mut file: &File) -> io::Result<Result<(Header, Places), String>> {
    let size = file.metadata()?.len();
    let mut length = [0; LENGTH as usize];
    if size < LENGTH {
        return Ok(Err("it is cut".into()));
    }
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > size - LENGTH {
        return Ok(Err("it is cut".into()));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text)?;
    Ok(described(&text, size))
}

/// What the text before the numbers tells of a file of `size` bytes.
fn described(text: &[u8], size: u64) -> Result<(Header, Places), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let metadata: Metadata = serde_json::from_slice(text).map_err(|error| told(&error))?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(METADATA_KEY));
    let header = header.ok_or("it is a safetensors file of another program")?;
    let header: Header = serde_json::from_str(header).map_err(|error| told(&error))?;
    let begin = LENGTH + text.len() as u64;
    if begin.saturating_add(metadata.data_len() as u64) != size {
        return Err("it is cut, or longer than it was".into());
    }
    let mut places = Places::new();
    for (name, info) in metadata.tensors() {
        if info.dtype != Dtype::F32 {
            return Err(format!("`{name}` is {:?}, not float32", info.dtype));
        }
        let (from, to) = info.data_offsets;
        places.insert(name, begin + from as u64..begin + to as u64);
    }
    Ok((header, places))
}

/// Goes through a part of a file.
fn each_block(mut file: &File, place: &Range<u64>, mut work: impl FnMut(&[u8])) -> io::Result<()> {
    file.seek(SeekFrom::Start(place.start))?;
    let mut block = vec![0; BLOCK];
    let mut left = place.end - place.start;
    while left > 0 {
        let bytes = &mut block[..left.min(BLOCK as u64) as usize];
        file.read_exact(bytes)?;
        work(bytes);
        left -= bytes.len() as u64;
    }
    Ok(())
}

fn checksum(configuration: &str, progress: &str, buffers: &BTreeMap<&str, &[f32]>) -> String {
    let mut hasher = hasher(configuration, progress);
    for (name, values) in buffers {
        begin_buffer(&mut hasher, name, values.len() as u64);
        for block in values.chunks(BLOCK / NUMBER) {
            hasher.update(&little_endian(block));
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// A checksum to which the buffers are to be added, in the order of their names.
fn hasher(configuration: &str, progress: &str) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key("dermflow training checkpoint v1");
    for text in [configuration, progress] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher
}

/// Adds what comes before a buffer's numbers.
fn begin_buffer(hasher: &mut blake3::Hasher, name: &str, numbers: u64) {
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(&numbers.to_le_bytes());
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * NUMBER];
    for (four, value) in bytes.chunks_exact_mut(NUMBER).zip(values) {
        four.copy_from_slice(&value.to_le_bytes());
    }
    bytes
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
        let numbers = checkpoint.buffer("a").unwrap().unwrap();
        let bits: Vec<u32> = numbers.iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, [1.5f32.to_bits(), f32::NAN.to_bits(), (-0.0f32).to_bits()]);
        assert_eq!(checkpoint.buffer("none").unwrap(), Some(Vec::new()));
        assert_eq!(checkpoint.buffer("other").unwrap(), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// What any reader of safetensors makes of it; more numbers than are written at once.
    #[test]
    fn a_checkpoint_is_a_safetensors_file() {
        let folder = tempfile::tempdir().unwrap();
        let many: Vec<f32> = (0..BLOCK).map(|at| at as f32).collect();
        let buffers = BTreeMap::from([("few", &many[..3]), ("many", &many[..])]);
        write(folder.path(), "this", "{}", &buffers).unwrap();
        let bytes = fs::read(folder.path().join(NAME)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for (name, values) in buffers {
            assert_eq!(file.tensor(name).unwrap().data(), little_endian(values), "{name}");
        }
        let Found::Whole(checkpoint) = read(folder.path()).unwrap() else {
            panic!("it should be whole");
        };
        assert_eq!(checkpoint.buffer("many").unwrap().unwrap(), many);
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
