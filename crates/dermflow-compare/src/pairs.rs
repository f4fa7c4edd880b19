//! [`Pair`]: a side of the baseline and one of another group, of the same seed. Must not know what
//! is compared of them.

use crate::groups::{Group, Member};
use crate::sides::Side;

/// Two sides of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// The places of the baseline's and of the group's among all sides.
    pub sides: [usize; 2],
    /// Their seed; none where the groups have no seed in common.
    pub seed: Option<u64>,
}

/// Members of one seed side by side; where the groups have no seed in common, their first ones.
/// Only those that have the stage.
pub(crate) fn pairs(sides: &[Side], baseline: &Group, group: &Group, stage: &str) -> Vec<Pair> {
    let has = |side: usize| sides[side].stages.contains_key(stage);
    let mut pairs: Vec<Pair> = Vec::new();
    for first in baseline.members.iter().filter(|member| has(member.side)) {
        let same = |member: &&Member| member.seed == first.seed && has(member.side);
        if let Some(second) = group.members.iter().find(same) {
            pairs.push(Pair {
                sides: [first.side, second.side],
                seed: first.seed,
            });
        }
    }
    if pairs.is_empty() {
        let first = |group: &Group| {
            group
                .members
                .iter()
                .map(|member| member.side)
                .find(|side| has(*side))
        };
        pairs.extend(first(baseline).zip(first(group)).map(|(first, second)| Pair {
            sides: [first, second],
            seed: None,
        }));
    }
    pairs
}
