//! Bootstrap intervals (Efron 1979): draw as many groups as there are, with replacement, and
//! compute the figures again. Groups, such as the photos of one patient, stay together.
//!
//! Each resample has a random stream of its own, so the result is the same for any number of
//! threads. Must not know what the figures are.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dermflow_core::{StageContext, StageError};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How intervals are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// How many times the samples are drawn again; 0 leaves the intervals out.
    #[serde(default = "thousand")]
    #[schemars(range(max = 1_000_000))]
    pub resamples: u64,
    /// How sure an interval is to hold the figure.
    #[serde(default = "usual_level")]
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub level: f64,
}

fn thousand() -> u64 {
    1000
}

fn usual_level() -> f64 {
    0.95
}

impl Default for Bootstrap {
    fn default() -> Bootstrap {
        Bootstrap {
            resamples: thousand(),
            level: usual_level(),
        }
    }
}

/// The draws of one stage.
#[derive(Clone, Debug)]
pub struct Resampling {
    seed: u64,
    groups: u32,
}

impl Resampling {
    /// Over so many groups.
    pub fn new(seed: u64, groups: u32) -> Resampling {
        Resampling { seed, groups }
    }

    /// How often each group was drawn in resample number `number`.
    pub fn counts(&self, number: u64) -> Vec<u32> {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..].copy_from_slice(&number.to_le_bytes());
        let seed = blake3::derive_key("dermflow bootstrap resample v1", &key);
        let mut random = ChaCha8Rng::from_seed(seed);
        let mut counts = vec![0; self.groups as usize];
        for _ in 0..self.groups {
            counts[below(&mut random, self.groups) as usize] += 1;
        }
        counts
    }
}

/// A number from 0 to `bound` - 1, each as likely (Lemire 2019). `bound` is above 0.
fn below(random: &mut ChaCha8Rng, bound: u32) -> u32 {
    let refused = bound.wrapping_neg() % bound;
    loop {
        let wide = u64::from(random.next_u32()) * u64::from(bound);
        if wide as u32 >= refused {
            return (wide >> 32) as u32;
        }
    }
}

/// `work` for every number below `count`, over the threads that the stage may use, in order.
///
/// # Errors
/// The first error of the work, or that the run was interrupted.
pub fn in_parallel<T: Send>(
    count: u64,
    context: &dyn StageContext,
    work: impl Fn(u64) -> Result<T, StageError> + Sync,
) -> Result<Vec<T>, StageError> {
    let threads = (context.threads() as u64).clamp(1, count.max(1));
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let done: Mutex<Vec<(u64, Result<T, StageError>)>> = Mutex::new(Vec::new());
    // One number; false where none is left or the work stops.
    let turn = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count || stop.load(Ordering::Relaxed) {
            return false;
        }
        let result = work(number);
        if result.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        // Where another thread panicked the lock is poisoned; the scope passes the panic on.
        done.lock().map(|mut done| done.push((number, result))).is_ok()
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| while turn() {});
        }
        // The context stays on this thread, which looks for an interruption between its turns.
        loop {
            if context.cancelled() {
                stop.store(true, Ordering::Relaxed);
            }
            if !turn() {
                break;
            }
        }
    });
    if context.cancelled() {
        return Err(StageError::cancelled());
    }
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The percentile interval of a figure's values over all resamples, those where it was not
/// defined left out; none where that is more than half.
pub fn interval(values: impl IntoIterator<Item = Option<f64>>, level: f64) -> Option<(f64, f64)> {
    let mut resamples = 0;
    let mut defined: Vec<f64> = values.into_iter().inspect(|_| resamples += 1).flatten().collect();
    if defined.is_empty() || defined.len() * 2 < resamples {
        return None;
    }
    defined.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Some((quantile(&defined, tail), quantile(&defined, 1.0 - tail)))
}

/// Interpolated between the two nearest of the sorted values.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = (place.floor() as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use dermflow_core::memory::MemoryContext;

    use super::*;

    #[test]
    fn every_resample_draws_as_many_groups_as_there_are_and_each_as_often_on_average() {
        let resampling = Resampling::new(7, 40);
        let mut drawn = vec![0_u32; 40];
        for number in 0..2000 {
            let counts = resampling.counts(number);
            assert_eq!(counts.iter().sum::<u32>(), 40);
            drawn
                .iter_mut()
                .zip(counts)
                .for_each(|(sum, count)| *sum += count);
        }
        assert!(drawn.iter().all(|sum| (1750..2250).contains(sum)), "{drawn:?}");
        assert_ne!(resampling.counts(0), resampling.counts(1));
        assert_ne!(resampling.counts(0), Resampling::new(8, 40).counts(0));
        assert!(Resampling::new(7, 0).counts(0).is_empty());
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_says() {
        // 400 values of mean 0 and variance 1: the mean's standard error is 1/20.
        let values: Vec<f64> = (0..400).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let resampling = Resampling::new(3, 400);
        let means = (0..2000).map(|number| crate::scores::weighted_mean(&values, &resampling.counts(number)));
        let (low, high) = interval(means, 0.95).unwrap();
        assert!(
            (low + 0.098).abs() < 0.01 && (high - 0.098).abs() < 0.01,
            "{low} {high}"
        );
    }

    #[test]
    fn undefined_resamples_are_left_out_and_too_many_of_them_give_no_interval() {
        assert_eq!(interval([Some(1.0), None, Some(3.0)], 0.5), Some((1.5, 2.5)));
        assert_eq!(interval([Some(1.0), None, None], 0.5), None);
        assert_eq!(interval([], 0.5), None);
    }

    #[test]
    fn results_come_in_order_and_the_first_error_is_told() {
        let mut context = MemoryContext::default();
        context.threads = 3;
        let squares = in_parallel(50, &context, |number| Ok(number * number)).unwrap();
        assert_eq!(squares, (0..50).map(|number| number * number).collect::<Vec<_>>());
        let failed = in_parallel(50, &context, |number| match number {
            7 => Err(StageError::new("seven")),
            _ => Ok(()),
        });
        assert_eq!(failed.unwrap_err().message, "seven");
        context.cancel.store(true, Ordering::Relaxed);
        assert!(in_parallel(50, &context, Ok).is_err());
    }
}
