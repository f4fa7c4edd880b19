//! Tests of the foreground prior: what it draws, and what it makes of a picture.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array};
use dermflow_core::SampleId;
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_vision::augment::Augmentation;

use super::*;

fn map() -> Heatmap {
    // Cells of 8 pixels: the middle one is foreground.
    let mut codes = vec![0; 9];
    codes[4] = 255;
    Heatmap::of_codes(3, 3, codes).unwrap()
}

fn shown(apply: Apply, floor: f64) -> Picture {
    let prior = ForegroundPrior {
        apply,
        floor,
        ..ForegroundPrior::default()
    };
    let picture = Picture::filled(24, 24, [200, 100, 50]);
    let mut augmented = Augmentation::resized(&picture, [24, 24]);
    prior.show(&mut augmented, &map(), None);
    augmented.picture
}

#[test]
fn multiplying_keeps_the_foreground_and_darkens_the_rest_down_to_the_floor() {
    let picture = shown(Apply::Multiply, 0.25);
    assert_eq!(picture.at(0, 0), [50, 25, 13]);
    assert!(picture.at(12, 12)[0] > 170, "{:?}", picture.at(12, 12));
    assert_eq!(shown(Apply::Multiply, 1.0).at(0, 0), [200, 100, 50]);
}

#[test]
fn a_faint_map_brings_out_as_much_as_a_bright_one_unless_it_counts_as_stored() {
    let faint = Heatmap::of_codes(3, 3, map().codes().iter().map(|code| code / 5).collect()).unwrap();
    let shown = |scale| {
        let prior = ForegroundPrior {
            scale,
            floor: 0.0,
            ..ForegroundPrior::default()
        };
        let mut augmented = Augmentation::resized(&Picture::filled(24, 24, [200; 3]), [24, 24]);
        prior.show(&mut augmented, &faint, None);
        augmented.picture.at(12, 12)[0]
    };
    assert!(shown(MapScale::Peak) > 170, "{}", shown(MapScale::Peak));
    assert!(shown(MapScale::AsStored) < 45, "{}", shown(MapScale::AsStored));
}

#[test]
fn the_mean_colour_replaces_the_background() {
    assert_eq!(shown(Apply::MeanBackground, 0.0).at(0, 0), MEAN_COLOUR);
}

#[test]
fn blurring_smooths_the_background_and_leaves_the_foreground_to_the_byte() {
    // A chess board; the left half of the map is foreground.
    let mut picture = Picture::filled(48, 48, [200, 180, 160]);
    for (column, row) in (0..48).flat_map(|row| (0..48).map(move |column| (column, row))) {
        if (column + row) % 2 == 0 {
            picture.set(column, row, [40, 60, 80]);
        }
    }
    let codes = (0..36).map(|cell| if cell % 6 < 3 { 255 } else { 0 });
    let left = Heatmap::of_codes(6, 6, codes.collect()).unwrap();
    let prior = ForegroundPrior {
        apply: Apply::BlurBackground,
        floor: 0.0,
        ..ForegroundPrior::default()
    };
    let mut augmented = Augmentation::resized(&picture, [48, 48]);
    assert_eq!(prior.show(&mut augmented, &left, None), None);
    let blurred = augmented.picture;
    // Up to the middle of the third cell the map is whole, and zero from that of the fourth.
    for (column, row) in (0..48).flat_map(|row| (0..20).map(move |column| (column, row))) {
        assert_eq!(blurred.at(column, row), picture.at(column, row), "{column} {row}");
    }
    let background = |picture: &Picture| {
        let places = (0..48).flat_map(|row| (28..48).map(move |column| (column, row)));
        let reds: Vec<f64> = places
            .map(|(column, row)| f64::from(picture.at(column, row)[0]))
            .collect();
        let mean = reds.iter().sum::<f64>() / reds.len() as f64;
        let squares = reds.iter().map(|red| (red - mean) * (red - mean));
        (mean, squares.sum::<f64>() / reds.len() as f64)
    };
    let ((mean_before, before), (mean, after)) = (background(&picture), background(&blurred));
    assert_eq!((mean_before, before), (120.0, 6400.0));
    assert!((mean - 120.0).abs() < 5.0, "{mean}");
    assert!(after < before / 20.0, "{after}");
}

/// A prior over the maps of `count` pictures, and their ids. The map of each is its number.
fn prior_of(count: u8, settings: ForegroundPrior, seed: u64) -> (Prior, Vec<[u8; 32]>) {
    let keys: Vec<String> = (0..count).map(|number| format!("picture {number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let one = || -> ArrayRef { Arc::new(Int64Array::from(vec![1; usize::from(count)])) };
    let heat: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..count).map(|number| [number])));
    let mut context = MemoryContext::default();
    context.add_table(
        "foreground",
        batch(&keys, [("width", one()), ("height", one()), ("heat", heat)]),
    );
    let maps = Grids::gather(&context, "foreground", "heat", 1, |_| true, |_| {});
    let prior = Prior {
        settings,
        maps: maps.unwrap(),
        seed,
    };
    let ids = keys.iter().map(|key| *SampleId::of_key(key).as_bytes()).collect();
    (prior, ids)
}

/// What is gathered of three pictures of `side` pixels, of which the first `maps` have a map of one
/// cell, and the context that was told of it.
fn gathered(maps: usize, side: usize, probability: f64) -> (Result<Prior, StageError>, MemoryContext) {
    let keys = ["a", "b", "c"];
    let sides =
        |side: usize, rows: usize| -> ArrayRef { Arc::new(Int64Array::from(vec![side as i64; rows])) };
    let bytes = |length: usize, rows: usize| -> ArrayRef {
        Arc::new(BinaryArray::from_iter_values(vec![vec![0_u8; length]; rows]))
    };
    let pictures = [
        ("width", sides(side, 3)),
        ("height", sides(side, 3)),
        ("pixels", bytes(3 * side * side, 3)),
    ];
    let foreground = [
        ("width", sides(1, maps)),
        ("height", sides(1, maps)),
        ("heat", bytes(1, maps)),
    ];
    let mut context = MemoryContext::default();
    context.add_table("samples", batch(&keys, pictures));
    context.add_table("foreground", batch(&keys[..maps], foreground));
    let pictures = Grids::gather(&context, "samples", "pixels", 3, |_| true, |_| {}).unwrap();
    let mut ids = keys.map(|key| *SampleId::of_key(key).as_bytes());
    ids.sort_unstable();
    let settings = ForegroundPrior {
        probability,
        ..ForegroundPrior::default()
    };
    let prior = Prior::gather(&settings, &ids, &pictures, &mut context);
    (prior, context)
}

#[test]
fn samples_without_a_map_are_told_and_refused_where_all_lack_one_that_is_to_be_shown() {
    let told = |maps: usize, probability: f64| {
        let (prior, context) = gathered(maps, 8, probability);
        let lines = context.lines.lock().unwrap().clone();
        (
            prior.map(|prior| prior.maps.len()).map_err(|error| error.message),
            lines,
        )
    };
    assert_eq!(told(3, 0.5), (Ok(3), vec![]));
    let (two, lines) = told(2, 0.5);
    assert_eq!((two, lines.len()), (Ok(2), 1));
    assert!(lines[0].contains("1 of 3"), "{lines:?}");
    let refusal = told(0, 0.5).0.unwrap_err();
    assert!(refusal.contains("none of the 3"), "{refusal}");
    assert_eq!(told(0, 0.0), (Ok(0), vec![]));
}

#[test]
fn a_map_of_another_picture_size_is_refused() {
    let refusal = gathered(3, 16, 0.5).0.err().unwrap().message;
    assert!(
        refusal.contains("1 × 1 cells") && refusal.contains("has 2 × 2"),
        "{refusal}"
    );
    // A last cell may reach beyond the picture.
    assert!(gathered(3, 5, 0.5).0.is_ok());
}

/// Whose map a picture is shown with in an epoch, when it came so often before.
fn drawn(prior: &Prior, id: &[u8; 32], epoch: u64, times_before: u32) -> Option<u8> {
    let visit = Visit {
        sample: 0,
        times_before,
    };
    let map = prior.draw(id, epoch, visit).unwrap();
    map.map(|map| map.codes()[0])
}

const PICTURES: u8 = 20;
const EPOCHS: u64 = 200;

/// By picture and epoch, whose map is shown.
fn all_drawn(settings: &ForegroundPrior, seed: u64, times_before: u32) -> Vec<Vec<Option<u8>>> {
    let (prior, ids) = prior_of(PICTURES, settings.clone(), seed);
    let of_one = |id: &[u8; 32]| -> Vec<Option<u8>> {
        let epochs = (0..EPOCHS).map(|epoch| drawn(&prior, id, epoch, times_before));
        epochs.collect()
    };
    ids.iter().map(of_one).collect()
}

#[test]
fn a_map_is_shown_as_often_as_asked_for_by_other_draws_in_each_epoch_turn_and_seed() {
    let with = |probability: f64| ForegroundPrior {
        probability,
        ..ForegroundPrior::default()
    };
    let shown = |probability: f64| {
        let all = all_drawn(&with(probability), 7, 0);
        all.iter().flatten().flatten().count()
    };
    assert_eq!(shown(0.0), 0);
    assert_eq!(shown(1.0), 4000);
    // A quarter is 1000; its standard deviation 27.
    let quarter = shown(0.25);
    assert!((850..1150).contains(&quarter), "{quarter}");

    let all = all_drawn(&with(0.25), 7, 0);
    for (number, of_one) in all.iter().enumerate() {
        let maps: Vec<u8> = of_one.iter().flatten().copied().collect();
        assert!(
            !maps.is_empty() && maps.len() < of_one.len(),
            "every epoch draws the same"
        );
        assert!(
            maps.iter().all(|map| usize::from(*map) == number),
            "another picture's map"
        );
    }
    assert_eq!(all, all_drawn(&with(0.25), 7, 0));
    assert_ne!(all, all_drawn(&with(0.25), 8, 0));
    assert_ne!(all, all_drawn(&with(0.25), 7, 1));
}

#[test]
fn the_control_shows_the_map_of_one_other_picture_and_never_the_own() {
    let settings = ForegroundPrior {
        probability: 1.0,
        map: MapChoice::Another,
        ..ForegroundPrior::default()
    };
    let all = all_drawn(&settings, 7, 0);
    for (number, of_one) in all.iter().enumerate() {
        let map = of_one[0].unwrap();
        assert_ne!(usize::from(map), number);
        assert!(of_one.iter().all(|other| *other == Some(map)), "it changes");
    }
    let (two, ids) = prior_of(2, settings.clone(), 7);
    assert_eq!(
        [0, 1].map(|at: usize| drawn(&two, &ids[at], 3, 0)),
        [Some(1), Some(0)]
    );
    // Any other may be drawn, the first and the last ones, too.
    let mut found: Vec<u8> = (0..200)
        .map(|seed| {
            let (five, ids) = prior_of(5, settings.clone(), seed);
            drawn(&five, &ids[2], 0, 0).unwrap()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found, [0, 1, 3, 4]);
    // A picture without a map is shown with any.
    let stranger = SampleId::of_key("no map");
    assert!(drawn(&two, stranger.as_bytes(), 0, 0).is_some());
}

#[test]
fn a_channel_holds_the_map_by_its_peak_where_the_picture_was_moved_to_and_leaves_the_picture() {
    let prior = ForegroundPrior {
        apply: Apply::ExtraChannel,
        floor: 0.5,
        ..ForegroundPrior::default()
    };
    let mut codes = vec![0; 9];
    codes[3] = 51;
    let left = Heatmap::of_codes(3, 3, codes).unwrap();
    let mut picture = Picture::filled(24, 24, [200, 100, 50]);
    picture.set(1, 12, [9; 3]);
    let mut mirrored = Augmentation {
        horizontal_flip: 1.0,
        ..Augmentation::default()
    }
    .apply(&picture, [24, 24], &mut Dice::new(1, 0, b"sample"));
    let before = mirrored.picture.clone();
    assert_eq!(before.at(22, 12), [9; 3]);
    let channel = prior.show(&mut mirrored, &left, None).unwrap();
    assert_eq!((mirrored.picture, channel.len()), (before, 24 * 24));
    // The pixel beside the middle of the peak's cell is nearly whole, and the floor doesn't count.
    assert_eq!(
        (channel[12 * 24 + 22], channel[12 * 24 + 1], channel[0]),
        (0.9375, 0.0, 0.0)
    );
}

#[test]
fn another_background_takes_all_but_the_foreground_and_brings_no_foreground_along() {
    let prior = ForegroundPrior {
        apply: Apply::AnotherBackground,
        ..ForegroundPrior::default()
    };
    // The other picture is grey but for its lesion, which is white.
    let mut other = Picture::filled(24, 24, [90; 3]);
    for (column, row) in (8..16).flat_map(|row| (8..16).map(move |column| (column, row))) {
        other.set(column, row, [255; 3]);
    }
    let behind = prior.background(Augmentation::resized(&other, [24, 24]), &map());
    assert_eq!(behind.at(0, 0), [90; 3]);
    let filled = behind.at(12, 12)[0];
    assert!((90..130).contains(&filled), "{filled}");

    let mut own = Augmentation::resized(&Picture::filled(24, 24, [200, 100, 50]), [24, 24]);
    assert_eq!(prior.show(&mut own, &map(), Some(behind)), None);
    assert_eq!(own.picture.at(12, 12), [200, 100, 50]);
    assert_eq!(own.picture.at(0, 0), [90; 3]);
    assert_eq!(own.picture.at(23, 0), [90; 3]);
}

#[test]
fn a_picture_that_is_all_foreground_has_its_own_mean_as_background() {
    let picture = Picture::filled(2, 1, [10, 20, 30]);
    assert_eq!(mean_behind(&picture, &[1.0, 1.0]), [10, 20, 30]);
}

#[test]
fn a_crop_is_the_foreground_and_a_tenth_around_it() {
    let prior = ForegroundPrior {
        apply: Apply::Crop,
        ..ForegroundPrior::default()
    };
    let picture = Picture::filled(24, 24, [1, 2, 3]);
    let part = prior.crop(&picture, &map()).unwrap();
    assert_eq!((part.width(), part.height()), (10, 10));
    let empty = Heatmap::of_codes(3, 3, vec![0; 9]).unwrap();
    assert_eq!(prior.crop(&picture, &empty), None);
    assert_eq!(ForegroundPrior::default().crop(&picture, &map()), None);
}
