//! Which detection of an image meets which true box.

use dermflow_vision::placement::Rectangle;

/// Intersection over union, from 0 to 1; 0 for a box without an area.
pub fn overlap(left: &Rectangle, right: &Rectangle) -> f64 {
    let shared = |from: f64, to: f64, other_from: f64, other_to: f64| {
        (to.min(other_to) - from.max(other_from)).max(0.0)
    };
    let across = shared(left.x, left.x + left.w, right.x, right.x + right.w);
    let down = shared(left.y, left.y + left.h, right.y, right.y + right.h);
    let both = across * down;
    let either = left.w * left.h + right.w * right.h - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// How far the centre of a detection is off, in units of the true box: 1 is a whole width or
/// height.
pub fn centre_error(detection: &Rectangle, truth: &Rectangle) -> f64 {
    let off = |at: f64, side: f64, true_at: f64, true_side: f64| {
        (at + side / 2.0 - true_at - true_side / 2.0) / true_side
    };
    let across = off(detection.x, detection.w, truth.x, truth.w);
    let down = off(detection.y, detection.h, truth.y, truth.h);
    (across * across + down * down).sqrt()
}

/// What a detection met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Met {
    /// The number of the true box.
    pub truth: usize,
    /// Their intersection over union.
    pub overlap: f64,
}

/// Matches the detections of one image, the surest first as given: each takes the true box that
/// it overlaps most among those not taken yet, if by enough. Of equal overlaps the first.
pub fn greedy(
    detections: &[Rectangle],
    truths: &[Rectangle],
    enough: f64,
    may_meet: impl Fn(usize, usize) -> bool,
) -> Vec<Option<Met>> {
    let mut taken = vec![false; truths.len()];
    let each = |(number, detection): (usize, &Rectangle)| {
        let mut best: Option<Met> = None;
        for (truth, rectangle) in truths.iter().enumerate() {
            if taken[truth] || !may_meet(number, truth) {
                continue;
            }
            let overlap = overlap(detection, rectangle);
            if overlap >= enough && best.is_none_or(|best| overlap > best.overlap) {
                best = Some(Met { truth, overlap });
            }
        }
        if let Some(best) = best {
            taken[best.truth] = true;
        }
        best
    };
    detections.iter().enumerate().map(each).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rectangle(x: f64, y: f64, w: f64, h: f64) -> Rectangle {
        Rectangle { x, y, w, h }
    }

    #[test]
    fn overlaps_and_centres_of_worked_examples() {
        let left = rectangle(0.0, 0.0, 0.5, 0.5);
        assert_eq!(overlap(&left, &left), 1.0);
        assert_eq!(overlap(&left, &rectangle(0.5, 0.0, 0.5, 0.5)), 0.0);
        assert!((overlap(&left, &rectangle(0.25, 0.0, 0.5, 0.5)) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(
            overlap(&rectangle(0.1, 0.1, 0.0, 0.0), &rectangle(0.1, 0.1, 0.0, 0.0)),
            0.0
        );
        assert_eq!(centre_error(&rectangle(0.5, 0.0, 0.5, 0.5), &left), 1.0);
    }

    #[test]
    fn a_true_box_is_met_once_and_the_surest_takes_it() {
        let truth = [rectangle(0.0, 0.0, 0.5, 0.5)];
        let detections = [rectangle(0.05, 0.0, 0.5, 0.5), rectangle(0.0, 0.0, 0.5, 0.5)];
        let met = greedy(&detections, &truth, 0.5, |_, _| true);
        assert!(met[0].is_some() && met[1].is_none());
        assert_eq!(greedy(&detections, &truth, 0.5, |_, _| false), [None, None]);
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_within_bounds_and_the_same_when_a_picture_is_stretched(
            left in (0.0..1.0, 0.0..1.0, 0.01..1.0, 0.01..1.0),
            right in (0.0..1.0, 0.0..1.0, 0.01..1.0, 0.01..1.0),
            (across, down) in (0.1..5.0, 0.1..5.0),
        ) {
            let [left, right] = [left, right].map(|(x, y, w, h)| rectangle(x, y, w, h));
            let plain = overlap(&left, &right);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&plain));
            prop_assert!((plain - overlap(&right, &left)).abs() < 1e-12);
            let stretched = [left, right].map(|one| rectangle(one.x * across, one.y * down, one.w * across, one.h * down));
            prop_assert!((plain - overlap(&stretched[0], &stretched[1])).abs() < 1e-9);
        }
    }
}
