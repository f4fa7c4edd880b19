//! What samples are told apart by: numbers, embeddings or thumbnails. Knows nothing of choosing.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use dermflow_core::{ColumnType, Problem, StageError, TableType};

use crate::columns::in_words;

/// Rows of numbers, all of one width.
#[derive(Debug, Default)]
pub struct Features {
    /// How many numbers a row has.
    pub width: usize,
    pub values: Vec<f32>,
    /// Which numbers of a row are brought to mean 0 and deviation 1; missing ones are NaN.
    scalars: Vec<usize>,
}

impl Features {
    /// A row.
    pub fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    /// Brings single numbers to mean 0 and deviation 1. A missing one becomes the mean.
    pub fn standardise(&mut self) {
        let rows = self.values.len().checked_div(self.width).unwrap_or(0);
        for scalar in &self.scalars {
            let places = (0..rows).map(|row| row * self.width + scalar);
            let known = places.clone().map(|place| f64::from(self.values[place]));
            let known: Vec<f64> = known.filter(|value| value.is_finite()).collect();
            let count = known.len().max(1) as f64;
            let mean = known.iter().sum::<f64>() / count;
            let deviation = (known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            for place in places {
                let value = f64::from(self.values[place]);
                self.values[place] = match value.is_finite() && deviation > 0.0 {
                    true => ((value - mean) / deviation) as f32,
                    false => 0.0,
                };
            }
        }
    }
}

/// Whether a column can tell samples apart.
///
/// # Errors
/// In words, where it is known that it can't.
pub fn fits(name: &str, samples: &TableType) -> Result<(), Problem> {
    match samples.column(name).map(|column| &column.column_type) {
        Some(ColumnType::Integer | ColumnType::Float32 | ColumnType::Float64) => Ok(()),
        Some(ColumnType::List(element)) if **element == ColumnType::Float32 => Ok(()),
        None if samples.open => Ok(()),
        Some(other) => {
            let message =
                format!("column `{name}` is {other}; numbers and lists of float32 tell samples apart");
            Err(Problem::new("features", message))
        }
        None => {
            let message = format!("the input has no column `{name}`; {}", in_words(samples));
            Err(Problem::new("features", message))
        }
    }
}

/// Adds the features of these rows of a batch.
///
/// # Errors
/// Where a column is missing, lists differ in length, or pixels don't fit their size.
pub fn features_of(
    batch: &RecordBatch,
    rows: &[usize],
    names: &[String],
    features: &mut Features,
) -> Result<(), StageError> {
    if names.is_empty() {
        return thumbnails(batch, rows, features);
    }
    let mut columns: Vec<(bool, Vec<Vec<f32>>)> = Vec::new();
    for name in names {
        columns.push(column(batch, name, rows)?);
    }
    for at in 0..rows.len() {
        let start = features.values.len();
        let mut scalars = Vec::new();
        for (scalar, values) in &columns {
            if *scalar {
                scalars.push(features.values.len() - start);
            }
            features.values.extend(&values[at]);
        }
        let width = features.values.len() - start;
        if features.width == 0 {
            (features.width, features.scalars) = (width, scalars);
        }
        if width != features.width {
            let message = format!(
                "one sample has {width} numbers in its features, another {}: lists must be of one length",
                features.width
            );
            return Err(StageError::new(message));
        }
    }
    Ok(())
}

/// A column's values in these rows, and whether they are single numbers.
fn column(batch: &RecordBatch, name: &str, rows: &[usize]) -> Result<(bool, Vec<Vec<f32>>), StageError> {
    let column = batch.column_by_name(name);
    let column = column.ok_or_else(|| StageError::new(format!("the samples have no column `{name}`")))?;
    if let Some(lists) = column.as_list_opt::<i32>() {
        let values = rows.iter().map(|row| {
            let list = lists.value(*row);
            let list = list
                .as_primitive_opt::<Float32Type>()
                .map(|list| list.values().to_vec());
            let list = list.filter(|list| lists.is_valid(*row) && list.iter().all(|value| value.is_finite()));
            list.ok_or_else(|| StageError::new(format!("`{name}` has a row that is no list of numbers")))
        });
        return Ok((false, values.collect::<Result<_, _>>()?));
    }
    let numbers = cast(column, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    let value = |row: &usize| match numbers.is_null(*row) {
        true => vec![f32::NAN],
        false => vec![numbers.value(*row) as f32],
    };
    Ok((true, rows.iter().map(value).collect()))
}

/// Cells on a side of a thumbnail.
const CELLS: usize = 8;

fn thumbnails(batch: &RecordBatch, rows: &[usize], features: &mut Features) -> Result<(), StageError> {
    let missing = || StageError::new("the samples came without their pixels");
    let column = |name: &str| batch.column_by_name(name).ok_or_else(missing);
    let pixels = column("pixels")?.as_binary_opt::<i32>().ok_or_else(missing)?;
    let side = |name: &str| column(name)?.as_primitive_opt::<Int64Type>().ok_or_else(missing);
    let (widths, heights) = (side("width")?, side("height")?);
    features.width = CELLS * CELLS * 3;
    for row in rows {
        let sides = usize::try_from(widths.value(*row))
            .ok()
            .zip(usize::try_from(heights.value(*row)).ok());
        let thumbnail = sides.and_then(|(width, height)| thumbnail(pixels.value(*row), width, height));
        let thumbnail =
            thumbnail.ok_or_else(|| StageError::new("a sample's pixels don't fit its width and height"))?;
        features.values.extend(thumbnail);
    }
    Ok(())
}

/// The mean colour of each cell, 0 to 1, row by row.
fn thumbnail(pixels: &[u8], width: usize, height: usize) -> Option<Vec<f32>> {
    let bytes = width.checked_mul(height)?.checked_mul(3)?;
    if bytes == 0 || pixels.len() != bytes {
        return None;
    }
    // A picture smaller than the thumbnail gives some of its pixels twice.
    let cell = |number: usize, side: usize| {
        let first = number * side / CELLS;
        first..((number + 1) * side / CELLS).max(first + 1)
    };
    let mut cells = Vec::with_capacity(CELLS * CELLS * 3);
    for down in 0..CELLS {
        for across in 0..CELLS {
            let (rows, columns) = (cell(down, height), cell(across, width));
            let count = (rows.len() * columns.len()) as f32;
            let mut sums = [0u32; 3];
            for y in rows {
                for x in columns.clone() {
                    let pixel = &pixels[(y * width + x) * 3..][..3];
                    sums.iter_mut()
                        .zip(pixel)
                        .for_each(|(sum, value)| *sum += u32::from(*value));
                }
            }
            cells.extend(sums.map(|sum| sum as f32 / count / 255.0));
        }
    }
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_has_the_colours_of_its_picture_whatever_the_size() {
        for (width, height) in [(1, 1), (3, 50), (64, 64), (9, 8)] {
            let pixels = [255u8, 0, 51].repeat(width * height);
            let cells = thumbnail(&pixels, width, height).unwrap();
            assert_eq!(cells.len(), 192);
            assert!(cells.chunks_exact(3).all(|cell| cell == [1.0, 0.0, 0.2]));
        }
        assert!(thumbnail(&[1, 2, 3], 2, 1).is_none() && thumbnail(&[], 0, 0).is_none());
    }

    #[test]
    fn single_numbers_get_mean_0_and_missing_ones_become_it() {
        let mut features = Features {
            width: 2,
            values: vec![1.0, 5.0, 3.0, 7.0, f32::NAN, 9.0],
            scalars: vec![0],
        };
        features.standardise();
        assert_eq!(features.values, [-1.0, 5.0, 1.0, 7.0, 0.0, 9.0]);
    }
}
