//! [`Plans`]: the way through vectors of 512 bits, for pictures that are not shrunk much. How pictures
//! of a size become pictures of another is worked out once, and remembered.

use super::{ResizeFilter, Wanted, vector, weights};

/// How many plans are remembered: photos of one camera have one size, upright or not.
pub(super) const REMEMBERED: usize = 8;
/// Old pixels for each new one, at most: beyond it, pixels that are read for one new pixel are not
/// those of its neighbours, and nothing is won.
const MOST_SHRUNK: f64 = 6.0;

/// What a plan is for.
type Kind = (weights::Axis, weights::Axis, usize, ResizeFilter);

/// Plans of resizing, and what they work in.
#[derive(Default)]
pub(super) struct Plans {
    rows: vector::Rows,
    /// The last used comes last.
    pub(super) remembered: Vec<(Kind, vector::Plan)>,
}

impl Plans {
    /// The part of a picture resized; none where this way is not for it, or something is wrong with
    /// what was asked.
    pub fn resize(&mut self, wanted: &Wanted<'_>) -> Option<Vec<u8>> {
        let Wanted {
            pixels,
            from,
            channels,
            taken,
            to,
            filter,
        } = *wanted;
        let axis = |all: u32, start: f64, length: f64, new: u32| weights::Axis {
            all,
            start,
            length,
            new,
        };
        let down = axis(from.height, taken.y, taken.h, to.height);
        let across = axis(from.width, taken.x, taken.w, to.width);
        let suits = |axis: &weights::Axis| {
            axis.is_resampled()
                && axis.start >= 0.0
                && axis.length > 0.0
                && axis.start + axis.length <= f64::from(axis.all)
                && axis.ratio() <= MOST_SHRUNK
        };
        let whole = matches!(channels, 1 | 3 | 4) && pixels.len() as u64 == from.pixels() * channels as u64;
        if !whole || !suits(&down) || !suits(&across) {
            return None;
        }
        let kind = (down, across, channels, filter);
        let plan = match self.remembered.iter().position(|(known, _)| *known == kind) {
            Some(at) => self.remembered.remove(at).1,
            None => {
                let weights = [&down, &across].map(|axis| weights::Weights::new(axis, filter));
                vector::Plan::new(&weights[0], &weights[1], from.width as usize, channels)?
            }
        };
        let resized = plan.resample(pixels, &mut self.rows);
        if self.remembered.len() == REMEMBERED {
            self.remembered.remove(0);
        }
        self.remembered.push((kind, plan));
        Some(resized)
    }
}
