//! Work on several threads whose results come in the order of what went in, with a bounded
//! number under way. Must not know what the work is.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam::channel::{Receiver, Sender, unbounded};
use dermflow_core::StageError;

/// How much may be done at a time.
pub struct Bounds<'a> {
    /// How many threads may help the calling one. Asked before each piece of work, so that
    /// helpers come and go with what it says.
    pub helpers: &'a dyn Fn() -> usize,
    /// How many pieces are under way for each thread: enough that none waits for a slow one.
    pub ahead: usize,
}

/// Calls `next` until it gives nothing, `work` on each piece, on the calling thread and on its
/// helpers (each with a state of its own from `state`), and `done` on each result, in the order
/// of `next`. `next` and `done` run on the calling thread. Ends at the first error of any.
///
/// # Errors
/// Those of `next`, `work` and `done`, and where `work` ended by a panic.
pub fn in_order<J: Send, R: Send, S>(
    bounds: Bounds<'_>,
    next: &mut dyn FnMut() -> Result<Option<J>, StageError>,
    state: &(dyn Fn() -> S + Sync),
    work: &(dyn Fn(&mut S, J) -> Result<R, StageError> + Sync),
    done: &mut dyn FnMut(R) -> Result<(), StageError>,
) -> Result<(), StageError> {
    let crew = Crew::default();
    std::thread::scope(|scope| {
        let (jobs, given) = unbounded::<(u64, J)>();
        let (results, came) = unbounded::<(u64, Result<R, StageError>)>();
        // Dropped before `jobs` is, whatever the outcome: helpers then end, some jobs undone.
        let _dismissed = Dismissal(&crew);
        let mut own: Option<S> = None;
        let (mut sent, mut taken, mut more) = (0u64, 0u64, true);
        let mut waiting: BTreeMap<u64, R> = BTreeMap::new();
        loop {
            crew.wanted.store((bounds.helpers)(), Ordering::Relaxed);
            let most = bounds.ahead.max(1) * (1 + crew.wanted.load(Ordering::Relaxed));
            while more && sent - taken < most as u64 {
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
            for _ in 0..given.len() {
                if !crew.hire() {
                    break;
                }
                let (given, results, crew) = (given.clone(), results.clone(), &crew);
                scope.spawn(move || help(crew, &given, &results, state, work));
            }
            for (number, result) in came.try_iter() {
                waiting.insert(number, result?);
            }
            if let Some(result) = waiting.remove(&taken) {
                done(result)?;
                taken += 1;
            } else if let Ok((number, job)) = given.try_recv() {
                waiting.insert(number, tried(work, own.get_or_insert_with(state), job)?);
            } else {
                let (number, result) = came.recv().map_err(|_| panicked())?;
                waiting.insert(number, result?);
            }
        }
    })
}

/// How many helpers there are, and how many there may be.
#[derive(Default)]
struct Crew {
    wanted: AtomicUsize,
    there: AtomicUsize,
}

impl Crew {
    /// Counts one more, if one more is wanted.
    fn hire(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        let more = |there| (there < wanted).then_some(there + 1);
        (self
            .there
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more))
        .is_ok()
    }

    /// Counts one less, if there are too many.
    fn dismiss(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        let less = |there: usize| (there > wanted).then(|| there - 1);
        (self
            .there
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less))
        .is_ok()
    }
}

/// Sends all helpers away when it is dropped.
struct Dismissal<'a>(&'a Crew);

impl Drop for Dismissal<'_> {
    fn drop(&mut self) {
        self.0.wanted.store(0, Ordering::Relaxed);
    }
}

/// What a helper does until it is one too many, or nothing can come any more.
fn help<J, R, S>(
    crew: &Crew,
    given: &Receiver<(u64, J)>,
    results: &Sender<(u64, Result<R, StageError>)>,
    state: &dyn Fn() -> S,
    work: &dyn Fn(&mut S, J) -> Result<R, StageError>,
) {
    let mut state = state();
    while !crew.dismiss()
        && let Ok((number, job)) = given.recv()
    {
        if results.send((number, tried(work, &mut state, job))).is_err() {
            return;
        }
    }
}

/// A panic is an error like others: a result that never came would be waited for.
fn tried<J, R, S>(
    work: &dyn Fn(&mut S, J) -> Result<R, StageError>,
    state: &mut S,
    job: J,
) -> Result<R, StageError> {
    catch_unwind(AssertUnwindSafe(|| work(state, job))).unwrap_or_else(|_| Err(panicked()))
}

fn panicked() -> StageError {
    StageError::new("a thread of the stage ended by a panic")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use super::*;

    const AHEAD: usize = 4;

    fn squares(threads: usize, fail_at: Option<u64>) -> (Result<(), StageError>, Vec<u64>, i64) {
        let (under_way, most) = (AtomicI64::new(0), AtomicI64::new(0));
        let mut numbers = 0..200u64;
        let mut came = Vec::new();
        let bounds = Bounds {
            helpers: &|| threads - 1,
            ahead: AHEAD,
        };
        let outcome = in_order(
            bounds,
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
        let bounds = Bounds {
            helpers: &|| 2,
            ahead: 1,
        };
        let outcome = in_order(
            bounds,
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

    #[test]
    fn helpers_come_and_go_while_it_runs() {
        let taken = AtomicI64::new(0);
        let here = std::thread::current().id();
        let mut numbers = 0..300;
        let mut others: Vec<bool> = Vec::new();
        let bounds = Bounds {
            helpers: &|| match taken.load(Ordering::SeqCst) {
                100..200 => 2,
                _ => 0,
            },
            ahead: 4,
        };
        in_order(
            bounds,
            &mut || Ok(numbers.next()),
            &|| (),
            &|(), _| {
                std::thread::sleep(Duration::from_micros(300));
                Ok(std::thread::current().id() != here)
            },
            &mut |elsewhere| {
                taken.fetch_add(1, Ordering::SeqCst);
                others.push(elsewhere);
                Ok(())
            },
        )
        .unwrap();
        let helped = |range: std::ops::Range<usize>| others[range].iter().filter(|helped| **helped).count();
        assert_eq!(others.len(), 300);
        assert_eq!(helped(0..100), 0);
        assert!(helped(100..200) > 20);
        // What was under way when they were sent away is still theirs.
        assert_eq!(helped(220..300), 0);
    }
}
