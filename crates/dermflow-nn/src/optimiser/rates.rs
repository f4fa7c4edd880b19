//! How fast each part of the parameters learns: frozen stages and layer-wise rates.

use std::ops::Range;

/// A part of a flat buffer that learns at one rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Which numbers.
    pub range: Range<usize>,
    /// What the learning rate is multiplied by; 0 leaves the numbers as they are.
    pub factor: f64,
}

/// A tensor's place in the parameters, as [`Rates::by_stage`] needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedTensor {
    /// Whether it lies in the decayed buffer; otherwise it lies in the plain one.
    pub decayed: bool,
    /// Which numbers of that buffer.
    pub range: Range<usize>,
    /// Its stage, counted from the picture.
    pub stage: usize,
}

/// The spans of the decayed and of the plain buffer, in order, without overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    groups: [Vec<Span>; 2],
    lengths: [usize; 2],
}

impl Rates {
    /// Everything learns at the same rate: buffers of so many numbers.
    pub fn uniform(decayed: usize, plain: usize) -> Rates {
        let whole = |len| {
            vec![Span {
                range: 0..len,
                factor: 1.0,
            }]
        };
        Rates {
            groups: [whole(decayed), whole(plain)],
            lengths: [decayed, plain],
        }
    }

    /// The first `frozen_stages` stages don't learn, and each other one learns at
    /// `layer_decay` times the rate of the one above it; the last stage at the full rate.
    /// `lengths` are those of the decayed and of the plain buffer; padding between tensors,
    /// which has no gradient, stays 0.
    pub fn by_stage(
        tensors: &[StagedTensor],
        lengths: [usize; 2],
        frozen_stages: usize,
        layer_decay: f64,
    ) -> Rates {
        let last = tensors.iter().map(|tensor| tensor.stage).max().unwrap_or(0);
        let spans = |decayed: bool| {
            let mut spans: Vec<Span> = tensors
                .iter()
                .filter(|tensor| tensor.decayed == decayed)
                .map(|tensor| Span {
                    range: tensor.range.clone(),
                    factor: match tensor.stage < frozen_stages {
                        true => 0.0,
                        false => layer_decay.powi((last - tensor.stage) as i32),
                    },
                })
                .collect();
            spans.sort_by_key(|span| span.range.start);
            merged(spans)
        };
        Rates {
            groups: [spans(true), spans(false)],
            lengths,
        }
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

/// Neighbours of the same rate as one span, small gaps of padding included, so that an update
/// is few long loops.
fn merged(spans: Vec<Span>) -> Vec<Span> {
    /// Tensors start at multiples of up to so many numbers.
    const LARGEST_PADDING: usize = 64;
    let mut out: Vec<Span> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last)
                if last.factor == span.factor
                    && span.range.start.saturating_sub(last.range.end) < LARGEST_PADDING =>
            {
                last.range.end = span.range.end.max(last.range.end);
            }
            _ => out.push(span),
        }
    }
    out
}
