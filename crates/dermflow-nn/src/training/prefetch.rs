//! Batches made ahead on threads of their own, handed over in order.
//!
//! Thread w of W makes batches w, w + W, … of the whole training and holds a few of them; the
//! loop takes from the threads in turn. So the order, and with it every result, is the same
//! for any number of threads, and memory is bounded.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::error::TrainingError;
use super::objective::Batches;

/// Where a batch stands: its epoch and its place in it.
type Position = (u64, usize);

/// Hands out batches in order.
pub(super) struct Feed<B> {
    lanes: Vec<Receiver<Result<B, TrainingError>>>,
    taken: usize,
}

impl<B> Feed<B> {
    /// The next batch; the caller knows its position.
    pub(super) fn next(&mut self) -> Result<B, TrainingError> {
        let lane = &self.lanes[self.taken % self.lanes.len()];
        self.taken += 1;
        match lane.recv() {
            Ok(batch) => batch,
            Err(_) => Err(TrainingError::Objective(
                "there are no more batches: the thread that makes them ended".into(),
            )),
        }
    }
}

/// Runs `body` with batches from `start` to the end of epoch `epochs`, made by `threads`
/// threads that hold up to `ahead` finished batches each. The threads end when `body` does.
pub(super) fn with_feed<B: Batches, R>(
    source: &B,
    start: Position,
    epochs: u64,
    (threads, ahead): (usize, usize),
    body: impl FnOnce(&mut Feed<B::Batch>) -> R,
) -> R {
    thread::scope(|scope| {
        let threads = threads.max(1);
        let mut lanes = Vec::with_capacity(threads);
        for lane in 0..threads {
            let (sender, receiver) = sync_channel(ahead.max(1));
            lanes.push(receiver);
            scope.spawn(move || make(source, start, epochs, (lane, threads), &sender));
        }
        // Dropped with its receivers before the scope waits for the threads, which end then.
        let mut feed = Feed { lanes, taken: 0 };
        body(&mut feed)
    })
}

fn make<B: Batches>(
    source: &B,
    start: Position,
    epochs: u64,
    (lane, threads): (usize, usize),
    sender: &SyncSender<Result<B::Batch, TrainingError>>,
) {
    let mut number = 0;
    for epoch in start.0..epochs {
        let first = if epoch == start.0 { start.1 } else { 0 };
        for index in first..source.batches(epoch) {
            if number % threads == lane {
                let batch = source
                    .batch(epoch, index)
                    .map_err(|message| TrainingError::Batch {
                        epoch,
                        index,
                        message,
                    });
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Numbers {
        made: AtomicUsize,
        fails_at: Option<Position>,
    }

    impl Batches for Numbers {
        type Batch = Position;
        fn batches(&self, epoch: u64) -> usize {
            3 + epoch as usize
        }
        fn batch(&self, epoch: u64, index: usize) -> Result<Position, String> {
            self.made.fetch_add(1, Ordering::SeqCst);
            match self.fails_at == Some((epoch, index)) {
                true => Err("broken".into()),
                false => Ok((epoch, index)),
            }
        }
        fn samples(&self, _: u64, _: usize) -> Vec<usize> {
            Vec::new()
        }
    }

    fn numbers(fails_at: Option<Position>) -> Numbers {
        Numbers {
            made: AtomicUsize::new(0),
            fails_at,
        }
    }

    #[test]
    fn batches_come_in_order_from_any_start_and_any_number_of_threads() {
        let all = [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (2, 1)];
        for threads in 1..=4 {
            let got = with_feed(&numbers(None), (0, 1), 3, (threads, 2), |feed| {
                all.map(|_| feed.next().unwrap())
            });
            assert_eq!(got, all, "{threads} threads");
        }
    }

    #[test]
    fn only_a_few_batches_are_made_ahead_and_threads_end_with_the_body() {
        let source = numbers(None);
        with_feed(&source, (0, 0), 1000, (2, 3), |feed| {
            feed.next().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(100));
            // One taken; two threads with three in the queue and one in hand.
            assert!(source.made.load(Ordering::SeqCst) <= 9);
        });
        assert!(source.made.load(Ordering::SeqCst) <= 9);
    }

    #[test]
    fn a_batch_that_fails_is_told_with_its_place_after_those_before_it() {
        with_feed(&numbers(Some((1, 0))), (0, 0), 3, (2, 1), |feed| {
            (0..3).for_each(|index| assert_eq!(feed.next().unwrap(), (0, index)));
            let error = feed.next().unwrap_err().to_string();
            assert_eq!(error, "epoch 2, batch 0: broken");
        });
    }
}
