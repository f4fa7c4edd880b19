//! [`Matched`]: sides of one seed, one of each of several groups. Must not know what is compared of
//! them.

use crate::groups::Group;
use crate::sides::Side;

/// Sides of one seed, one of each group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matched<const N: usize> {
    /// Their places among all sides, in the order of the groups.
    pub sides: [usize; N],
    /// Their seed; none where the groups have no seed in common.
    pub seed: Option<u64>,
}

/// A side of the baseline and one of another group.
pub(crate) type Pair = Matched<2>;

/// Members of one seed side by side; where the groups have no seed in common, their first ones.
/// Only those that have the stage.
pub(crate) fn pairs(sides: &[Side], baseline: &Group, group: &Group, stage: &str) -> Vec<Pair> {
    matched(sides, [baseline, group], stage)
}

/// The same for any number of groups.
pub(crate) fn matched<const N: usize>(sides: &[Side], groups: [&Group; N], stage: &str) -> Vec<Matched<N>> {
    let has = |side: usize| sides[side].stages.contains_key(stage);
    let having = |group: &Group, is_it: &dyn Fn(Option<u64>) -> bool| {
        let mut members = group.members.iter();
        let found = members.find(|member| is_it(member.seed) && has(member.side));
        found.map(|member| member.side)
    };
    let mut all: Vec<Matched<N>> = Vec::new();
    let of_first = groups.first().into_iter().flat_map(|group| &group.members);
    for member in of_first.filter(|member| has(member.side)) {
        if let Some(mut of_seed) = every(groups.map(|group| having(group, &|seed| seed == member.seed))) {
            // Of several members of one seed, each of the first group's is matched.
            of_seed[0] = member.side;
            all.push(Matched {
                sides: of_seed,
                seed: member.seed,
            });
        }
    }
    if all.is_empty() {
        let first = every(groups.map(|group| having(group, &|_| true)));
        all.extend(first.map(|sides| Matched { sides, seed: None }));
    }
    all
}

fn every<const N: usize>(found: [Option<usize>; N]) -> Option<[usize; N]> {
    let all = found.iter().all(Option::is_some);
    all.then(|| found.map(Option::unwrap_or_default))
}
