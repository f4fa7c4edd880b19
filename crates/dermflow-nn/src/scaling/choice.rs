//! The rule by which one candidate is chosen. Must not know where candidates come from.

use std::cmp::Ordering;

use super::{Candidate, Search};

/// The chosen candidate; none where none fits.
pub(super) fn choose(candidates: &[Candidate], search: &Search) -> Option<usize> {
    let fitting = || {
        candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| candidate.fits)
    };
    let most = fitting()
        .map(|(_, candidate)| candidate.costs.multiply_adds)
        .max()?;
    let least = most as f64 * search.share_of_most;
    let equal = fitting().filter(|(_, candidate)| candidate.costs.multiply_adds as f64 >= least);
    let better = |one: &(usize, &Candidate), other: &(usize, &Candidate)| {
        let balance = |candidate: &Candidate| balance(candidate, search.size);
        balance(one.1)
            .partial_cmp(&balance(other.1))
            .unwrap_or(Ordering::Equal)
            .then(one.1.costs.multiply_adds.cmp(&other.1.costs.multiply_adds))
            .then(other.1.costs.parameters.cmp(&one.1.costs.parameters))
            .then(other.0.cmp(&one.0))
    };
    equal.max_by(better).map(|(index, _)| index)
}

/// The smallest of the three shares of growth in computation, in thousandths: 333 where depth,
/// width and size grow alike, 0 where one doesn't grow. Coarse, so that rounding decides nothing.
fn balance(candidate: &Candidate, size: u32) -> f64 {
    let of_size = match (candidate.ratios, candidate.phi) {
        (Some([.., gamma]), Some(phi)) => phi * libm::log(gamma),
        _ => libm::log(f64::from(candidate.size) / f64::from(size)),
    };
    let growth = [
        libm::log(candidate.depth),
        2.0 * libm::log(candidate.width),
        2.0 * of_size,
    ];
    let all: f64 = growth.iter().sum();
    if growth.iter().all(|growth| growth.abs() < 1e-12) {
        return 333.0;
    }
    let least = growth
        .iter()
        .map(|growth| growth / all)
        .fold(f64::INFINITY, f64::min);
    (1000.0 * least).round()
}
