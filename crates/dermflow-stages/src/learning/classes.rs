//! [`Classes`]: which classes a network tells apart, and in which order; and [`Labelled`]: who
//! has which.
//!
//! Must not know of pictures or networks.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray};
use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_nn::model_file::check_class_name;

use crate::columns::ids_of;

/// The classes in the order of a network's outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    names: Vec<String>,
    index: BTreeMap<String, usize>,
}

impl Classes {
    /// These classes in this order.
    ///
    /// # Errors
    /// Where one stands twice, no model file takes its name, or there are fewer than `least`.
    pub fn new(names: Vec<String>, least: usize) -> Result<Classes, StageError> {
        let mut index = BTreeMap::new();
        for (place, name) in names.iter().enumerate() {
            check_class_name(name).map_err(StageError::new)?;
            if index.insert(name.clone(), place).is_some() {
                return Err(StageError::new(format!(
                    "the class `{name}` stands twice in the list of classes"
                )));
            }
        }
        if names.len() < least {
            let found = match names.as_slice() {
                [] => "there is none".to_string(),
                [only] => format!("there is only `{only}`"),
                more => format!("there are {}", more.len()),
            };
            let message = format!("at least {least} classes are needed, and {found}");
            return Err(StageError::new(message)
                .with_help("label more samples, or check what an earlier stage filtered away"));
        }
        Ok(Classes { names, index })
    }

    /// Their names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The place of a class.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }
}

/// Samples and their labels, each sample once, in order of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled(Vec<([u8; 32], String)>);

impl Labelled {
    /// Reads column `label` of the table at `port`. A sample with several rows of one label counts
    /// once.
    ///
    /// # Errors
    /// Where a sample has two different labels, or one is missing or empty, with the sample.
    pub fn read(context: &dyn StageContext, port: &str) -> Result<Labelled, StageError> {
        let mut rows: Vec<([u8; 32], String)> = Vec::new();
        for batch in context.table(port)? {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let ids = ids_of(&batch)?;
            let labels = batch
                .column_by_name("label")
                .and_then(|column| column.as_string_opt::<i32>())
                .ok_or_else(|| StageError::new(format!("`{port}` came without its text column `label`")))?;
            for row in 0..batch.num_rows() {
                let mut id = [0; 32];
                id.copy_from_slice(ids.value(row));
                let name = || SampleId::from_bytes(id);
                if labels.is_null(row) || labels.value(row).is_empty() {
                    return Err(
                        StageError::new(format!("`{port}`: sample {} has no label", name()))
                            .with_help("filter such rows away first"),
                    );
                }
                let label = labels.value(row);
                match rows.last() {
                    Some((last, other)) if *last == id && other != label => {
                        return Err(StageError::new(format!(
                            "`{port}`: sample {} has the labels `{other}` and `{label}`",
                            name()
                        ))
                        .with_help("a classifier learns one label a sample; decide between them first"));
                    }
                    Some((last, _)) if *last == id => {}
                    _ => rows.push((id, label.to_string())),
                }
            }
        }
        Ok(Labelled(rows))
    }

    /// The samples with their labels.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8; 32], &str)> {
        self.0.iter().map(|(id, label)| (id, label.as_str()))
    }

    /// A sample's label.
    pub fn label(&self, id: &[u8]) -> Option<&str> {
        let found = self.0.binary_search_by(|(own, _)| own[..].cmp(id)).ok()?;
        Some(&self.0[found].1)
    }

    /// The samples that `keep` wants.
    pub fn filtered(&self, keep: impl Fn(&[u8]) -> bool) -> Labelled {
        Labelled(self.0.iter().filter(|(id, _)| keep(id)).cloned().collect())
    }

    /// Every label that occurs, in alphabetical order.
    pub fn distinct(&self) -> Vec<String> {
        let names: BTreeSet<&str> = self.0.iter().map(|(_, label)| label.as_str()).collect();
        names.into_iter().map(str::to_string).collect()
    }

    /// The class of each sample; `from` says in words where they come from.
    ///
    /// # Errors
    /// Names the labels that are none of the classes, with counts.
    pub fn classes(&self, classes: &Classes, from: &str) -> Result<Vec<usize>, StageError> {
        let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
        let mut places = Vec::with_capacity(self.0.len());
        for (_, label) in &self.0 {
            match classes.place(label) {
                Some(place) => places.push(place),
                None => *unknown.entry(label).or_default() += 1,
            }
        }
        if unknown.is_empty() {
            return Ok(places);
        }
        let listed: Vec<String> = unknown
            .iter()
            .map(|(label, count)| format!("`{label}` ({count} samples)"))
            .collect();
        Err(StageError::new(format!(
            "{from} has labels that are none of the classes {}: {}",
            quoted(classes.names()),
            listed.join(", ")
        ))
        .with_help(
            "map or drop them with a stage of kind `merge-classes`; where a class is so rare that none of it is left \
             to learn from, split with `exact: true`, or label more of it",
        ))
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use dermflow_core::memory::{MemoryContext, batch};

    use super::*;

    fn read(keys: &[&str], labels: &[Option<&str>]) -> Result<Labelled, StageError> {
        let labels: ArrayRef = Arc::new(labels.iter().copied().collect::<StringArray>());
        let mut context = MemoryContext::default();
        context.add_table("labels", batch(keys, [("label", labels)]));
        Labelled::read(&context, "labels")
    }

    #[test]
    fn a_sample_with_two_labels_or_none_is_told() {
        let error = read(&["a", "a"], &[Some("x"), Some("y")]).unwrap_err();
        assert!(error.message.contains("has the labels"), "{error}");
        let error = read(&["a"], &[None]).unwrap_err();
        assert!(error.message.contains("has no label"), "{error}");
        assert_eq!(read(&["a", "a"], &[Some("x"), Some("x")]).unwrap().0.len(), 1);
    }

    #[test]
    fn unknown_labels_are_told_with_counts_and_one_class_is_too_few() {
        let labelled = read(&["a", "b", "c"], &[Some("x"), Some("z"), Some("z")]).unwrap();
        let classes = Classes::new(vec!["x".into(), "y".into()], 2).unwrap();
        let error = labelled.classes(&classes, "labels").unwrap_err();
        assert!(error.message.contains("`z` (2 samples)"), "{error}");
        let error = Classes::new(vec!["x".into()], 2).unwrap_err();
        assert!(error.message.contains("only `x`"), "{error}");
        assert_eq!(labelled.distinct(), ["x", "z"]);
    }
}
