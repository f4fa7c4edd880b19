//! Boxes and maps follow what is drawn; nothing happens at strength zero; one seed, one result.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ellipse::Ellipse;
use crate::heatmap::{BLIND, Drawing, Heatmap, PEAK};

const MARK: [u8; 3] = [255, 255, 255];

/// A dark picture with a bright filled ellipse inside a box.
fn marked(width: usize, height: usize, pixels: &PixelBox) -> Picture {
    let ellipse = Ellipse::inscribed(pixels);
    let mut picture = Picture::filled(width, height, [0; 3]);
    for row in 0..height {
        for column in 0..width {
            if ellipse.distance(column as f64 + 0.5, row as f64 + 0.5) <= 1.0 {
                picture.set(column, row, MARK);
            }
        }
    }
    picture
}

/// The box around all that is more mark than not.
fn found(picture: &Picture) -> Option<PixelBox> {
    let [mut x, mut y] = [[f64::MAX, f64::MIN]; 2];
    for row in 0..picture.height() {
        for column in 0..picture.width() {
            if picture.at(column, row)[0] > 127 {
                x = [x[0].min(column as f64), x[1].max(column as f64 + 1.0)];
                y = [y[0].min(row as f64), y[1].max(row as f64 + 1.0)];
            }
        }
    }
    (x[0] < x[1]).then(|| PixelBox::between(x, y))
}

/// Plans of geometric operations alone, over a black fill.
fn geometric() -> impl Strategy<Value = Augmentation> {
    let crop = prop_oneof![
        Just(None),
        (0.3..1.0).prop_map(|least| Some(RandomCrop {
            area: [least, 1.0],
            ..RandomCrop::default()
        })),
    ];
    let moving = [
        Operation::Rotate,
        Operation::ShearX,
        Operation::ShearY,
        Operation::TranslateX,
        Operation::TranslateY,
    ];
    let rand_augment = prop_oneof![
        Just(None),
        (0.0..10.0).prop_map(move |magnitude| Some(RandAugment {
            magnitude,
            probability: 1.0,
            operations: 2,
            of: moving.to_vec(),
            ..RandAugment::default()
        })),
    ];
    (
        crop,
        0..2_u8,
        0..2_u8,
        0..2_u8,
        prop_oneof![Just(0.0), 0.0..180.0],
        rand_augment,
    )
        .prop_map(|(crop, across, down, turns, rotate, rand_augment)| Augmentation {
            crop,
            horizontal_flip: across.into(),
            vertical_flip: down.into(),
            quarter_turns: turns.into(),
            rotate,
            rand_augment,
            fill: [0; 3],
            ..Augmentation::default()
        })
}

/// All parts, each so weak that it does nothing.
fn everything_at_nothing() -> Augmentation {
    Augmentation {
        crop: Some(RandomCrop {
            area: [1.0; 2],
            shape: [1.0; 2],
            ..RandomCrop::default()
        }),
        colour: Some(ColourJitter::default()),
        blur: Some(Blur {
            probability: 0.0,
            sigma: 2.0,
        }),
        rand_augment: Some(RandAugment {
            magnitude: 0.0,
            ..RandAugment::default()
        }),
        erase: Some(Erase {
            probability: 0.0,
            ..Erase::default()
        }),
        mix: Some(Mix {
            mixup: 0.0,
            cutmix: 0.0,
            ..Mix::default()
        }),
        ..Augmentation::default()
    }
}

fn everything() -> Augmentation {
    Augmentation {
        crop: Some(RandomCrop::default()),
        horizontal_flip: 0.5,
        vertical_flip: 0.5,
        quarter_turns: 0.5,
        rotate: 30.0,
        colour: Some(ColourJitter {
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.1,
        }),
        blur: Some(Blur {
            probability: 0.5,
            sigma: 2.0,
        }),
        rand_augment: Some(RandAugment::default()),
        erase: Some(Erase {
            fill: EraseFill::Noise,
            ..Erase::default()
        }),
        mix: Some(Mix {
            mixup: 0.2,
            ..Mix::default()
        }),
        fill: MEAN_COLOUR,
    }
}

/// A picture in which every pixel is another.
fn colourful(width: usize, height: usize) -> Picture {
    let pixels = (0..width * height * 3)
        .map(|at| (at * 7919 % 251) as u8)
        .collect();
    Picture::of_pixels(width, height, pixels).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_box_follows_its_lesion(
        plan in geometric(), seed in any::<u64>(), square in any::<bool>(),
        (x, y, w, h) in (0.0..60.0, 0.0..60.0, 20.0..60.0, 20.0..60.0),
    ) {
        let pixels = PixelBox { left: x, top: y, width: w, height: h };
        let picture = marked(120, 120, &pixels);
        let size = if square { [110, 110] } else { [140, 100] };
        let result = plan.apply(&picture, size, &mut Dice::new(seed, 0, b""));
        let scale = result.moved.moved(&PixelBox { left: 0.0, top: 0.0, width: 1.0, height: 1.0 });
        let blur = 1.5 + scale.width.max(scale.height);
        let whole = result.moved.moved(&pixels);
        let uncut = pixels.intersection(&result.seen) == Some(pixels)
            && whole.clipped(size[0], size[1]) == Some(whole);
        match (result.follow(&pixels), found(&result.picture)) {
            (None, None) => {}
            (Some(_), None) => prop_assert!(!uncut, "the lesion is not seen"),
            (None, Some(seen)) => prop_assert!(seen.width.min(seen.height) < blur, "{seen:?} was not expected"),
            (Some(part), Some(seen)) => {
                for (seen, part) in [(part.left, seen.left), (part.top, seen.top),
                                     (seen.right(), part.right()), (seen.bottom(), part.bottom())] {
                    prop_assert!(seen <= part + blur, "the lesion leaves its box");
                    // What an ellipse shows of itself may end before its cut box does.
                    prop_assert!(!uncut || (seen - part).abs() <= blur, "{seen} is seen, {part} expected");
                }
            }
        }
    }

    #[test]
    fn a_heat_map_follows_its_picture(
        plan in geometric(), seed in any::<u64>(), (w, h) in (24.0..60.0, 24.0..60.0),
    ) {
        let pixels = PixelBox { left: 30.0, top: 28.0, width: w, height: h };
        let stride = 4;
        let drawing = Drawing { stride, edge: 0.3, ..Drawing::default() };
        let map = drawing.draw(120, 120, &[pixels]);
        let result = plan.apply(&marked(120, 120, &pixels), [112, 112], &mut Dice::new(seed, 0, b""));
        let followed = result.heatmap(&map, stride, &[pixels.centre()]);
        prop_assert_eq!([followed.width(), followed.height()], [28, 28]);
        let back = result.moved.inverse().unwrap();
        let ellipse = Ellipse::inscribed(&pixels);
        for row in 0..28 {
            for column in 0..28 {
                let middle = [column, row].map(|at| (at as f64 + 0.5) * 4.0);
                let [sx, sy] = back.point(middle);
                let distance = ellipse.distance(sx, sy);
                let code = followed.code(column, row);
                let point = PixelBox { left: sx - 1e-6, top: sy - 1e-6, width: 2e-6, height: 2e-6 };
                let in_source = point.intersection(&result.seen).is_some();
                let far = (result.seen.left - sx).max(sx - result.seen.right())
                    .max(result.seen.top - sy).max(sy - result.seen.bottom());
                if !in_source {
                    prop_assert!(far < 2.1 || code == 0, "{code} where there is nothing");
                } else if distance < 0.6 {
                    // A cell's neighbours reach two thirds of an axis here at the furthest.
                    prop_assert!(code != BLIND && code > 60, "{code} at {distance}");
                } else if distance > 1.4 && distance < 1.6 {
                    prop_assert_eq!(code, BLIND, "at {}", distance);
                } else if distance > 2.6 {
                    prop_assert_eq!(code, 0, "at {}", distance);
                }
            }
        }
        let seen = result.follow_point(pixels.centre()).is_some();
        prop_assert_eq!(followed.codes().iter().filter(|code| **code == PEAK).count(), usize::from(seen));
    }

    #[test]
    fn mirrors_and_quarter_turns_are_exact_and_turn_back(
        seed in any::<u64>(), side in 1..20_usize, (across, down, turns) in (0..2_u8, 0..2_u8, 0..2_u8),
    ) {
        let plan = Augmentation {
            horizontal_flip: across.into(), vertical_flip: down.into(), quarter_turns: turns.into(),
            ..Augmentation::default()
        };
        let picture = colourful(side, side);
        let result = plan.apply(&picture, [side, side], &mut Dice::new(seed, 0, b""));
        let back = result.moved.inverse().unwrap();
        prop_assert_eq!(warp::warped(&result.picture, &back, [0; 3]), picture);
    }

    #[test]
    fn nothing_happens_at_strength_zero(seed in any::<u64>(), (width, height) in (1..24_usize, 1..24_usize)) {
        let none = everything_at_nothing();
        let picture = colourful(width, height);
        let mut dice = Dice::new(seed, 0, b"");
        let result = none.apply(&picture, [width, height], &mut dice);
        prop_assert_eq!(&result.picture, &picture);
        prop_assert_eq!(result.moved.point([3.0, 2.0]), [3.0, 2.0]);
        prop_assert_eq!(none.mix.unwrap().draw(width, height, &mut dice), Mixing::None);
        // The map over it stays, too: peak, ring and all.
        let lesion = PixelBox { left: 1.0, top: 2.0, width: 9.0, height: 7.0 };
        let drawing = Drawing { stride: 2, ..Drawing::default() };
        let map = drawing.draw(width, height, &[lesion]);
        prop_assert_eq!(result.heatmap(&map, 2, &[lesion.centre()]), map);
    }

    #[test]
    fn the_same_dice_give_the_same_result_and_others_another(seed in any::<u64>()) {
        let picture = colourful(40, 30);
        let apply = |epoch| everything().apply(&picture, [32, 32], &mut Dice::new(seed, epoch, b"a"));
        prop_assert_eq!(apply(1), apply(1));
        prop_assert!(apply(1) != apply(2));
        let result = apply(1);
        prop_assert_eq!((result.picture.width(), result.picture.height()), (32, 32));
    }

    #[test]
    fn a_map_and_its_inverse_meet(
        (degrees, x, y) in (-180.0..180.0, -50.0..50.0, -50.0..50.0), (sx, sy) in (-0.3..0.3, 0.2..3.0),
    ) {
        let moved = Affine::rotate(degrees, [20.0, 10.0])
            .then(&Affine::around([5.0, 5.0], [[1.0, sx], [0.0, sy]]))
            .then(&Affine::translate([x, y]));
        let back = moved.then(&moved.inverse().unwrap()).point([x, y]);
        prop_assert!((back[0] - x).abs() < 1e-9 && (back[1] - y).abs() < 1e-9);
    }
}

#[test]
fn a_turn_of_a_quarter_is_clockwise() {
    let mut picture = Picture::filled(4, 4, [0; 3]);
    picture.set(1, 0, MARK);
    let turned = warp::warped(&picture, &Affine::quarter_turns(1, 4.0), [9; 3]);
    assert_eq!(turned.at(3, 1), MARK);
    let rotated = warp::warped(&picture, &Affine::rotate(90.0, [2.0, 2.0]), [9; 3]);
    assert_eq!(rotated.at(3, 1), MARK);
}

#[test]
fn no_operation_moves_a_picture_out_of_its_frame_at_the_greatest_magnitude() {
    let picture = Picture::filled(32, 32, MARK);
    for operation in Operation::ALL {
        let plan = Augmentation {
            fill: [0, 0, 255],
            rand_augment: Some(RandAugment {
                magnitude: 30.0,
                limit: 30.0,
                spread: 0.0,
                probability: 1.0,
                operations: 1,
                of: vec![operation],
            }),
            ..Augmentation::default()
        };
        for epoch in 0..8 {
            let changed = plan.apply(&picture, [32, 32], &mut Dice::new(3, epoch, b""));
            let filled = changed.picture.pixels().chunks_exact(3);
            let filled = filled.filter(|pixel| *pixel == [0, 0, 255]).count();
            assert!(filled < 32 * 32 * 3 / 4, "{operation:?}: {filled}");
        }
    }
}

#[test]
fn every_operation_changes_something_and_at_magnitude_zero_nothing() {
    let picture = colourful(32, 32);
    for operation in Operation::ALL {
        let plan = |magnitude: f64| Augmentation {
            rand_augment: Some(RandAugment {
                operations: 1,
                magnitude,
                probability: 1.0,
                of: vec![operation],
                ..RandAugment::default()
            }),
            ..Augmentation::default()
        };
        let results = |magnitude: f64| {
            (0..10).map(move |epoch| {
                plan(magnitude).apply(&colourful(32, 32), [32, 32], &mut Dice::new(1, epoch, b""))
            })
        };
        assert!(
            results(0.0).all(|result| result.picture == picture),
            "{operation:?} at 0"
        );
        assert!(
            results(10.0).all(|result| result.picture != picture),
            "{operation:?} at 10"
        );
    }
}

#[test]
fn erasing_fills_one_rectangle_of_the_area_and_shape_asked_for_and_leaves_the_rest() {
    const PLAIN: [u8; 3] = [7; 3];
    let (area, shape) = ([0.1, 0.2], [0.5, 2.0]);
    for fill in [EraseFill::Mean, EraseFill::Noise] {
        let plan = Augmentation {
            erase: Some(Erase {
                probability: 1.0,
                area,
                shape,
                fill,
            }),
            ..Augmentation::default()
        };
        let mut corners = BTreeSet::new();
        for epoch in 0..200 {
            let picture = Picture::filled(40, 30, PLAIN);
            let erased = plan
                .apply(&picture, [40, 30], &mut Dice::new(1, epoch, b""))
                .picture;
            let places = (0..30).flat_map(|row| (0..40).map(move |column| [column, row]));
            let changed: Vec<[usize; 2]> = places
                .filter(|[column, row]| erased.at(*column, *row) != PLAIN)
                .collect();
            let [(left, right), (top, bottom)] = [0, 1].map(|axis: usize| {
                let along = || changed.iter().map(move |place| place[axis]);
                (along().min().unwrap(), along().max().unwrap() + 1)
            });
            let (across, down) = (right - left, bottom - top);
            // All of the rectangle around what changed, so it is that rectangle.
            assert_eq!(changed.len(), across * down, "{fill:?} in epoch {epoch}");
            let colours: BTreeSet<[u8; 3]> = changed
                .iter()
                .map(|[column, row]| erased.at(*column, *row))
                .collect();
            match fill {
                EraseFill::Mean => assert_eq!(colours, BTreeSet::from([MEAN_COLOUR])),
                EraseFill::Noise => assert!(colours.len() > changed.len() / 2),
            }
            // Each side was rounded to whole pixels.
            let [[least_across, most_across], [least_down, most_down]] =
                [across, down].map(|side| [side as f64 - 0.5, side as f64 + 0.5]);
            assert!(least_across * least_down <= area[1] * 1200.0 + 1e-6);
            assert!(most_across * most_down >= area[0] * 1200.0 - 1e-6);
            assert!(least_across / most_down <= shape[1] + 1e-6);
            assert!(most_across / least_down >= shape[0] - 1e-6);
            corners.insert([left, top]);
        }
        assert!(corners.len() > 50, "{fill:?} erased {} places", corners.len());
    }
}

#[test]
fn erasing_happens_as_often_as_asked_for() {
    let picture = colourful(20, 20);
    let times = |probability: f64| {
        let plan = Augmentation {
            erase: Some(Erase {
                probability,
                ..Erase::default()
            }),
            ..Augmentation::default()
        };
        let erased = |epoch: &u64| {
            let mut dice = Dice::new(1, *epoch, b"");
            plan.apply(&picture, [20, 20], &mut dice).picture != picture
        };
        (0..1000).filter(erased).count()
    };
    assert_eq!(times(0.0), 0);
    assert!((180..320).contains(&times(0.25)), "{}", times(0.25));
    assert_eq!(times(1.0), 1000);
}

#[test]
fn a_plan_is_read_from_yaml_like_names_and_odd_ones_are_told() {
    let written =
        r#"{"horizontal-flip": 0.5, "rand-augment": {"of": ["auto-contrast", "shear-x"]}, "erase": {}}"#;
    let plan: Augmentation = serde_json::from_str(written).unwrap();
    assert_eq!(plan.rand_augment.as_ref().unwrap().magnitude, 9.0);
    assert_eq!(plan.problems(), []);
    assert!(serde_json::from_str::<Augmentation>(r#"{"flip": 1}"#).is_err());
    let odd = Augmentation {
        crop: Some(RandomCrop {
            area: [0.9, 0.1],
            ..RandomCrop::default()
        }),
        mix: Some(Mix::default()),
        ..Augmentation::default()
    };
    let places: Vec<String> = odd.problems().into_iter().map(|problem| problem.0).collect();
    assert_eq!(places, ["crop.area", "mix"]);
}

#[test]
fn a_foreground_map_has_no_blind_code_and_nothing_beyond_the_crop() {
    let map = Heatmap::of_codes(4, 2, vec![255; 8]).unwrap();
    let plan = Augmentation {
        horizontal_flip: 1.0,
        ..Augmentation::default()
    };
    let flipped = plan.apply(
        &Picture::filled(32, 16, [0; 3]),
        [32, 16],
        &mut Dice::new(0, 0, b""),
    );
    assert_eq!(flipped.foreground(&map, 8), map);
    // The right half alone is left, turned upside down: nothing of the left one comes back.
    let half = Augmented {
        moved: Affine::translate([-16.0, 0.0]).then(&Affine::rotate(180.0, [8.0, 8.0])),
        seen: PixelBox {
            left: 16.0,
            top: 0.0,
            width: 16.0,
            height: 16.0,
        },
        picture: Picture::filled(32, 16, [0; 3]),
    };
    assert_eq!(half.foreground(&map, 8).codes(), [255, 255, 0, 0, 255, 255, 0, 0]);
}
