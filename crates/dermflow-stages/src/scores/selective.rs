//! What a model that may say "I don't know" gains: risk against coverage (El-Yaniv and Wiener
//! 2010; area under the curve after Geifman et al. 2018).

use super::ranking::Ranking;

/// The mean, over all numbers of samples kept, of the share of errors among them, the most
/// confident kept first. `ranking` orders by confidence, an error being its positive. Where
/// confidences are equal it is the mean over the orders that they could be in.
pub fn area_under_risk_coverage(ranking: &Ranking, weights: &[u32]) -> Option<f64> {
    let (mut kept, mut errors) = (0_u64, 0_u64);
    let mut risks = 0.0;
    ranking.walk(weights, |wrong, right| {
        let equal = wrong + right;
        for taken in 1..=equal {
            let expected = errors as f64 + wrong as f64 * taken as f64 / equal as f64;
            risks += expected / (kept + taken) as f64;
        }
        kept += equal;
        errors += wrong;
    });
    (kept > 0).then(|| risks / kept as f64)
}

/// The highest threshold at or above which at least the share `coverage` of `scores` lies.
/// `coverage` is above 0 and at most 1; none for no scores.
pub fn threshold_at_coverage(scores: &mut [f64], coverage: f64) -> Option<f64> {
    // What rounding adds to a whole number must not ask for one sample more.
    let wanted = (coverage * scores.len() as f64 - 1e-9).ceil() as usize;
    let last = wanted.min(scores.len()).checked_sub(1)?;
    let (_, threshold, _) = scores.select_nth_unstable_by(last, |left, right| right.total_cmp(left));
    Some(*threshold)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_worked_example() {
        // In order of confidence: right, wrong, right. Risks 0, 1/2, 1/3.
        let ranking = Ranking::new(&[0.9, 0.8, 0.7], |sample| sample == 1);
        let area = area_under_risk_coverage(&ranking, &[1, 1, 1]).unwrap();
        assert!((area - (0.5 + 1.0 / 3.0) / 3.0).abs() < 1e-12);
        // All confidences equal: the risk is the share of errors at every coverage.
        let ranking = Ranking::new(&[0.5; 4], |sample| sample == 1);
        assert!((area_under_risk_coverage(&ranking, &[1; 4]).unwrap() - 0.25).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_threshold_keeps_enough_and_no_higher_one_does(
            scores in proptest::collection::vec((0_u8..20).prop_map(f64::from), 1..40),
            coverage in 0.01..1.0,
        ) {
            let threshold = threshold_at_coverage(&mut scores.clone(), coverage).unwrap();
            let share = |bound: f64| scores.iter().filter(|score| **score >= bound).count() as f64 / scores.len() as f64;
            prop_assert!(share(threshold) >= coverage - 1e-12);
            prop_assert!(share(threshold + 0.5) < coverage + 1e-12);
        }
    }
}
