//! The members of an archive, in the order in which they lie there. Trusts nothing in it: the
//! sizes that it declares are not believed, and nothing is written to disk.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use dermflow_core::StageError;
use flate2::read::MultiGzDecoder;
use zip::ZipArchive;

/// What a member gave.
pub enum Member {
    /// Its bytes.
    File(Vec<u8>),
    /// Why it can't be taken.
    Refused(String),
}

/// Takes a member's name, and a way to read it.
pub type Each<'a> =
    &'a mut dyn FnMut(&str, &mut dyn FnMut() -> Result<Member, StageError>) -> Result<(), StageError>;

/// Calls `each` for every member that is no folder. Files of more than `most` bytes are refused.
///
/// # Errors
/// Where it is no archive, or damaged so that what follows can't be found; and those of `each`.
pub fn each_member(path: &Path, most: u64, each: Each<'_>) -> Result<(), StageError> {
    let failed = |error: std::io::Error| StageError::io("reading", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut start = [0u8; 512];
    let mut length = 0;
    while length < start.len() {
        match file.read(&mut start[length..]).map_err(failed)? {
            0 => break,
            read => length += read,
        }
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let start = &start[..length];
    let file = BufReader::with_capacity(1 << 16, file);
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return each_of_zip(path, file, most, each);
    }
    if start.starts_with(b"\x1f\x8b") {
        return each_of_tar(path, MultiGzDecoder::new(file), most, each);
    }
    if starts_tar(start) {
        return each_of_tar(path, file, most, each);
    }
    let message = format!("{} is no ZIP, tar or gzipped tar archive", path.display());
    Err(StageError::new(message))
}

/// Whether a file that starts so is a tar archive: its first header adds up, or there is none
/// before the zeros that end an archive.
fn starts_tar(start: &[u8]) -> bool {
    let Some(written) = start.get(148..156).filter(|_| start.len() == 512) else {
        return false;
    };
    let written = std::str::from_utf8(written).unwrap_or_default();
    let written = u32::from_str_radix(written.trim_matches(['\0', ' ']), 8);
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The checksum is counted with blanks in its place.
    let counted = sum(&start[..148]) + 8 * u32::from(b' ') + sum(&start[156..]);
    written == Ok(counted) || start.iter().all(|byte| *byte == 0)
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> StageError {
    StageError::new(format!("the archive {} is damaged: {error}", path.display())).with_help(
        "fetch or make it again; a folder of its unpacked files can be given to `ingest` as `root`",
    )
}

fn each_of_zip(path: &Path, file: BufReader<File>, most: u64, each: Each<'_>) -> Result<(), StageError> {
    let mut archive = ZipArchive::new(file).map_err(|error| broken(path, &error))?;
    for at in 0..archive.len() {
        // The names are in the directory, so they can be had of what can't be unpacked.
        let name = match archive.by_index_raw(at) {
            Ok(member) if member.is_dir() => continue,
            Ok(member) => {
                String::from_utf8(member.name_raw().to_vec()).unwrap_or_else(|_| member.name().to_string())
            }
            Err(error) => return Err(broken(path, &error)),
        };
        each(&name, &mut || {
            Ok(match archive.by_index(at) {
                Err(error) => Member::Refused(format!("it can't be unpacked: {error}")),
                Ok(member) if member.is_symlink() => Member::Refused("it is a link".to_string()),
                Ok(member) => bytes_of(member, most),
            })
        })?;
    }
    Ok(())
}

fn each_of_tar(path: &Path, file: impl Read, most: u64, each: Each<'_>) -> Result<(), StageError> {
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries().map_err(|error| broken(path, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| broken(path, &error))?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.strip_prefix("./").unwrap_or(&name).to_string();
        let mut entry = Some(entry);
        each(&name, &mut || {
            Ok(match entry.take() {
                Some(entry) if kind.is_file() => bytes_of(entry, most),
                _ => Member::Refused("it is a link or a device, not a file".to_string()),
            })
        })?;
    }
    Ok(())
}

fn bytes_of(member: impl Read, most: u64) -> Member {
    let mut bytes = Vec::new();
    match member.take(most.saturating_add(1)).read_to_end(&mut bytes) {
        Err(error) => Member::Refused(format!("it can't be unpacked: {error}")),
        Ok(_) if bytes.len() as u64 > most => {
            Member::Refused(format!("it has more than {most} bytes, which is the limit"))
        }
        Ok(_) => Member::File(bytes),
    }
}
