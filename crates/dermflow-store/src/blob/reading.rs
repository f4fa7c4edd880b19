//! How blobs are found whole: a regular file, the right size, the right hash.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dermflow_core::{BlobRef, Digest};
use rustix::fs::OFlags;

use crate::Store;
use crate::error::StoreError;

/// How much is read at a time. Files aren't mapped into memory: one that is cut short while
/// it is mapped kills the process.
pub(crate) const CHUNK: usize = 4 << 20;

impl Store {
    /// Where the blob lies, for reading. One that only the remote has is brought here first. The
    /// first use in a process hashes it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where it is missing, a link, of another size or of other
    /// content; what lay there is then in `damaged/`, and has to be made again.
    pub fn blob_path(&self, blob: &BlobRef) -> Result<PathBuf, StoreError> {
        let path = self.disk().blob_path(blob);
        if let Err(reason) = is_in_place(&path, blob)
            && !self.fetched(blob)?
        {
            return Err(self.damaged(blob, reason));
        }
        if self.lock_trusted().contains(&blob.digest) {
            return Ok(path);
        }
        let (mut file, _) = match open_regular(&path, false) {
            Ok(opened) => opened,
            Err(StoreError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.damaged(blob, "is missing".to_string()));
            }
            Err(error) => return Err(error),
        };
        match hash_reader(&mut file) {
            Ok((digest, _)) if digest == blob.digest => {
                self.lock_trusted().insert(blob.digest);
                Ok(path)
            }
            Ok(_) => Err(self.damaged(blob, "has other bytes than its name says".to_string())),
            Err(error) => Err(StoreError::io("reading", &path, error)),
        }
    }

    /// The bytes of a blob that fits into memory, verified.
    ///
    /// # Errors
    /// As [`Store::blob_path`].
    pub fn read_blob(&self, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(blob)?;
        fs::read(&path).map_err(|error| StoreError::io("reading", &path, error))
    }

    /// Whether the blob seems to be there, in the remote if not here: a regular file of its size.
    /// Cheap; what it holds is checked when it is used.
    pub fn has_blob(&self, blob: &BlobRef) -> bool {
        self.has_own_blob(blob) || self.remote().is_some_and(|remote| remote.has_blob(blob))
    }

    /// As [`Store::has_blob`], whatever the remote has.
    pub(crate) fn has_own_blob(&self, blob: &BlobRef) -> bool {
        is_in_place(&self.disk().blob_path(blob), blob).is_ok()
    }

    /// Whether the remote had it, and it is here now.
    fn fetched(&self, blob: &BlobRef) -> Result<bool, StoreError> {
        match self.remote() {
            Some(remote) => remote.fetch_blob(self.disk(), blob),
            None => Ok(false),
        }
    }

    /// Moves a blob that turned out to be wrong to `damaged/`, with the reason beside it.
    pub fn set_aside(&self, blob: &BlobRef, reason: &str) {
        self.lock_trusted().remove(&blob.digest);
        let path = self.disk().blob_path(blob);
        self.disk().move_to_damaged(&path, &blob.digest.hex(), reason);
    }

    fn damaged(&self, blob: &BlobRef, reason: String) -> StoreError {
        self.set_aside(blob, &reason);
        StoreError::Damaged { blob: *blob, reason }
    }

    fn lock_trusted(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<Digest>> {
        // A set of plain values is whole even where a thread panicked.
        let trusted = self.disk().trusted.lock();
        trusted.unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Whether a regular file of the blob's size lies at `path`; else what is wrong.
pub(crate) fn is_in_place(path: &Path, blob: &BlobRef) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("is missing".to_string()),
        Err(error) => Err(format!("can't be looked at: {error}")),
        Ok(there) if !there.is_file() => Err("is a link or a folder, not a file".to_string()),
        Ok(there) if there.len() != blob.bytes => {
            Err(format!("has {} bytes, not {}", there.len(), blob.bytes))
        }
        Ok(_) => Ok(()),
    }
}

/// Opens a regular file for reading. A pipe or device is refused without waiting for it.
pub(crate) fn open_regular(path: &Path, follow_links: bool) -> Result<(File, Metadata), StoreError> {
    let mut flags = OFlags::NONBLOCK;
    if !follow_links {
        flags |= OFlags::NOFOLLOW;
    }
    let read = |error| StoreError::io("reading", path, error);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(read)?;
    let metadata = file.metadata().map_err(read)?;
    match metadata.is_file() {
        true => Ok((file, metadata)),
        false => Err(StoreError::invalid(format!(
            "{} is {}, not a regular file",
            path.display(),
            sort_of(&metadata)
        ))),
    }
}

/// What a file that is no regular file is.
pub(crate) fn sort_of(metadata: &Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let file_type = metadata.file_type();
    match () {
        () if file_type.is_dir() => "a folder",
        () if file_type.is_fifo() => "a pipe",
        () if file_type.is_socket() => "a socket",
        () if file_type.is_block_device() || file_type.is_char_device() => "a device",
        () => "special",
    }
}

/// blake3 and length of everything that comes; large pieces on all cores.
pub(crate) fn hash_reader(reader: &mut dyn Read) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0u64;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes += filled as u64;
        match filled < 128 << 10 {
            true => hasher.update(&buffer[..filled]),
            false => hasher.update_rayon(&buffer[..filled]),
        };
        if filled < buffer.len() {
            return Ok((Digest::from(hasher.finalize()), bytes));
        }
        // Most files are small; only one that isn't gets the large buffer.
        buffer.resize(CHUNK, 0);
    }
}
