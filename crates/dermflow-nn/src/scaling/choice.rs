//! The rule by which one candidate is chosen. Must not know where candidates come from.

use std::cmp::Ordering;

use super::{Candidate, Costs, Limits, Search};

/// The chosen candidate; none where none fits.
pub(super) fn choose(candidates: &[Candidate], search: &Search, limits: &Limits) -> Option<usize> {
    let fitting = || {
        candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| candidate.fits)
    };
    // Of the limits, not of computation: under a limit on memory alone, the most computation is that
    // of the widest networks, and under one on parameters that of the largest images.
    let most = fitting()
        .map(|(_, candidate)| used(&candidate.costs, limits))
        .max_by(f64::total_cmp)?;
    let least = most * search.share_of_most;
    let equal = fitting().filter(|(_, candidate)| used(&candidate.costs, limits) >= least);
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

/// How much the costs use of that limit of which they use most: 1 where they reach it.
pub(super) fn used(costs: &Costs, limits: &Limits) -> f64 {
    let of_each = [
        (Some(costs.multiply_adds), limits.multiply_adds),
        (Some(costs.parameters), limits.parameters),
        (costs.training_memory, limits.training_memory),
    ];
    of_each
        .into_iter()
        .filter_map(|(cost, limit)| Some(cost? as f64 / limit? as f64))
        .fold(0.0, f64::max)
}

/// The smallest of the three shares of growth in computation, in thousandths: 333 where depth,
/// width and size grow alike, 0 where one doesn't grow. Coarse, so that rounding decides nothing.
pub(super) fn balance(candidate: &Candidate, size: u32) -> f64 {
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
