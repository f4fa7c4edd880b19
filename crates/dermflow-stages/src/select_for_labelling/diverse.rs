//! Greedy k-centre: always the sample farthest from all that is chosen or labelled. Knows rows of
//! numbers only.
//!
//! What it chooses covers the rest within at most twice the distance that any choice of that size
//! could (Gonzalez 1985). Time: the budget times the candidates times the width of the features.

use dermflow_core::{StageContext, StageError};

use super::Groups;
use super::candidates::{Candidate, Candidates};

/// Chooses `quota` of the members of a stratum, each with its distance when it was chosen; the
/// first one of a stratum where nothing is labelled is drawn, and has none.
///
/// # Errors
/// Where the run is interrupted.
pub fn pick(
    candidates: &Candidates,
    stratum: Option<&str>,
    members: &[usize],
    quota: u64,
    groups: &mut Groups,
    context: &dyn StageContext,
) -> Result<Vec<(usize, Option<f64>)>, StageError> {
    let threads = context.threads();
    let mut nearest = vec![f32::INFINITY; members.len()];
    let mut open = vec![true; members.len()];
    let labelled = candidates.all.iter().enumerate();
    let labelled =
        labelled.filter(|(_, candidate)| candidate.labelled && candidate.stratum.as_deref() == stratum);
    for (at, _) in labelled {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        approach(candidates, members, at, &mut nearest, threads);
    }
    let mut picked = Vec::new();
    while (picked.len() as u64) < quota {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let candidate = |at: usize| -> &Candidate { &candidates.all[members[at]] };
        let free = (0..members.len()).filter(|at| open[*at] && groups.admits(candidate(*at)));
        let farthest = free.max_by(|a, b| {
            let by_distance = nearest[*a].total_cmp(&nearest[*b]);
            // Of equally far ones the smaller draw.
            by_distance.then_with(|| {
                (candidate(*b).draw, candidate(*b).id).cmp(&(candidate(*a).draw, candidate(*a).id))
            })
        });
        let Some(at) = farthest else {
            break;
        };
        open[at] = false;
        groups.take(candidate(at));
        let distance = f64::from(nearest[at]).sqrt();
        picked.push((members[at], distance.is_finite().then_some(distance)));
        approach(candidates, members, members[at], &mut nearest, threads);
    }
    Ok(picked)
}

/// Takes a new centre into account: squared distances to the nearest one.
fn approach(candidates: &Candidates, members: &[usize], centre: usize, nearest: &mut [f32], threads: usize) {
    let features = &candidates.features;
    let centre = features.row(centre);
    let update = |members: &[usize], nearest: &mut [f32]| {
        for (member, nearest) in members.iter().zip(nearest) {
            let pairs = features.row(*member).iter().zip(centre);
            let distance: f32 = pairs.map(|(a, b)| (a - b) * (a - b)).sum();
            *nearest = nearest.min(distance);
        }
    };
    // Below, starting threads takes longer than the work.
    if members.len() * features.width < 1 << 20 || threads < 2 {
        return update(members, nearest);
    }
    let part = members.len().div_ceil(threads);
    std::thread::scope(|scope| {
        for (members, nearest) in members.chunks(part).zip(nearest.chunks_mut(part)) {
            scope.spawn(move || update(members, nearest));
        }
    });
}
