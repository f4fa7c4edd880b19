//! Tests of `contact-sheet`; how a sheet looks is tested where it is drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use dermflow_core::memory::MemoryContext;
use dermflow_core::{Column, ColumnType, InputTypes, PortType, StageContext, StageKind, TableType};
use dermflow_vision::heatmap::{BLIND, Heatmap, PEAK};

use super::pick::{Extras, join, pick};
use super::{ContactSheet, ContactSheetParameters, arrange, tile};
use crate::synthesize::Synthesize;

/// Made-up images, wired.
fn world(images: usize) -> MemoryContext {
    let mut made = MemoryContext::default();
    let with = format!("{{images: {images}, width: 24, height: 24, classes: 3, label-noise: 0.5}}");
    Synthesize::run(&serde_yaml::from_str(&with).unwrap(), &mut made).unwrap();
    let mut context = MemoryContext::default();
    context.add_table("samples", made.output("samples"));
    context.add_table("labels", made.output("truth"));
    context.add_table("boxes", made.output("boxes"));
    context
}

/// The size of each sheet.
fn sheets(context: &mut MemoryContext, with: &str) -> Vec<(String, [u32; 2])> {
    let folder = tempfile::tempdir().unwrap();
    context.scratch = folder.path().to_path_buf();
    let parameters: ContactSheetParameters = serde_yaml::from_str(with).unwrap();
    ContactSheet::run(&parameters, context).unwrap();
    let files = context.output_files["sheets"].iter();
    files
        .map(|(name, bytes)| {
            // Width and height stand behind the signature and the first chunk's head.
            let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!(&bytes[1..4], b"PNG");
            (name.clone(), [side(16), side(20)])
        })
        .collect()
}

#[test]
fn images_fill_sheets_and_the_last_one_has_what_is_left() {
    let made = sheets(&mut world(30), "{columns: 4, rows: 3, side: 40}");
    let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sheet-001.png", "sheet-002.png", "sheet-003.png"]);
    assert_eq!(made[0].1, made[1].1);
    assert!(made[2].1[1] < made[0].1[1], "six images take two of three rows");
}

#[test]
fn as_many_are_shown_as_were_asked_for() {
    let rows = |with: &str| {
        let made = sheets(&mut world(60), with);
        assert_eq!(made.len(), 1);
        // A row is an image, its caption and a gap.
        (made[0].1[1] - 44) / (32 + 44)
    };
    assert_eq!(rows("{columns: 1, rows: 64, side: 32, images: 7}"), 7);
    assert_eq!(rows("{columns: 1, rows: 64, side: 32, per-label: 2}"), 6);
}

#[test]
fn no_image_is_an_empty_sheet() {
    assert_eq!(sheets(&mut world(0), "{}").len(), 1);
}

#[test]
fn pixels_that_do_not_fit_their_size_are_told() {
    let mut context = world(3);
    let mut samples = MemoryContext::default();
    Synthesize::run(
        &serde_yaml::from_str("{images: 1, width: 24, height: 24}").unwrap(),
        &mut samples,
    )
    .unwrap();
    let table = samples.output("samples");
    let column = table.schema().index_of("width").unwrap();
    let mut columns = table.columns().to_vec();
    columns[column] = std::sync::Arc::new(arrow::array::Int64Array::from(vec![25]));
    let odd = arrow::array::RecordBatch::try_new(table.schema(), columns).unwrap();
    context = {
        let mut again = MemoryContext::default();
        again.scratch = context.scratch.clone();
        again.add_table("samples", odd);
        again
    };
    let error = ContactSheet::run(&serde_yaml::from_str("{}").unwrap(), &mut context).unwrap_err();
    assert!(error.message.contains("25 × 24 × 3"), "{error}");
}

/// Made-up images without labels of their own, and their labels wired.
fn unlabelled(images: usize) -> MemoryContext {
    let mut made = MemoryContext::default();
    let with = format!("{{images: {images}, width: 24, height: 24, classes: 3}}");
    Synthesize::run(&serde_yaml::from_str(&with).unwrap(), &mut made).unwrap();
    let samples = made.output("samples");
    let at = samples.schema().index_of("label").unwrap();
    let mut columns = samples.columns().to_vec();
    columns[at] = Arc::new(StringArray::new_null(samples.num_rows()));
    let mut context = MemoryContext::default();
    context.batch_rows = 3;
    context.add_table(
        "samples",
        RecordBatch::try_new(samples.schema(), columns).unwrap(),
    );
    context.add_table("labels", made.output("truth"));
    context
}

/// All rows of a table that is wired, in order of their ids.
fn whole(context: &MemoryContext, port: &str) -> RecordBatch {
    let batches: Vec<RecordBatch> = context.table(port).unwrap().map(|batch| batch.unwrap()).collect();
    arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[test]
fn an_image_without_a_label_of_its_own_is_shown_with_the_wired_one_alone() {
    let context = unlabelled(40);
    let parameters: ContactSheetParameters = serde_yaml::from_str("{per-label: 2}").unwrap();
    let (picked, total) = pick(&parameters, &context).unwrap();
    assert_eq!((picked.len(), total), (6, 40), "two of each of three labels");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for picked in picked {
        let wired = picked.wired.clone().unwrap();
        let made = tile(picked, Extras::default(), &BTreeMap::new(), false);
        assert_eq!(made.caption, wired);
        *counts.entry(wired).or_default() += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn wired_labels_are_those_of_their_samples() {
    let context = unlabelled(25);
    let parameters: ContactSheetParameters = serde_yaml::from_str("{}").unwrap();
    let (picked, _) = pick(&parameters, &context).unwrap();
    let truth = whole(&context, "labels");
    let ids = truth.column(0).as_fixed_size_binary();
    let labels = truth.column_by_name("label").unwrap().as_string::<i32>();
    for picked in join(picked, &context).unwrap() {
        let row = (0..ids.len()).find(|row| ids.value(*row) == picked.0.id).unwrap();
        assert_eq!(picked.0.wired.as_deref(), Some(labels.value(row)));
    }
}

#[test]
fn a_faint_map_is_drawn_by_its_own_peak_and_says_how_faint_it_is() {
    let context = unlabelled(1);
    let parameters: ContactSheetParameters = serde_yaml::from_str("{}").unwrap();
    let drawn = |stretched: bool| {
        let (mut picked, _) = pick(&parameters, &context).unwrap();
        let faint = Heatmap::of_codes(2, 2, vec![0, 10, 20, BLIND]).unwrap();
        let extras = Extras {
            maps: vec![(faint, 12.0)],
            ..Extras::default()
        };
        tile(picked.remove(0), extras, &BTreeMap::new(), stretched)
    };
    let (own, shared) = (drawn(true), drawn(false));
    assert_eq!(own.maps[0].0.codes(), [0, PEAK / 2, PEAK, BLIND]);
    assert!(own.note.starts_with("peak 0.08  "), "{}", own.note);
    assert_eq!(shared.maps[0].0.codes(), [0, 10, 20, BLIND]);
    assert!(!shared.note.contains("peak"));
}

/// Parameters as a pipeline has them, where a choice with content is a map.
fn parsed(with: &str) -> ContactSheetParameters {
    let with = serde_yaml::Deserializer::from_str(with);
    serde_yaml::with::singleton_map_recursive::deserialize(with).unwrap()
}

/// Forty made-up images, of which thirty have a rank in the input `labels`, in no order.
fn ranked() -> MemoryContext {
    let unranked = unlabelled(40);
    let truth = whole(&unranked, "labels").slice(0, 30);
    let ranks: Vec<i64> = (0..30).map(|row| row * 7 % 30 + 1).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("sample_id", truth.column(0).clone()),
        ("label", truth.column_by_name("label").unwrap().clone()),
        ("suggested", Arc::new(StringArray::from(vec!["wart"; 30]))),
        ("rank", Arc::new(Int64Array::from(ranks))),
    ];
    let mut context = MemoryContext::default();
    context.batch_rows = 7;
    context.add_table("samples", whole(&unranked, "samples"));
    context.add_table("labels", RecordBatch::try_from_iter(columns).unwrap());
    context
}

#[test]
fn images_stand_by_a_number_of_their_labels_and_others_are_not_shown() {
    let context = ranked();
    let places = |with: &str| {
        let parameters = parsed(with);
        let (picked, total) = pick(&parameters, &context).unwrap();
        assert_eq!(total, 30, "images that have a rank");
        assert!(picked.windows(2).all(|pair| pair[0].id < pair[1].id));
        let mut picked = join(picked, &context).unwrap();
        arrange(&mut picked, &parameters.order);
        picked
            .iter()
            .map(|(picked, _)| picked.place)
            .collect::<Vec<f64>>()
    };
    assert_eq!(places("{images: 4, order: {lowest: rank}}"), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(
        places("{images: 3, order: {highest: rank}}"),
        [-30.0, -29.0, -28.0]
    );
    assert_eq!(places("{order: {lowest: rank}}").len(), 30);
    let labels = whole(&context, "labels");
    let labels: BTreeSet<&str> = labels
        .column_by_name("label")
        .unwrap()
        .as_string::<i32>()
        .iter()
        .flatten()
        .collect();
    let one_of_each = places("{order: {lowest: rank}, per-label: 1}");
    assert_eq!((one_of_each.len(), one_of_each[0]), (labels.len(), 1.0));
}

#[test]
fn the_second_label_stands_below_the_first() {
    let parameters = parsed("{images: 1, order: {lowest: rank}, second-label: suggested}");
    let (mut picked, _) = pick(&parameters, &ranked()).unwrap();
    let picked = picked.remove(0);
    let label = picked.wired.clone().unwrap();
    let made = tile(picked, Extras::default(), &BTreeMap::new(), false);
    assert_eq!((made.caption, made.second), (label, "wart".to_string()));
}

#[test]
fn columns_of_the_labels_are_asked_for_before_anything_runs() {
    let labels = TableType::exactly([
        Column::new("label", ColumnType::Text),
        Column::new("rank", ColumnType::Integer),
    ]);
    let wired: InputTypes = [("labels".to_string(), vec![PortType::Table(labels)])].into();
    let problem = |with: &str, wired: &InputTypes| {
        let problem = ContactSheet::outputs(&parsed(with), wired).unwrap_err();
        (problem.parameter, problem.message)
    };
    assert!(ContactSheet::outputs(&parsed("{order: {lowest: rank}}"), &wired).is_ok());
    for (with, parameter, said) in [
        ("{order: {lowest: margin}}", "order", "no column `margin`"),
        ("{order: {highest: label}}", "order", "a number was expected"),
        ("{second-label: rank}", "second-label", "text was expected"),
    ] {
        let (place, message) = problem(with, &wired);
        assert!(place == parameter && message.contains(said), "{place}: {message}");
    }
    let (_, message) = problem("{order: {lowest: rank}}", &InputTypes::new());
    assert!(message.contains("nothing is wired"), "{message}");
}
