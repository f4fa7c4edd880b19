//! A sorted table in batches that end where a sample ends, and a cursor over its samples.
//! What merging kinds share; knows nothing of what is merged.

use std::collections::VecDeque;

use arrow::array::{Array, FixedSizeBinaryArray, RecordBatch};
use arrow::compute::concat_batches;
use dermflow_core::{StageError, TableReader};

use crate::columns::ids_of;

/// The batches of a reader, cut so that no sample lies in two of them. Batches are cut by
/// slicing; rows are copied only where a sample goes on in the next batch. Memory: a batch,
/// or the rows of one sample where these are more.
pub struct WholeSamples {
    reader: Box<dyn TableReader>,
    /// The rows so far of the sample that the last batch ended with.
    held: Vec<RecordBatch>,
    ready: VecDeque<RecordBatch>,
}

impl WholeSamples {
    /// Over all rows of `reader`.
    pub fn new(reader: Box<dyn TableReader>) -> WholeSamples {
        WholeSamples {
            reader,
            held: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    fn release_held(&mut self) -> Result<(), StageError> {
        match self.held.len() {
            0 => {}
            1 => self.ready.extend(self.held.drain(..)),
            _ => {
                let joined = concat_batches(&self.held[0].schema(), &self.held)?;
                self.held.clear();
                self.ready.push_back(joined);
            }
        }
        Ok(())
    }

    fn take(&mut self, batch: RecordBatch) -> Result<(), StageError> {
        let ids = ids_of(&batch)?.clone();
        let mut start = 0;
        if let Some(held) = self.held.first() {
            if ids_of(held)?.value(0) == ids.value(0) {
                start = group_end(&ids, 0);
                self.held.push(batch.slice(0, start));
            }
            if start == batch.num_rows() {
                return Ok(());
            }
            self.release_held()?;
        }
        let last = ids.value(batch.num_rows() - 1);
        let mut tail = batch.num_rows() - 1;
        while tail > start && ids.value(tail - 1) == last {
            tail -= 1;
        }
        if tail > start {
            self.ready.push_back(batch.slice(start, tail - start));
        }
        self.held.push(batch.slice(tail, batch.num_rows() - tail));
        Ok(())
    }
}

impl Iterator for WholeSamples {
    type Item = Result<RecordBatch, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Some(Ok(batch));
            }
            let taken = match self.reader.next() {
                Some(Ok(batch)) if batch.num_rows() == 0 => continue,
                Some(Ok(batch)) => self.take(batch),
                Some(Err(error)) => Err(error),
                None if self.held.is_empty() => return None,
                None => self.release_held(),
            };
            if let Err(error) = taken {
                return Some(Err(error));
            }
        }
    }
}

/// The end of the run of equal ids that starts at `start`.
fn group_end(ids: &FixedSizeBinaryArray, start: usize) -> usize {
    let id = ids.value(start);
    let mut end = start + 1;
    while end < ids.len() && ids.value(end) == id {
        end += 1;
    }
    end
}

/// Walks the samples of a table. The batch at hand stays until the next one is asked for, so
/// that rows can be gathered by index.
pub struct Cursor {
    samples: WholeSamples,
    at_hand: Option<(RecordBatch, FixedSizeBinaryArray)>,
    row: usize,
}

impl Cursor {
    /// At the first sample of `reader`.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn new(reader: Box<dyn TableReader>) -> Result<Cursor, StageError> {
        let mut cursor = Cursor {
            samples: WholeSamples::new(reader),
            at_hand: None,
            row: 0,
        };
        cursor.next_batch()?;
        Ok(cursor)
    }

    /// The batch at hand; none at the end.
    pub fn batch(&self) -> Option<&RecordBatch> {
        self.at_hand.as_ref().map(|(batch, _)| batch)
    }

    /// Whether the batch at hand is used up.
    pub fn exhausted(&self) -> bool {
        self.at_hand.as_ref().is_none_or(|(_, ids)| self.row >= ids.len())
    }

    /// Goes to the next batch; none at hand at the end.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn next_batch(&mut self) -> Result<(), StageError> {
        self.row = 0;
        self.at_hand = match self.samples.next().transpose()? {
            Some(batch) => {
                let ids = ids_of(&batch)?.clone();
                Some((batch, ids))
            }
            None => None,
        };
        Ok(())
    }

    /// The id of the sample at hand; none where the batch is used up.
    pub fn id(&self) -> Option<&[u8]> {
        let (_, ids) = self.at_hand.as_ref()?;
        (self.row < ids.len()).then(|| ids.value(self.row))
    }

    /// Goes on to the first sample whose id is not before `id`, past whole batches where that
    /// lies beyond them; to the end where there is none.
    ///
    /// # Errors
    /// Where the table can't be read.
    pub fn seek(&mut self, id: &[u8]) -> Result<(), StageError> {
        while let Some((_, ids)) = &self.at_hand {
            let (mut low, mut high) = (self.row, ids.len());
            while low < high {
                let middle = low + (high - low) / 2;
                match ids.value(middle) < id {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            self.row = low;
            if low < ids.len() {
                return Ok(());
            }
            self.next_batch()?;
        }
        Ok(())
    }

    /// The rows of the sample `id` in the batch at hand, none where the table lacks it. Ids must
    /// be asked for in rising order; the same one may be asked for again.
    ///
    /// # Errors
    /// Where the table can't be read.
    pub fn rows_of(&mut self, id: &[u8]) -> Result<Option<std::ops::Range<usize>>, StageError> {
        self.seek(id)?;
        let here = self.at_hand.as_ref().filter(|_| self.id() == Some(id));
        Ok(here.map(|(_, ids)| self.row..group_end(ids, self.row)))
    }

    /// Passes the sample at hand; gives its rows in the batch at hand.
    pub fn pass(&mut self) -> std::ops::Range<usize> {
        let start = self.row;
        if let Some((_, ids)) = &self.at_hand
            && start < ids.len()
        {
            self.row = group_end(ids, start);
        }
        start..self.row
    }
}

#[cfg(test)]
mod tests {
    use dermflow_core::StageContext;
    use dermflow_core::memory::{MemoryContext, batch};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_sample_is_cut_and_no_row_is_lost(keys in proptest::collection::vec("[a-e]", 0..30), step in 1usize..7) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let mut context = MemoryContext::default();
            context.batch_rows = step;
            context.add_table("table", batch(&keys, []));
            let cut: Vec<RecordBatch> =
                WholeSamples::new(context.table("table").unwrap()).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(cut.iter().map(RecordBatch::num_rows).sum::<usize>(), keys.len());
            for pair in cut.windows(2) {
                let (before, after) = (ids_of(&pair[0]).unwrap(), ids_of(&pair[1]).unwrap());
                prop_assert!(before.value(before.len() - 1) < after.value(0));
            }
        }

        #[test]
        fn seeking_finds_every_sample_and_stops_before_the_next_one(
            keys in proptest::collection::vec("[a-h]", 0..30), wanted in "[a-h]", step in 1usize..7,
        ) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let mut context = MemoryContext::default();
            context.batch_rows = step;
            context.add_table("table", batch(&keys, []));
            let mut cursor = Cursor::new(context.table("table").unwrap()).unwrap();
            let id = dermflow_core::SampleId::of_key(&wanted);
            cursor.seek(id.as_bytes()).unwrap();
            let mut later: Vec<_> = keys.iter().map(|key| dermflow_core::SampleId::of_key(key)).collect();
            later.retain(|other| *other >= id);
            let first = later.iter().min().map(|first| first.as_bytes().to_vec());
            prop_assert_eq!(cursor.id().map(<[u8]>::to_vec), first.clone());
            let rows = keys.iter().filter(|key| {
                Some(&dermflow_core::SampleId::of_key(key).as_bytes()[..]) == first.as_deref()
            });
            prop_assert_eq!(cursor.pass().len(), rows.count());
        }
    }
}
