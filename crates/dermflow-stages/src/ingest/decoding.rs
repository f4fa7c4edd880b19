//! From a run of files to a picture or a reason: reads, checks, decodes. Must not know tables.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use dermflow_core::{Cause, SampleId, StageError};
use dermflow_vision::limits::{Limits, Refusal};
use dermflow_vision::similarity::perceptual_hash;
use dermflow_vision::stored_picture::{Found, Settings, StoredPicture, Workbench};

use super::files::{Bytes, Run};
use super::parameters::IngestParameters;

/// Bytes of decoded pictures that may wait for each thread, about.
const WAITING: u64 = 8 << 20;
/// Pictures that may wait for each thread: what is written at a time takes as long as some of them.
const MOST_AHEAD: u64 = 16;

/// How pictures are decoded, for all threads.
pub struct Decoding {
    settings: Settings,
    limits: Limits,
    hashed: bool,
    /// Bytes of memory that decoders may still take.
    free: Mutex<u64>,
    given_back: Condvar,
}

/// A run with what its bytes gave.
pub struct Decoded {
    pub run: Run,
    pub outcome: Result<Stored, Refusal>,
}

/// A picture as it is stored.
pub struct Stored {
    pub picture: StoredPicture,
    pub hash: Option<u64>,
}

impl Decoding {
    /// As the parameters say.
    pub fn new(parameters: &IngestParameters) -> Decoding {
        Decoding {
            hashed: parameters.perceptual_hash,
            ..Decoding::with(parameters.settings(), parameters.limits())
        }
    }

    /// With these settings and limits; without hashes.
    pub fn with(settings: Settings, limits: Limits) -> Decoding {
        Decoding {
            settings,
            limits,
            hashed: false,
            free: Mutex::new(limits.memory),
            given_back: Condvar::new(),
        }
    }

    /// What one picture may cost.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many decoded pictures may wait for each thread that decodes. Pictures of their own size
    /// may be so large that only one at a time may be there at all.
    pub fn ahead(&self) -> Option<usize> {
        let bytes = self.settings.size?.pixels() * 3;
        Some((WAITING / bytes).clamp(1, MOST_AHEAD) as usize)
    }

    /// What a thread keeps between pictures.
    pub fn workbench(&self) -> (Workbench, Vec<u8>) {
        Default::default()
    }

    /// Decodes a run's bytes.
    ///
    /// # Errors
    /// Where a file can't be read, or is no longer what was listed. A file that is no picture
    /// is no error, but an outcome.
    pub fn decode(&self, state: &mut (Workbench, Vec<u8>), run: Run) -> Result<Decoded, StageError> {
        let (workbench, buffer) = state;
        let outcome = match &run.bytes {
            _ if run.files.iter().all(|file| file.parts.is_none()) => Err(Refusal::Empty),
            Bytes::Here(content) => self.stored(content.value(0), workbench),
            Bytes::At(path) => match self.read(path, run.id, buffer)? {
                Ok(()) => self.stored(buffer, workbench),
                Err(refusal) => Err(refusal),
            },
        };
        Ok(Decoded { run, outcome })
    }

    fn read(
        &self,
        path: &Path,
        id: SampleId,
        buffer: &mut Vec<u8>,
    ) -> Result<Result<(), Refusal>, StageError> {
        let changed = |what: &str| {
            let message = format!("{} {what}", path.display());
            StageError::new(message).with_cause(Cause::SourceChanged)
        };
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => changed("was listed, and is not there"),
            _ => StageError::io("reading", path, &error),
        };
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if let Err(refusal) = self.limits.check_bytes(bytes) {
            return Ok(Err(refusal));
        }
        buffer.clear();
        let most = self.limits.bytes.saturating_add(1);
        file.by_ref().take(most).read_to_end(buffer).map_err(failed)?;
        match SampleId::of_content(buffer) == id {
            true => Ok(Ok(())),
            false => Err(changed("changed while the pipeline ran")),
        }
    }

    /// The picture of a file's bytes as it is stored.
    ///
    /// # Errors
    /// Where it is none, damaged, or over a limit.
    pub fn stored(&self, bytes: &[u8], workbench: &mut Workbench) -> Result<Stored, Refusal> {
        let found = Found::new(bytes, &self.limits)?;
        let needed = found.memory(&self.settings);
        if needed > self.limits.memory {
            return Err(Refusal::TooMuchMemory {
                memory: needed,
                most: self.limits.memory,
            });
        }
        self.take_memory(needed);
        let picture = found.store(&self.settings, workbench);
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += needed;
        self.given_back.notify_all();
        let picture = picture?;
        let (width, height) = (picture.size.width as usize, picture.size.height as usize);
        let hash = self
            .hashed
            .then(|| perceptual_hash(&picture.pixels, width, height));
        Ok(Stored {
            hash: hash.flatten(),
            picture,
        })
    }

    /// Waits until as much is free. No thread waits here while it holds some, so one always
    /// goes on.
    fn take_memory(&self, needed: u64) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < needed {
            free = self.given_back.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= needed;
    }
}
