//! Whether a probability of 0.8 is right eight times in ten: reliability bins and the expected
//! calibration error (Naeini et al. 2015; adaptive bins after Nixon et al. 2019).

use super::ranking::Ranking;
use super::share;

/// Samples whose confidence lies together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// How many.
    pub count: u64,
    /// How many of them are right.
    pub right: u64,
    /// The sum of their confidences.
    pub confidences: f64,
    /// The lowest and the highest; infinite where there is none.
    pub range: (f64, f64),
}

impl Default for Bin {
    fn default() -> Bin {
        Bin {
            count: 0,
            right: 0,
            confidences: 0.0,
            range: (f64::INFINITY, f64::NEG_INFINITY),
        }
    }
}

impl Bin {
    fn add(&mut self, confidence: f64, right: bool, count: u64) {
        self.range = (self.range.0.min(confidence), self.range.1.max(confidence));
        self.count += count;
        self.right += if right { count } else { 0 };
        self.confidences += confidence * count as f64;
    }

    /// Their mean confidence.
    pub fn confidence(&self) -> Option<f64> {
        (self.count > 0).then(|| self.confidences / self.count as f64)
    }

    /// The share that is right.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.right, self.count)
    }
}

/// The upper edge of bin `bin` of `bins` of equal width.
pub fn upper_edge(bin: usize, bins: usize) -> f64 {
    (bin + 1) as f64 / bins as f64
}

/// The bin of equal width that a confidence from 0 to 1 is in: above its lower edge, or the
/// first.
pub fn equal_width_bin(confidence: f64, bins: usize) -> usize {
    // Rounding may miss by one beside an edge, which the two comparisons mend.
    let mut bin = ((confidence * bins as f64) as usize).min(bins - 1);
    while bin > 0 && confidence <= upper_edge(bin - 1, bins) {
        bin -= 1;
    }
    while bin + 1 < bins && confidence > upper_edge(bin, bins) {
        bin += 1;
    }
    bin
}

/// Bins of equal width. `bin_of` is from [`equal_width_bin`].
pub fn equal_width(
    bins: usize,
    bin_of: &[u32],
    confidences: &[f64],
    right: &[bool],
    weights: &[u32],
) -> Vec<Bin> {
    let mut filled = vec![Bin::default(); bins];
    for (sample, weight) in weights.iter().enumerate() {
        if *weight > 0 {
            filled[bin_of[sample] as usize].add(confidences[sample], right[sample], u64::from(*weight));
        }
    }
    filled
}

/// Bins of as equal a count as can be, the lowest confidences first; equal confidences may be
/// cut apart, by sample number. `falling` orders the same confidences.
pub fn equal_count(
    bins: usize,
    falling: &Ranking,
    confidences: &[f64],
    right: &[bool],
    weights: &[u32],
) -> Vec<Bin> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    // The first `total % bins` bins hold one more than the others.
    let size = |bin: usize| total / bins as u64 + u64::from((bin as u64) < total % bins as u64);
    let mut filled = vec![Bin::default(); bins];
    let (mut bin, mut room) = (0, size(0));
    for sample in falling.rising() {
        let mut left = u64::from(weights[sample]);
        while left > 0 {
            while room == 0 && bin + 1 < bins {
                bin += 1;
                room = size(bin);
            }
            let taken = left.min(room);
            filled[bin].add(confidences[sample], right[sample], taken);
            left -= taken;
            room -= taken;
        }
    }
    filled
}

/// The mean distance between confidence and accuracy, each bin counted by its samples.
pub fn expected_calibration_error(bins: &[Bin]) -> Option<f64> {
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    let gaps: f64 = bins
        .iter()
        .map(|bin| (bin.right as f64 - bin.confidences).abs())
        .sum();
    (total > 0).then(|| gaps / total as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bins_are_closed_above() {
        assert_eq!(equal_width_bin(0.0, 10), 0);
        assert_eq!(equal_width_bin(0.5, 10), 4);
        assert_eq!(equal_width_bin(0.500_001, 10), 5);
        assert_eq!(equal_width_bin(1.0, 10), 9);
        for bins in 1..40 {
            for bin in 0..bins {
                assert_eq!(
                    equal_width_bin(upper_edge(bin, bins), bins),
                    bin,
                    "{bin} of {bins}"
                );
            }
        }
    }

    #[test]
    fn a_worked_example() {
        // Confidences 0.9 and right 1 of 2, 0.6 and right 1 of 1.
        let (confidences, right) = ([0.9, 0.9, 0.6], [true, false, true]);
        let bin_of: Vec<u32> = confidences
            .iter()
            .map(|c| equal_width_bin(*c, 5) as u32)
            .collect();
        let bins = equal_width(5, &bin_of, &confidences, &right, &[1, 1, 1]);
        assert_eq!(bins[4].accuracy(), Some(0.5));
        let expected = (2.0 * (0.9 - 0.5) + (1.0 - 0.6)) / 3.0;
        assert!((expected_calibration_error(&bins).unwrap() - expected).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn bins_of_equal_count_differ_by_one_at_most_and_rise(
            samples in proptest::collection::vec((0.0..1.0, any::<bool>(), 0_u32..4), 0..40),
            bins in 1_usize..9,
        ) {
            let confidences: Vec<f64> = samples.iter().map(|sample| sample.0).collect();
            let right: Vec<bool> = samples.iter().map(|sample| sample.1).collect();
            let weights: Vec<u32> = samples.iter().map(|sample| sample.2).collect();
            let ranking = Ranking::new(&confidences, |_| true);
            let filled = equal_count(bins, &ranking, &confidences, &right, &weights);
            let counts: Vec<u64> = filled.iter().map(|bin| bin.count).collect();
            prop_assert_eq!(counts.iter().sum::<u64>(), weights.iter().map(|weight| u64::from(*weight)).sum::<u64>());
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
            let means: Vec<f64> = filled.iter().filter_map(Bin::confidence).collect();
            prop_assert!(means.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
        }
    }
}
