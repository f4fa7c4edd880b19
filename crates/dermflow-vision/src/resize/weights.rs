//! The weights of a resampling along one axis: the same whole numbers that the library of the other
//! way makes, so that the sums of both agree to the bit.

use super::ResizeFilter;

/// The library's filters, for the other way.
impl ResizeFilter {
    /// How far from a new pixel's middle old ones still count.
    fn reach(self) -> f64 {
        match self {
            ResizeFilter::Box => 0.5,
            ResizeFilter::Bilinear => 1.0,
            ResizeFilter::Bicubic => 2.0,
            ResizeFilter::Lanczos => 3.0,
        }
    }

    /// How much a pixel counts that is so far away.
    fn weight(self, away: f64) -> f64 {
        let distance = away.abs();
        match self {
            ResizeFilter::Box if away > -0.5 && away <= 0.5 => 1.0,
            ResizeFilter::Bilinear if distance < 1.0 => 1.0 - distance,
            ResizeFilter::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            ResizeFilter::Bicubic if distance < 2.0 => {
                (((distance - 5.0) * distance + 8.0) * distance - 4.0) * -0.5
            }
            ResizeFilter::Lanczos if (-3.0..3.0).contains(&away) => sinc(away) * sinc(away / 3.0),
            _ => 0.0,
        }
    }
}

fn sinc(away: f64) -> f64 {
    match away * std::f64::consts::PI {
        0.0 => 1.0,
        angle => angle.sin() / angle,
    }
}

/// One side of a picture, and what of it becomes a side of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    /// Pixels that there are.
    pub all: u32,
    /// Where the part begins that is taken, in those.
    pub start: f64,
    /// How long that part is, above zero.
    pub length: f64,
    /// Pixels that it becomes.
    pub new: u32,
}

/// For each new pixel, which old ones it is made of, and how much of each.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    spans: Vec<(usize, std::ops::Range<usize>)>,
    values: Vec<i16>,
    /// The weights of a pixel sum to 2 to the power of this, but for rounding.
    pub shift: u32,
}

impl Axis {
    /// Whether pixels change at all.
    pub fn is_resampled(&self) -> bool {
        f64::from(self.new) != self.length || self.start != self.start.round()
    }

    /// Old pixels for each new one.
    pub fn ratio(&self) -> f64 {
        ((self.start + self.length) - self.start) / f64::from(self.new)
    }
}

impl Weights {
    /// Those of a filter.
    pub fn new(axis: &Axis, filter: ResizeFilter) -> Weights {
        let ratio = axis.ratio();
        // Shrinking widens the filter, enlarging doesn't narrow it.
        let stretch = ratio.max(1.0);
        let (reach, shrunk) = (filter.reach() * stretch, 1.0 / stretch);
        let mut exact: Vec<f64> = Vec::new();
        let mut spans = Vec::with_capacity(axis.new as usize);
        for pixel in 0..axis.new {
            let middle = axis.start + (f64::from(pixel) + 0.5) * ratio;
            let first = (middle - reach).floor().max(0.0) as u32;
            let end = (middle + reach).ceil().min(f64::from(axis.all)) as u32;
            let centre = middle - 0.5;
            let weights: Vec<f64> = (first..end)
                .map(|old| filter.weight((f64::from(old) - centre) * shrunk))
                .collect();
            // What weighs nothing at either end need not be read.
            let before = weights.iter().take_while(|weight| **weight == 0.0).count();
            let after = weights[before..]
                .iter()
                .rev()
                .take_while(|weight| **weight == 0.0)
                .count();
            let sum: f64 = weights.iter().sum();
            let kept = exact.len();
            let weights = &weights[before..weights.len() - after];
            exact.extend(weights.iter().map(|weight| match sum != 0.0 {
                true => weight / sum,
                false => *weight,
            }));
            spans.push((first as usize + before, kept..exact.len()));
        }
        let shift = shift(exact.iter().copied().fold(0.0, f64::max));
        let one = f64::from(1u32 << shift);
        Weights {
            spans,
            values: exact.iter().map(|weight| (weight * one).round() as i16).collect(),
            shift,
        }
    }

    /// For each new pixel the first old one, and the weights from there on.
    pub fn each(&self) -> impl Iterator<Item = (usize, &[i16])> {
        self.spans
            .iter()
            .map(|(first, values)| (*first, &self.values[values.clone()]))
    }

    /// The old pixels that are read at all, without gaps.
    pub fn read(&self) -> std::ops::Range<usize> {
        let read = || self.each().filter(|(_, weights)| !weights.is_empty());
        let first = read().map(|(first, _)| first).min();
        let end = read().map(|(first, weights)| first + weights.len()).max();
        first.unwrap_or(0)..end.unwrap_or(0)
    }
}

/// The most bits behind the point with which the largest weight is still a number of 16 bits.
fn shift(largest: f64) -> u32 {
    // A sum of 255 times each weight has to be a number of 32 bits, with one for its sign.
    const MOST: u32 = 21;
    let fits = |shift: &u32| ((largest * f64::from(1u32 << (shift + 1))).round() as i64) < 1 << 15;
    (0..MOST).find(|shift| !fits(shift)).unwrap_or(MOST)
}
