//! Work on several threads whose results come in the order of what went in, with a bounded
//! number under way. Must not know what the work is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam::channel::{bounded, unbounded};
use dermflow_core::StageError;

/// How many pieces are under way for each thread: enough that none waits for a slow one.
const AHEAD: usize = 4;

/// Calls `next` until it gives nothing, `work` on each piece on one of `threads` threads (each
/// with a state of its own from `state`), and `done` on each result, in the order of `next`.
/// `next` and `done` run on the calling thread. Ends at the first error of either.
///
/// # Errors
/// Those of `next` and `done`, and where a thread ended by a panic.
pub fn in_order<J: Send, R: Send, S>(
    threads: usize,
    next: &mut dyn FnMut() -> Result<Option<J>, StageError>,
    state: &(dyn Fn() -> S + Sync),
    work: &(dyn Fn(&mut S, J) -> Result<R, StageError> + Sync),
    done: &mut dyn FnMut(R) -> Result<(), StageError>,
) -> Result<(), StageError> {
    if threads <= 1 {
        let mut state = state();
        while let Some(job) = next()? {
            done(work(&mut state, job)?)?;
        }
        return Ok(());
    }
    let (jobs, given) = bounded::<(u64, J)>(threads * AHEAD);
    let (results, came) = unbounded::<(u64, Result<R, StageError>)>();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (given, results) = (given.clone(), results.clone());
            scope.spawn(move || {
                let mut state = state();
                for (number, job) in given {
                    // A result that never came would be waited for.
                    let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut state, job)));
                    let result = outcome.unwrap_or_else(|_| Err(panicked()));
                    if results.send((number, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((given, results));
        // Dropped at the end of this block, whatever the outcome: the threads then end.
        let (jobs, came) = (jobs, came);
        let (mut sent, mut taken, mut more) = (0u64, 0u64, true);
        let mut waiting: BTreeMap<u64, R> = BTreeMap::new();
        loop {
            while more && sent - taken < (threads * AHEAD) as u64 {
                match next()? {
                    Some(job) => {
                        jobs.send((sent, job)).map_err(|_| panicked())?;
                        sent += 1;
                    }
                    None => more = false,
                }
            }
            if sent == taken {
                return Ok(());
            }
            let (number, result) = came.recv().map_err(|_| panicked())?;
            waiting.insert(number, result?);
            while let Some(result) = waiting.remove(&taken) {
                done(result)?;
                taken += 1;
            }
        }
    })
}

fn panicked() -> StageError {
    StageError::new("a thread of the stage ended by a panic")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use super::*;

    fn squares(threads: usize, fail_at: Option<u64>) -> (Result<(), StageError>, Vec<u64>, i64) {
        let (under_way, most) = (AtomicI64::new(0), AtomicI64::new(0));
        let mut numbers = 0..200u64;
        let mut came = Vec::new();
        let outcome = in_order(
            threads,
            &mut || {
                let next = numbers.next();
                if let Some(number) = next {
                    most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if Some(number) == fail_at {
                        return Err(StageError::new("stop"));
                    }
                }
                Ok(next)
            },
            &|| (),
            &|(), number| {
                std::thread::sleep(Duration::from_micros(number * 7919 % 500));
                Ok(number * number)
            },
            &mut |square| {
                under_way.fetch_sub(1, Ordering::SeqCst);
                came.push(square);
                Ok(())
            },
        );
        (outcome, came, most.into_inner())
    }

    #[test]
    fn results_come_in_order_and_few_are_under_way() {
        let expected: Vec<u64> = (0..200).map(|number| number * number).collect();
        for threads in [1, 2, 5] {
            let (outcome, came, most) = squares(threads, None);
            outcome.unwrap();
            assert_eq!(came, expected);
            assert!(
                most <= (threads * AHEAD) as i64,
                "{threads} threads: {most} under way"
            );
        }
    }

    #[test]
    fn a_panic_is_an_error_and_nothing_waits() {
        let mut numbers = 0..50;
        let outcome = in_order(
            3,
            &mut || Ok(numbers.next()),
            &|| (),
            &|(), number| match number {
                20 => panic!("a bug"),
                number => Ok(number),
            },
            &mut |_| Ok(()),
        );
        assert!(outcome.unwrap_err().message.contains("panic"));
    }

    #[test]
    fn the_first_error_ends_it() {
        for threads in [1, 3] {
            let (outcome, came, _) = squares(threads, Some(50));
            assert_eq!(outcome.unwrap_err().message, "stop");
            assert!(came.len() <= 50);
        }
    }
}
