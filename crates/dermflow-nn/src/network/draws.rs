//! What a training step draws: which blocks a sample skips, which features it loses.
//!
//! A draw depends on the step's seed, the sample's key and what is drawn, and on nothing else:
//! another batch size or order moves no draw. Must not know of numbers other than these.

/// Draws of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws<'a> {
    pub(super) seed: u64,
    /// A key for every sample; its place in the batch where there is none.
    pub(super) samples: &'a [u64],
}

impl Draws<'_> {
    fn stream(&self, sample: usize, what: &str) -> blake3::OutputReader {
        let key = self.samples.get(sample).copied().unwrap_or(sample as u64);
        let mut hasher = blake3::Hasher::new_derive_key("dermflow-nn draws of a training step, version 1");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&key.to_le_bytes());
        hasher.update(what.as_bytes());
        hasher.finalize_xof()
    }

    /// For `count` samples, the factor of a block's own part: 0 for a share `drop` of them, and
    /// 1 / (1 - drop) for the rest, so that the mean stays.
    pub(super) fn depth(&self, block: usize, drop: f64, count: usize) -> Vec<f32> {
        (0..count)
            .map(|sample| {
                let mut stream = self.stream(sample, "stochastic depth");
                stream.set_position(8 * block as u64);
                let mut bytes = [0; 8];
                stream.fill(&mut bytes);
                let draw = (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64;
                if draw < drop {
                    0.0
                } else {
                    (1.0 / (1.0 - drop)) as f32
                }
            })
            .collect()
    }

    /// For every feature of `count` samples, its factor: 0 for a share `drop`, 1 / (1 - drop)
    /// for the rest.
    pub(super) fn dropout(&self, drop: f64, count: usize, features: usize) -> Vec<f32> {
        let threshold = (drop * 4_294_967_296.0) as u64;
        let kept = (1.0 / (1.0 - drop)) as f32;
        let mut factors = Vec::with_capacity(count * features);
        let mut bytes = vec![0; 4 * features];
        for sample in 0..count {
            self.stream(sample, "dropout").fill(&mut bytes);
            factors.extend(bytes.chunks_exact(4).map(|draw| {
                let draw = u32::from_le_bytes([draw[0], draw[1], draw[2], draw[3]]);
                if u64::from(draw) < threshold { 0.0 } else { kept }
            }));
        }
        factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_its_draws_wherever_it_stands_in_a_batch() {
        let one = Draws {
            seed: 3,
            samples: &[10, 11, 12],
        };
        let other = Draws {
            seed: 3,
            samples: &[12, 10],
        };
        let (a, b) = (one.dropout(0.5, 3, 100), other.dropout(0.5, 2, 100));
        assert_eq!(a[200..], b[..100]);
        assert_eq!(a[..100], b[100..]);
        assert_ne!(a[..100], a[100..200]);
        assert_eq!(one.depth(4, 0.5, 3)[0], other.depth(4, 0.5, 2)[1]);
    }

    #[test]
    fn the_share_that_is_dropped_is_the_one_asked_for() {
        let samples: Vec<u64> = (0..4000).collect();
        let draws = Draws {
            seed: 1,
            samples: &samples,
        };
        let depth = draws.depth(7, 0.2, 4000);
        let dropped = depth.iter().filter(|factor| **factor == 0.0).count();
        assert!((700..900).contains(&dropped), "{dropped}");
        assert!(depth.contains(&1.25));
        let features = draws.dropout(0.3, 40, 1000);
        let mean = features.iter().sum::<f32>() / 40_000.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert_ne!(draws.depth(7, 0.2, 100), draws.depth(8, 0.2, 100));
    }
}
