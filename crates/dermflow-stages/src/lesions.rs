//! The real data that tests of evaluating kinds read, in `tests/data`; its page says what it is.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float32Builder, Float64Array, ListBuilder, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field};
use dermflow_core::memory::batch;

/// The model's classes, in order; `MEL` is none of them.
pub const CLASSES: [&str; 5] = ["ACK", "BCC", "NEV", "SCC", "SEK"];

/// One photo.
pub struct Photo {
    image: String,
    patient: String,
    label: String,
    given: String,
    fold: String,
    fitzpatrick: String,
    age: f64,
    energy: f32,
    probabilities: Vec<f32>,
}

/// The records of a CSV file below its header.
pub fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let records = reader.records().map(Result::unwrap);
    records
        .map(|record| record.iter().map(str::to_string).collect())
        .collect()
}

/// All photos.
pub fn photos() -> Vec<Photo> {
    records(include_bytes!("../tests/data/lesion_predictions.csv"))
        .iter()
        .map(|record| Photo {
            image: record[0].to_string(),
            patient: record[1].to_string(),
            label: record[2].to_string(),
            given: record[3].to_string(),
            fold: record[4].to_string(),
            fitzpatrick: record[5].to_string(),
            age: record[6].parse().unwrap(),
            energy: record[7].parse().unwrap(),
            probabilities: record
                .iter()
                .skip(8)
                .map(|share| share.parse().unwrap())
                .collect(),
        })
        .collect()
}

/// A list column of these rows.
pub fn lists(rows: &[&[f32]]) -> ArrayRef {
    let item = Field::new("item", DataType::Float32, false);
    let mut builder = ListBuilder::new(Float32Builder::new()).with_field(item);
    for row in rows {
        builder.values().append_slice(row);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// `Predictions` of these samples, the likeliest of `classes` being the label.
pub fn predictions(
    keys: &[&str],
    classes: &[&str],
    rows: &[&[f32]],
    energy: Option<Vec<f32>>,
) -> RecordBatch {
    let best = |row: &&[f32]| {
        (0..row.len())
            .max_by(|left, right| row[*left].total_cmp(&row[*right]))
            .unwrap()
    };
    let labels: StringArray = rows.iter().map(|row| Some(classes[best(row)])).collect();
    let probabilities: Float32Array = rows.iter().map(|row| Some(row[best(row)])).collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("label", Arc::new(labels)),
        ("probability", Arc::new(probabilities)),
        ("probabilities", lists(rows)),
    ];
    if let Some(energy) = energy {
        columns.push(("energy", Arc::new(Float32Array::from(energy))));
    }
    batch(keys, columns)
}

/// One text column.
pub fn texts(keys: &[&str], name: &str, values: &[&str]) -> RecordBatch {
    let values: StringArray = values.iter().map(|value| Some(*value)).collect();
    batch(keys, [(name, Arc::new(values) as ArrayRef)])
}

fn keys(photos: &[Photo]) -> Vec<&str> {
    photos.iter().map(|photo| photo.image.as_str()).collect()
}

/// The predictions, with energies.
pub fn lesion_predictions() -> RecordBatch {
    let photos = photos();
    let rows: Vec<&[f32]> = photos
        .iter()
        .map(|photo| photo.probabilities.as_slice())
        .collect();
    let energy = photos.iter().map(|photo| photo.energy).collect();
    predictions(&keys(&photos), &CLASSES, &rows, Some(energy))
}

/// The true labels.
pub fn lesion_truth() -> RecordBatch {
    let photos = photos();
    let labels: Vec<&str> = photos.iter().map(|photo| photo.label.as_str()).collect();
    texts(&keys(&photos), "label", &labels)
}

/// Labels of which a fifth is wrong.
pub fn lesion_given() -> RecordBatch {
    let photos = photos();
    let labels: Vec<&str> = photos.iter().map(|photo| photo.given.as_str()).collect();
    texts(&keys(&photos), "label", &labels)
}

/// `Splits` into `valid` and `test`, by patient.
pub fn lesion_splits() -> RecordBatch {
    let photos = photos();
    let folds: Vec<&str> = photos.iter().map(|photo| photo.fold.as_str()).collect();
    texts(&keys(&photos), "fold", &folds)
}

/// Patients, ages and Fitzpatrick types, which are missing for some.
pub fn lesion_attributes() -> RecordBatch {
    let photos = photos();
    let patients: StringArray = photos.iter().map(|photo| Some(photo.patient.as_str())).collect();
    let ages: Float64Array = photos.iter().map(|photo| Some(photo.age)).collect();
    let tones: StringArray = photos
        .iter()
        .map(|photo| (!photo.fitzpatrick.is_empty()).then_some(photo.fitzpatrick.as_str()))
        .collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("patient", Arc::new(patients)),
        ("age", Arc::new(ages)),
        ("fitzpatrick", Arc::new(tones)),
    ];
    batch(&keys(&photos), columns)
}
