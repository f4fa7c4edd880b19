//! Rows of a list by the file that they name.

use std::collections::HashMap;

use arrow::array::{Array, StringArray};
use dermflow_core::StageError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rejects::Rejects;

/// How a list names files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBy {
    /// By the path, as `source` has it.
    #[default]
    Path,
    /// By the file name, whatever the folders. Every file of that name is meant.
    FileName,
    /// By the file name without its extension, whatever the folders.
    Stem,
}

impl NamedBy {
    /// What names are compared by.
    fn key(self, name: &str) -> &str {
        let name = name.strip_prefix("./").unwrap_or(name);
        let file = name.rsplit('/').next().unwrap_or(name);
        match self {
            NamedBy::Path => name,
            NamedBy::FileName => file,
            NamedBy::Stem => match file.rsplit_once('.') {
                Some((stem, _)) if !stem.is_empty() => stem,
                _ => file,
            },
        }
    }
}

/// The rows of a list.
pub struct Names<'a> {
    named: &'a StringArray,
    named_by: NamedBy,
    rows: HashMap<&'a str, u32>,
    used: Vec<bool>,
}

impl<'a> Names<'a> {
    /// The rows whose names are `named`. Rows without a name, or with one that an earlier row
    /// has, are refused.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn new(
        named: &'a StringArray,
        named_by: NamedBy,
        rejects: &mut Rejects,
    ) -> Result<Names<'a>, StageError> {
        let mut rows = HashMap::with_capacity(named.len());
        let mut used = vec![false; named.len()];
        for (row, name) in named.iter().enumerate() {
            let Some(name) = name else {
                rejects.add(
                    None,
                    format!("row {row} of the list"),
                    "it names no file".to_string(),
                )?;
                used[row] = true;
                continue;
            };
            if let Some(first) = rows.get(named_by.key(name)) {
                let reason = format!(
                    "the list names this file already, as `{}`",
                    named.value(*first as usize)
                );
                rejects.add(None, name.to_string(), reason)?;
                used[row] = true;
                continue;
            }
            rows.insert(named_by.key(name), row as u32);
        }
        Ok(Names {
            named,
            named_by,
            rows,
            used,
        })
    }

    /// The row that names the file `source`.
    pub fn find(&mut self, source: &str) -> Option<u32> {
        let row = *self.rows.get(self.named_by.key(source))?;
        self.used[row as usize] = true;
        Some(row)
    }

    /// Refuses the rows that named no file.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn refuse_unused(self, rejects: &mut Rejects) -> Result<(), StageError> {
        for (row, used) in self.used.iter().enumerate() {
            if !used {
                let reason = "the list names this file, and it is not there".to_string();
                rejects.add(None, self.named.value(row).to_string(), reason)?;
            }
        }
        Ok(())
    }
}
