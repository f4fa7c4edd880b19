//! [`write_hashed`]: a file that is hashed and written on one thread while another still gathers
//! what comes next.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crossbeam::channel::{Receiver, Sender, bounded};
use dermflow_core::{Digest, StageError};

/// Bytes that are hashed and written at a time.
const PIECE: usize = 1 << 20;
/// Pieces that may wait.
const WAITING: usize = 4;

/// Makes the file `path` of what `fill` writes; the digest of its bytes.
///
/// # Errors
/// That of `fill`, or where the file can't be written.
pub(crate) fn write_hashed(
    path: &Path,
    fill: impl FnOnce(&mut Pieces) -> Result<(), StageError>,
) -> Result<Digest, StageError> {
    let fail = |error: io::Error| StageError::io("writing", path, &error);
    let mut file = File::create(path).map_err(fail)?;
    let (filled, pieces) = bounded(WAITING);
    let (emptied, empty) = bounded(WAITING + 1);
    let mut gathered = Pieces {
        held: Vec::with_capacity(PIECE),
        filled,
        empty,
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || write_all(&mut file, &pieces, &emptied));
        let outcome = fill(&mut gathered).and_then(|()| gathered.send().map_err(fail));
        // The writer ends with the last piece.
        drop(gathered);
        let written = writer.join().unwrap_or_else(|_| Err(stopped()));
        // Where the writer failed, what was gathered could not be handed over either.
        let digest = written.map_err(fail)?;
        outcome.map(|()| digest)
    })
}

fn write_all(file: &mut File, pieces: &Receiver<Vec<u8>>, emptied: &Sender<Vec<u8>>) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    for mut piece in pieces {
        hasher.update_rayon(&piece);
        file.write_all(&piece)?;
        piece.clear();
        // Nobody has to take it again.
        let _ = emptied.try_send(piece);
    }
    Ok(Digest::from(hasher.finalize()))
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the thread that writes it ended")
}

/// Takes bytes and hands them over in large pieces.
pub(crate) struct Pieces {
    held: Vec<u8>,
    filled: Sender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let next = self
            .empty
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(PIECE));
        let piece = std::mem::replace(&mut self.held, next);
        self.filled.send(piece).map_err(|_| stopped())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.len() >= PIECE {
            self.send()?;
        }
        let taken = bytes.len().min(PIECE - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Nothing: a piece goes when it is full, and the rest at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_hashed_whatever_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for size in [0, 1, PIECE, PIECE + 1, 9 * PIECE + 77] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let fill = |pieces: &mut Pieces| {
                bytes
                    .chunks(300_000)
                    .try_for_each(|chunk| pieces.write_all(chunk))
                    .map_err(|error| StageError::new(error.to_string()))
            };
            assert_eq!(write_hashed(&path, fill).unwrap(), Digest::of(&bytes));
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn a_full_disk_is_told_and_not_that_the_writer_ended() {
        let fill = |pieces: &mut Pieces| {
            (0..64)
                .try_for_each(|_| pieces.write_all(&[1; PIECE]))
                .map_err(|error| StageError::new(error.to_string()))
        };
        let error = write_hashed(Path::new("/dev/full"), fill).unwrap_err();
        assert!(error.message.contains("/dev/full"), "{error}");
        assert!(!error.message.contains("ended"), "{error}");
    }

    #[test]
    fn an_error_of_what_fills_it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let fill = |_: &mut Pieces| Err(StageError::new("a blob is damaged"));
        let error = write_hashed(&folder.path().join("file"), fill).unwrap_err();
        assert_eq!(error.message, "a blob is damaged");
    }
}
