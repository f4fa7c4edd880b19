//! Columns as kinds talk about them: declared in YAML, looked up in a type, listed in words.
//! Knows nothing of any one kind.

use std::collections::BTreeMap;

use arrow::array::{Array, FixedSizeBinaryArray, RecordBatch};
use dermflow_core::{Column, ColumnType, InputTypes, PortType, Problem, SAMPLE_ID, StageError, TableType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A declared column, in short (`text`) or in full (`{type: text, nullable: true}`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenColumn")]
pub struct DeclaredColumn {
    /// What its values are.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether a value may be missing.
    pub nullable: bool,
}

/// Both spellings become one value, so that a spelling doesn't move the key.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a column's type (boolean, integer, float32, float64, text, binary, sample-id, \
                 {list: TYPE}) or {type: TYPE, nullable: true|false}"
)]
enum WrittenColumn {
    /// Its type.
    Short(ColumnType),
    /// Its type, and whether a value may be missing.
    Full(FullColumn),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FullColumn {
    /// What its values are.
    #[serde(rename = "type")]
    column_type: ColumnType,
    /// Whether a value may be missing.
    #[serde(default)]
    nullable: bool,
}

impl From<WrittenColumn> for DeclaredColumn {
    fn from(written: WrittenColumn) -> DeclaredColumn {
        match written {
            WrittenColumn::Short(column_type) => DeclaredColumn {
                column_type,
                nullable: false,
            },
            WrittenColumn::Full(FullColumn {
                column_type,
                nullable,
            }) => DeclaredColumn {
                column_type,
                nullable,
            },
        }
    }
}

impl DeclaredColumn {
    /// It with its name.
    pub fn named(&self, name: &str) -> Column {
        Column {
            name: name.to_string(),
            column_type: self.column_type.clone(),
            nullable: self.nullable,
        }
    }
}

/// The type of exactly these columns and the sample id, in order of their names.
pub fn declared_type(columns: &BTreeMap<String, DeclaredColumn>) -> TableType {
    TableType::exactly(columns.iter().map(|(name, column)| column.named(name)))
}

/// Where a declared column has the name that every table's first column has.
pub fn refuse_declared_sample_id<'a>(
    parameter: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Vec<Problem> {
    let taken = names.into_iter().any(|name| name == SAMPLE_ID);
    let problem = || {
        Problem::new(
            format!("{parameter}.{SAMPLE_ID}"),
            format!("`{SAMPLE_ID}` is in every table and is not declared"),
        )
    };
    taken.then(problem).into_iter().collect()
}

/// The tables wired to `port`, as far as they are known.
pub fn wired_tables(wired: &InputTypes, port: &str) -> Vec<TableType> {
    let types = wired.get(port).map(Vec::as_slice).unwrap_or_default();
    types
        .iter()
        .map(|given| match given {
            PortType::Table(table) => table.clone(),
            _ => TableType::any(),
        })
        .collect()
}

/// The one table wired to `port`, as far as it is known.
pub fn wired_table(wired: &InputTypes, port: &str) -> TableType {
    wired_tables(wired, port).pop().unwrap_or_else(TableType::any)
}

/// The columns of a type besides the sample id, for a message.
pub fn in_words(table: &TableType) -> String {
    let names: Vec<String> = table
        .columns
        .iter()
        .filter(|column| column.name != SAMPLE_ID)
        .map(|column| format!("`{}` ({})", column.name, column.column_type))
        .collect();
    match (names.is_empty(), table.open) {
        (true, false) => "it has no column besides the sample id".to_string(),
        (true, true) => "its columns are not known".to_string(),
        (false, false) => format!("its columns are {}", names.join(", ")),
        (false, true) => format!("the columns known of it are {}", names.join(", ")),
    }
}

/// The sample ids of a batch.
///
/// # Errors
/// Where the batch has none, which no table of the engine does.
pub fn ids_of(batch: &RecordBatch) -> Result<&FixedSizeBinaryArray, StageError> {
    batch
        .column_by_name(SAMPLE_ID)
        .and_then(|column| column.as_any().downcast_ref::<FixedSizeBinaryArray>())
        .filter(|ids| ids.value_size() == 32 && ids.null_count() == 0)
        .ok_or_else(|| StageError::new(format!("a table came without a proper `{SAMPLE_ID}` column")))
}

/// A column of a batch by its name, as the array that holds its type.
///
/// # Errors
/// Where the batch has no such column or it is of another type, which the ports' types rule out.
pub fn typed_column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A, StageError> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_any().downcast_ref::<A>())
        .ok_or_else(|| StageError::new(format!("a table came without a proper column `{name}`")))
}

/// A problem that shows only at run time, told as a failure.
pub fn failure(problem: Problem) -> StageError {
    let message = match problem.parameter.as_str() {
        "" => problem.message,
        parameter => format!("`{parameter}`: {}", problem.message),
    };
    let error = StageError::new(message);
    match problem.help {
        Some(help) => error.with_help(help),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_column_are_one_value_and_others_are_told_what_is_expected() {
        let read = |yaml: &str| serde_yaml::from_str::<DeclaredColumn>(yaml);
        assert_eq!(read("text").unwrap(), read("{type: text}").unwrap());
        let list = read("{list: float32}").unwrap();
        assert_eq!(list.column_type, ColumnType::List(Box::new(ColumnType::Float32)));
        assert_eq!(read("{type: {list: float32}, nullable: false}").unwrap(), list);
        let refusal = read("string").unwrap_err().to_string();
        assert!(refusal.contains("float64, text"), "{refusal}");
        let back: DeclaredColumn = serde_json::from_value(
            serde_json::to_value(read("{type: text, nullable: true}").unwrap()).unwrap(),
        )
        .unwrap();
        assert!(back.nullable);
    }
}
