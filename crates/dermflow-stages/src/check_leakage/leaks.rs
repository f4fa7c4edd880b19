//! Leaks among rows: what sides have in common. Knows no tables.

use std::collections::HashMap;

use dermflow_core::{StageContext, StageError};
use dermflow_vision::similarity::near_pairs;

use super::gather::{Gathered, NONE, Row};

/// Why two samples are too close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    SameImage,
    SameGroup,
    NearDuplicate,
}

impl Reason {
    /// As the output writes it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::SameImage => "same-image",
            Reason::SameGroup => "same-group",
            Reason::NearDuplicate => "near-duplicate",
        }
    }
}

/// A sample and its partner in another side, as numbers of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leak {
    pub row: u32,
    pub other: u32,
    pub reason: Reason,
    /// In how many bits the hashes differ.
    pub distance: Option<u32>,
}

/// One image in several sides.
pub fn same_image(gathered: &Gathered, leaks: &mut Vec<Leak>) {
    let rows = &gathered.rows;
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by_key(|at| (rows[*at as usize].id, rows[*at as usize].side, *at));
    let one_image = |a: &u32, b: &u32| rows[*a as usize].id == rows[*b as usize].id;
    for image in order.chunk_by(one_image) {
        across(gathered, image, Reason::SameImage, leaks);
    }
}

/// One group in several sides.
pub fn same_group(gathered: &Gathered, leaks: &mut Vec<Leak>) {
    let rows = &gathered.rows;
    let mut order: Vec<u32> = (0..rows.len() as u32)
        .filter(|at| rows[*at as usize].group != NONE)
        .collect();
    let by = |at: &u32| {
        let row = &rows[*at as usize];
        (row.group, row.side, row.id, *at)
    };
    order.sort_unstable_by_key(by);
    let one_group = |a: &u32, b: &u32| rows[*a as usize].group == rows[*b as usize].group;
    for group in order.chunk_by(one_group) {
        across(gathered, group, Reason::SameGroup, leaks);
    }
}

/// Leaks among rows that all belong together, in order of their sides: each with the first one of
/// every other side. Several rows of one sample in a side are told once.
fn across(gathered: &Gathered, together: &[u32], reason: Reason, leaks: &mut Vec<Leak>) {
    let row = |at: u32| &gathered.rows[at as usize];
    let firsts: Vec<u32> = together
        .chunk_by(|a, b| row(*a).side == row(*b).side)
        .map(|side| side[0])
        .collect();
    if firsts.len() < 2 {
        return;
    }
    let mut last: Option<&Row> = None;
    for at in together {
        let this = row(*at);
        if last.is_some_and(|last| last.id == this.id && last.side == this.side) {
            continue;
        }
        last = Some(this);
        for other in firsts.iter().filter(|other| row(**other).side != this.side) {
            leaks.push(Leak {
                row: *at,
                other: *other,
                reason,
                distance: None,
            });
        }
    }
}

/// Pictures that differ in at most `most` bits, in several sides, and are not the same image.
///
/// # Errors
/// Where the run is interrupted.
pub fn near_duplicates(
    gathered: &Gathered,
    most: u32,
    context: &dyn StageContext,
    leaks: &mut Vec<Leak>,
) -> Result<(), StageError> {
    let rows = &gathered.rows;
    let mut hashed: Vec<(u64, u16, u32)> = (0..rows.len() as u32)
        .filter_map(|at| Some((rows[at as usize].hash?, rows[at as usize].side, at)))
        .collect();
    hashed.sort_unstable_by_key(|(hash, side, at)| (*hash, *side, rows[*at as usize].id, *at));
    // Pictures with one hash are compared as one.
    let looks: Vec<&[(u64, u16, u32)]> = hashed.chunk_by(|a, b| a.0 == b.0).collect();
    let nearest = nearest(&looks, most, context)?;
    for (number, look) in looks.iter().enumerate() {
        for in_side in look.chunk_by(|a, b| a.1 == b.1) {
            for (side, bits, other) in nearest.of(number, in_side[0].1) {
                partners(gathered, in_side, looks[other], side, bits, leaks);
            }
        }
    }
    Ok(())
}

/// Each of the pictures of one look and side with the first other image of `look` in `side`.
fn partners(
    gathered: &Gathered,
    pictures: &[(u64, u16, u32)],
    look: &[(u64, u16, u32)],
    side: u16,
    bits: u32,
    leaks: &mut Vec<Leak>,
) {
    let id = |at: u32| gathered.rows[at as usize].id;
    let first = look.partition_point(|(_, other, _)| *other < side);
    let Some((_, _, best)) = look.get(first).copied() else {
        return;
    };
    // For the picture that is the first one itself, seen at another size or in both sides.
    let in_side = look[first..].iter().take_while(|(_, other, _)| *other == side);
    let second = in_side.map(|(_, _, at)| *at).find(|at| id(*at) != id(best));
    let mut last = None;
    for (_, _, at) in pictures {
        if last == Some(id(*at)) {
            continue;
        }
        last = Some(id(*at));
        let other = if id(best) == id(*at) { second } else { Some(best) };
        if let Some(other) = other {
            leaks.push(Leak {
                row: *at,
                other,
                reason: Reason::NearDuplicate,
                distance: Some(bits),
            });
        }
    }
}

/// For each look and side the nearest look in that side: fewest bits, then the smaller hash.
struct Nearest {
    /// By look and side: bits, look.
    best: HashMap<(u32, u16), (u32, u32)>,
    sides: Vec<u16>,
}

impl Nearest {
    /// The nearest looks in sides other than `side`, in order of sides.
    fn of(&self, look: usize, side: u16) -> impl Iterator<Item = (u16, u32, usize)> + '_ {
        let others = self.sides.iter().filter(move |other| **other != side);
        others.filter_map(move |other| {
            let (bits, nearest) = self.best.get(&(look as u32, *other))?;
            Some((*other, *bits, *nearest as usize))
        })
    }
}

fn nearest(
    looks: &[&[(u64, u16, u32)]],
    most: u32,
    context: &dyn StageContext,
) -> Result<Nearest, StageError> {
    let sides_of = |look: usize| looks[look].chunk_by(|a, b| a.1 == b.1).map(|side| side[0].1);
    let mut best: HashMap<(u32, u16), (u32, u32)> = HashMap::new();
    let mut offer = |look: usize, side: u16, bits: u32, other: usize| {
        let offered = (bits, other as u32);
        let kept = best.entry((look as u32, side)).or_insert(offered);
        *kept = offered.min(*kept);
    };
    let mut all_sides: Vec<u16> = Vec::new();
    for look in 0..looks.len() {
        all_sides.extend(sides_of(look));
        if sides_of(look).nth(1).is_some() {
            sides_of(look).for_each(|side| offer(look, side, 0, look));
        }
        if look.is_multiple_of(65_536) {
            all_sides.sort_unstable();
            all_sides.dedup();
        }
    }
    all_sides.sort_unstable();
    all_sides.dedup();
    let hashes: Vec<u64> = looks.iter().map(|look| look[0].0).collect();
    let mut calls = 0u64;
    let mut interrupted = false;
    near_pairs(&hashes, most, |a, b, bits| {
        calls += 1;
        if calls.is_multiple_of(1 << 16) && context.cancelled() {
            interrupted = true;
            return false;
        }
        for of_a in sides_of(a) {
            for of_b in sides_of(b).filter(|side| *side != of_a) {
                offer(a, of_b, bits, b);
                offer(b, of_a, bits, a);
            }
        }
        true
    });
    match interrupted {
        true => Err(StageError::cancelled()),
        false => Ok(Nearest {
            best,
            sides: all_sides,
        }),
    }
}
