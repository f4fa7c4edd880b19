//! When a model says that it doesn't know: below a probability, or beyond an operating point that
//! `evaluate` chose on a validation fold. Must not know how one is chosen.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use dermflow_core::StageError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reject {
    /// Rejected are probabilities below it.
    ProbabilityBelow(f64),
    /// Rejected are energies above it.
    EnergyAbove(f64),
}

impl Reject {
    /// Whether a picture is rejected.
    pub fn rejects(self, probability: f32, energy: f32) -> bool {
        match self {
            // In the precision that probabilities have: 0.7 as float32 is less than 0.7.
            Reject::ProbabilityBelow(threshold) => probability < threshold as f32,
            Reject::EnergyAbove(threshold) => f64::from(energy) > threshold,
        }
    }

    /// The point called `name`, or the only one, of a table `operating-points` of `evaluate`.
    ///
    /// # Errors
    /// Where the table is something else, or has no such point or several.
    pub fn of_table(batches: &[RecordBatch], name: Option<&str>) -> Result<Reject, StageError> {
        let mut points: Vec<(String, String, f64)> = Vec::new();
        for batch in batches {
            let text = |column: &str| crate::class_list::text(batch, column);
            let threshold = batch
                .column_by_name("threshold")
                .and_then(|column| column.as_primitive_opt::<Float64Type>())
                .filter(|column| column.null_count() == 0);
            let (Ok(names), Ok(by), Some(threshold)) = (text("point"), text("by"), threshold) else {
                let message =
                    "it is no table of operating points: columns `point`, `by` and `threshold` were expected";
                return Err(
                    StageError::new(message).with_help("take the output `operating-points` of `evaluate`")
                );
            };
            points.extend((0..batch.num_rows()).map(|row| {
                (
                    names.value(row).to_string(),
                    by.value(row).to_string(),
                    threshold.value(row),
                )
            }));
        }
        points.sort_by(|left, right| left.0.cmp(&right.0));
        let names: Vec<String> = points.iter().map(|(name, ..)| format!("`{name}`")).collect();
        let names = names.join(", ");
        let mut wanted = points
            .iter()
            .filter(|(own, ..)| name.is_none_or(|name| name == own));
        let (Some((_, by, threshold)), None) = (wanted.next(), wanted.next()) else {
            let error = match (points.is_empty(), name) {
                (true, _) => StageError::new("the table has no operating point")
                    .with_help("give `evaluate` one under `operating-points`"),
                (_, Some(name)) => {
                    StageError::new(format!("there is no operating point `{name}`; there are {names}"))
                }
                _ => StageError::new(format!(
                    "there are the operating points {names}: name one of them"
                )),
            };
            return Err(error);
        };
        match by.as_str() {
            "probability" => Ok(Reject::ProbabilityBelow(*threshold)),
            "energy" => Ok(Reject::EnergyAbove(*threshold)),
            other => Err(StageError::new(format!(
                "an operating point by `{other}` is not known; `probability` and `energy` are"
            ))),
        }
    }

    /// As [`Reject::of_table`], from a file: Parquet, or CSV with a line of names.
    ///
    /// # Errors
    /// As there, and where the file can't be read.
    pub fn of_file(path: &Path, name: Option<&str>) -> Result<Reject, StageError> {
        let of_path = |error: StageError| StageError {
            message: format!("{}: {}", path.display(), error.message),
            ..error
        };
        let file = File::open(path).map_err(|error| StageError::io("reading", path, &error))?;
        let is_csv = path.extension().is_some_and(|ending| ending == "csv");
        let batches = match is_csv {
            true => csv(file),
            false => parquet(file),
        };
        batches
            .and_then(|batches| Reject::of_table(&batches, name))
            .map_err(of_path)
    }
}

fn parquet(file: File) -> Result<Vec<RecordBatch>, StageError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build());
    let reader = reader.map_err(|error| StageError::new(format!("it is no Parquet file: {error}")))?;
    Ok(reader.collect::<Result<_, _>>()?)
}

fn csv(mut file: File) -> Result<Vec<RecordBatch>, StageError> {
    use std::io::Seek;
    let format = arrow::csv::reader::Format::default().with_header(true);
    let (schema, _) = format.infer_schema(&mut file, Some(100))?;
    file.rewind()
        .map_err(|error| StageError::new(error.to_string()))?;
    // A threshold such as `1` looks like a whole number, a point called `95` or `true` like no text.
    let fields = schema.fields().iter().map(|field| match field.name().as_str() {
        name @ ("point" | "by") => Field::new(name, DataType::Utf8, true),
        name @ "threshold" => Field::new(name, DataType::Float64, true),
        _ => field.as_ref().clone(),
    });
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let reader = arrow::csv::ReaderBuilder::new(schema.into())
        .with_header(true)
        .build(file)?;
    Ok(reader.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use dermflow_core::memory::batch;

    use super::*;

    fn table(points: &[(&str, &str, f64)]) -> RecordBatch {
        let keys: Vec<&str> = points.iter().map(|point| point.0).collect();
        let by: StringArray = points.iter().map(|point| Some(point.1)).collect();
        let thresholds: Float64Array = points.iter().map(|point| Some(point.2)).collect();
        let columns: [(&str, ArrayRef); 3] = [
            ("point", Arc::new(StringArray::from(keys.clone()))),
            ("by", Arc::new(by)),
            ("threshold", Arc::new(thresholds)),
        ];
        batch(&keys, columns)
    }

    #[test]
    fn the_only_point_or_the_named_one_is_taken() {
        let one = table(&[("cautious", "energy", -2.5)]);
        assert_eq!(Reject::of_table(&[one], None).unwrap(), Reject::EnergyAbove(-2.5));
        let two = [table(&[
            ("cautious", "energy", -2.5),
            ("fixed", "probability", 0.6),
        ])];
        assert_eq!(
            Reject::of_table(&two, Some("fixed")).unwrap(),
            Reject::ProbabilityBelow(0.6)
        );
        let told = |name| Reject::of_table(&two, name).unwrap_err().message;
        assert!(told(None).contains("`cautious`, `fixed`"), "{}", told(None));
        assert!(told(Some("bold")).contains("no operating point `bold`"));
        assert!(
            Reject::of_table(&[], None)
                .unwrap_err()
                .message
                .contains("no operating point")
        );
        let other = batch(&["a"], []);
        assert!(
            Reject::of_table(&[other], None)
                .unwrap_err()
                .message
                .contains("no table of")
        );
    }

    #[test]
    fn a_csv_file_is_read_and_something_else_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.csv");
        std::fs::write(&path, "point,by,threshold\nfixed,probability,1\n").unwrap();
        assert_eq!(
            Reject::of_file(&path, None).unwrap(),
            Reject::ProbabilityBelow(1.0)
        );
        let path = folder.path().join("points.parquet");
        std::fs::write(&path, "nonsense").unwrap();
        let told = Reject::of_file(&path, None).unwrap_err().message;
        assert!(
            told.contains("points.parquet") && told.contains("no Parquet"),
            "{told}"
        );
    }

    #[test]
    fn points_of_a_csv_file_may_be_called_like_numbers_and_truths() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.csv");
        for (names, asked) in [
            (["90", "95"], "95"),
            (["0.9", "0.95"], "0.95"),
            (["false", "true"], "true"),
            (["2024-01-01", "2024-01-02"], "2024-01-02"),
        ] {
            let [first, second] = names;
            let text = format!("point,by,threshold\n{first},probability,0.5\n{second},energy,-2.5\n");
            std::fs::write(&path, text).unwrap();
            let reject = Reject::of_file(&path, Some(asked));
            assert_eq!(reject.unwrap(), Reject::EnergyAbove(-2.5), "{asked}");
        }
    }

    #[test]
    fn what_is_at_the_threshold_is_kept() {
        assert!(!Reject::ProbabilityBelow(0.5).rejects(0.5, 0.0));
        assert!(Reject::ProbabilityBelow(0.5).rejects(0.49, 0.0));
        assert!(!Reject::EnergyAbove(-1.0).rejects(0.0, -1.0));
        assert!(Reject::EnergyAbove(-1.0).rejects(0.0, -0.5));
    }
}
