//! [`SliceBy`]: a column that figures are told for each value of, and what a row's slice is called.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use dermflow_core::{Problem, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{column, value};

/// A column whose values make slices, in short (`device`) or, for numbers, with bounds
/// (`{column: age, bounds: [18, 40, 65]}`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenSlice")]
pub struct SliceBy {
    /// The column, of `attributes`; `fold` is that of `splits`, where that is wired.
    pub column: String,
    /// Where numbers are cut: below the first, from the first to below the second, and so on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<f64>,
}

/// Both spellings become one value, so that a spelling doesn't move the key.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a column's name or {column: NAME, bounds: [NUMBER, …]}"
)]
enum WrittenSlice {
    /// The column.
    Column(String),
    /// The column and where its numbers are cut.
    Bounded(BoundedSlice),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BoundedSlice {
    /// The column.
    column: String,
    /// Where its numbers are cut, rising.
    #[serde(default)]
    bounds: Vec<f64>,
}

impl From<WrittenSlice> for SliceBy {
    fn from(written: WrittenSlice) -> SliceBy {
        match written {
            WrittenSlice::Column(column) => SliceBy {
                column,
                bounds: Vec::new(),
            },
            WrittenSlice::Bounded(BoundedSlice { column, bounds }) => SliceBy { column, bounds },
        }
    }
}

impl SliceBy {
    /// Whether its values are the folds of `splits`.
    pub(super) fn of_splits(&self, splits: bool) -> bool {
        splits && self.column == "fold"
    }

    /// What the slice of a number is called.
    fn band(&self, number: f64) -> String {
        let above = self.bounds.partition_point(|bound| *bound <= number);
        match (
            above.checked_sub(1).map(|at| self.bounds[at]),
            self.bounds.get(above),
        ) {
            (None, Some(next)) => format!("below {next}"),
            (Some(last), Some(next)) => format!("{last} to below {next}"),
            (Some(last), None) => format!("{last} or more"),
            (None, None) => number.to_string(),
        }
    }

    /// What the slice of a row is called, none where its value is missing.
    ///
    /// # Errors
    /// Where the column is missing, or bounds are given and it holds no numbers.
    pub(super) fn name(&self, batch: &RecordBatch, row: usize) -> Result<Option<String>, StageError> {
        if self.bounds.is_empty() {
            return value(batch, &self.column, row);
        }
        let column = column(batch, &self.column)?;
        let number = if column.is_null(row) {
            None
        } else if let Some(integers) = column.as_primitive_opt::<Int64Type>() {
            Some(integers.value(row) as f64)
        } else if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
            Some(floats.value(row))
        } else if let Some(floats) = column.as_primitive_opt::<Float32Type>() {
            Some(f64::from(floats.value(row)))
        } else {
            return Err(StageError::new(format!(
                "column `{}` of `attributes` holds no numbers",
                self.column
            )));
        };
        Ok(number
            .filter(|number| !number.is_nan())
            .map(|number| self.band(number)))
    }
}

/// What is wrong with the slices by themselves.
pub fn check_slices(slices: &[SliceBy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, slice) in slices.iter().enumerate() {
        let rising = slice.bounds.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || slice.bounds.iter().any(|bound| !bound.is_finite()) {
            let message = "bounds must be finite numbers, each larger than the one before";
            problems.push(Problem::new(format!("slices.{at}.bounds"), message));
        }
        if slices[..at].iter().any(|other| other.column == slice.column) {
            let message = format!("`{}` makes slices already", slice.column);
            problems.push(Problem::new(format!("slices.{at}"), message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(yaml: &str) -> Vec<SliceBy> {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn both_spellings_are_one_value_and_bands_say_their_bounds() {
        assert_eq!(slices("[age]"), slices("[{column: age}]"));
        let by = &slices("[{column: age, bounds: [18, 40.5]}]")[0];
        for (number, name) in [
            (17.9, "below 18"),
            (18.0, "18 to below 40.5"),
            (40.5, "40.5 or more"),
        ] {
            assert_eq!(by.band(number), name);
        }
        assert_eq!(
            check_slices(&slices("[{column: age, bounds: [5, 5]}, age]")).len(),
            2
        );
    }
}
