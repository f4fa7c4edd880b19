//! [`Side`]: one cell of one run, found by name. Must not know what is compared.

use std::collections::BTreeMap;

use dermflow_core::{Key, Record, StageError};
use dermflow_engine::JournalLine;
use dermflow_store::{JournalName, Store};

/// What the base pipeline is called among cells.
pub(crate) const BASE: &str = "base";

/// One cell of one run, with the record of every stage.
///
/// On the command line it is called by a cell (`base`, a variant, `matrix[prior=0,seed=1]`) of the
/// newest run that has it, a matrix for all its cells, a run (`latest`, `latest~1`, or the first
/// letters of its journal's name) for all its cells, or `RUN:CELL`.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it is called here.
    pub label: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The variant or matrix cell.
    pub cell: Option<String>,
    /// The run's journal.
    pub run: String,
    /// Every stage with its action.
    pub stages: BTreeMap<String, (Key, Record)>,
    /// The names that it was asked for by.
    pub asked: Vec<String>,
}

/// One journal's stages by pipeline and cell.
type Cells = BTreeMap<(String, Option<String>), BTreeMap<String, Key>>;

/// Journals as far as they were read, the newest first.
struct Journals<'a> {
    store: &'a Store,
    names: Vec<JournalName>,
    read: BTreeMap<JournalName, Cells>,
}

impl Journals<'_> {
    /// The cells of a run, in order of their names, the base first.
    fn cells(&mut self, name: &JournalName) -> Result<&Cells, StageError> {
        if !self.read.contains_key(name) {
            let mut cells = Cells::new();
            for line in self.store.read_journal(name)? {
                let Ok(line) = serde_json::from_value::<JournalLine>(line) else {
                    continue;
                };
                let cell = cells.entry((line.pipeline, line.cell)).or_default();
                // A stage that was healed stands there twice; the last result counts.
                cell.insert(line.stage, line.key);
            }
            self.read.insert(name.clone(), cells);
        }
        Ok(&self.read[name])
    }

    /// `latest`, `latest~2`, or the first letters of a name.
    fn run(&self, text: &str) -> Result<Option<JournalName>, StageError> {
        if let Some(rest) = text.strip_prefix("latest") {
            let back = match rest.strip_prefix('~') {
                None if rest.is_empty() => Some(0),
                None => None,
                Some(number) => number.parse::<usize>().ok(),
            };
            let found = back.and_then(|back| self.names.get(back)).cloned();
            return match (back, found) {
                (Some(_), None) => Err(StageError::new(format!(
                    "`{text}`: there are only {} runs",
                    self.names.len()
                ))),
                (_, found) => Ok(found),
            };
        }
        if text.len() < 4 || !text.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(None);
        }
        let fitting: Vec<&JournalName> = self
            .names
            .iter()
            .filter(|name| name.as_str().starts_with(text))
            .collect();
        match fitting.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some((*one).clone())),
            several => Err(StageError::new(format!(
                "`{text}` fits {} runs, of which the newest is {}: give more letters",
                several.len(),
                several[0]
            ))),
        }
    }

    /// Every cell of one run that fits.
    fn of_run(
        &mut self,
        name: &JournalName,
        fits: &dyn Fn(Option<&str>) -> bool,
    ) -> Result<Vec<Side>, StageError> {
        let store = self.store;
        let cells = self.cells(name)?.clone();
        let mut sides = Vec::new();
        for ((pipeline, cell), keys) in cells {
            if !fits(cell.as_deref()) {
                continue;
            }
            let mut stages = BTreeMap::new();
            for (stage, key) in keys {
                let record = store.get_record(&key)?.ok_or_else(|| {
                    StageError::new(format!(
                        "the record of `{stage}` in the run {name} is gone from the store"
                    ))
                    .with_help("run the pipeline again, and compare then")
                })?;
                stages.insert(stage, (key, record));
            }
            sides.push(Side {
                label: cell.clone().unwrap_or_else(|| BASE.to_string()),
                pipeline,
                cell,
                run: name.to_string(),
                stages,
                asked: Vec::new(),
            });
        }
        Ok(sides)
    }

    /// What a name means.
    fn named(&mut self, text: &str) -> Result<Vec<Side>, StageError> {
        if let Some((run, cell)) = text.split_once(':')
            && let Some(run) = self.run(run)?
        {
            let sides = self.of_run(&run, &|own| is_cell(cell, own))?;
            return match sides.is_empty() {
                true => Err(self.unknown(text, Some(&run))),
                false => Ok(sides),
            };
        }
        if let Some(run) = self.run(text)? {
            return self.of_run(&run, &|_| true);
        }
        for name in self.names.clone() {
            let sides = self.of_run(&name, &|own| is_cell(text, own))?;
            if !sides.is_empty() {
                return Ok(sides);
            }
        }
        Err(self.unknown(text, None))
    }

    fn unknown(&mut self, text: &str, run: Option<&JournalName>) -> StageError {
        let names = run.map_or_else(|| self.names.clone(), |run| vec![run.clone()]);
        let mut cells: Vec<String> = Vec::new();
        for name in &names {
            let known = self
                .cells(name)
                .map(|cells| cells.keys().cloned().collect::<Vec<_>>());
            for (_, cell) in known.unwrap_or_default() {
                let label = format!("`{}`", cell.unwrap_or_else(|| BASE.to_string()));
                if !cells.contains(&label) {
                    cells.push(label);
                }
            }
        }
        let message = format!("`{text}` is no run, variant, matrix or cell of this store");
        match cells.is_empty() {
            true => StageError::new(message).with_help("run a pipeline first"),
            false => StageError::new(message).with_help(format!("its cells are {}", cells.join(", "))),
        }
    }
}

/// Whether a cell is meant: by its own name, or by its matrix.
fn is_cell(wanted: &str, own: Option<&str>) -> bool {
    match own {
        None => wanted == BASE,
        Some(own) => {
            own == wanted
                || own
                    .strip_prefix(wanted)
                    .is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']'))
        }
    }
}

/// The sides that are meant, in the order that they were named; each once. Sides of one label get
/// their run before it.
///
/// # Errors
/// Where a name means nothing, or a record is gone.
pub fn find(store: &Store, names: &[String]) -> Result<Vec<Side>, StageError> {
    let mut newest_first = store.list_journals();
    newest_first.reverse();
    let mut journals = Journals {
        store,
        names: newest_first,
        read: BTreeMap::new(),
    };
    let mut sides: Vec<Side> = Vec::new();
    for name in names {
        for mut side in journals.named(name)? {
            let known = sides
                .iter_mut()
                .find(|own| (&own.run, &own.pipeline, &own.cell) == (&side.run, &side.pipeline, &side.cell));
            match known {
                Some(known) => known.asked.push(name.clone()),
                None => {
                    side.asked.push(name.clone());
                    sides.push(side);
                }
            }
        }
    }
    let pipelines = sides.iter().any(|side| side.pipeline != sides[0].pipeline);
    let labels: Vec<String> = sides.iter().map(|side| side.label.clone()).collect();
    for side in &mut sides {
        if pipelines {
            side.label = format!("{}/{}", side.pipeline, side.label);
        }
        let of_own_label = |label: &&String| **label == *side.cell.as_deref().unwrap_or(BASE);
        if labels.iter().filter(of_own_label).count() > 1 && !pipelines {
            side.label = format!("{}:{}", side.run, side.label);
        }
    }
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_meant_by_its_name_and_by_its_matrix() {
        assert!(is_cell("base", None) && !is_cell("base", Some("older")));
        assert!(is_cell("older", Some("older")) && !is_cell("old", Some("older")));
        assert!(is_cell("sweep", Some("sweep[prior=0,seed=1]")));
        assert!(is_cell("sweep[prior=0,seed=1]", Some("sweep[prior=0,seed=1]")));
        assert!(!is_cell("sweep", Some("sweeping[prior=0]")) && !is_cell("sweep", None));
    }
}
