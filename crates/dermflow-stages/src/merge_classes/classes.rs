//! The table of classes: what each label becomes. Knows nothing of rows.

use std::collections::HashMap;
use std::path::Path;

use dermflow_core::StageError;

/// What labels become; none for those that are dropped.
#[derive(Debug, Default)]
pub struct Classes {
    ignore_case: bool,
    becomes: HashMap<String, Option<String>>,
}

impl Classes {
    /// An empty table.
    pub fn new(ignore_case: bool) -> Classes {
        Classes {
            ignore_case,
            becomes: HashMap::new(),
        }
    }

    /// Whether it names no label.
    pub fn is_empty(&self) -> bool {
        self.becomes.is_empty()
    }

    fn folded(&self, label: &str) -> String {
        match self.ignore_case {
            true => label.trim().to_lowercase(),
            false => label.to_string(),
        }
    }

    /// Says what a label becomes.
    ///
    /// # Errors
    /// Where something else was said of it before, or the new label is empty.
    pub fn add(&mut self, from: &str, to: Option<&str>) -> Result<(), String> {
        if to.is_some_and(|to| to.trim().is_empty()) {
            return Err(format!("`{from}` would become an empty label"));
        }
        let to = to.map(str::to_string);
        match self.becomes.insert(self.folded(from), to.clone()) {
            Some(before) if before != to => {
                let told =
                    |to: Option<String>| to.map_or("is dropped".to_string(), |to| format!("becomes `{to}`"));
                Err(format!(
                    "`{from}` {}, but elsewhere it {}",
                    told(to),
                    told(before)
                ))
            }
            _ => Ok(()),
        }
    }

    /// What a label becomes, where something is said of it: another, or none.
    pub fn of(&self, label: &str) -> Option<Option<&str>> {
        let found = match self.ignore_case {
            true => self.becomes.get(&self.folded(label)),
            false => self.becomes.get(label),
        };
        found.map(Option::as_deref)
    }

    /// Reads a CSV file with two columns.
    ///
    /// # Errors
    /// With the line that is wrong.
    pub fn read(&mut self, path: &Path) -> Result<(), StageError> {
        let file = std::fs::File::open(path).map_err(|error| StageError::io("reading", path, &error))?;
        let wrong =
            |line: u64, what: &str| StageError::new(format!("{} line {line}: {what}", path.display()));
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
        for record in reader.records() {
            let record = record.map_err(|error| StageError::new(format!("{}: {error}", path.display())))?;
            let line = record.position().map_or(0, csv::Position::line);
            let (from, to) = match (record.get(0), record.get(1), record.len()) {
                (Some(from), to, 1 | 2) => (from.trim(), to.unwrap_or_default().trim()),
                _ => {
                    return Err(wrong(
                        line,
                        "it must have a label and what it becomes, and no more",
                    ));
                }
            };
            if from.is_empty() {
                return Err(wrong(line, "its label is missing"));
            }
            let to = Some(to).filter(|to| !to.is_empty());
            self.add(from, to).map_err(|problem| wrong(line, &problem))?;
        }
        Ok(())
    }
}
