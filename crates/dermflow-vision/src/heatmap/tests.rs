//! What H1–H3 ask, each on its own, and a slow independent drawing of the whole.

use proptest::prelude::*;

use super::*;
use crate::ellipse::Ellipse;

fn boxed(left: f64, top: f64, width: f64, height: f64) -> PixelBox {
    PixelBox {
        left,
        top,
        width,
        height,
    }
}

fn at_stride(stride: usize) -> Drawing {
    Drawing {
        stride,
        ..Drawing::default()
    }
}

/// Codes from the left border to the right one in the row of the box's centre.
fn middle_row(map: &Heatmap, pixels: &PixelBox) -> Vec<u8> {
    let row = pixels.centre()[1] as usize;
    (0..map.width()).map(|column| map.code(column, row)).collect()
}

/// Lengths of the runs of background, blind and foreground.
fn runs(codes: &[u8]) -> Vec<(char, usize)> {
    let mut runs: Vec<(char, usize)> = Vec::new();
    for code in codes {
        let sort = match *code {
            0 => '.',
            BLIND => 'b',
            _ => 'f',
        };
        match runs.last_mut() {
            Some((last, length)) if *last == sort => *length += 1,
            _ => runs.push((sort, 1)),
        }
    }
    runs
}

enum Cell {
    /// A value from 0 to 1, or 2 for a lesion's centre.
    Value(f64),
    Blind,
    OnRim,
}

/// A drawing written from `method.md` alone: every cell asks every box.
fn slow(drawing: &Drawing, width: usize, height: usize, boxes: &[PixelBox]) -> Vec<Cell> {
    let stride = drawing.stride as f64;
    let mut cells = Vec::new();
    for row in 0..height.div_ceil(drawing.stride) {
        for column in 0..width.div_ceil(drawing.stride) {
            let [x, y] = [(column as f64 + 0.5) * stride, (row as f64 + 0.5) * stride];
            let mut foreground: Option<f64> = None;
            let [mut blind, mut on_rim] = [false; 2];
            for pixels in boxes {
                let centre = [pixels.left + pixels.width / 2.0, pixels.top + pixels.height / 2.0];
                let reach = |half: [f64; 2]| {
                    ((x - centre[0]).powi(2) / half[0].powi(2) + (y - centre[1]).powi(2) / half[1].powi(2))
                        .sqrt()
                };
                let radii = [pixels.width / 2.0, pixels.height / 2.0];
                let rho = reach(radii);
                // Which side of a rim a point on it lies on is a matter of rounding.
                on_rim |= (rho - 1.0).abs() < 1e-9;
                if rho <= 1.0 {
                    let sigma = (-1.0 / (2.0 * drawing.edge.ln())).sqrt();
                    let value = match drawing.decay {
                        Decay::Gaussian => (-rho * rho / (2.0 * sigma * sigma)).exp(),
                        Decay::Linear => drawing.edge * rho + (1.0 - rho),
                        Decay::Cosine => {
                            let wave = 0.5 + 0.5 * (std::f64::consts::PI * rho).cos();
                            drawing.edge * (1.0 - wave) + wave
                        }
                    };
                    foreground = Some(foreground.map_or(value, |other| other.max(value)));
                }
                let ring = |side: f64| (side * drawing.blind.ratio + 1e-6).floor();
                let outer = [radii[0] + ring(pixels.width), radii[1] + ring(pixels.height)];
                blind |= drawing.blind.ratio > 0.0 && reach(outer) <= 1.0;
                on_rim |= (reach(outer) - 1.0).abs() < 1e-9;
                let holds = |at: f64, cell: usize, size: usize| {
                    let last = (size.div_ceil(drawing.stride) - 1) as f64;
                    (0.0..=size as f64).contains(&at) && (at / stride).floor().min(last) == cell as f64
                };
                if holds(centre[0], column, width) && holds(centre[1], row, height) {
                    foreground = Some(2.0);
                }
            }
            cells.push(match (foreground, blind) {
                _ if on_rim => Cell::OnRim,
                (Some(value), _) => Cell::Value(value),
                (None, true) => Cell::Blind,
                (None, false) => Cell::Value(0.0),
            });
        }
    }
    cells
}

fn any_boxes() -> impl Strategy<Value = Vec<PixelBox>> {
    let side = prop_oneof![Just(1.0), 0.3..6.0, 1.0..150.0];
    let one = (-40.0..130.0, -40.0..130.0, side.clone(), side);
    let quarter = |value: f64| (value * 4.0).round() / 4.0;
    proptest::collection::vec(
        one.prop_map(move |(left, top, width, height)| {
            boxed(
                quarter(left),
                quarter(top),
                quarter(width).max(0.25),
                quarter(height).max(0.25),
            )
        }),
        0..6,
    )
}

fn any_drawing() -> impl Strategy<Value = Drawing> {
    let decay = prop_oneof![Just(Decay::Gaussian), Just(Decay::Linear), Just(Decay::Cosine)];
    let ratio = prop_oneof![Just(0.5), Just(0.0), 0.1..1.5];
    (
        prop_oneof![Just(1_usize), Just(4), 2..9_usize],
        decay,
        0.001..0.6,
        ratio,
    )
        .prop_map(|(stride, decay, edge, ratio)| Drawing {
            stride,
            decay,
            edge,
            blind: Blind {
                ratio,
                ..Blind::default()
            },
            ..Drawing::default()
        })
}

proptest! {
    #[test]
    fn every_map_is_that_of_the_slow_drawing(
        drawing in any_drawing(), boxes in any_boxes(), (width, height) in (1..100_usize, 1..100_usize),
    ) {
        let map = drawing.draw(width, height, &boxes);
        let expected = slow(&drawing, width, height, &boxes);
        prop_assert_eq!(map.codes().len(), expected.len());
        for (code, expected) in map.codes().iter().zip(expected) {
            match expected {
                Cell::OnRim => {}
                Cell::Blind => prop_assert_eq!(*code, BLIND),
                Cell::Value(2.0) => prop_assert_eq!(*code, PEAK),
                Cell::Value(value) => {
                    let nearest = (value * 254.0).min(253.0);
                    prop_assert!((f64::from(*code) - nearest).abs() <= 0.5 + 1e-6, "{code} for {value}");
                }
            }
        }
    }

    #[test]
    fn the_order_of_boxes_changes_nothing(drawing in any_drawing(), mut boxes in any_boxes()) {
        let map = drawing.draw(90, 70, &boxes);
        boxes.reverse();
        prop_assert_eq!(map, drawing.draw(90, 70, &boxes));
    }

    #[test]
    fn a_mirrored_box_gives_the_mirrored_map(drawing in any_drawing(), boxes in any_boxes(), cells in 1..20_usize) {
        let size = cells * drawing.stride;
        // A centre on the border of two cells counts to the right one, so it is not mirrored. Such boxes are
        // moved, not passed over: of some thousand cases too many would be.
        let off_border = |pixels: PixelBox| {
            let moved = pixels.centre().map(|at| match at % drawing.stride as f64 == 0.0 {
                true => 0.125,
                false => 0.0,
            });
            boxed(pixels.left + moved[0], pixels.top + moved[1], pixels.width, pixels.height)
        };
        let boxes: Vec<PixelBox> = boxes.into_iter().map(off_border).collect();
        let map = drawing.draw(size, size, &boxes);
        let side = size as f64;
        let turned: Vec<PixelBox> = boxes
            .iter()
            .map(|b| boxed(side - b.right(), side - b.bottom(), b.width, b.height))
            .collect();
        let mut codes = drawing.draw(size, size, &turned).into_codes();
        codes.reverse();
        prop_assert_eq!(map.codes(), &codes[..]);
    }

    #[test]
    fn twice_the_picture_at_twice_the_stride_is_the_same_map(boxes in any_boxes(), cells in 1..24_usize) {
        // Sides that are whole and even keep "diameter // 2" exact under doubling.
        let even = |value: f64| (value / 2.0).round() * 2.0;
        let boxes: Vec<PixelBox> = boxes
            .iter()
            .map(|b| boxed(b.left, b.top, even(b.width).max(2.0), even(b.height).max(2.0)))
            .collect();
        let doubled: Vec<PixelBox> = boxes
            .iter()
            .map(|b| boxed(b.left * 2.0, b.top * 2.0, b.width * 2.0, b.height * 2.0))
            .collect();
        let map = at_stride(2).draw(cells * 2, cells * 2, &boxes);
        prop_assert_eq!(map, at_stride(4).draw(cells * 4, cells * 4, &doubled));
    }

    #[test]
    fn the_ring_is_half_the_diameter_wide_on_every_side(
        (width, height) in (9..60_i32, 9..60_i32), (left, top) in (70..90_i32, 70..90_i32),
    ) {
        let pixels = boxed(left.into(), top.into(), width.into(), height.into());
        let map = at_stride(1).draw(220, 220, &[pixels]);
        let across = runs(&middle_row(&map, &pixels));
        let column = pixels.centre()[0] as usize;
        let down: Vec<u8> = (0..map.height()).map(|row| map.code(column, row)).collect();
        let ring = |side: i32| ('b', (side / 2) as usize);
        prop_assert_eq!(&across[1..4], &[ring(width), ('f', width as usize), ring(width)]);
        prop_assert_eq!(&runs(&down)[1..4], &[ring(height), ('f', height as usize), ring(height)]);
    }

    #[test]
    fn values_never_grow_with_the_distance(drawing in any_drawing(), side in 20..120_i32) {
        let pixels = boxed(-10.0, 3.0, f64::from(side), 37.0);
        let map = Drawing { stride: 1, ..drawing }.draw(130, 60, &[pixels]);
        let ellipse = Ellipse::inscribed(&pixels);
        let mut cells: Vec<(f64, u8)> = Vec::new();
        for row in 0..60 {
            for column in 0..130 {
                let distance = ellipse.distance(column as f64 + 0.5, row as f64 + 0.5);
                if distance <= 1.0 {
                    cells.push((distance, map.code(column, row)));
                }
            }
        }
        cells.sort_by(|a, b| a.0.total_cmp(&b.0));
        // The cell that holds the centre is the peak wherever in the cell the centre lies.
        let fading = cells.iter().filter(|(_, code)| *code != PEAK).collect::<Vec<_>>();
        prop_assert!(fading.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }

    #[test]
    fn comparison_shapes_have_one_peak_a_cell_and_no_ring_unless_asked(boxes in any_boxes()) {
        for shape in [Shape::CenterNet, Shape::TtfNet] {
            let drawing = Drawing { shape, blind: Blind::none(), ..Drawing::default() };
            let map = drawing.draw(100, 100, &boxes);
            prop_assert!(!map.codes().contains(&BLIND));
            let mut cells: Vec<_> = boxes.iter().filter_map(|b| drawing.centre_cell(100, 100, b)).collect();
            cells.sort();
            cells.dedup();
            prop_assert_eq!(map.codes().iter().filter(|code| **code == PEAK).count(), cells.len());
        }
    }
}

#[test]
fn the_centre_cell_is_exactly_one_and_no_other_is() {
    // A big lesion is so flat on top that rounding alone would give many ones.
    let map = at_stride(1).draw(400, 400, &[boxed(1.0, 1.0, 397.0, 397.0)]);
    assert_eq!(map.code(199, 199), PEAK);
    assert_eq!(map.value(199, 199), Some(1.0));
    assert_eq!(map.codes().iter().filter(|code| **code == PEAK).count(), 1);
    assert_eq!(map.code(200, 199), PEAK - 1);
}

#[test]
fn the_rim_has_the_edge_value_for_every_decay() {
    for decay in [Decay::Gaussian, Decay::Linear, Decay::Cosine] {
        for edge in [0.01, 0.25, 0.9] {
            assert!((decay.value(1.0, edge) - edge).abs() < 1e-12, "{decay:?} {edge}");
            assert!((decay.value(0.0, edge) - 1.0).abs() < 1e-12, "{decay:?} {edge}");
        }
    }
    assert!((Decay::Gaussian.value(1.0 / 3.0, DEFAULT_EDGE) - (-0.5_f64).exp()).abs() < 1e-12);
}

#[test]
fn a_box_of_one_pixel_is_one_cell_without_a_ring() {
    for (stride, cells) in [(1, 64), (4, 16)] {
        let map = at_stride(stride).draw(64, 64, &[boxed(17.0, 33.0, 1.0, 1.0)]);
        assert_eq!(map.width(), cells);
        let lit: Vec<usize> = (0..map.codes().len())
            .filter(|cell| map.codes()[*cell] != 0)
            .collect();
        assert_eq!(lit, [33 / stride * cells + 17 / stride]);
        assert_eq!(map.codes()[lit[0]], PEAK);
    }
}

#[test]
fn a_box_as_large_as_the_picture_leaves_its_corners_blind() {
    let map = at_stride(4).draw(64, 48, &[boxed(0.0, 0.0, 64.0, 48.0)]);
    assert_eq!(map.code(8, 6), PEAK);
    for (column, row) in [(0, 0), (15, 0), (0, 11), (15, 11)] {
        assert_eq!(map.code(column, row), BLIND);
    }
    assert!(!map.codes().contains(&0), "the ring reaches beyond the corners");
}

#[test]
fn boxes_on_the_border_keep_their_peak_and_beside_it_lose_it() {
    let drawing = at_stride(4);
    // The centre on the very corner counts to the last cell.
    let corner = boxed(54.0, 54.0, 20.0, 20.0);
    assert_eq!(drawing.draw(64, 64, &[corner]).code(15, 15), PEAK);
    // Half of the box is in the picture, its centre is not.
    let beside = boxed(-14.0, 20.0, 26.0, 20.0);
    assert_eq!(drawing.centre_cell(64, 64, &beside), None);
    let map = drawing.draw(64, 64, &[beside]);
    assert!(!map.codes().contains(&PEAK));
    assert!(map.code(0, 7) > 100, "what is seen of the lesion is still lesion");
    // Nothing of it is in the picture.
    let map = drawing.draw(64, 64, &[boxed(500.0, 500.0, 20.0, 20.0)]);
    assert!(map.codes().iter().all(|code| *code == 0));
}

#[test]
fn foreground_beats_blind_and_the_maximum_wins() {
    let [left, right] = [boxed(20.0, 30.0, 20.0, 20.0), boxed(34.0, 30.0, 20.0, 20.0)];
    let drawing = at_stride(1);
    let [one, other] = [left, right].map(|pixels| drawing.draw(80, 80, &[pixels]));
    let both = drawing.draw(80, 80, &[left, right]);
    let mut overlaps = 0;
    for row in 0..80 {
        for column in 0..80 {
            let codes = [one.code(column, row), other.code(column, row)];
            let expected = match codes {
                [BLIND, BLIND] => BLIND,
                [BLIND, 0] | [0, BLIND] => BLIND,
                [BLIND, foreground] | [foreground, BLIND] => foreground,
                [a, b] => a.max(b),
            };
            overlaps += usize::from(codes.iter().all(|code| *code != 0 && *code != BLIND));
            assert_eq!(both.code(column, row), expected, "column {column}, row {row}");
        }
    }
    assert!(overlaps > 20, "the boxes were meant to overlap");
}

#[test]
fn the_other_readings_of_the_ring_are_narrower() {
    let pixels = boxed(60.0, 80.0, 41.0, 21.0);
    let ring = |blind: Blind| {
        let drawing = Drawing {
            blind,
            ..at_stride(1)
        };
        runs(&middle_row(&drawing.draw(160, 160, &[pixels]), &pixels))[1]
    };
    let default = Blind::default();
    let radius = Blind {
        of: RingBase::Radius,
        ..default
    };
    let smaller = Blind {
        width: RingWidth::Smaller,
        ..default
    };
    assert_eq!(ring(default), ('b', 20));
    assert_eq!(ring(radius), ('b', 10));
    assert_eq!(ring(smaller), ('b', 10));
    assert_eq!(
        ring(Blind {
            width: RingWidth::Smaller,
            ..radius
        }),
        ('b', 5)
    );
    assert_eq!(ring(Blind::none()), ('f', 41));
}

#[test]
fn a_fraction_that_misses_a_whole_pixel_by_rounding_has_its_whole_ring() {
    let side = 0.29 * 100.0 - 1e-12;
    assert!(side < 29.0);
    let sides = |side: f64| Blind::default().widths(&boxed(0.0, 0.0, side, 28.0 - 1e-9));
    assert_eq!(sides(side), [14.0, 14.0]);
    assert_eq!(sides(27.99), [13.0, 14.0]);
}

#[test]
fn codes_come_back_as_values() {
    assert_eq!(value_of(BLIND), None);
    assert_eq!(value_of(0), Some(0.0));
    assert_eq!(code_of(0.5), 127);
    assert_eq!(code_of(1.0), PEAK - 1);
    assert!(Heatmap::of_codes(3, 2, vec![0; 5]).is_none());
}
