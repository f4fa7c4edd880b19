//! `filter`: keeps the rows that meet a condition, and the columns that are asked for.
//!
//! Must not know where the table came from or what its rows are. A condition is data, not a
//! text to be parsed, so that a wrong column or type is told before anything runs.

mod condition;
mod evaluate;
#[cfg(test)]
mod tests;

use arrow::compute::filter_record_batch;
use dermflow_core::{
    InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, SAMPLE_ID, Shape, StageContext, StageError,
    StageKind, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{failure, in_words, wired_table};
use condition::Condition;
use evaluate::Mask;

/// See the module.
pub struct Filter;

/// What `filter` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Filter")]
pub struct FilterParameters {
    /// What a row must meet to stay: `{column: age, at-least: 18, below: 65}`, or conditions
    /// combined with `all`, `any` and `not`. Left out: every row stays.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    condition: Option<Condition>,
    /// The columns to keep besides the sample id. Left out: all. With it, a change in any
    /// other column (that the condition doesn't look at) reruns nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
}

impl FilterParameters {
    /// The type of the output, given that of the input.
    fn projected(&self, table: &TableType) -> Result<TableType, Problem> {
        let Some(kept) = &self.columns else {
            return Ok(table.clone());
        };
        let mut projected = TableType::exactly([]);
        for (at, name) in kept.iter().enumerate() {
            match table.column(name) {
                Some(column) => projected.columns.push(column.clone()),
                None if table.open => projected.open = true,
                None => {
                    let message = format!("the input has no column `{name}`; {}", in_words(table));
                    return Err(Problem::new(format!("columns.{at}"), message));
                }
            }
        }
        Ok(projected)
    }
}

impl StageKind for Filter {
    type Parameters = FilterParameters;
    const NAME: &'static str = "filter";
    const VERSION: u32 = 1;
    const ABOUT: &'static str = "Keeps the rows of a table that meet a condition, and the columns asked for.";
    const EXAMPLE: &'static str = "\
name: filter-example
stages:
  lesions:
    kind: import-table
    with:
      path: lesions.csv
      key: image
      columns: {image: text, age: {type: integer, nullable: true}, diagnosis: text}
  adults:
    kind: filter
    in: {table: lesions.table}
    with:
      where:
        all:
          - {column: age, at-least: 18, below: 65}
          - any:
              - {column: diagnosis, in: [melanoma, nevus]}
              - {column: image, matches: 'ISIC_*'}
          - not: {column: diagnosis, equals: unknown}
      columns: [image, diagnosis]
outputs:
  adults: adults.table
";

    fn inputs(parameters: &FilterParameters) -> Inputs {
        let table = InputPort::one(
            "table",
            PortType::Table(TableType::any()),
            "the rows to choose from",
        );
        let table = match &parameters.columns {
            None => table,
            Some(kept) => {
                let mut read = kept.clone();
                if let Some(condition) = &parameters.condition {
                    condition.add_columns(&mut read);
                }
                read.sort();
                read.dedup();
                table.reading(read)
            }
        };
        Inputs {
            ports: vec![table],
            open: false,
        }
    }

    fn outputs(parameters: &FilterParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let table = wired_table(wired, "table");
        if let Some(condition) = &parameters.condition {
            Mask::new(condition, "where", &table)?;
        }
        let projected = parameters.projected(&table)?;
        Ok(vec![OutputPort::new(
            "table",
            PortType::Table(projected),
            "the rows that met the condition",
        )])
    }

    fn check(parameters: &FilterParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(condition) = &parameters.condition {
            condition.check("where", &mut problems);
        }
        if parameters.condition.is_none() && parameters.columns.is_none() {
            problems.push(
                Problem::new("", "a filter needs `where` or `columns`")
                    .with_help("write `where: {column: NAME, equals: VALUE}`"),
            );
        }
        let kept = parameters.columns.as_deref().unwrap_or_default();
        for (at, name) in kept.iter().enumerate() {
            if name == SAMPLE_ID {
                let message = format!("`{SAMPLE_ID}` is always kept and not named here");
                problems.push(Problem::new(format!("columns.{at}"), message));
            } else if kept[..at].contains(name) {
                problems.push(Problem::new(
                    format!("columns.{at}"),
                    format!("`{name}` stands twice"),
                ));
            }
        }
        problems
    }

    fn shape(_: &FilterParameters) -> Shape {
        Shape::Map {
            over: "table".to_string(),
        }
    }

    fn run(parameters: &FilterParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let table = context.table("table")?;
        let schema = table.schema();
        let known = TableType::from_schema("Table", &schema).map_err(StageError::new)?;
        let mask = match &parameters.condition {
            Some(condition) => Some(Mask::new(condition, "where", &known).map_err(failure)?),
            None => None,
        };
        let projected = parameters.projected(&known).map_err(failure)?;
        let kept: Vec<usize> = projected
            .columns
            .iter()
            .map(|column| schema.index_of(&column.name))
            .collect::<Result<_, _>>()?;
        let mut out = context.write_table("table", std::sync::Arc::new(schema.project(&kept)?))?;
        let total = table.rows();
        let mut done = 0;
        for batch in table {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            done += batch.num_rows() as u64;
            let projected = batch.project(&kept)?;
            match &mask {
                None => out.write(&projected)?,
                Some(mask) => out.write(&filter_record_batch(&projected, &mask.of(&batch)?)?)?,
            }
            context.progress(done, Some(total));
        }
        out.finish()
    }
}
