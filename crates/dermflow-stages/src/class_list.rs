//! Which class each place of a `probabilities` list belongs to.
//!
//! `Predictions` keeps probabilities as a plain list: the names would be the same in every row.
//! They come from the table `classes` (columns `class`, `index` from 0) that a classifier
//! writes beside its predictions, or from the parameter `classes`. Every row is held against
//! them: the probability in the place of the row's label must be the row's probability, which
//! finds a list in the wrong order.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int64Type};
use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, InputTypes, PortType, Problem, SampleId, StageContext,
    StageError, TableType,
};

use crate::columns::ids_of;

/// The input port `classes`.
pub fn classes_port() -> InputPort {
    let columns = [
        Column::new("class", ColumnType::Text),
        Column::new("index", ColumnType::Integer),
    ];
    let table = TableType {
        contract: "Classes".to_string(),
        open: true,
        ..TableType::exactly(columns)
    };
    let about = "the class at each place of `probabilities`: its name and its index, from 0";
    InputPort::one("classes", PortType::Table(table), about)
        .with_arity(Arity::Optional)
        .reading(["class", "index"])
}

/// The input port `predictions`, reading what the list needs and `more`.
pub fn predictions_port(about: &'static str, more: &[&str]) -> InputPort {
    let table = Contract::named("Predictions").map_or_else(TableType::any, TableType::of);
    let columns = ["label", "probability", "probabilities"];
    InputPort::one("predictions", PortType::Table(table), about)
        .reading(columns.into_iter().chain(more.iter().copied()))
}

/// That the classes come from exactly one of the two places.
///
/// # Errors
/// Says which to leave out or what to add.
pub fn check_source(parameter: &[String], wired: &InputTypes) -> Result<(), Problem> {
    match (parameter.is_empty(), wired.contains_key("classes")) {
        (true, false) => Err(Problem::new(
            "classes",
            "which class has which place of `probabilities` is not said",
        )
        .with_help("wire the `classes` output of the classifier to `classes`, or list the names in order")),
        (false, true) => Err(
            Problem::new("classes", "the classes are listed here and wired too")
                .with_help("leave one of them out"),
        ),
        _ => Ok(()),
    }
}

/// What is wrong with the parameter `classes` by itself.
pub fn check_names(names: &[String]) -> Vec<Problem> {
    let mut seen = BTreeMap::new();
    let mut problems = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if let Some(first) = seen.insert(name, at) {
            problems.push(Problem::new(
                format!("classes.{at}"),
                format!("`{name}` is place {first} already"),
            ));
        }
    }
    problems
}

/// The classes of a model, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    names: Vec<String>,
    index: BTreeMap<String, u32>,
}

impl ClassList {
    /// From the parameter, or from the table wired to `classes`.
    ///
    /// # Errors
    /// Where the table names a class or an index twice, or leaves an index out.
    pub fn read(parameter: &[String], context: &dyn StageContext) -> Result<ClassList, StageError> {
        if !context.has_input("classes") {
            return Ok(ClassList::new(parameter.to_vec()));
        }
        let mut at: BTreeMap<i64, String> = BTreeMap::new();
        for batch in context.table("classes")? {
            let batch = batch?;
            let (names, places) = (text(&batch, "class")?, batch.column_by_name("index"));
            let places = places.and_then(|column| column.as_primitive_opt::<Int64Type>());
            let places = places.ok_or_else(|| StageError::new("`classes` has no integer column `index`"))?;
            for row in 0..batch.num_rows() {
                let (name, place) = (names.value(row), places.value(row));
                if let Some(other) = at.insert(place, name.to_string()) {
                    let message = format!("`classes` gives the index {place} to `{other}` and to `{name}`");
                    return Err(StageError::new(message));
                }
            }
        }
        if let Some((wanted, (found, _))) = (0..).zip(&at).find(|(wanted, (found, _))| wanted != *found) {
            let message = format!(
                "the indices of `classes` must run from 0 without a gap; {wanted} is missing before {found}"
            );
            return Err(StageError::new(message));
        }
        let list = ClassList::new(at.into_values().collect());
        match list.names.len() == list.index.len() {
            true => Ok(list),
            false => Err(StageError::new("`classes` gives two indices to one class")),
        }
    }

    fn new(names: Vec<String>) -> ClassList {
        let index = (0..).zip(&names).map(|(at, name)| (name.clone(), at)).collect();
        ClassList { names, index }
    }

    /// How many classes.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The names in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The index of a class that the model knows.
    pub fn index(&self, name: &str) -> Option<u32> {
        self.index.get(name).copied()
    }

    /// Reads the predictions of a batch, calling `each` with the row, the index of its label, its
    /// probability and the probabilities of all classes.
    ///
    /// # Errors
    /// Where a row doesn't fit the classes or its numbers are no probabilities, with its sample.
    pub fn each_prediction(
        &self,
        batch: &RecordBatch,
        mut each: impl FnMut(usize, u32, f32, &[f32]) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let ids = ids_of(batch)?;
        let labels = text(batch, "label")?;
        let missing = |name: &str| StageError::new(format!("`predictions` has no proper column `{name}`"));
        let probability = batch
            .column_by_name("probability")
            .and_then(|column| column.as_primitive_opt::<Float32Type>())
            .ok_or_else(|| missing("probability"))?;
        let lists = batch
            .column_by_name("probabilities")
            .and_then(|column| column.as_list_opt::<i32>())
            .ok_or_else(|| missing("probabilities"))?;
        let all = lists
            .values()
            .as_primitive_opt::<Float32Type>()
            .ok_or_else(|| missing("probabilities"))?
            .values();
        let ends = lists.value_offsets();
        for row in 0..batch.num_rows() {
            let list = &all[ends[row] as usize..ends[row + 1] as usize];
            let label = self
                .fit(labels.value(row), probability.value(row), list)
                .map_err(|(message, help)| {
                    let mut bytes = [0; 32];
                    bytes.copy_from_slice(ids.value(row));
                    let id = SampleId::from_bytes(bytes);
                    StageError::new(format!("the prediction of sample {id}: {message}")).with_help(help)
                })?;
            each(row, label, probability.value(row), list)?;
        }
        Ok(())
    }

    /// The index of a row's label, if the row fits; otherwise what is wrong and what to do.
    fn fit(&self, label: &str, probability: f32, list: &[f32]) -> Result<u32, (String, &'static str)> {
        const OTHER_MODEL: &str = "take the class list of the model that made the predictions";
        if list.len() != self.len() {
            let message = format!(
                "{} probabilities, but there are {} classes",
                list.len(),
                self.len()
            );
            return Err((message, OTHER_MODEL));
        }
        let index = self
            .index(label)
            .ok_or_else(|| (format!("its label `{label}` is none of the classes"), OTHER_MODEL))?;
        let sum: f64 = list.iter().map(|share| f64::from(*share)).sum();
        // Compared with anything, NaN would pass as near enough below.
        let not_a_number = probability.is_nan().then_some(&probability);
        let bad = list.iter().find(|share| !(0.0..=1.0).contains(*share));
        let bad = bad.or(not_a_number);
        if bad.is_some() || (sum - 1.0).abs() > 0.01 {
            let message = match bad {
                Some(bad) => format!("{bad} is no probability, which lies from 0 to 1"),
                None => format!("its probabilities sum to {sum}, not to 1"),
            };
            return Err((message, "take the softmax of the model's scores"));
        }
        let in_place = list[index as usize];
        if (in_place - probability).abs() > 1e-3 {
            let message = format!(
                "its label `{label}` has the probability {probability}, but place {index} of `probabilities`, that of \
                 `{label}`, holds {in_place}"
            );
            return Err((
                message,
                "the class list is in another order than the probabilities",
            ));
        }
        Ok(index)
    }
}

/// A text column.
///
/// # Errors
/// Where the batch has none of that name.
pub fn text<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow::array::StringArray, StageError> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .filter(|column| column.null_count() == 0)
        .ok_or_else(|| StageError::new(format!("a table came without a proper text column `{name}`")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use dermflow_core::memory::{MemoryContext, batch};

    use super::*;

    fn wired(classes: &[(&str, i64)]) -> Result<ClassList, StageError> {
        let keys: Vec<&str> = classes.iter().map(|(name, _)| *name).collect();
        let names: StringArray = classes.iter().map(|(name, _)| Some(*name)).collect();
        let places: Int64Array = classes.iter().map(|(_, place)| Some(*place)).collect();
        let columns = [
            ("class", Arc::new(names) as ArrayRef),
            ("index", Arc::new(places) as ArrayRef),
        ];
        let mut context = MemoryContext::default();
        context.add_table("classes", batch(&keys, columns));
        ClassList::read(&[], &context)
    }

    #[test]
    fn the_table_rules_the_order_and_must_be_whole() {
        let list = wired(&[("nevus", 1), ("melanoma", 0)]).unwrap();
        assert_eq!(list.names(), ["melanoma", "nevus"]);
        assert_eq!(list.index("nevus"), Some(1));
        for (wrong, word) in [
            ([("a", 0), ("b", 2)], "1 is missing"),
            ([("a", 0), ("b", 0)], "the index 0"),
            ([("a", 0), ("a", 1)], "one class"),
            ([("a", -1), ("b", 0)], "0 is missing"),
        ] {
            let refusal = wired(&wrong).unwrap_err().message;
            assert!(refusal.contains(word), "{refusal}");
        }
    }

    #[test]
    fn a_row_that_does_not_fit_is_told() {
        let list = ClassList::new(vec!["a".to_string(), "b".to_string()]);
        assert_eq!(list.fit("b", 0.75, &[0.25, 0.75]), Ok(1));
        for (label, probability, probabilities, word) in [
            ("b", 0.75, &[0.75, 0.25][..], "place 1"),
            ("c", 0.75, &[0.25, 0.75], "`c`"),
            ("a", 1.0, &[1.0], "1 probabilities"),
            ("a", f32::NAN, &[f32::NAN, 0.5], "NaN"),
            ("a", f32::NAN, &[0.5, 0.5], "NaN is no probability"),
            ("a", 0.5, &[0.5, 0.2], "sum to"),
        ] {
            let (refusal, _) = list.fit(label, probability, probabilities).unwrap_err();
            assert!(refusal.contains(word), "{refusal}");
        }
    }
}
