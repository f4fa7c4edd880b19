//! Batch normalisation: statistics of a batch, constants by channel, and their gradients.
//!
//! Must not know of convolutions.

use crate::kernels::rows::Affine;

use super::plan::NormPlan;

/// What a norm does to a convolution's output, by channel, and what its gradient needs.
pub(super) struct Constants {
    pub(super) mean: Vec<f32>,
    /// 1 / √(variance + ε).
    pub(super) deviation: Vec<f32>,
    /// Scale times `deviation`.
    pub(super) gain: Vec<f32>,
    pub(super) shift: Vec<f32>,
    /// Whether mean and variance are those of the batch, and so depend on its numbers.
    pub(super) of_batch: bool,
}

impl Constants {
    /// From means and variances.
    pub(super) fn new(
        mean: impl Iterator<Item = f64>,
        variance: impl Iterator<Item = f64>,
        scale: &[f32],
        shift: &[f32],
        epsilon: f64,
        of_batch: bool,
    ) -> Constants {
        let deviation: Vec<f64> = variance
            .map(|variance| 1.0 / (variance + epsilon).sqrt())
            .collect();
        Constants {
            mean: mean.map(|mean| mean as f32).collect(),
            gain: deviation
                .iter()
                .zip(scale)
                .map(|(deviation, scale)| (deviation * f64::from(*scale)) as f32)
                .collect(),
            deviation: deviation.into_iter().map(|deviation| deviation as f32).collect(),
            shift: shift.to_vec(),
            of_batch,
        }
    }

    /// From running statistics.
    pub(super) fn running(norm: &NormPlan, plain: &[f32], statistics: &[f32], epsilon: f64) -> Constants {
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
        Constants::new(
            wide(&statistics[norm.mean.clone()]).into_iter(),
            wide(&statistics[norm.variance.clone()]).into_iter(),
            &plain[norm.scale.clone()],
            &plain[norm.shift.clone()],
            epsilon,
            false,
        )
    }

    /// No norm but a bias, in the form of one.
    pub(super) fn bias(bias: &[f32]) -> Constants {
        Constants {
            mean: vec![0.0; bias.len()],
            deviation: vec![1.0; bias.len()],
            gain: vec![1.0; bias.len()],
            shift: bias.to_vec(),
            of_batch: false,
        }
    }

    pub(super) fn affine(&self) -> Affine<'_> {
        Affine {
            mean: &self.mean,
            gain: &self.gain,
            shift: &self.shift,
        }
    }

    /// Norm as a factor of the weights and a bias.
    pub(super) fn folded(&self) -> (Vec<f32>, Vec<f32>) {
        let bias = self.mean.iter().zip(&self.gain).zip(&self.shift);
        (
            self.gain.clone(),
            bias.map(|((mean, gain), shift)| (-mean).mul_add(*gain, *shift))
                .collect(),
        )
    }
}

/// The mean and the sum of squared distances of every channel over a batch, from those of the
/// pieces in which it was worked out, joined in their order.
pub(super) struct BatchMoments {
    pub(super) mean: Vec<f64>,
    pub(super) squares: Vec<f64>,
    pub(super) count: usize,
}

impl BatchMoments {
    /// `pieces` holds, for every piece, the means and then the squares; `counts` its rows.
    pub(super) fn of_pieces(channels: usize, pieces: &[f64], counts: &[usize]) -> BatchMoments {
        let mut all = BatchMoments {
            mean: vec![0.0; channels],
            squares: vec![0.0; channels],
            count: 0,
        };
        for (piece, &count) in pieces.chunks_exact(2 * channels).zip(counts) {
            if count == 0 {
                continue;
            }
            let (before, own) = (all.count as f64, count as f64);
            let (weight, both) = (own / (own + before), before * own / (own + before));
            for channel in 0..channels {
                let distance = piece[channel] - all.mean[channel];
                all.mean[channel] += distance * weight;
                all.squares[channel] += piece[channels + channel] + distance * distance * both;
            }
            all.count += count;
        }
        all
    }

    /// The constants of this batch.
    pub(super) fn constants(&self, norm: &NormPlan, plain: &[f32], epsilon: f64) -> Constants {
        let count = self.count as f64;
        Constants::new(
            self.mean.iter().copied(),
            self.squares.iter().map(|squares| squares / count),
            &plain[norm.scale.clone()],
            &plain[norm.shift.clone()],
            epsilon,
            true,
        )
    }

    /// Moves the running statistics towards this batch. The variance counts as unbiased; that of
    /// a single value is unknown, and leaves the running one alone.
    pub(super) fn update(&self, norm: &NormPlan, statistics: &mut [f32], momentum: f64) {
        let step = |running: &mut f32, batch: f64| {
            *running = ((1.0 - momentum) * f64::from(*running) + momentum * batch) as f32;
        };
        for (running, mean) in statistics[norm.mean.clone()].iter_mut().zip(&self.mean) {
            step(running, *mean);
        }
        if self.count > 1 {
            let unbiased = self
                .squares
                .iter()
                .map(|squares| squares / (self.count - 1) as f64);
            for (running, variance) in statistics[norm.variance.clone()].iter_mut().zip(unbiased) {
                step(running, variance);
            }
        }
    }
}

/// By channel, how a convolution's output gradient follows from that behind its norm.
pub(super) struct BackConstants {
    pub(super) gain: Vec<f32>,
    pub(super) slant: Vec<f32>,
    pub(super) offset: Vec<f32>,
}

impl BackConstants {
    /// From `sums` of dz and dz · (y - mean) over `count` places; adds the gradients of scale and
    /// shift.
    pub(super) fn new(
        constants: &Constants,
        sums: &[f64],
        count: usize,
        mut scale_gradient: Option<&mut [f32]>,
        shift_gradient: &mut [f32],
    ) -> BackConstants {
        let channels = constants.mean.len();
        let mut back = BackConstants {
            gain: constants.gain.clone(),
            slant: vec![0.0; channels],
            offset: vec![0.0; channels],
        };
        for channel in 0..channels {
            let (sum, product) = (sums[channel], sums[channels + channel]);
            let deviation = f64::from(constants.deviation[channel]);
            shift_gradient[channel] += sum as f32;
            if let Some(scale) = &mut scale_gradient {
                scale[channel] += (product * deviation) as f32;
            }
            if constants.of_batch {
                let gain = f64::from(constants.gain[channel]) / count as f64;
                back.slant[channel] = (-gain * deviation * deviation * product) as f32;
                back.offset[channel] = (-gain * sum) as f32;
            }
        }
        back
    }
}
