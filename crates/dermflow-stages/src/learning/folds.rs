//! [`FoldChoice`]: which samples are learned from and which are only measured on.
//!
//! Must not know of labels or pictures.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use dermflow_core::{StageContext, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::ids_of;

/// Which folds of the table wired to `splits` are used, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FoldChoice {
    /// The folds that are learned from.
    pub train: Vec<String>,
    /// The folds that are measured on after each epoch, and that the best weights are chosen by.
    pub valid: Vec<String>,
}

impl Default for FoldChoice {
    fn default() -> FoldChoice {
        FoldChoice {
            train: vec!["train".to_string()],
            valid: vec!["valid".to_string()],
        }
    }
}

/// What a sample is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is learned from.
    Train,
    /// It is measured on.
    Valid,
}

/// The use of each sample; without a table of folds, all are learned from.
pub struct Folds(Option<BTreeMap<[u8; 32], Use>>);

impl FoldChoice {
    /// Reads the table at `port`, if one is wired. A sample of a fold that is not chosen, or
    /// of none, is not used.
    ///
    /// # Errors
    /// Where no sample is learned from, a fold that was written has no sample, or one is written for
    /// both uses, with the folds that there are. (`train` and `valid`, which are not written, may be
    /// missing: then nothing is measured.)
    pub fn read(&self, context: &dyn StageContext, port: &str) -> Result<Folds, StageError> {
        if !context.has_input(port) {
            return Ok(Folds(None));
        }
        let mut uses = BTreeMap::new();
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for batch in context.table(port)? {
            let batch = batch?;
            let ids = ids_of(&batch)?;
            let folds = batch
                .column_by_name("fold")
                .and_then(|column| column.as_string_opt::<i32>())
                .ok_or_else(|| StageError::new(format!("`{port}` came without its text column `fold`")))?;
            for row in 0..batch.num_rows() {
                let fold = folds.value(row);
                *found.entry(fold.to_string()).or_default() += 1;
                let chosen = match () {
                    () if self.train.iter().any(|name| name == fold) => Use::Train,
                    () if self.valid.iter().any(|name| name == fold) => Use::Valid,
                    () => continue,
                };
                let mut id = [0; 32];
                id.copy_from_slice(ids.value(row));
                uses.insert(id, chosen);
            }
        }
        self.check(&found).map_err(|fault| {
            let folds = found.iter().map(|(fold, count)| format!("`{fold}` ({count})"));
            let folds: Vec<String> = folds.collect();
            StageError::new(format!("{fault} of `{port}`; its folds are {}", folds.join(", ")))
        })?;
        Ok(Folds(Some(uses)))
    }

    /// What is wrong with the choice, for a table with these folds.
    fn check(&self, found: &BTreeMap<String, u64>) -> Result<(), String> {
        if !self.train.iter().any(|fold| found.contains_key(fold)) {
            let chosen = self.train.join(", ");
            return Err(format!("no sample is in a fold that is learned from ({chosen})"));
        }
        if let Some(both) = self.train.iter().find(|fold| self.valid.contains(fold)) {
            return Err(format!(
                "`folds` has `{both}` both to learn from and to measure on"
            ));
        }
        let default = FoldChoice::default();
        let written = [(&self.train, default.train), (&self.valid, default.valid)];
        let mut written = written.into_iter().filter(|(folds, usual)| *folds != usual);
        let missing = written.find_map(|(folds, _)| folds.iter().find(|fold| !found.contains_key(*fold)));
        match missing {
            Some(fold) => Err(format!("`folds` has `{fold}`, which is the fold of no sample")),
            None => Ok(()),
        }
    }
}

impl Folds {
    /// What a sample is used for, if at all.
    pub fn of(&self, id: &[u8]) -> Option<Use> {
        match &self.0 {
            None => Some(Use::Train),
            Some(uses) => <[u8; 32]>::try_from(id)
                .ok()
                .and_then(|id| uses.get(&id).copied()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use dermflow_core::memory::{MemoryContext, batch};

    use super::*;

    /// One sample in each of these folds.
    fn read(choice: &FoldChoice, folds: &[&str]) -> Result<Folds, StageError> {
        let column: ArrayRef = Arc::new(folds.iter().map(|fold| Some(*fold)).collect::<StringArray>());
        let mut context = MemoryContext::default();
        context.add_table(
            "splits",
            batch(&["a", "b", "c"][..folds.len()], [("fold", column)]),
        );
        choice.read(&context, "splits")
    }

    fn choice(train: &[&str], valid: &[&str]) -> FoldChoice {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        FoldChoice {
            train: names(train),
            valid: names(valid),
        }
    }

    #[test]
    fn folds_that_nobody_wrote_may_be_missing_and_those_that_are_written_may_not() {
        let usual = FoldChoice::default();
        assert!(read(&usual, &["train", "valid"]).is_ok() && read(&usual, &["train"]).is_ok());
        let refused = |choice: &FoldChoice, folds: &[&str]| read(choice, folds).err().unwrap().message;
        let nothing = refused(&usual, &["valid", "test"]);
        assert!(nothing.contains("`test` (1), `valid` (1)"), "{nothing}");
        let misspelt = refused(&choice(&["train"], &["vaild"]), &["train", "valid"]);
        assert!(
            misspelt.contains("`vaild`, which is the fold of no sample"),
            "{misspelt}"
        );
        let one_of_two = refused(&choice(&["a", "d"], &["b"]), &["a", "b", "c"]);
        assert!(one_of_two.contains("`d`"), "{one_of_two}");
        let both = refused(&choice(&["a", "b"], &["b"]), &["a", "b"]);
        assert!(both.contains("`b` both"), "{both}");
        let told = read(&choice(&["a", "c"], &["b"]), &["a", "b", "c"]).unwrap();
        let ids = batch(&["a", "b", "c"], [] as [(&str, ArrayRef); 0]);
        let ids = ids_of(&ids).unwrap();
        let uses: Vec<_> = (0..3).map(|row| told.of(ids.value(row))).collect();
        assert_eq!(uses, [Some(Use::Train), Some(Use::Valid), Some(Use::Train)]);
    }
}
