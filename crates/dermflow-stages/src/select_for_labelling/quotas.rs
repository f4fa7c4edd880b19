//! A budget shared out among strata. Knows numbers only.

use super::Shares;

/// How many each stratum may choose: at most what it has, all together the budget where there is
/// enough. Fractions go to the largest ones, then to the first.
pub fn quotas(sizes: &[u64], budget: u64, shares: Shares) -> Vec<u64> {
    let mut quotas = vec![0; sizes.len()];
    let mut open: Vec<usize> = (0..sizes.len()).filter(|at| sizes[*at] > 0).collect();
    let mut left = budget.min(sizes.iter().sum());
    let weight = |at: usize| match shares {
        Shares::Proportional => sizes[at] as f64,
        Shares::Equal => 1.0,
    };
    // A stratum that can't use its share takes all it has, and the others share again.
    loop {
        let total: f64 = open.iter().map(|at| weight(*at)).sum();
        let share = |at: usize| left as f64 * weight(at) / total;
        let full: Vec<usize> = open
            .iter()
            .copied()
            .filter(|at| sizes[*at] as f64 <= share(*at))
            .collect();
        if full.is_empty() {
            break;
        }
        for at in &full {
            quotas[*at] = sizes[*at];
            left -= sizes[*at].min(left);
        }
        open.retain(|at| !full.contains(at));
    }
    let total: f64 = open.iter().map(|at| weight(*at)).sum();
    let mut fractions: Vec<(f64, usize)> = Vec::new();
    let budget = left;
    for at in open {
        let share = budget as f64 * weight(at) / total;
        quotas[at] = (share.floor() as u64).min(left);
        left -= quotas[at];
        fractions.push((share.fract(), at));
    }
    fractions.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    for (_, at) in fractions {
        if left > 0 && quotas[at] < sizes[at] {
            quotas[at] += 1;
            left -= 1;
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_proportional_or_equal_and_what_one_cannot_use_goes_to_the_others() {
        assert_eq!(quotas(&[100, 50, 50], 20, Shares::Proportional), [10, 5, 5]);
        assert_eq!(quotas(&[100, 2, 50], 20, Shares::Equal), [9, 2, 9]);
        assert_eq!(quotas(&[1, 1, 1], 2, Shares::Equal), [1, 1, 0]);
        assert_eq!(quotas(&[3, 0], 10, Shares::Proportional), [3, 0]);
        assert_eq!(quotas(&[], 10, Shares::Equal), [0; 0]);
    }

    proptest! {
        #[test]
        fn the_budget_is_used_and_no_stratum_gives_more_than_it_has(
            sizes in prop::collection::vec(0u64..200, 0..12), budget in 0u64..400, equal in any::<bool>(),
        ) {
            let shares = if equal { Shares::Equal } else { Shares::Proportional };
            let quotas = quotas(&sizes, budget, shares);
            prop_assert_eq!(quotas.iter().sum::<u64>(), budget.min(sizes.iter().sum()));
            prop_assert!(quotas.iter().zip(&sizes).all(|(quota, size)| quota <= size));
        }
    }
}
