//! How bytes become blobs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dermflow_core::{BlobRef, Digest};

use super::reading::{CHUNK, hash_reader, is_in_place, open_regular};
use crate::Store;
use crate::disk::{Disk, Temporary, full_or};
use crate::error::StoreError;

/// A blob of at most this size is held in memory until it is complete: if it is there
/// already, no file is made.
const SMALL: usize = 128 << 10;

/// From this size on a file system is asked to share the blocks of a copied file.
const WORTH_SHARING: u64 = 1 << 20;

impl Store {
    /// Keeps these bytes.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<BlobRef, StoreError> {
        let mut writer = self.blob_writer();
        let path = self.disk().at("tmp");
        writer
            .write_all(bytes)
            .map_err(|error| full_or(&path, error, bytes.len()))?;
        writer.finish()
    }

    /// Keeps a copy of the file at `path`.
    ///
    /// # Errors
    /// Where it can't be read, is no regular file, or the disk is full.
    pub fn put_file(&self, path: &Path) -> Result<BlobRef, StoreError> {
        let (mut file, metadata) = open_regular(path, true)?;
        if metadata.len() >= WORTH_SHARING
            && let Some(blob) = self.put_shared(&file)?
        {
            return Ok(blob);
        }
        let mut writer = self.blob_writer();
        let mut buffer = vec![0; CHUNK.min(metadata.len() as usize + 1)];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return writer.finish(),
                Ok(read) => writer
                    .write_all(&buffer[..read])
                    .map_err(|error| full_or(self.root(), error, metadata.len() as usize))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("reading", path, error)),
            }
        }
    }

    /// A copy that shares blocks with the file, where the file system can do that.
    fn put_shared(&self, file: &File) -> Result<Option<BlobRef>, StoreError> {
        let (mut copy, temporary) = self.disk().temporary(0o444)?;
        if rustix::fs::ioctl_ficlone(&copy, file).is_err() {
            return Ok(None);
        }
        let path = temporary.path().to_path_buf();
        let (digest, bytes) =
            hash_reader(&mut copy).map_err(|error| StoreError::io("reading", &path, error))?;
        place(self.disk(), BlobRef { digest, bytes }, temporary).map(Some)
    }

    /// Takes a file that the caller made inside the store's `tmp/` or `work/` and won't touch
    /// again: it is moved, not copied.
    ///
    /// # Errors
    /// Where it is no regular file, or can't be read or moved.
    pub fn adopt_file(&self, path: PathBuf) -> Result<BlobRef, StoreError> {
        let (mut file, metadata) = open_regular(&path, false)?;
        // A second name could still be written through, and another disk can't be renamed from.
        let root =
            fs::metadata(self.root()).map_err(|error| StoreError::io("reading", self.root(), error))?;
        if metadata.nlink() > 1 || metadata.dev() != root.dev() {
            let blob = self.put_file(&path)?;
            fs::remove_file(&path).map_err(|error| StoreError::io("removing", &path, error))?;
            return Ok(blob);
        }
        file.set_permissions(fs::Permissions::from_mode(0o444))
            .map_err(|error| StoreError::io("making read-only", &path, error))?;
        let (digest, bytes) =
            hash_reader(&mut file).map_err(|error| StoreError::io("reading", &path, error))?;
        place(self.disk(), BlobRef { digest, bytes }, Temporary::taken(path))
    }

    /// A blob that is written bit by bit.
    pub fn blob_writer(&self) -> BlobWriter {
        BlobWriter {
            disk: self.disk().clone(),
            hasher: blake3::Hasher::new(),
            bytes: 0,
            held: Vec::new(),
            file: None,
        }
    }
}

/// Takes a blob's bytes and hashes them as they come. Dropped without [`BlobWriter::finish`]
/// it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    disk: Arc<Disk>,
    hasher: blake3::Hasher,
    bytes: u64,
    held: Vec<u8>,
    file: Option<(File, Temporary)>,
}

impl BlobWriter {
    /// How many bytes it took so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Completes the blob.
    ///
    /// # Errors
    /// Where the disk is full or can't be written.
    pub fn finish(mut self) -> Result<BlobRef, StoreError> {
        let blob = BlobRef {
            digest: Digest::from(self.hasher.finalize()),
            bytes: self.bytes,
        };
        if is_known(&self.disk, &blob) {
            return Ok(blob);
        }
        if self.file.is_none() {
            self.spill()
                .map_err(|error| full_or(self.disk.root(), error, self.held.len()))?;
        }
        match self.file {
            Some((_, temporary)) => place(&self.disk, blob, temporary),
            // `spill` has just set it.
            None => Err(StoreError::invalid("a blob lost its file")),
        }
    }

    /// Moves what is held in memory to a file.
    fn spill(&mut self) -> io::Result<()> {
        let (mut file, temporary) = self.disk.temporary(0o444).map_err(as_io)?;
        file.write_all(&self.held)?;
        self.file = Some((file, temporary));
        Ok(())
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.held.len() + bytes.len() > SMALL {
            self.spill()?;
            self.held = Vec::new();
        }
        let taken = match &mut self.file {
            None => {
                self.held.extend_from_slice(bytes);
                bytes.len()
            }
            Some((file, _)) => file.write(bytes)?,
        };
        match taken < SMALL {
            true => self.hasher.update(&bytes[..taken]),
            false => self.hasher.update_rayon(&bytes[..taken]),
        };
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A store's error on its way through `io::Write`; the kind survives, so a full disk is known.
fn as_io(error: StoreError) -> io::Error {
    match error {
        StoreError::Full { .. } => io::Error::from(io::ErrorKind::StorageFull),
        StoreError::Io { error, .. } => io::Error::new(error.kind(), error.to_string()),
        other => io::Error::other(other.message()),
    }
}

/// Whether this process wrote or verified the blob, and it still lies there.
fn is_known(disk: &Disk, blob: &BlobRef) -> bool {
    let trusted = disk
        .trusted
        .lock()
        .is_ok_and(|trusted| trusted.contains(&blob.digest));
    trusted && is_in_place(&disk.blob_path(blob), blob).is_ok()
}

/// Moves a complete file to its name. What lies there unverified is replaced: these bytes are
/// known to be right, those aren't, and it heals damage that nobody has met yet.
fn place(disk: &Disk, blob: BlobRef, temporary: Temporary) -> Result<BlobRef, StoreError> {
    if is_known(disk, &blob) {
        return Ok(blob);
    }
    let path = disk.blob_path(&blob);
    if fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
        disk.move_to_damaged(&path, &blob.digest.hex(), "a folder lies where a blob belongs");
    }
    temporary.place(&path)?;
    disk.early_sync.placed(&blob, &path);
    // Both sets hold plain values, so a thread that panicked left them whole.
    disk.unsynced
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .insert(blob.digest);
    disk.trusted
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .insert(blob.digest);
    Ok(blob)
}
