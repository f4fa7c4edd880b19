//! What `import-table` is told, and what can be said of it before the file is read.

use std::collections::BTreeMap;
use std::path::Path;

use dermflow_core::{CONTRACTS, Column, ColumnType, Contract, Problem, SAMPLE_ID, TableType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::refuse_declared_sample_id;

/// What `import-table` is told under `with:`.
///
/// Without `columns`, all columns of the file come, with types inferred from every value in
/// it: boolean (`true`, `false`), integer, float64, else text. Numbers that would not come
/// back as they were written (`007`, `+1`, more digits than fit) make the column text.
/// Inferred columns may have missing values.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ImportTable")]
pub struct ImportTableParameters {
    /// The file, relative to the pipeline file. CSV and TSV need a line of column names first.
    pub(crate) path: String,
    /// The file's format. `auto` goes by the extension: csv, tsv, json (one list of objects),
    /// jsonl or ndjson, parquet.
    #[serde(default)]
    pub(crate) format: Format,
    /// The column whose text makes the sample ids. Equal keys are one sample, in every table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The column that holds sample ids as 64 hexadecimal digits (or 32 bytes, in Parquet).
    /// Left out, and without `key`: the column `sample_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sample_id: Option<String>,
    /// A contract that the table promises to meet, such as `Labels`; rows that don't are
    /// refused. Further columns come as well, unless `columns` are declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contract: Option<String>,
    /// The columns to take, by the name that they get: a type (`age: integer`), or
    /// `{type: integer, from: NAME IN THE FILE, nullable: true}`. Rows with a value of another
    /// type, or without a value where `nullable` is not set, are refused. The file's other
    /// columns are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) columns: Option<BTreeMap<String, ImportedColumn>>,
    /// Spellings of a missing value. Left out: the empty text in CSV and TSV, none elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) null: Option<Vec<String>>,
    /// What stands between the values: one ASCII character. Left out: a comma in CSV, a tab
    /// in TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<char>,
    /// Whether a sample may have one row only: later ones are refused.
    #[serde(default)]
    pub(crate) unique: bool,
}

/// A file format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// By the extension.
    #[default]
    Auto,
    /// Values between commas, quoted with `"` where needed.
    Csv,
    /// Values between tabs, quoted with `"` where needed.
    Tsv,
    /// One JSON list of objects, a row each.
    Json,
    /// One JSON object a line.
    JsonLines,
    /// Parquet.
    Parquet,
}

/// A format that is read row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    Delimited(u8),
    Json,
    JsonLines,
}

/// What `auto` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownFormat {
    Text(TextFormat),
    Parquet,
}

/// A declared column and what it is called in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenColumn")]
pub struct ImportedColumn {
    #[serde(rename = "type")]
    pub(crate) column_type: ColumnType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    pub(crate) nullable: bool,
}

impl ImportedColumn {
    /// It with the name that it gets.
    pub(crate) fn named(&self, name: &str) -> Column {
        Column {
            name: name.to_string(),
            column_type: self.column_type.clone(),
            nullable: self.nullable,
        }
    }

    /// What it is called in the file, where it gets `name`.
    pub(crate) fn source<'a>(&'a self, name: &'a str) -> &'a str {
        self.from.as_deref().unwrap_or(name)
    }
}

/// Both spellings become one value, so that a spelling doesn't move the key.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a column's type (boolean, integer, float32, float64, text, binary, sample-id, \
                 {list: TYPE}) or {type: TYPE, from: NAME IN THE FILE, nullable: true|false}"
)]
enum WrittenColumn {
    /// Its type.
    Short(ColumnType),
    /// Its type and more.
    Full(FullColumn),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FullColumn {
    /// What its values are.
    #[serde(rename = "type")]
    column_type: ColumnType,
    /// What it is called in the file. Left out: the same.
    #[serde(default)]
    from: Option<String>,
    /// Whether a value may be missing.
    #[serde(default)]
    nullable: bool,
}

impl From<WrittenColumn> for ImportedColumn {
    fn from(written: WrittenColumn) -> ImportedColumn {
        let full = match written {
            WrittenColumn::Full(full) => full,
            WrittenColumn::Short(column_type) => FullColumn {
                column_type,
                from: None,
                nullable: false,
            },
        };
        ImportedColumn {
            column_type: full.column_type,
            from: full.from,
            nullable: full.nullable,
        }
    }
}

/// Where the sample ids come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdFrom {
    Key(String),
    Id(String),
}

impl IdFrom {
    /// The column's name in the file.
    pub fn column(&self) -> &str {
        match self {
            IdFrom::Key(name) | IdFrom::Id(name) => name,
        }
    }
}

impl ImportTableParameters {
    pub(crate) fn id_from(&self) -> IdFrom {
        match (&self.key, &self.sample_id) {
            (Some(key), _) => IdFrom::Key(key.clone()),
            (None, Some(column)) => IdFrom::Id(column.clone()),
            (None, None) => IdFrom::Id(SAMPLE_ID.to_string()),
        }
    }

    /// The declared columns with what they are called in the file.
    pub(crate) fn declared(&self) -> Option<Vec<(Column, String)>> {
        let columns = self
            .columns
            .as_ref()?
            .iter()
            .map(|(name, declared)| (declared.named(name), declared.source(name).to_string()));
        Some(columns.collect())
    }

    /// The columns of the named contract besides the sample id.
    pub(crate) fn contract_columns(&self) -> Result<Vec<Column>, Problem> {
        let Some(name) = &self.contract else {
            return Ok(Vec::new());
        };
        let contract = Contract::named(name).ok_or_else(|| {
            let names: Vec<&str> = CONTRACTS.iter().map(|contract| contract.name).collect();
            Problem::new("contract", format!("there is no contract `{name}`"))
                .with_help(format!("the contracts are {}", names.join(", ")))
        })?;
        Ok(contract.columns().split_off(1))
    }

    /// What is known of the table before the file is read.
    pub(crate) fn promised(&self) -> Result<TableType, Problem> {
        let contract = TableType {
            open: true,
            ..TableType::exactly(self.contract_columns()?)
        };
        let mut promised = match self.declared() {
            None => contract,
            Some(declared) => {
                let exact = TableType::exactly(declared.into_iter().map(|(column, _)| column));
                contract.accepts(&exact).map_err(|refusal| {
                    let name = self.contract.as_deref().unwrap_or_default();
                    Problem::new("columns", format!("the contract `{name}` is not met: {refusal}"))
                })?;
                exact
            }
        };
        promised.contract = self.contract.clone().unwrap_or_else(|| "Table".to_string());
        Ok(promised)
    }

    pub(crate) fn known_format(&self) -> Result<KnownFormat, Problem> {
        let extension = Path::new(&self.path).extension().unwrap_or_default();
        let extension = extension.to_string_lossy().to_lowercase();
        let format = match (self.format, extension.as_str()) {
            (Format::Auto, "csv") => Format::Csv,
            (Format::Auto, "tsv" | "tab") => Format::Tsv,
            (Format::Auto, "json") => Format::Json,
            (Format::Auto, "jsonl" | "ndjson") => Format::JsonLines,
            (Format::Auto, "parquet" | "pq") => Format::Parquet,
            (Format::Auto, other) => {
                let message = format!("the extension `{other}` tells no format");
                let help = "write `format: csv`, `tsv`, `json`, `json-lines` or `parquet`";
                return Err(Problem::new("path", message).with_help(help));
            }
            (given, _) => given,
        };
        let delimited = |default: char| {
            let delimiter = self.delimiter.unwrap_or(default);
            let byte = u8::try_from(delimiter)
                .ok()
                .filter(|byte| byte.is_ascii() && !b"\"\r\n".contains(byte));
            byte.map(|byte| KnownFormat::Text(TextFormat::Delimited(byte)))
                .ok_or_else(|| Problem::new("delimiter", format!("{delimiter:?} can't stand between values")))
        };
        match format {
            Format::Tsv => delimited('\t'),
            Format::Json => Ok(KnownFormat::Text(TextFormat::Json)),
            Format::JsonLines => Ok(KnownFormat::Text(TextFormat::JsonLines)),
            Format::Parquet => Ok(KnownFormat::Parquet),
            Format::Csv | Format::Auto => delimited(','),
        }
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.key.is_some() && self.sample_id.is_some() {
            let message = "`key` and `sample_id` exclude each other: both say where the ids come from";
            problems.push(Problem::new("sample_id", message));
        }
        let format = self.known_format();
        let declared = self.columns.iter().flatten();
        problems.extend(refuse_declared_sample_id(
            "columns",
            declared.clone().map(|(name, _)| name),
        ));
        for (name, column) in declared {
            let hard = matches!(column.column_type, ColumnType::List(_) | ColumnType::Binary);
            if hard && matches!(format, Ok(KnownFormat::Text(_))) {
                let message = format!("{} can be read from Parquet only", column.column_type);
                problems.push(Problem::new(format!("columns.{name}"), message));
            }
        }
        if self.delimiter.is_some()
            && !matches!(format, Ok(KnownFormat::Text(TextFormat::Delimited(_))) | Err(_))
        {
            problems.push(Problem::new("delimiter", "only CSV and TSV have one"));
        }
        if self.null.is_some() && format == Ok(KnownFormat::Parquet) {
            problems.push(Problem::new("null", "Parquet marks missing values itself"));
        }
        problems.extend(format.err());
        problems
    }

    /// Whether a text stands for a missing value.
    pub(crate) fn null_spellings(&self, format: TextFormat) -> Vec<String> {
        match (&self.null, format) {
            (Some(spellings), _) => spellings.clone(),
            (None, TextFormat::Delimited(_)) => vec![String::new()],
            (None, TextFormat::Json | TextFormat::JsonLines) => Vec::new(),
        }
    }
}
