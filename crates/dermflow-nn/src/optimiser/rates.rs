//! How fast each part of the parameters learns: frozen stages and layer-wise rates.

use std::ops::Range;

use crate::layout::{Group, Layout};

/// A part of a flat buffer that learns at one rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Which numbers.
    pub range: Range<usize>,
    /// What the learning rate is multiplied by; 0 leaves the numbers as they are.
    pub factor: f64,
}

/// The spans of the decayed and of the plain buffer, in order, without overlap. Numbers that
/// lie in none of them don't learn.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    groups: [Vec<Span>; 2],
    lengths: [usize; 2],
}

impl Rates {
    /// Everything learns at the same rate: buffers of so many numbers.
    pub fn uniform(decayed: usize, plain: usize) -> Rates {
        Rates::by_stage(&[[0..decayed, 0..plain]], 0, 1.0)
    }

    /// The rates of a network's stages; see [`Rates::by_stage`].
    pub fn of(layout: &Layout, frozen_stages: usize, layer_decay: f64) -> Rates {
        let groups = [Group::Decayed, Group::Plain];
        let stages: Vec<[Range<usize>; 2]> = (0..layout.stages())
            .map(|stage| groups.map(|group| layout.stage_range(group, stage)))
            .collect();
        Rates::by_stage(&stages, frozen_stages, layer_decay)
    }

    /// The first `frozen_stages` stages don't learn, and each other one learns at
    /// `layer_decay` times the rate of the one above it; the last stage at the full rate.
    /// `stages` holds, from the picture up, where each stage's numbers lie in the decayed and
    /// in the plain buffer; together they are the whole buffers.
    pub fn by_stage(stages: &[[Range<usize>; 2]], frozen_stages: usize, layer_decay: f64) -> Rates {
        let mut groups = [Vec::new(), Vec::new()];
        for (stage, ranges) in stages.iter().enumerate() {
            let factor = match stage < frozen_stages {
                true => 0.0,
                false => layer_decay.powi((stages.len() - 1 - stage) as i32),
            };
            for (spans, range) in groups.iter_mut().zip(ranges) {
                append(
                    spans,
                    Span {
                        range: range.clone(),
                        factor,
                    },
                );
            }
        }
        let end = |spans: &Vec<Span>| spans.last().map_or(0, |span| span.range.end);
        let lengths = [end(&groups[0]), end(&groups[1])];
        Rates { groups, lengths }
    }

    /// How many numbers the decayed and the plain buffer have.
    pub fn lengths(&self) -> [usize; 2] {
        self.lengths
    }

    /// The spans of the decayed and of the plain buffer.
    pub fn groups(&self) -> &[Vec<Span>; 2] {
        &self.groups
    }
}

/// Neighbours of the same rate become one span, so that an update is few long loops.
fn append(spans: &mut Vec<Span>, span: Span) {
    match spans.last_mut() {
        _ if span.range.is_empty() => {}
        Some(last) if last.factor == span.factor && last.range.end == span.range.start => {
            last.range.end = span.range.end;
        }
        _ => spans.push(span),
    }
}
