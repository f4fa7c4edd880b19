//! Whole numbers that are as the shares ask for: used for quotas and for counts of a joint.

/// Shares `size` out as `weights` are, by largest remainders; of equal remainders the first
/// gets more. The parts sum to `size`, if any weight is above 0.
pub fn apportion(weights: &[u64], size: u64) -> Vec<u64> {
    let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    let exact = weights
        .iter()
        .map(|weight| u128::from(*weight) * u128::from(size));
    // A part is at most `size`, so it fits.
    let mut parts: Vec<u64> = exact.clone().map(|part| (part / total) as u64).collect();
    let mut by_remainder: Vec<(u128, usize)> =
        exact.enumerate().map(|(at, part)| (part % total, at)).collect();
    by_remainder.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
    let left = size - parts.iter().sum::<u64>();
    for (_, at) in by_remainder.into_iter().take(left as usize) {
        parts[at] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_sum_to_the_size_and_miss_their_share_by_less_than_one(
            weights in proptest::collection::vec(0_u64..50, 1..8),
            size in 0_u64..500,
        ) {
            let total: u64 = weights.iter().sum();
            let parts = apportion(&weights, size);
            prop_assert_eq!(parts.iter().sum::<u64>(), if total > 0 { size } else { 0 });
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = *weight as f64 * size as f64 / total.max(1) as f64;
                prop_assert!((*part as f64 - exact).abs() < 1.0);
            }
        }
    }
}
