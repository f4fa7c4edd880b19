//! [`Share`]: how much of one score's gap is closed, with its intervals. Must not know where figures
//! come from.
//!
//! A share is a quotient, and means little where its divisor may be zero. So there is an interval
//! only where that of the gap itself, of the same draws, leaves out zero. In the few draws in which
//! the gap is none or the other way round all the same, the share lies beyond all bounds, on the side
//! that the score has moved to, and not where the quotient would jump to.

use dermflow_stages::paired::{COMPARED, Drawn, Figures, interval};
use serde::Serialize;

/// Ends closer than this share of their size are the same but for rounding.
const ROUNDING: f64 = 1e-12;

/// How much of one score's gap a group closes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The score: `balanced-accuracy`.
    pub name: String,
    /// The mean over seeds of the group that the gap starts from.
    pub low: f64,
    /// The mean over seeds of the group that it ends at.
    pub high: f64,
    /// The group's own mean over seeds.
    pub own: f64,
    /// What share it closes: 0 where its mean is the low one, 1 where it is the high one. None where
    /// there is no gap.
    pub share: Option<f64>,
    /// The share's interval over samples; none where that of the gap has zero in it.
    pub over_samples: Option<(f64, f64)>,
    /// The share's interval over samples and seeds; none for one seed, and where that of the gap has
    /// zero in it.
    pub over_pairs: Option<(f64, f64)>,
    /// The interval over samples of the gap itself.
    pub gap_over_samples: Option<(f64, f64)>,
    /// The interval over samples and seeds of the gap itself; none for one seed.
    pub gap_over_pairs: Option<(f64, f64)>,
    /// Why there is no share, or no interval.
    pub blank: Option<String>,
}

/// The shares of every score that all three have, drawn in the order low, high and the group's own.
/// `labels` are what the two ends are called.
pub(super) fn of(drawn: &Drawn<3>, level: f64, labels: [&str; 2]) -> Vec<Share> {
    let named = COMPARED.iter().enumerate();
    named
        .filter_map(|(place, name)| {
            let [low, high, own] = drawn.whole.map(|figures| figures[place]);
            let mut share = Share {
                name: (*name).to_string(),
                low: low?,
                high: high?,
                own: own?,
                share: None,
                over_samples: None,
                over_pairs: None,
                gap_over_samples: None,
                gap_over_pairs: None,
                blank: None,
            };
            share.fill(drawn, place, level, labels);
            Some(share)
        })
        .collect()
}

impl Share {
    /// The share and the intervals of the score at `place`.
    fn fill(&mut self, drawn: &Drawn<3>, place: usize, level: f64, labels: [&str; 2]) {
        let (gap, moved) = (self.high - self.low, self.own - self.low);
        self.blank = no_gap([self.low, self.high], labels);
        let direction = gap.signum();
        let of = |draws: &[[Figures; 3]]| Intervals::of(draws, place, direction, level);
        let (over_samples, over_pairs) = (of(&drawn.over_samples), of(&drawn.over_pairs));
        (self.gap_over_samples, self.gap_over_pairs) = (over_samples.gap, over_pairs.gap);
        if self.blank.is_some() {
            return;
        }
        // Zero is added so that no share is -0.
        self.share = Some(moved / gap + 0.0);
        (self.over_samples, self.over_pairs) = (over_samples.share, over_pairs.share);
        let of_samples = over_samples.blank.map(|why| format!("no interval: {why}"));
        let of_pairs = over_pairs.blank;
        self.blank =
            of_samples.or_else(|| of_pairs.map(|why| format!("no interval over samples and seeds: {why}")));
    }
}

/// Intervals of the same draws.
struct Intervals {
    gap: Option<(f64, f64)>,
    share: Option<(f64, f64)>,
    /// Why there is none of the share though there are draws.
    blank: Option<&'static str>,
}

impl Intervals {
    /// Of the score at `place`, whose gap points in this direction (1 or -1).
    fn of(draws: &[[Figures; 3]], place: usize, direction: f64, level: f64) -> Intervals {
        let apart: Vec<Option<[f64; 2]>> = draws.iter().map(|draw| apart(draw, place)).collect();
        let gaps = apart.iter().map(|draw| draw.map(|[gap, _]| gap));
        let gap = interval(gaps, level);
        let shares = apart.iter().map(|draw| {
            let [gap, moved] = (*draw)?;
            share_of_draw(direction * gap, direction * moved)
        });
        let share = interval(shares, level).filter(|(low, high)| low.is_finite() && high.is_finite());
        let has_zero = gap.is_some_and(|(low, high)| low <= 0.0 && high >= 0.0);
        let blank = match (has_zero, share) {
            _ if draws.is_empty() => None,
            (true, _) => Some("that of the gap itself has zero in it"),
            (false, None) => Some("too many draws have no such share"),
            (false, Some(_)) => None,
        };
        Intervals {
            gap,
            share: share.filter(|_| !has_zero),
            blank,
        }
    }
}

/// In one draw, how far the high end, and the group, are from the low end.
fn apart(draw: &[Figures; 3], place: usize) -> Option<[f64; 2]> {
    let [low, high, own] = draw.map(|figures| figures[place]);
    let low = low?;
    Some([high? - low, own? - low])
}

/// The share in one draw, where gaps above zero are those in the direction of the whole; see the
/// module on others. None where nothing can be said.
pub(super) fn share_of_draw(gap: f64, moved: f64) -> Option<f64> {
    if gap.is_nan() || moved.is_nan() {
        return None;
    }
    match gap > 0.0 {
        true => Some(moved / gap + 0.0),
        false => (moved != 0.0).then(|| f64::INFINITY.copysign(moved)),
    }
}

/// Why there is no gap between two means, where there is none.
fn no_gap([low, high]: [f64; 2], [low_label, high_label]: [&str; 2]) -> Option<String> {
    if !(low.is_finite() && high.is_finite()) {
        return Some(format!("`{low_label}` or `{high_label}` has no number"));
    }
    let is_none = (high - low).abs() <= ROUNDING * low.abs().max(high.abs());
    is_none.then(|| format!("no gap: `{high_label}` has the same as `{low_label}`"))
}
