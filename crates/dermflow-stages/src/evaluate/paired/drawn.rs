//! [`Drawn`]: the figures of several sides on the same samples, and what they are in every
//! resample. The draws are those behind the intervals of differences. Must not know what is worked
//! out of them.

use dermflow_core::StageError;

use super::{Figures, Side, Together, draw, of_pairs, prepared, remarks, resamples, together, whole};
use crate::bootstrap::{Bootstrap, in_parallel};

/// The figures of `N` sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn<const N: usize> {
    /// How many samples all sides judged, and are compared on, of the first seed.
    pub samples: u64,
    /// Which samples were left out, and what can't be told, each with the reason; of all seeds.
    pub remarks: Vec<String>,
    /// The figures of each side, the mean over seeds.
    pub whole: [Figures; N],
    /// The same in each resample of the samples; none where all samples of a seed are of one group.
    pub over_samples: Vec<[Figures; N]>,
    /// The same in each resample of the samples and the seeds; none for one seed.
    pub over_pairs: Vec<[Figures; N]>,
}

/// The figures of sides on the samples that all of them judge, for each seed a side of each: the
/// first side's groups count for all. Samples are left out as [`compared`](super::compared) leaves
/// them out.
///
/// # Errors
/// Where tables don't fit their parameters, or no sample is left to compare on.
pub fn drawn<const N: usize>(
    seeds: &[[Side; N]],
    bootstrap: &Bootstrap,
    seed: u64,
    threads: usize,
) -> Result<Drawn<N>, StageError> {
    let ready: Vec<Together<N>> = seeds.iter().map(together).collect::<Result<_, _>>()?;
    let (first, context) = prepared(&ready, threads)?;
    let even = vec![1; ready.len()];
    let of_pairs = of_pairs(seed, ready.len());
    let resampled = in_parallel(resamples(&ready, bootstrap), &context, |number| {
        let drawn = draw(&ready, seed, number);
        Ok([means(&drawn, &even), means(&drawn, &of_pairs.counts(number))])
    })?;
    let values: Vec<[Figures; N]> = ready.iter().map(whole).collect();
    Ok(Drawn {
        samples: first.samples,
        remarks: remarks(&ready, bootstrap),
        whole: means(&values, &even),
        over_samples: resampled.iter().map(|[over_samples, _]| *over_samples).collect(),
        over_pairs: match ready.len() {
            1 => Vec::new(),
            _ => resampled.iter().map(|[_, over_pairs]| *over_pairs).collect(),
        },
    })
}

/// The mean of each side's figures over the seeds, each counted so often.
fn means<const N: usize>(seeds: &[[Figures; N]], counts: &[u32]) -> [Figures; N] {
    let mean = |side: usize, place: usize| -> Option<f64> {
        let (mut sum, mut all) = (0.0, 0.0);
        for (sides, count) in seeds.iter().zip(counts).filter(|(_, count)| **count > 0) {
            sum += f64::from(*count) * sides[side][place]?;
            all += f64::from(*count);
        }
        (all > 0.0).then(|| sum / all)
    };
    std::array::from_fn(|side| std::array::from_fn(|place| mean(side, place)))
}
