//! One image: its cells, which of them are lesion, and figures of their heat.

use dermflow_vision::placement::Rectangle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::boxes::Geometry;
use crate::scores::ranking::Ranking;

/// Which part of a box is lesion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Region {
    /// All of it.
    #[default]
    Box,
    /// The ellipse inscribed in it, as the annotator is trained (requirement H1 of the method).
    Ellipse,
}

/// How many cells of `stride` pixels there are across and down.
pub fn cells(geometry: &Geometry, stride: u32) -> [usize; 2] {
    [geometry.width, geometry.height].map(|side| side.div_ceil(stride as usize))
}

/// The middle of a cell in fractions of the original, if it lies in the original and in the
/// picture: bars of a letterbox and what a last cell has beyond the edge are not judged.
fn middle(geometry: &Geometry, [column, row]: [usize; 2], stride: u32) -> Option<[f64; 2]> {
    let share = |cell: usize, side: usize| (cell as f64 + 0.5) * f64::from(stride) / side as f64;
    let (across, down) = (share(column, geometry.width), share(row, geometry.height));
    if across > 1.0 || down > 1.0 {
        return None;
    }
    let point = geometry.placement.original(Rectangle {
        x: across,
        y: down,
        w: 0.0,
        h: 0.0,
    });
    let inside = |at: f64| (0.0..=1.0).contains(&at);
    (inside(point.x) && inside(point.y)).then_some([point.x, point.y])
}

impl Region {
    /// Whether a point is in the lesion of a box, both in fractions of the original.
    fn holds(self, lesion: &Rectangle, [x, y]: [f64; 2]) -> bool {
        match self {
            Region::Box => {
                (lesion.x..=lesion.x + lesion.w).contains(&x) && (lesion.y..=lesion.y + lesion.h).contains(&y)
            }
            Region::Ellipse => {
                let [across, down] = off(lesion, [x, y]);
                across * across + down * down <= 0.25
            }
        }
    }
}

/// How far a point is from the centre of a box, in units of its sides.
fn off(lesion: &Rectangle, [x, y]: [f64; 2]) -> [f64; 2] {
    [
        (x - lesion.x - lesion.w / 2.0) / lesion.w,
        (y - lesion.y - lesion.h / 2.0) / lesion.h,
    ]
}

/// The figures of an image. What isn't defined, such as the AUROC of an image that is all lesion,
/// is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageFigures {
    /// Intersection over union of the cells at or above the threshold and the lesions.
    pub overlap: Option<f64>,
    /// The chance that a lesion cell is hotter than another.
    pub auroc: Option<f64>,
    /// The share of all heat that lies in lesions; none where the heat is blank, for there is none
    /// that could lie anywhere.
    pub energy: Option<f64>,
    /// 1 if the hottest cell is lesion, else 0 (the pointing game); of equally hot cells, the
    /// share of them that is. Blank heat is equally hot everywhere, so it gets what pointing anywhere
    /// gets, the share of the cells that is lesion: whoever says nothing of hard images is not spared
    /// them.
    pub pointing: Option<f64>,
    /// How far the hottest cell is from the nearest lesion's centre, in units of that box; of
    /// equally hot cells the mean, also where the heat is blank.
    pub centre_error: Option<f64>,
    /// 1 if the heat is blank, which is to say 0 in all judged cells, else 0.
    pub blank: Option<f64>,
    /// The share of the judged cells that is lesion.
    pub lesion: Option<f64>,
    /// What one gets who doesn't look: the figures of heat that ebbs from the middle of the original
    /// to its corners. Heat that does no better tells where photographers point, not where lesions are.
    pub middle: MiddleFigures,
}

/// The figures of heat that ebbs from the middle of every original.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MiddleFigures {
    /// As [`ImageFigures::auroc`].
    pub auroc: Option<f64>,
    /// As [`ImageFigures::pointing`].
    pub pointing: Option<f64>,
    /// As [`ImageFigures::centre_error`].
    pub centre_error: Option<f64>,
}

/// A judged cell: its heat from 0 to 1, whether it is lesion, and its middle.
type Cell = (f64, bool, [f64; 2]);

/// Where the cells of most heat lie.
struct Peaks {
    /// See [`ImageFigures::pointing`].
    pointing: Option<f64>,
    /// See [`ImageFigures::centre_error`].
    centre_error: Option<f64>,
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

impl Peaks {
    fn of(cells: &[Cell], lesions: &[Rectangle]) -> Peaks {
        let hottest = cells.iter().map(|cell| cell.0).fold(0.0, f64::max);
        let peaks: Vec<&Cell> = cells.iter().filter(|cell| cell.0 == hottest).collect();
        let distance = |point: [f64; 2]| {
            let all = lesions.iter().map(|lesion| {
                let [across, down] = off(lesion, point);
                (across * across + down * down).sqrt()
            });
            all.fold(f64::INFINITY, f64::min)
        };
        let mean =
            |of: &dyn Fn(&Cell) -> f64| ratio(peaks.iter().map(|cell| of(cell)).sum(), peaks.len() as f64);
        Peaks {
            pointing: mean(&|cell| f64::from(u8::from(cell.1))),
            centre_error: mean(&|cell| distance(cell.2)),
        }
    }
}

/// The chance that a lesion cell is hotter than another.
fn auroc(cells: &[Cell]) -> Option<f64> {
    let scores: Vec<f64> = cells.iter().map(|cell| cell.0).collect();
    let ranking = Ranking::new(&scores, |cell| cells[cell].1);
    ranking.figures(&vec![1; cells.len()]).auroc
}

impl MiddleFigures {
    /// The same cells with heat from 1 in the middle of the original to 0 in its corners.
    fn of(cells: &[Cell], lesions: &[Rectangle]) -> MiddleFigures {
        // Cells that are as far must be as hot, whatever way their places were rounded.
        let ebb = |[x, y]: [f64; 2]| {
            let heat = 1.0 - (x - 0.5).hypot(y - 0.5) * std::f64::consts::SQRT_2;
            (heat * 1e9).round() / 1e9
        };
        let ebbing: Vec<Cell> = cells
            .iter()
            .map(|(_, lesion, point)| (ebb(*point), *lesion, *point))
            .collect();
        let peaks = Peaks::of(&ebbing, lesions);
        MiddleFigures {
            auroc: auroc(&ebbing),
            pointing: peaks.pointing,
            centre_error: peaks.centre_error,
        }
    }
}

/// Judges `heat`, cells row by row, from 0 to 255. `lesions` are not empty.
pub fn figures(
    heat: &[u8],
    geometry: &Geometry,
    stride: u32,
    lesions: &[Rectangle],
    region: Region,
    threshold: f64,
) -> ImageFigures {
    let [across, _] = cells(geometry, stride);
    let mut cells: Vec<Cell> = Vec::with_capacity(heat.len());
    for (at, value) in heat.iter().enumerate() {
        if let Some(point) = middle(geometry, [at % across, at / across], stride) {
            let inside = lesions.iter().any(|lesion| region.holds(lesion, point));
            cells.push((f64::from(*value) / 255.0, inside, point));
        }
    }
    let count = |which: &dyn Fn(&Cell) -> bool| cells.iter().filter(|cell| which(cell)).count() as f64;
    let either = count(&|cell| cell.1 || cell.0 >= threshold);
    let all: f64 = cells.iter().map(|cell| cell.0).sum();
    let inside: f64 = cells.iter().filter(|cell| cell.1).map(|cell| cell.0).sum();
    let peaks = Peaks::of(&cells, lesions);
    ImageFigures {
        overlap: ratio(count(&|cell| cell.1 && cell.0 >= threshold), either),
        auroc: auroc(&cells),
        energy: ratio(inside, all),
        pointing: peaks.pointing,
        centre_error: peaks.centre_error,
        blank: (!cells.is_empty()).then(|| f64::from(u8::from(all <= 0.0))),
        lesion: ratio(count(&|cell| cell.1), cells.len() as f64),
        middle: MiddleFigures::of(&cells, lesions),
    }
}

#[cfg(test)]
mod tests {
    use dermflow_vision::placement::Placement;

    use super::*;

    const WHOLE: Geometry = Geometry {
        width: 32,
        height: 16,
        placement: Placement::WHOLE,
    };

    fn rectangle(x: f64, y: f64, w: f64, h: f64) -> Rectangle {
        Rectangle { x, y, w, h }
    }

    #[test]
    fn a_worked_example() {
        // 4 × 2 cells; the left half is lesion.
        let lesion = [rectangle(0.0, 0.0, 0.5, 1.0)];
        let heat = [255, 200, 100, 0, 0, 0, 0, 0];
        let given = figures(&heat, &WHOLE, 8, &lesion, Region::Box, 0.3);
        assert_eq!(given.overlap, Some(2.0 / 5.0));
        assert_eq!(given.lesion, Some(0.5));
        assert!((given.energy.unwrap() - 455.0 / 555.0).abs() < 1e-12);
        assert_eq!(given.pointing, Some(1.0));
        // Pairs of lesion and other cells: 8 of 16 right by the two hot ones, and half of 6.
        assert_eq!(given.auroc, Some((8.0 + 3.0) / 16.0));
        // The hottest cell's middle is (1/8, 1/4), the box's (1/4, 1/2): off by a quarter each way.
        assert!((given.centre_error.unwrap() - (2.0_f64 / 16.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn beside_it_stands_what_the_middle_would_get() {
        // 4 × 2 cells, the two in the middle column pairs are nearest to it.
        let lesion = [rectangle(0.0, 0.0, 0.5, 1.0)];
        let given = figures(&[255, 0, 0, 0, 0, 0, 0, 0], &WHOLE, 8, &lesion, Region::Box, 0.3);
        assert_eq!(
            given.middle.pointing,
            Some(0.5),
            "four cells are as near, two of them lesion"
        );
        assert_eq!(given.middle.auroc, Some(0.5), "left and right are alike");
        assert_eq!(given.pointing, Some(1.0));
        let central = [rectangle(0.25, 0.0, 0.5, 1.0)];
        let given = figures(&[255, 0, 0, 0, 0, 0, 0, 0], &WHOLE, 8, &central, Region::Box, 0.3);
        assert_eq!(
            (given.middle.pointing, given.middle.auroc),
            (Some(1.0), Some(1.0))
        );
        // Their middles are an eighth of the picture off across and a quarter down, in a box half
        // as wide and as high as the picture.
        let off = (0.25_f64.powi(2) + 0.25_f64.powi(2)).sqrt();
        assert!((given.middle.centre_error.unwrap() - off).abs() < 1e-12);
        assert_eq!(given.pointing, Some(0.0));
    }

    #[test]
    fn blank_heat_has_no_energy_and_points_everywhere_alike() {
        let given = figures(
            &[0; 8],
            &WHOLE,
            8,
            &[rectangle(0.0, 0.0, 0.5, 1.0)],
            Region::Box,
            0.5,
        );
        assert_eq!((given.energy, given.blank), (None, Some(1.0)));
        assert_eq!((given.overlap, given.auroc), (Some(0.0), Some(0.5)));
        // Half of the cells are lesion. Every peak there is counts, as where all is equally hot.
        assert_eq!(given.pointing, Some(0.5));
        let even = figures(
            &[9; 8],
            &WHOLE,
            8,
            &[rectangle(0.0, 0.0, 0.5, 1.0)],
            Region::Box,
            0.5,
        );
        assert_eq!(even.blank, Some(0.0));
        assert!(given.centre_error.is_some());
        assert_eq!(
            (given.pointing, given.centre_error),
            (even.pointing, even.centre_error)
        );
    }

    #[test]
    fn bars_of_a_letterbox_are_not_judged() {
        let barred = Geometry {
            width: 32,
            height: 32,
            placement: Placement {
                left: 0.0,
                top: 0.25,
                width: 1.0,
                height: 0.5,
            },
        };
        let mut heat = [255; 16];
        heat[4..12].fill(0);
        let given = figures(
            &heat,
            &barred,
            8,
            &[rectangle(0.0, 0.0, 0.5, 1.0)],
            Region::Box,
            0.5,
        );
        assert_eq!((given.lesion, given.energy), (Some(0.5), None));
    }

    #[test]
    fn an_ellipse_leaves_out_the_corners() {
        let [boxed, ellipse] = [Region::Box, Region::Ellipse].map(|region| {
            let square = Geometry {
                width: 80,
                height: 80,
                placement: Placement::WHOLE,
            };
            figures(
                &[1; 100],
                &square,
                8,
                &[rectangle(0.0, 0.0, 1.0, 1.0)],
                region,
                0.5,
            )
            .lesion
            .unwrap()
        });
        assert_eq!(boxed, 1.0);
        assert!((ellipse - std::f64::consts::FRAC_PI_4).abs() < 0.03, "{ellipse}");
    }
}
