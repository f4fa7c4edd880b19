//! Which pixels of a stored picture are lesion. Must not know what is done with them.

use dermflow_vision::boxes::PixelBox;
use dermflow_vision::ellipse::Ellipse;
use dermflow_vision::heatmap::Heatmap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::learning::prior::{MapScale, shares};

/// What counts as lesion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Region {
    /// The whole box: nothing of the lesion is left where it is taken out, and some skin comes
    /// along where it is put on another background.
    #[default]
    Box,
    /// The ellipse inscribed in the box.
    Ellipse,
    /// Where the foreground map is at least `threshold`.
    Foreground,
}

/// The pixels within the boxes, or the ellipses in them, each larger by `margin` on each side.
/// `size` is width and height.
pub fn of_boxes(boxes: &[PixelBox], ellipse: bool, margin: f64, size: [usize; 2]) -> Vec<bool> {
    let grown = |one: &PixelBox| PixelBox {
        left: one.left - margin * one.width,
        top: one.top - margin * one.height,
        width: one.width * (1.0 + 2.0 * margin),
        height: one.height * (1.0 + 2.0 * margin),
    };
    let boxes: Vec<PixelBox> = boxes.iter().map(grown).collect();
    let holds = |one: &PixelBox, x: f64, y: f64| match ellipse {
        true => Ellipse::inscribed(one).distance(x, y) <= 1.0,
        false => x >= one.left && x < one.right() && y >= one.top && y < one.bottom(),
    };
    let pixels = (0..size[1]).flat_map(|row| (0..size[0]).map(move |column| [column, row]));
    pixels
        .map(|[column, row]| {
            let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
            boxes.iter().any(|one| holds(one, x, y))
        })
        .collect()
}

/// The pixels where a map at stride 8 is at least `threshold`.
pub fn of_map(map: &Heatmap, threshold: f64, size: [usize; 2]) -> Vec<bool> {
    shares(map, size, 0.0, MapScale::AsStored)
        .into_iter()
        .map(|share| f64::from(share) >= threshold)
        .collect()
}

/// How much of each pixel comes from the lesion's picture: all of it inside, fading to nothing
/// over about `radius` pixels outside.
pub fn feathered(lesion: &[bool], radius: usize, size: [usize; 2]) -> Vec<f32> {
    let hard: Vec<f32> = lesion.iter().map(|lesion| f32::from(u8::from(*lesion))).collect();
    if radius == 0 {
        return hard;
    }
    let [width, height] = size;
    let across = blurred(&hard, height, width, width, 1, radius);
    let both = blurred(&across, width, height, 1, width, radius);
    // At a straight edge the mean is a half, so that twice of it is whole there.
    let soft = both.iter().map(|share| (2.0 * share).min(1.0));
    soft.zip(hard).map(|(soft, hard)| soft.max(hard)).collect()
}

/// The mean over `radius` neighbours on both sides along one axis: of `lines` lines that start
/// `line` apart, with `length` values `step` apart. What lies outside counts as the edge.
fn blurred(values: &[f32], lines: usize, length: usize, line: usize, step: usize, radius: usize) -> Vec<f32> {
    let mut result = vec![0.0; values.len()];
    let span = (2 * radius + 1) as f32;
    for start in (0..lines).map(|number| number * line) {
        let at = |place: isize| values[start + place.clamp(0, length as isize - 1) as usize * step];
        for place in 0..length as isize {
            let near = (place - radius as isize)..=(place + radius as isize);
            result[start + place as usize * step] = near.map(at).sum::<f32>() / span;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_holds_its_corners_and_an_ellipse_does_not() {
        let one = PixelBox::between([2.0, 6.0], [1.0, 5.0]);
        let of_box = of_boxes(&[one], false, 0.0, [8, 6]);
        assert_eq!(of_box.iter().filter(|lesion| **lesion).count(), 16);
        assert!(of_box[8 + 2] && !of_box[8 + 1] && !of_box[2]);
        let of_ellipse = of_boxes(&[one], true, 0.0, [8, 6]);
        assert!(!of_ellipse[8 + 2] && of_ellipse[2 * 8 + 3]);
        let larger = of_boxes(&[one], false, 0.25, [8, 6]);
        assert_eq!(larger.iter().filter(|lesion| **lesion).count(), 36);
    }

    #[test]
    fn feathers_are_whole_inside_and_gone_a_little_outside() {
        let lesion = of_boxes(
            &[PixelBox::between([8.0, 16.0], [8.0, 16.0])],
            false,
            0.0,
            [24, 24],
        );
        let shares = feathered(&lesion, 2, [24, 24]);
        let at = |column: usize, row: usize| shares[row * 24 + column];
        assert_eq!((at(8, 12), at(12, 12), at(15, 15)), (1.0, 1.0, 1.0));
        assert!(at(7, 12) > at(6, 12) && at(6, 12) > 0.0);
        assert_eq!((at(5, 12), at(0, 0)), (0.0, 0.0));
        assert_eq!(feathered(&lesion, 0, [24, 24])[7 + 12 * 24], 0.0);
    }
}
