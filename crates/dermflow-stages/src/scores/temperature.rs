//! Temperature scaling (Guo et al. 2017): one number by which all scores are divided, so that
//! probabilities are as sure as they are right. It changes no decision. From probabilities it works
//! as from scores: their logarithms are the scores, up to a number that falls out.

/// A probability of 0 would have an infinite logarithm.
const LEAST: f64 = 1e-12;
/// Scores are divided by no less and no more than this.
const RANGE: (f64, f64) = (0.01, 100.0);

/// Probabilities as they are at this temperature; above 1 they are less sure.
pub fn scaled(probabilities: &[f32], temperature: f64) -> Vec<f64> {
    let logarithms: Vec<f64> = probabilities
        .iter()
        .map(|share| libm::log(f64::from(*share).max(LEAST)) / temperature)
        .collect();
    let most = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = logarithms.iter().map(|score| libm::exp(score - most)).collect();
    let sum: f64 = parts.iter().sum();
    parts.into_iter().map(|part| part / sum).collect()
}

/// The temperature at which the log-loss of these samples (probabilities of all classes, and the
/// true one) is smallest; none without samples. Where ever surer or ever less sure is better, the
/// end of the range 0.01 to 100.
pub fn fitted<'a>(samples: impl Iterator<Item = (&'a [f32], usize)> + Clone) -> Option<f64> {
    samples.clone().next()?;
    // In 1 / temperature the loss is convex, so its slope crosses zero once.
    let slope = |inverse: f64| -> f64 {
        samples
            .clone()
            .map(|(probabilities, truth)| {
                let shares = scaled(probabilities, 1.0 / inverse);
                let score = |share: &f32| libm::log(f64::from(*share).max(LEAST));
                let mean: f64 = shares
                    .iter()
                    .zip(probabilities)
                    .map(|(share, given)| share * score(given))
                    .sum();
                mean - score(&probabilities[truth])
            })
            .sum()
    };
    let (mut low, mut high) = (libm::log(1.0 / RANGE.1), libm::log(1.0 / RANGE.0));
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        match slope(libm::exp(middle)) < 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
    Some(libm::exp(-0.5 * (low + high)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loss(samples: &[(Vec<f32>, usize)], temperature: f64) -> f64 {
        samples
            .iter()
            .map(|(row, truth)| -libm::log(scaled(row, temperature)[*truth]))
            .sum()
    }

    #[test]
    fn probabilities_that_are_too_sure_are_found_out() {
        // Always 0.9 sure of the first class, and right six times in ten: 0.6 is honest.
        let samples: Vec<(Vec<f32>, usize)> = (0..100)
            .map(|at| (vec![0.9, 0.1], usize::from(at % 10 >= 6)))
            .collect();
        let temperature = fitted(samples.iter().map(|(row, truth)| (&row[..], *truth))).unwrap();
        // ln 9 / T = ln 1.5.
        assert!(
            (temperature - 9_f64.ln() / 1.5_f64.ln()).abs() < 1e-6,
            "{temperature}"
        );
        let honest = scaled(&[0.9, 0.1], temperature);
        assert!((honest[0] - 0.6).abs() < 1e-7);
    }

    #[test]
    fn one_is_no_change_and_nothing_has_no_temperature() {
        let same = scaled(&[0.2, 0.5, 0.3], 1.0);
        assert!((same[1] - 0.5).abs() < 1e-7 && (same.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(fitted(std::iter::empty()), None);
        let always_right = [(&[0.6_f32, 0.4][..], 0)];
        assert!(fitted(always_right.into_iter()).unwrap() < 0.02);
        assert!(scaled(&[1.0, 0.0], 0.01).iter().all(|share| share.is_finite()));
    }

    proptest! {
        #[test]
        fn no_other_temperature_is_better(
            rows in proptest::collection::vec((0.01_f32..1.0, 0.01_f32..1.0, 0.01_f32..1.0, 0_usize..3), 1..30),
            other in 0.02_f64..50.0,
        ) {
            let samples: Vec<(Vec<f32>, usize)> = rows
                .into_iter()
                .map(|(a, b, c, truth)| (vec![a / (a + b + c), b / (a + b + c), c / (a + b + c)], truth))
                .collect();
            let found = fitted(samples.iter().map(|(row, truth)| (&row[..], *truth))).unwrap();
            prop_assert!(loss(&samples, found) <= loss(&samples, other) + 1e-6);
            // The likeliest class stays the likeliest.
            for (row, _) in &samples {
                let most = |row: Vec<f64>| (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
                let before = row.iter().map(|share| f64::from(*share)).collect::<Vec<f64>>();
                let after = scaled(row, found);
                prop_assert!((after[most(before)] - after.iter().copied().fold(0.0, f64::max)).abs() < 1e-9);
            }
        }
    }
}
