//! Wilson's interval of a proportion (Wilson 1927): unlike the usual one it stays within 0 and 1 and
//! is not empty for none or all. It holds for samples that have nothing to do with each other.

/// The two-sided interval of `hits` of `all` at this level (0.95: the usual); none of nothing.
pub fn wilson(hits: u64, all: u64, level: f64) -> Option<(f64, f64)> {
    if all == 0 {
        return None;
    }
    let (n, share) = (all as f64, hits as f64 / all as f64);
    let z = normal_quantile(0.5 + level / 2.0);
    let squared = z * z / n;
    let centre = (share + squared / 2.0) / (1.0 + squared);
    let half = z / (1.0 + squared) * (share * (1.0 - share) / n + squared / (4.0 * n)).sqrt();
    // None and all end at 0 and 1, which rounding must not miss.
    let low = if hits == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if hits == all {
        1.0
    } else {
        (centre + half).min(1.0)
    };
    Some((low, high))
}

/// The value below which this share of a normal distribution lies, 0.5 ≤ share < 1.
fn normal_quantile(share: f64) -> f64 {
    // The distribution function rises, so that halving finds its inverse to the last bits.
    let below = |value: f64| 0.5 * libm::erfc(-value / std::f64::consts::SQRT_2);
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        match below(middle) < share {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn published_values_come_out() {
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-12);
        assert!(normal_quantile(0.5) < 1e-12);
        // Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29, without continuity
        // correction.
        for (hits, all, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let found = wilson(hits, all, 0.95).unwrap();
            assert!(
                (found.0 - low).abs() < 5e-5 && (found.1 - high).abs() < 5e-5,
                "{found:?}"
            );
        }
        assert_eq!(wilson(0, 0, 0.95), None);
        assert_eq!(wilson(7, 7, 0.9).unwrap().1, 1.0);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_share_and_shrinks_with_samples(hits in 0_u64..50, more in 0_u64..50, level in 0.5..0.999) {
            let all = hits + more;
            prop_assume!(all > 0);
            let (low, high) = wilson(hits, all, level).unwrap();
            let share = hits as f64 / all as f64;
            prop_assert!((0.0..=share + 1e-12).contains(&low) && (share - 1e-12..=1.0).contains(&high));
            let (closer_low, closer_high) = wilson(10 * hits, 10 * all, level).unwrap();
            prop_assert!(closer_high - closer_low <= high - low + 1e-12);
        }
    }
}
