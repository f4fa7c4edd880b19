//! Tests of `trap-sets`, on pictures whose lesions and backgrounds are known.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::memory::MemoryContext;
use dermflow_core::{InputTypes, PortType, StageError, StageKind, TableType};
use dermflow_vision::picture::Picture;

use super::{TrapSets, TrapSetsParameters};
use crate::synthesize::Synthesize;

/// One lesion a picture, two pictures a patient, and a background that gives the class away.
fn made(images: usize) -> MemoryContext {
    let with = format!(
        "{{images: {images}, width: 48, height: 48, classes: 4, lesions: 1, shortcut: 1.0, pictures-per-patient: 2}}"
    );
    let mut made = MemoryContext::default();
    made.seed = 5;
    Synthesize::run(&serde_yaml::from_str(&with).unwrap(), &mut made).unwrap();
    made
}

fn context(made: &MemoryContext) -> MemoryContext {
    of_tables(made.output("samples"), made.output("boxes"))
}

fn of_tables(samples: RecordBatch, boxes: RecordBatch) -> MemoryContext {
    let mut context = MemoryContext::default();
    context.seed = 9;
    context.threads = 2;
    context.add_table("samples", samples);
    context.add_table("boxes", boxes);
    context
}

fn run(with: &str, context: &mut MemoryContext) -> Result<(), StageError> {
    let parameters: TrapSetsParameters = serde_yaml::from_str(with).unwrap();
    TrapSets::run(&parameters, context)
}

type Id = Vec<u8>;

fn ids(table: &RecordBatch) -> Vec<Id> {
    let ids = table.column(0).as_fixed_size_binary();
    (0..ids.len()).map(|row| ids.value(row).to_vec()).collect()
}

fn pictures(table: &RecordBatch) -> BTreeMap<Id, Picture> {
    let side = |name: &str, row: usize| {
        table
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(row) as usize
    };
    let pixels = table.column_by_name("pixels").unwrap().as_binary::<i32>();
    let of = |row: usize| {
        Picture::of_pixels(
            side("width", row),
            side("height", row),
            pixels.value(row).to_vec(),
        )
        .unwrap()
    };
    ids(table)
        .into_iter()
        .enumerate()
        .map(|(row, id)| (id, of(row)))
        .collect()
}

fn texts(table: &RecordBatch, column: &str) -> BTreeMap<Id, String> {
    let texts = table.column_by_name(column).unwrap().as_string::<i32>();
    let value = |row: usize| texts.value(row).to_string();
    ids(table)
        .into_iter()
        .enumerate()
        .map(|(row, id)| (id, value(row)))
        .collect()
}

/// Left, top, right, bottom in pixels of the one box of each sample.
fn boxes(made: &MemoryContext) -> BTreeMap<Id, [f64; 4]> {
    let table = made.output("boxes");
    let at = |name: &str, row: usize| {
        48.0 * table
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Float64Type>()
            .value(row)
    };
    let of = |row: usize| {
        let (x, y) = (at("x", row), at("y", row));
        [x, y, x + at("w", row), y + at("h", row)]
    };
    ids(&table)
        .into_iter()
        .enumerate()
        .map(|(row, id)| (id, of(row)))
        .collect()
}

/// Hue and darkness of the mean colour of the pixels that `take` takes: skins differ in darkness
/// more than in hue.
fn looks(picture: &Picture, take: impl Fn(f64, f64) -> bool) -> [f64; 3] {
    let [red, green, blue] = mean(picture, take);
    let sum = (red + green + blue).max(1.0);
    [red / sum, green / sum, 0.1 * sum / 765.0]
}

/// The mean colour of the pixels that `take` takes.
fn mean(picture: &Picture, take: impl Fn(f64, f64) -> bool) -> [f64; 3] {
    let (mut sums, mut count) = ([0.0; 3], 0.0);
    for row in 0..picture.height() {
        for column in 0..picture.width() {
            if take(column as f64 + 0.5, row as f64 + 0.5) {
                count += 1.0;
                let colour = picture.at(column, row);
                (0..3).for_each(|channel| sums[channel] += f64::from(colour[channel]));
            }
        }
    }
    sums.map(|sum| sum / f64::max(count, 1.0))
}

/// How often the nearest mean colour of a class, learned from the first pictures, is right about
/// the others.
fn accuracy(
    learned: &BTreeMap<Id, [f64; 3]>,
    judged: &BTreeMap<Id, [f64; 3]>,
    truth: &BTreeMap<Id, String>,
) -> f64 {
    let mut means: BTreeMap<&str, ([f64; 3], f64)> = BTreeMap::new();
    for (id, colour) in learned {
        let (sum, count) = means.entry(&truth[id]).or_default();
        (0..3).for_each(|channel| sum[channel] += colour[channel]);
        *count += 1.0;
    }
    let far = |class: &str, colour: &[f64; 3]| -> f64 {
        let (sum, count) = means[class];
        (0..3)
            .map(|channel| (sum[channel] / count - colour[channel]).powi(2))
            .sum()
    };
    let right = judged.iter().filter(|(id, colour)| {
        let nearest = means
            .keys()
            .min_by(|one, other| far(one, colour).total_cmp(&far(other, colour)));
        **nearest.unwrap() == truth[*id]
    });
    right.count() as f64 / judged.len() as f64
}

/// What the traps are for: of two simple classifiers, the one that looks at lesions falls where
/// they are gone and holds on other backgrounds; the one that looks at backgrounds the other way
/// round.
#[test]
fn a_sound_classifier_falls_without_lesions_and_holds_on_other_backgrounds() {
    let made = made(400);
    let mut context = context(&made);
    run("{region: box, donors: other-class, feather: 0.0}", &mut context).unwrap();
    let (truth, boxes) = (texts(&made.output("truth"), "label"), boxes(&made));
    let lesion = |id: &Id, picture: &Picture| {
        let [left, top, right, bottom] = boxes[id];
        let middle = |low: f64, high: f64, at: f64| (at - (low + high) / 2.0).abs() < (high - low) / 4.0;
        looks(picture, |x, y| middle(left, right, x) && middle(top, bottom, y))
    };
    let surroundings = |id: &Id, picture: &Picture| {
        let [left, top, right, bottom] = boxes[id];
        let out =
            |low: f64, high: f64, at: f64| at < low - 0.2 * (high - low) || at > high + 0.2 * (high - low);
        looks(picture, |x, y| out(left, right, x) || out(top, bottom, y))
    };
    let seen = |of: &dyn Fn(&Id, &Picture) -> [f64; 3], table: &RecordBatch| -> BTreeMap<Id, [f64; 3]> {
        pictures(table)
            .iter()
            .map(|(id, picture)| (id.clone(), of(id, picture)))
            .collect()
    };
    let scores = |of: &dyn Fn(&Id, &Picture) -> [f64; 3]| {
        let learned = seen(of, &made.output("samples"));
        ["masked", "swapped"]
            .map(|port| accuracy(&learned, &seen(of, &context.output(port)), &truth))
            .to_vec()
            .into_iter()
            .chain([accuracy(&learned, &learned, &truth)])
            .collect::<Vec<f64>>()
    };
    let (sound, unsound) = (scores(&lesion), scores(&surroundings));
    let [masked, swapped, before] = sound[..] else {
        unreachable!()
    };
    // Chance is 0.25.
    assert!(
        before > 0.55 && swapped > before - 0.05 && masked < 0.35,
        "{sound:?}"
    );
    let [masked, swapped, before] = unsound[..] else {
        unreachable!()
    };
    assert!(
        before > 0.35 && masked > before - 0.05 && swapped < 0.27,
        "{unsound:?}"
    );
}

#[test]
fn what_is_not_swapped_stays_and_the_rest_is_the_donors_of_another_patient() {
    let made = made(40);
    let mut context = context(&made);
    run("{region: box, margin: 0.0, feather: 0.0}", &mut context).unwrap();
    let (before, boxes) = (pictures(&made.output("samples")), boxes(&made));
    let (masked, swapped) = (
        pictures(&context.output("masked")),
        pictures(&context.output("swapped")),
    );
    let patients = texts(&made.output("samples"), "group");
    let swaps = context.output("swaps");
    let donors = swaps.column_by_name("donor").unwrap().as_fixed_size_binary();
    assert_eq!(swaps.num_rows() + context.output("rejects").num_rows(), 40);
    assert!(swaps.num_rows() > 30);
    for (row, id) in ids(&swaps).into_iter().enumerate() {
        let donor = donors.value(row).to_vec();
        assert_ne!(patients[&id], patients[&donor]);
        let [left, top, right, bottom] = boxes[&id];
        for at in 0..48 * 48 {
            let (column, line) = (at % 48, at / 48);
            let (x, y) = (column as f64 + 0.5, line as f64 + 0.5);
            let inside = x >= left && x < right && y >= top && y < bottom;
            let own = before[&id].at(column, line);
            // A donor's lesion is filled over, so only what lies outside of it is compared.
            let [l, t, r, b] = boxes[&donor];
            let in_donor = x >= l && x < r && y >= t && y < b;
            match inside {
                true => assert_eq!(swapped[&id].at(column, line), own),
                false => {
                    assert_eq!(masked[&id].at(column, line), own);
                    if !in_donor {
                        assert_eq!(swapped[&id].at(column, line), before[&donor].at(column, line));
                    }
                }
            }
        }
    }
}

#[test]
fn the_draw_hangs_on_the_seed_and_not_on_threads() {
    let made = made(30);
    let of = |seed: u64, threads: usize| {
        let mut context = context(&made);
        (context.seed, context.threads) = (seed, threads);
        run("{region: ellipse, fill: mean}", &mut context).unwrap();
        [context.output("swapped"), context.output("swaps")]
    };
    assert_eq!(of(3, 1), of(3, 4));
    assert_ne!(of(3, 1), of(4, 1));
}

/// The samples with a map each of `side` × `side` cells.
fn with_maps(samples: &RecordBatch, side: i64, codes: &[u8]) -> MemoryContext {
    let rows = samples.num_rows();
    let sides = Int64Array::from(vec![side; rows]);
    let heat = BinaryArray::from_iter_values(vec![codes; rows]);
    let schema = TableType::of(dermflow_core::Contract::named("Foreground").unwrap()).schema();
    let columns: Vec<ArrayRef> = vec![
        samples.column(0).clone(),
        Arc::new(sides.clone()),
        Arc::new(sides),
        Arc::new(heat),
    ];
    let mut context = MemoryContext::default();
    context.add_table("samples", samples.clone());
    context.add_table("foreground", RecordBatch::try_new(schema, columns).unwrap());
    context
}

#[test]
fn a_foreground_map_of_another_picture_size_is_refused() {
    let samples = made(12).output("samples");
    let mut context = with_maps(&samples, 12, &[0; 144]);
    let refusal = run("{region: foreground}", &mut context).unwrap_err();
    assert!(refusal.message.contains("12 × 12 cells"), "{refusal}");
}

#[test]
fn a_foreground_map_stands_in_for_boxes() {
    let made = made(12);
    let samples = made.output("samples");
    // 6 × 6 cells, of which the four in the middle are foreground.
    let codes: Vec<u8> = (0..36)
        .map(|cell| {
            if (2..4).contains(&(cell % 6)) && (2..4).contains(&(cell / 6)) {
                254
            } else {
                0
            }
        })
        .collect();
    let mut context = with_maps(&samples, 6, &codes);
    run("{region: foreground, fill: black}", &mut context).unwrap();
    let masked = pictures(&context.output("masked"));
    assert_eq!(masked.len(), 12);
    for (id, before) in pictures(&samples) {
        assert_eq!(masked[&id].at(24, 24), [0; 3]);
        assert_eq!(masked[&id].at(2, 2), before.at(2, 2));
    }
}

#[test]
fn samples_without_a_lesion_a_background_or_a_donor_are_rejected_with_the_reason() {
    let made = made(20);
    // Only the first boxes: some pictures have none.
    let mut context = of_tables(made.output("samples"), made.output("boxes").slice(0, 9));
    run("{most-area: 0.9}", &mut context).unwrap();
    let rejects = context.output("rejects");
    let reasons = texts(&rejects, "reason");
    assert_eq!(rejects.num_rows() + context.output("masked").num_rows(), 20);
    assert!(
        reasons.values().any(|reason| reason == "it has no box"),
        "{reasons:?}"
    );
    let mut strict = self::context(&made);
    run("{most-area: 0.01}", &mut strict).unwrap();
    let reasons = texts(&strict.output("rejects"), "reason");
    assert!(
        reasons.values().all(|reason| reason.contains("most-area")),
        "{reasons:?}"
    );
    let mut alone = of_tables(made.output("samples").slice(0, 1), made.output("boxes"));
    run("{}", &mut alone).unwrap();
    let reasons = texts(&alone.output("rejects"), "reason");
    assert!(
        reasons.values().all(|reason| reason.contains("no other group")),
        "{reasons:?}"
    );
    assert_eq!(reasons.len(), 1);
}

#[test]
fn a_fold_is_made_with_its_own_backgrounds_and_must_be_there() {
    let made = made(30);
    let samples = made.output("samples");
    let folds: arrow::array::StringArray = (0..30).map(|row| Some(["test", "train"][row % 2])).collect();
    let schema = TableType::exactly([dermflow_core::Column::new(
        "fold",
        dermflow_core::ColumnType::Text,
    )])
    .schema();
    let splits = RecordBatch::try_new(
        schema,
        vec![samples.column(0).clone(), std::sync::Arc::new(folds)],
    )
    .unwrap();
    let fold = texts(&splits, "fold");
    let mut context = context(&made);
    context.add_table("splits", splits);
    run("{fold: test}", &mut context).unwrap();
    let swaps = context.output("swaps");
    assert!(swaps.num_rows() > 8);
    let donors = swaps.column_by_name("donor").unwrap().as_fixed_size_binary();
    for (row, id) in ids(&swaps).into_iter().enumerate() {
        assert_eq!(
            (fold[&id].as_str(), fold[donors.value(row)].as_str()),
            ("test", "test")
        );
    }
    let refusal = run("{fold: tset}", &mut context).unwrap_err();
    assert!(refusal.message.contains("`tset`"), "{refusal}");
}

#[test]
fn wirings_that_can_not_work_are_told_before_the_run() {
    let place = |with: &str, ports: &[&str]| {
        let wired: InputTypes = ports
            .iter()
            .map(|port| (port.to_string(), vec![PortType::Table(TableType::any())]))
            .collect();
        let parameters: TrapSetsParameters = serde_yaml::from_str(with).unwrap();
        TrapSets::outputs(&parameters, &wired)
            .err()
            .map(|problem| problem.parameter)
    };
    assert_eq!(place("{}", &["samples", "boxes"]), None);
    assert_eq!(place("{}", &["samples"]).as_deref(), Some("region"));
    assert_eq!(
        place("{region: foreground}", &["samples", "boxes"]).as_deref(),
        Some("region")
    );
    assert_eq!(
        place(
            "{region: foreground, donors: other-class}",
            &["samples", "foreground"]
        )
        .as_deref(),
        Some("donors")
    );
    assert_eq!(
        place("{fold: test}", &["samples", "boxes"]).as_deref(),
        Some("fold")
    );
}
