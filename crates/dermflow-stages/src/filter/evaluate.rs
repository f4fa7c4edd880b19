//! A condition against a table's type, and then against its rows. Knows nothing of YAML.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use dermflow_core::{ColumnType, Problem, SampleId, StageError, TableType};

use super::condition::{Condition, Literal, Test};
use crate::columns::in_words;

/// Tells for the rows of one column which pass.
type ColumnTest = Box<dyn Fn(&ArrayRef) -> BooleanBuffer + Send>;

/// A condition whose columns and types were found to fit.
pub enum Mask {
    All(Vec<Mask>),
    Any(Vec<Mask>),
    Not(Box<Mask>),
    Column {
        name: String,
        tests: Vec<ColumnTest>,
    },
    /// The column may be there; that is known only at run time.
    Unknown,
}

impl Mask {
    /// Checks `condition` (which stands at the parameter `at`) against what is known of the table.
    ///
    /// # Errors
    /// Names the column that isn't there, or the value that doesn't fit the column's type.
    pub fn new(condition: &Condition, at: &str, table: &TableType) -> Result<Mask, Problem> {
        let list = |name: &str, conditions: &[Condition]| -> Result<Vec<Mask>, Problem> {
            let numbered = conditions.iter().enumerate();
            numbered
                .map(|(index, part)| Mask::new(part, &format!("{at}.{name}.{index}"), table))
                .collect()
        };
        if let Some(conditions) = &condition.all {
            return Ok(Mask::All(list("all", conditions)?));
        }
        if let Some(conditions) = &condition.any {
            return Ok(Mask::Any(list("any", conditions)?));
        }
        if let Some(part) = &condition.not {
            return Ok(Mask::Not(Box::new(Mask::new(part, &format!("{at}.not"), table)?)));
        }
        let name = condition.column.clone().unwrap_or_default();
        let Some(column) = table.column(&name) else {
            if table.open {
                return Ok(Mask::Unknown);
            }
            let message = format!("the input has no column `{name}`; {}", in_words(table));
            return Err(Problem::new(format!("{at}.column"), message));
        };
        let tests = condition.tests().into_iter().map(|(word, test)| {
            column_test(&column.column_type, test).map_err(|refusal| {
                let message = format!("column `{name}` is {}: {refusal}", column.column_type);
                Problem::new(format!("{at}.{word}"), message)
            })
        });
        let tests = tests.collect::<Result<_, _>>()?;
        Ok(Mask::Column { name, tests })
    }

    /// Which rows of a batch meet the condition.
    ///
    /// # Errors
    /// Where the batch lacks a column, which the check at the start rules out.
    pub fn of(&self, batch: &RecordBatch) -> Result<BooleanArray, StageError> {
        Ok(BooleanArray::new(self.buffer(batch)?, None))
    }

    fn buffer(&self, batch: &RecordBatch) -> Result<BooleanBuffer, StageError> {
        let rows = batch.num_rows();
        match self {
            Mask::All(parts) => parts.iter().try_fold(BooleanBuffer::new_set(rows), |sum, part| {
                Ok(&sum & &part.buffer(batch)?)
            }),
            Mask::Any(parts) => parts
                .iter()
                .try_fold(BooleanBuffer::new_unset(rows), |sum, part| {
                    Ok(&sum | &part.buffer(batch)?)
                }),
            Mask::Not(part) => Ok(!&part.buffer(batch)?),
            Mask::Column { name, tests } => {
                let column = batch
                    .column_by_name(name)
                    .ok_or_else(|| StageError::new(format!("the input has no column `{name}`")))?;
                Ok(tests
                    .iter()
                    .fold(BooleanBuffer::new_set(rows), |sum, test| &sum & &test(column)))
            }
            Mask::Unknown => Err(StageError::new(
                "the input lacks a column that the condition names",
            )),
        }
    }
}

/// A test for columns of one type.
fn column_test(column: &ColumnType, test: Test<Literal>) -> Result<ColumnTest, String> {
    if let Test::IsNull(wanted) = test {
        return Ok(Box::new(move |array: &ArrayRef| {
            let nulls = array.logical_nulls();
            BooleanBuffer::collect_bool(array.len(), |row| {
                nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) == wanted
            })
        }));
    }
    if let Test::Matches(pattern) = test {
        return match column {
            ColumnType::Text => text_pattern(&pattern),
            _ => Err("only text can match a pattern".to_string()),
        };
    }
    match column {
        ColumnType::Boolean if test.orders() => Err("true and false have no order".to_string()),
        ColumnType::SampleId if test.orders() => {
            Err("sample ids have no order that means anything".to_string())
        }
        ColumnType::Boolean => {
            let test = test.map(|literal| match literal {
                Literal::Boolean(truth) => Ok(truth),
                other => Err(format!("{other} is not true or false")),
            })?;
            Ok(rows_where(move |array: &ArrayRef, row| {
                holds(&test, |truth| Some(array.as_boolean().value(row).cmp(truth)))
            }))
        }
        ColumnType::Integer => {
            let test = test.map(number)?;
            Ok(rows_where(move |array: &ArrayRef, row| {
                let value = array.as_primitive::<Int64Type>().value(row);
                holds(&test, |number| number.compared_by_integer(value))
            }))
        }
        ColumnType::Float32 => {
            // The written number is rounded as the column's values were: 0.1 equals 0.1.
            let test = test.map(|literal| number(literal).map(|number| number.as_f64() as f32))?;
            Ok(rows_where(move |array: &ArrayRef, row| {
                let value = array.as_primitive::<Float32Type>().value(row);
                holds(&test, |number| value.partial_cmp(number))
            }))
        }
        ColumnType::Float64 => {
            let test = test.map(|literal| number(literal).map(Number::as_f64))?;
            Ok(rows_where(move |array: &ArrayRef, row| {
                let value = array.as_primitive::<Float64Type>().value(row);
                holds(&test, |number| value.partial_cmp(number))
            }))
        }
        ColumnType::Text => {
            let test = test.map(|literal| match literal {
                Literal::Text(text) => Ok(text),
                other => Err(format!("{other} is not text; write it in quotes")),
            })?;
            Ok(rows_where(move |array: &ArrayRef, row| {
                let value = array.as_string::<i32>().value(row);
                holds(&test, |text| Some(value.cmp(text.as_str())))
            }))
        }
        ColumnType::SampleId => {
            let test = test.map(|literal| match literal {
                Literal::Text(text) => text.parse::<SampleId>().map_err(|error| error.to_string()),
                other => Err(format!("{other} is not a sample id of 64 hexadecimal digits")),
            })?;
            Ok(rows_where(move |array: &ArrayRef, row| {
                let value = array.as_fixed_size_binary().value(row);
                holds(&test, |id| Some(value.cmp(&id.as_bytes()[..])))
            }))
        }
        ColumnType::Binary | ColumnType::List(_) => Err("only `is-null` can be asked of it".to_string()),
    }
}

/// Passes the rows that are not null and for which `passes` says so.
fn rows_where(passes: impl Fn(&ArrayRef, usize) -> bool + Send + 'static) -> ColumnTest {
    Box::new(move |array: &ArrayRef| {
        BooleanBuffer::collect_bool(array.len(), |row| !array.is_null(row) && passes(array, row))
    })
}

fn text_pattern(pattern: &str) -> Result<ColumnTest, String> {
    let glob = globset::Glob::new(pattern).map_err(|error| error.to_string())?;
    let matcher = glob.compile_matcher();
    Ok(rows_where(move |array: &ArrayRef, row| {
        matcher.is_match(array.as_string::<i32>().value(row))
    }))
}

/// Whether a value passes, given how it compares with each of the test's values.
fn holds<L>(test: &Test<L>, compare: impl Fn(&L) -> Option<Ordering>) -> bool {
    use Ordering::{Equal, Greater, Less};
    match test {
        Test::Equals(one) => compare(one) == Some(Equal),
        Test::NotEquals(one) => compare(one) != Some(Equal),
        Test::In(many) => many.iter().any(|one| compare(one) == Some(Equal)),
        Test::NotIn(many) => many.iter().all(|one| compare(one) != Some(Equal)),
        Test::AtLeast(one) => matches!(compare(one), Some(Greater | Equal)),
        Test::AtMost(one) => matches!(compare(one), Some(Less | Equal)),
        Test::Above(one) => compare(one) == Some(Greater),
        Test::Below(one) => compare(one) == Some(Less),
        // Answered before by tests of their own.
        Test::IsNull(_) | Test::Matches(_) => false,
    }
}

/// A written number.
#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    Float(f64),
}

fn number(literal: Literal) -> Result<Number, String> {
    match literal {
        Literal::Integer(number) => Ok(Number::Integer(number)),
        Literal::Float(number) => Ok(Number::Float(number)),
        other => Err(format!("{other} is not a number")),
    }
}

impl Number {
    fn as_f64(self) -> f64 {
        match self {
            Number::Integer(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    /// How `value` compares with it, exactly: no whole number is rounded on the way.
    fn compared_by_integer(self, value: i64) -> Option<Ordering> {
        match self {
            Number::Integer(number) => Some(value.cmp(&number)),
            Number::Float(number) if number.is_nan() => None,
            Number::Float(number) if number >= 9_223_372_036_854_775_808.0 => Some(Ordering::Less),
            Number::Float(number) if number < -9_223_372_036_854_775_808.0 => Some(Ordering::Greater),
            Number::Float(number) => {
                let whole = number.floor();
                // In range by the two arms above, so the conversion is exact.
                let order = value.cmp(&(whole as i64));
                Some(match order {
                    Ordering::Equal if number > whole => Ordering::Less,
                    order => order,
                })
            }
        }
    }
}
