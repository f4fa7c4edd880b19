//! Where augmentation takes its chances from. Must not know what is drawn.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_distr::{Beta, Distribution, StandardNormal};

/// Draws from one explicit seed: the same seed gives the same draws.
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The draws for one sample in one epoch of a run. No draw of a sample depends on which
    /// others there are, or on who drew before.
    pub fn new(seed: u64, epoch: u64, sample: &[u8]) -> Dice {
        let mut hasher = blake3::Hasher::new_derive_key("dermflow augmentation v1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&epoch.to_le_bytes());
        hasher.update(sample);
        Dice(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// Evenly from 0 up to, without, 1.
    pub fn unit(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Evenly between two numbers.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// Evenly one of `0..count`; 0 where there is none.
    pub fn below(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.0.next_u32() as u8
    }

    /// The number or its negative, evenly.
    pub fn signed(&mut self, number: f64) -> f64 {
        match self.chance(0.5) {
            true => -number,
            false => number,
        }
    }

    /// From the normal distribution of this mean and standard deviation.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let standard: f64 = StandardNormal.sample(&mut self.0);
        mean + deviation * standard
    }

    /// From the symmetric Beta distribution; 1 where `alpha` makes none.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        match Beta::new(alpha, alpha) {
            Ok(beta) => beta.sample(&mut self.0),
            Err(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> [f64; 2] {
        let drawn: Vec<f64> = (0..20_000).map(|_| draw()).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 20_000.0;
        [mean, variance]
    }

    #[test]
    fn distributions_have_their_mean_and_variance() {
        let mut dice = Dice::new(1, 2, b"sample");
        let [mean, variance] = moments(|| dice.normal(3.0, 2.0));
        assert!((mean - 3.0).abs() < 0.06 && (variance - 4.0).abs() < 0.2);
        // The variance of Beta(a, a) is 1 / (4 (2a + 1)).
        let [mean, variance] = moments(|| dice.beta(0.2));
        assert!((mean - 0.5).abs() < 0.02 && (variance - 1.0 / 5.6).abs() < 0.01);
        let [mean, variance] = moments(|| dice.between(2.0, 4.0));
        assert!((mean - 3.0).abs() < 0.02 && (variance - 1.0 / 3.0).abs() < 0.02);
    }

    #[test]
    fn seed_epoch_and_sample_each_move_the_draws() {
        let first = |seed, epoch, sample: &[u8]| Dice::new(seed, epoch, sample).unit();
        let draw = first(1, 2, b"a");
        assert_eq!(draw, first(1, 2, b"a"));
        assert!(![first(2, 2, b"a"), first(1, 3, b"a"), first(1, 2, b"b")].contains(&draw));
    }
}
