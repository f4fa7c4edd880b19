//! Sorts samples by class and place with a bounded amount of memory: full buffers are sorted and
//! put on disk, then merged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use dermflow_core::StageError;

/// A sample that may be taken, in the order in which they are.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ranked {
    /// The number of its class.
    pub class: u32,
    /// Its place within the class.
    pub place: u64,
    /// Its sample id.
    pub id: [u8; 32],
    /// Its probability, which orders nothing: one id is there once.
    pub probability: f32,
}

impl Ranked {
    fn key(&self) -> (u32, u64, [u8; 32]) {
        (self.class, self.place, self.id)
    }

    fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.class.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.place.to_le_bytes());
        bytes[12..44].copy_from_slice(&self.id);
        bytes[44..].copy_from_slice(&self.probability.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Ranked {
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[12..44]);
        let part = |range: std::ops::Range<usize>| {
            bytes[range]
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        Ranked {
            class: part(0..4) as u32,
            place: part(4..12),
            id,
            probability: f32::from_bits(part(44..48) as u32),
        }
    }
}

/// How long a [`Ranked`] is on disk.
const BYTES: usize = 48;

/// Takes samples in any order.
pub struct Sorter {
    folder: PathBuf,
    most: usize,
    buffer: Vec<Ranked>,
    runs: Vec<File>,
}

impl Sorter {
    /// Keeps at most `most` samples in memory, and the others below `folder`.
    pub fn new(folder: &Path, most: usize) -> Sorter {
        Sorter {
            folder: folder.to_path_buf(),
            most: most.max(1),
            buffer: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Takes a sample.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn push(&mut self, ranked: Ranked) -> Result<(), StageError> {
        if self.buffer.len() == self.most {
            self.spill()?;
        }
        self.buffer.push(ranked);
        Ok(())
    }

    fn spill(&mut self) -> Result<(), StageError> {
        let failed = |error: std::io::Error| StageError::io("sorting in", &self.folder, &error);
        self.buffer.sort_unstable_by_key(Ranked::key);
        // Without a name: it is gone when it is closed, whatever happens.
        let mut out = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(&self.folder).map_err(failed)?);
        for ranked in &self.buffer {
            out.write_all(&ranked.to_bytes()).map_err(failed)?;
        }
        let mut file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.rewind().map_err(failed)?;
        self.runs.push(file);
        self.buffer.clear();
        Ok(())
    }

    /// All samples in order.
    ///
    /// # Errors
    /// Where a file can't be read back.
    pub fn finish(mut self) -> Result<Merge, StageError> {
        self.buffer.sort_unstable_by_key(Ranked::key);
        let mut merge = Merge {
            folder: self.folder,
            memory: self.buffer.into_iter(),
            runs: self
                .runs
                .into_iter()
                .map(|file| BufReader::with_capacity(1 << 16, file))
                .collect(),
            heads: BinaryHeap::new(),
        };
        for source in 0..=merge.runs.len() {
            if let Some(ranked) = merge.next_of(source)? {
                merge.heads.push(Reverse(Head(ranked, source)));
            }
        }
        Ok(merge)
    }
}

/// The next sample of a run.
#[derive(Clone, Copy, PartialEq)]
struct Head(Ranked, usize);

impl Eq for Head {}
impl Ord for Head {
    fn cmp(&self, other: &Head) -> std::cmp::Ordering {
        self.0.key().cmp(&other.0.key())
    }
}
impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Samples in order.
pub struct Merge {
    folder: PathBuf,
    memory: std::vec::IntoIter<Ranked>,
    runs: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<Head>>,
}

impl Merge {
    /// The next sample of a run; the one behind the last run is what stayed in memory.
    fn next_of(&mut self, source: usize) -> Result<Option<Ranked>, StageError> {
        let Some(run) = self.runs.get_mut(source) else {
            return Ok(self.memory.next());
        };
        let mut bytes = [0; BYTES];
        match run.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(Ranked::from_bytes(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(StageError::io("sorting in", &self.folder, &error)),
        }
    }

    /// The next sample in order.
    ///
    /// # Errors
    /// Where a file can't be read back.
    pub fn next(&mut self) -> Result<Option<Ranked>, StageError> {
        let Some(Reverse(Head(first, source))) = self.heads.peek().copied() else {
            return Ok(None);
        };
        let next = self.next_of(source)?;
        if let Some(mut head) = self.heads.peek_mut() {
            match next {
                Some(next) => *head = Reverse(Head(next, source)),
                None => drop(PeekMut::pop(head)),
            }
        }
        Ok(Some(first))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_over_the_disk_comes_back_in_order(
            samples in proptest::collection::vec((0_u32..3, any::<u64>(), any::<[u8; 32]>(), 0.0_f32..1.0), 0..60),
            most in 1_usize..20,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::new(folder.path(), most);
            let mut expected: Vec<Ranked> = samples
                .into_iter()
                .map(|(class, place, id, probability)| Ranked { class, place, id, probability })
                .collect();
            for ranked in &expected {
                sorter.push(*ranked).unwrap();
            }
            expected.sort_by_key(Ranked::key);
            let mut merge = sorter.finish().unwrap();
            let mut given = Vec::new();
            while let Some(ranked) = merge.next().unwrap() {
                given.push(ranked);
            }
            prop_assert_eq!(given, expected);
        }
    }
}
