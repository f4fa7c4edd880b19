//! [`Orders`]: which samples come when in an epoch, and how often each came before.
//!
//! Must not know what a sample is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use dermflow_nn::sampling::Sampler;
use dermflow_vision::augment::Dice;

/// A sample's turn in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Which sample.
    pub sample: usize,
    /// How often it came before in this epoch: where classes come more often than they have
    /// samples, some come again.
    pub times_before: u32,
}

impl Visit {
    /// What this turn of the sample with this id draws `what` from: something else each time
    /// (`method.md` J3 draws for each sample and step).
    pub fn dice(self, seed: u64, epoch: u64, id: &[u8], what: &[u8]) -> Dice {
        match self.times_before {
            0 => Dice::new(seed, epoch, &[id, what].concat()),
            again => Dice::new(seed, epoch, &[id, &again.to_le_bytes(), what].concat()),
        }
    }

    /// What this turn of the sample with this id is to the network, which drops blocks and features
    /// by it: another number each time.
    pub fn key(self, id: &[u8; 32]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *id;
        let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        // Odd, so that no two turns of a sample fall together (the golden ratio times 2^64).
        first.wrapping_add(u64::from(self.times_before).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// The orders of the last epochs that were asked for: working one out takes long, and every
/// batch of an epoch needs it.
#[derive(Default)]
pub struct Orders(Mutex<Vec<(u64, Arc<Vec<Visit>>)>>);

impl Orders {
    /// The order of an epoch.
    pub fn of(&self, sampler: &Sampler, epoch: u64) -> Arc<Vec<Visit>> {
        // A thread that panicked with the lock left nothing half done: orders are only added whole.
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, order)) = known.iter().find(|(at, _)| *at == epoch) {
            return order.clone();
        }
        let order = Arc::new(visits(sampler.epoch(epoch)));
        if known.len() >= 2 {
            known.remove(0);
        }
        known.push((epoch, order.clone()));
        order
    }

    /// The turns of one batch, where a batch has at most `most` samples.
    pub fn batch(&self, sampler: &Sampler, epoch: u64, most: usize, index: usize) -> Vec<Visit> {
        let order = self.of(sampler, epoch);
        order[share(order.len(), most, index)].to_vec()
    }
}

fn visits(order: Vec<usize>) -> Vec<Visit> {
    let mut seen: BTreeMap<usize, u32> = BTreeMap::new();
    let visit = |sample| {
        let times = seen.entry(sample).or_default();
        *times += 1;
        Visit {
            sample,
            times_before: *times - 1,
        }
    };
    order.into_iter().map(visit).collect()
}

/// The cut of `all` samples into the fewest batches of at most `most`, as equal as can be.
pub fn share(all: usize, most: usize, index: usize) -> Range<usize> {
    let batches = all.div_ceil(most.max(1)).max(1);
    all * index / batches..all * (index + 1) / batches
}

#[cfg(test)]
mod tests {
    use dermflow_nn::sampling::ClassSampling;

    use super::*;

    #[test]
    fn batches_are_as_equal_as_can_be_and_cover_everything_once() {
        for (all, most) in [(10, 4), (33, 32), (1, 8), (64, 32), (7, 1)] {
            let batches = usize::div_ceil(all, most);
            let cut: Vec<_> = (0..batches).map(|index| share(all, most, index)).collect();
            assert_eq!(
                cut.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..all).collect::<Vec<_>>()
            );
            let sizes = || cut.iter().map(ExactSizeIterator::len);
            assert!(sizes().max().unwrap() <= most && sizes().max().unwrap() - sizes().min().unwrap() <= 1);
        }
    }

    #[test]
    fn a_sample_that_comes_again_in_an_epoch_draws_anew() {
        let keys: Vec<[u8; 32]> = (0..40u8).map(|at| [at; 32]).collect();
        let classes: Vec<u32> = (0..40).map(|at| u32::from(at < 4)).collect();
        let sampler = Sampler::new(1, &keys, Some((&classes, ClassSampling::Balanced))).unwrap();
        let order = Orders::default().of(&sampler, 3);
        let of_first: Vec<Visit> = order.iter().filter(|visit| visit.sample == 0).copied().collect();
        let times: Vec<u32> = of_first.iter().map(|visit| visit.times_before).collect();
        assert_eq!(times, [0, 1, 2, 3, 4]);
        let drawn = |epoch: u64| {
            let drawn = of_first
                .iter()
                .map(|visit| visit.dice(7, epoch, &keys[0], b"").unit());
            drawn.collect::<Vec<f64>>()
        };
        let mut all = [drawn(3), drawn(4)].concat();
        all.sort_by(f64::total_cmp);
        all.dedup();
        assert_eq!(all.len(), 10);
        assert_eq!(drawn(3), drawn(3));
        let mut in_the_network: Vec<u64> = of_first.iter().map(|visit| visit.key(&keys[0])).collect();
        in_the_network.sort_unstable();
        in_the_network.dedup();
        assert_eq!(in_the_network.len(), 5);
    }
}
