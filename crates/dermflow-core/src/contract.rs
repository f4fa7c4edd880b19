//! Contracts: what a table must have, so that stages can be wired by type.
//!
//! A contract is a name for a set of columns. Wiring is structural: a port that asks for
//! `Labels` takes any table with the columns of `Labels`, whatever else it has.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// The column that every table has: 32 bytes, never null, the sort order.
pub const SAMPLE_ID: &str = "sample_id";

/// The types that a column may have; a small closed set, so that every kind and every digest
/// covers all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// A [`crate::SampleId`]: Arrow `FixedSizeBinary(32)`.
    SampleId,
    /// Arrow `Boolean`.
    Boolean,
    /// Arrow `Int64`.
    Integer,
    /// Arrow `Float32`.
    Float32,
    /// Arrow `Float64`.
    Float64,
    /// Arrow `Utf8`.
    Text,
    /// Arrow `Binary`.
    Binary,
    /// Arrow `List` of one of the others; elements are never null.
    List(Box<ColumnType>),
}

impl ColumnType {
    /// The Arrow type that holds such a column.
    pub fn arrow(&self) -> DataType {
        match self {
            ColumnType::SampleId => DataType::FixedSizeBinary(32),
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Integer => DataType::Int64,
            ColumnType::Float32 => DataType::Float32,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::Text => DataType::Utf8,
            ColumnType::Binary => DataType::Binary,
            ColumnType::List(element) => DataType::List(Arc::new(Field::new("item", element.arrow(), false))),
        }
    }

    /// The column type that an Arrow type is, if it is one of the set.
    pub fn from_arrow(arrow: &DataType) -> Option<ColumnType> {
        Some(match arrow {
            DataType::FixedSizeBinary(32) => ColumnType::SampleId,
            DataType::Boolean => ColumnType::Boolean,
            DataType::Int64 => ColumnType::Integer,
            DataType::Float32 => ColumnType::Float32,
            DataType::Float64 => ColumnType::Float64,
            DataType::Utf8 => ColumnType::Text,
            DataType::Binary => ColumnType::Binary,
            DataType::List(element) => {
                ColumnType::List(Box::new(ColumnType::from_arrow(element.data_type())?))
            }
            _ => return None,
        })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::SampleId => f.write_str("sample id"),
            ColumnType::Boolean => f.write_str("boolean"),
            ColumnType::Integer => f.write_str("integer"),
            ColumnType::Float32 => f.write_str("float32"),
            ColumnType::Float64 => f.write_str("float64"),
            ColumnType::Text => f.write_str("text"),
            ColumnType::Binary => f.write_str("binary"),
            ColumnType::List(element) => write!(f, "list of {element}"),
        }
    }
}

/// A column by name and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Whether a value may be missing.
    #[serde(default)]
    pub nullable: bool,
}

impl Column {
    /// A column whose values are all there.
    pub fn new(name: impl Into<String>, column_type: ColumnType) -> Column {
        Column {
            name: name.into(),
            column_type,
            nullable: false,
        }
    }

    /// A column whose values may be missing.
    pub fn nullable(name: impl Into<String>, column_type: ColumnType) -> Column {
        Column {
            nullable: true,
            ..Column::new(name, column_type)
        }
    }

    /// The column of sample ids.
    pub fn sample_id() -> Column {
        Column::new(SAMPLE_ID, ColumnType::SampleId)
    }

    /// This column as an Arrow field.
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.column_type.arrow(), self.nullable)
    }
}

/// A named set of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The name, as pipelines write it: `Samples`.
    pub name: &'static str,
    /// What one row is.
    pub row: &'static str,
    columns: &'static [(&'static str, Cell, bool)],
}

/// [`ColumnType`] in a form that a constant can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Integer,
    Float32,
    Float64,
    Text,
    Binary,
    Float32s,
}

impl Cell {
    fn column_type(self) -> ColumnType {
        match self {
            Cell::Integer => ColumnType::Integer,
            Cell::Float32 => ColumnType::Float32,
            Cell::Float64 => ColumnType::Float64,
            Cell::Text => ColumnType::Text,
            Cell::Binary => ColumnType::Binary,
            Cell::Float32s => ColumnType::List(Box::new(ColumnType::Float32)),
        }
    }
}

const REQUIRED: bool = false;
const NULLABLE: bool = true;

/// Every contract, in the order of the design's table. `Table` asks for nothing but ids.
pub const CONTRACTS: &[Contract] = &[
    Contract {
        name: "Table",
        row: "anything that belongs to a sample",
        columns: &[],
    },
    Contract {
        name: "FileList",
        row: "a source file",
        columns: &[
            ("source", Cell::Text, REQUIRED),
            ("bytes", Cell::Integer, REQUIRED),
        ],
    },
    Contract {
        name: "Samples",
        row: "an image",
        columns: &[
            ("source", Cell::Text, REQUIRED),
            ("group", Cell::Text, NULLABLE),
            ("label", Cell::Text, NULLABLE),
            ("width", Cell::Integer, REQUIRED),
            ("height", Cell::Integer, REQUIRED),
            ("original_width", Cell::Integer, REQUIRED),
            ("original_height", Cell::Integer, REQUIRED),
            ("placed_left", Cell::Float64, REQUIRED),
            ("placed_top", Cell::Float64, REQUIRED),
            ("placed_width", Cell::Float64, REQUIRED),
            ("placed_height", Cell::Float64, REQUIRED),
            ("pixels", Cell::Binary, REQUIRED),
        ],
    },
    Contract {
        name: "Labels",
        row: "a clean label",
        columns: &[("label", Cell::Text, REQUIRED)],
    },
    Contract {
        name: "Boxes",
        row: "a lesion",
        columns: &[
            ("label", Cell::Text, REQUIRED),
            ("x", Cell::Float64, REQUIRED),
            ("y", Cell::Float64, REQUIRED),
            ("w", Cell::Float64, REQUIRED),
            ("h", Cell::Float64, REQUIRED),
        ],
    },
    Contract {
        name: "Heatmaps",
        row: "an image and a class",
        columns: &[
            ("class", Cell::Text, REQUIRED),
            ("height", Cell::Integer, REQUIRED),
            ("width", Cell::Integer, REQUIRED),
            ("heat", Cell::Binary, REQUIRED),
            ("centres", Cell::Float32s, REQUIRED),
            ("diameters", Cell::Float32s, REQUIRED),
        ],
    },
    Contract {
        name: "Foreground",
        row: "an image",
        columns: &[
            ("height", Cell::Integer, REQUIRED),
            ("width", Cell::Integer, REQUIRED),
            ("heat", Cell::Binary, REQUIRED),
        ],
    },
    Contract {
        name: "Predictions",
        row: "an image",
        columns: &[
            ("label", Cell::Text, REQUIRED),
            ("probability", Cell::Float32, REQUIRED),
            ("probabilities", Cell::Float32s, REQUIRED),
        ],
    },
    Contract {
        name: "Selection",
        row: "a chosen image",
        columns: &[
            ("label", Cell::Text, REQUIRED),
            ("probability", Cell::Float32, REQUIRED),
            ("rank", Cell::Integer, REQUIRED),
        ],
    },
    Contract {
        name: "Splits",
        row: "an image",
        columns: &[("fold", Cell::Text, REQUIRED)],
    },
    Contract {
        name: "Architecture",
        row: "a network's document, and the height and width of its pictures",
        columns: &[
            ("document", Cell::Text, REQUIRED),
            ("side", Cell::Integer, REQUIRED),
        ],
    },
    // No seconds: two runs of the same action never agree on them, and an artifact is its
    // content. A kind tells its times by `StageContext::metric`, which the record keeps.
    Contract {
        name: "History",
        row: "a training epoch",
        columns: &[
            ("epoch", Cell::Integer, REQUIRED),
            ("step", Cell::Integer, REQUIRED),
            ("learning_rate", Cell::Float64, REQUIRED),
            ("loss", Cell::Float64, REQUIRED),
        ],
    },
    Contract {
        name: "Metrics",
        row: "a figure",
        columns: &[
            ("name", Cell::Text, REQUIRED),
            ("slice", Cell::Text, NULLABLE),
            ("value", Cell::Float64, REQUIRED),
            ("low", Cell::Float64, NULLABLE),
            ("high", Cell::Float64, NULLABLE),
            ("n", Cell::Integer, NULLABLE),
        ],
    },
    Contract {
        name: "Rejects",
        row: "a file or row refused",
        columns: &[("source", Cell::Text, REQUIRED), ("reason", Cell::Text, REQUIRED)],
    },
];

impl Contract {
    /// The contract with this name.
    pub fn named(name: &str) -> Option<&'static Contract> {
        CONTRACTS.iter().find(|contract| contract.name == name)
    }

    /// Its columns, the sample id first.
    pub fn columns(&self) -> Vec<Column> {
        let rest = self.columns.iter().map(|(name, cell, nullable)| Column {
            name: (*name).to_string(),
            column_type: cell.column_type(),
            nullable: *nullable,
        });
        std::iter::once(Column::sample_id()).chain(rest).collect()
    }
}

/// What is known of a table before it exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableType {
    /// The contract's name, for people; wiring looks at the columns.
    pub contract: String,
    /// Columns that are there for certain; the sample id is the first.
    pub columns: Vec<Column>,
    /// Whether there may be columns besides.
    pub open: bool,
}

impl TableType {
    /// Exactly the columns of a contract and more (`open`).
    pub fn of(contract: &Contract) -> TableType {
        TableType {
            contract: contract.name.to_string(),
            columns: contract.columns(),
            open: true,
        }
    }

    /// Any table.
    pub fn any() -> TableType {
        TableType {
            contract: "Table".to_string(),
            columns: vec![Column::sample_id()],
            open: true,
        }
    }

    /// A table of these columns, besides the sample id, and no others.
    pub fn exactly(columns: impl IntoIterator<Item = Column>) -> TableType {
        TableType {
            contract: "Table".to_string(),
            columns: std::iter::once(Column::sample_id()).chain(columns).collect(),
            open: false,
        }
    }

    /// The column with this name, where it is known.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The known columns as an Arrow schema.
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> = self.columns.iter().map(Column::field).collect();
        Arc::new(Schema::new(fields))
    }

    /// Whether a table of type `given` can be used where `self` is asked for.
    ///
    /// # Errors
    /// What is wrong, in words that name the columns. A column that `given` may or may not
    /// have (it is open) counts as missing: what is checked must be known.
    pub fn accepts(&self, given: &TableType) -> Result<(), String> {
        let mut wrong = Vec::new();
        for wanted in &self.columns {
            match given.column(&wanted.name) {
                None => wrong.push(format!(
                    "it has no column `{}` ({})",
                    wanted.name, wanted.column_type
                )),
                Some(found) if found.column_type != wanted.column_type => wrong.push(format!(
                    "its column `{}` is {}, not {}",
                    wanted.name, found.column_type, wanted.column_type
                )),
                Some(found) if found.nullable && !wanted.nullable => {
                    wrong.push(format!("its column `{}` may be null", wanted.name));
                }
                Some(_) => {}
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("; ")),
        }
    }

    /// The type of a table that is there, from its Arrow schema.
    ///
    /// # Errors
    /// Names the column whose Arrow type is outside of [`ColumnType`], or a missing or
    /// misplaced `sample_id`.
    pub fn from_schema(contract: &str, schema: &Schema) -> Result<TableType, String> {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let column_type = ColumnType::from_arrow(field.data_type()).ok_or_else(|| {
                format!(
                    "column `{}` has the type {}, which tables here can't hold",
                    field.name(),
                    field.data_type()
                )
            })?;
            if columns.iter().any(|column: &Column| column.name == *field.name()) {
                return Err(format!("column `{}` stands twice", field.name()));
            }
            columns.push(Column {
                name: field.name().clone(),
                column_type,
                nullable: field.is_nullable(),
            });
        }
        if columns.first() != Some(&Column::sample_id()) {
            return Err(format!(
                "the first column must be `{SAMPLE_ID}`, a sample id that is never null"
            ));
        }
        Ok(TableType {
            contract: contract.to_string(),
            columns,
            open: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contracts_are_structural_and_mismatches_name_the_columns() {
        let labels = TableType::of(Contract::named("Labels").unwrap());
        let predictions = TableType::of(Contract::named("Predictions").unwrap());
        assert_eq!(labels.accepts(&predictions), Ok(()));
        let refusal = predictions.accepts(&labels).unwrap_err();
        assert!(refusal.contains("`probability`"), "{refusal}");
        let samples = TableType::of(Contract::named("Samples").unwrap());
        assert!(labels.accepts(&samples).unwrap_err().contains("may be null"));
    }

    #[test]
    fn every_column_type_survives_arrow() {
        for contract in CONTRACTS {
            let known = TableType::of(contract);
            let back = TableType::from_schema(contract.name, &known.schema()).unwrap();
            assert_eq!(back.columns, known.columns);
        }
    }
}
