//! Which columns of the file become which columns of the table. Knows neither formats nor rows.

use dermflow_core::{Column, SAMPLE_ID, StageError, TableType};

use super::parameters::{IdFrom, ImportTableParameters};

/// What is done with the file's columns.
pub struct Plan {
    /// What comes out: the sample id, then the others.
    pub table: TableType,
    /// For each column of the table after the sample id, which of `wanted` it is.
    pub from: Vec<usize>,
    /// Where the sample ids come from.
    pub id: IdFrom,
    /// Which of `wanted` that is.
    pub id_from: usize,
    /// The columns of the file that are looked at.
    pub wanted: Vec<String>,
}

/// Draws up the plan. `names` are the file's columns; `inferred` gives the type of those that
/// are not declared, and may read the whole file.
pub fn plan(
    parameters: &ImportTableParameters,
    names: &[String],
    inferred: impl FnOnce(&[String]) -> Result<Vec<Column>, StageError>,
) -> Result<Plan, StageError> {
    let id = parameters.id_from();
    let promised = parameters.promised().map_err(crate::columns::failure)?;
    let mut columns: Vec<(Column, String)> = match parameters.declared() {
        Some(declared) => declared,
        None => {
            let contract = promised.columns.into_iter().skip(1);
            contract.map(|column| (column.clone(), column.name)).collect()
        }
    };
    for name in columns.iter().map(|(_, from)| from.as_str()).chain([id.column()]) {
        if !names.iter().any(|other| other == name) {
            return Err(missing(name, names));
        }
    }
    if parameters.columns.is_none() {
        let rest = others(names, &columns, &id)?;
        columns.extend(inferred(&rest)?.into_iter().zip(rest));
    }
    let mut wanted: Vec<String> = columns.iter().map(|(_, from)| from.clone()).collect();
    wanted.push(id.column().to_string());
    wanted.sort();
    wanted.dedup();
    let place = |name: &str| wanted.iter().position(|other| other == name);
    Ok(Plan {
        from: columns.iter().filter_map(|(_, from)| place(from)).collect(),
        id_from: place(id.column()).unwrap_or_default(),
        table: TableType {
            contract: promised.contract,
            ..TableType::exactly(columns.into_iter().map(|(column, _)| column))
        },
        id,
        wanted,
    })
}

/// The columns of the file that nothing was said of.
fn others(names: &[String], columns: &[(Column, String)], id: &IdFrom) -> Result<Vec<String>, StageError> {
    let mut rest = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let is_id = matches!(id, IdFrom::Id(column) if column == name);
        if is_id || columns.iter().any(|(_, from)| from == name) {
            continue;
        }
        let declare = "declare the columns that you want under `columns`";
        if name.is_empty() {
            let message = format!("column {} of the file has no name", at + 1);
            return Err(StageError::new(message).with_help(declare));
        }
        if name == SAMPLE_ID {
            let message = "the file has a column `sample_id`, but the ids are to come from elsewhere";
            return Err(StageError::new(message).with_help(declare));
        }
        rest.push(name.clone());
    }
    Ok(rest)
}

fn missing(name: &str, names: &[String]) -> StageError {
    let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let error = StageError::new(format!(
        "the file has no column `{name}`; its columns are {}",
        known.join(", ")
    ));
    match name {
        SAMPLE_ID => error.with_help("say with `key: COLUMN` which column tells the samples apart"),
        _ => error,
    }
}
