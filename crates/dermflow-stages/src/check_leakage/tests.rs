//! Tests of `check-leakage`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{Column, ColumnType, InputTypes, PortType, StageError, StageKind, TableType};
use dermflow_vision::similarity::{distance, perceptual_hash};
use proptest::prelude::*;

use super::{CheckLeakage, CheckLeakageParameters};

/// A picture that `seed` rules, a little brighter by `shift`.
fn picture(seed: u64, shift: u8) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut cells = Vec::new();
    for _ in 0..16 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        cells.push((state >> 32) as u8 % 200);
    }
    let side = 16;
    let cell = |x: usize, y: usize| cells[y / 4 * 4 + x / 4].saturating_add(shift);
    (0..side * side)
        .flat_map(|at| [cell(at % side, at / side); 3])
        .collect()
}

/// Samples: key, group, picture.
fn table(rows: &[(&str, Option<&str>, (u64, u8))]) -> RecordBatch {
    let keys: Vec<&str> = rows.iter().map(|row| row.0).collect();
    let sources: StringArray = rows.iter().map(|row| Some(format!("{}.jpg", row.0))).collect();
    let groups: StringArray = rows.iter().map(|row| row.1).collect();
    let side = || Arc::new(Int64Array::from(vec![16; rows.len()])) as ArrayRef;
    let pixels: BinaryArray = rows.iter().map(|row| Some(picture(row.2.0, row.2.1))).collect();
    let columns: [(&str, ArrayRef); 5] = [
        ("source", Arc::new(sources)),
        ("group", Arc::new(groups)),
        ("width", side()),
        ("height", side()),
        ("pixels", Arc::new(pixels)),
    ];
    batch(&keys, columns)
}

fn run(
    tables: &[RecordBatch],
    folds: Option<&[(&str, &str)]>,
    yaml: &str,
) -> Result<MemoryContext, StageError> {
    let parameters: CheckLeakageParameters = serde_yaml::from_str(yaml).unwrap();
    assert_eq!(CheckLeakage::check(&parameters), []);
    let mut context = MemoryContext::default();
    context.batch_rows = 2;
    tables
        .iter()
        .for_each(|table| context.add_table("samples", table.clone()));
    if let Some(folds) = folds {
        let keys: Vec<&str> = folds.iter().map(|fold| fold.0).collect();
        let names: ArrayRef = Arc::new(folds.iter().map(|fold| Some(fold.1)).collect::<StringArray>());
        context.add_table("splits", batch(&keys, [("fold", names)]));
    }
    CheckLeakage::run(&parameters, &mut context)?;
    Ok(context)
}

/// The pairs as lines, sorted.
fn pairs(context: &MemoryContext) -> Vec<String> {
    let table = context.output("pairs");
    let text = |column: usize, row: usize| table.column(column).as_string::<i32>().value(row).to_string();
    let distances = table.column(8).as_primitive::<Int64Type>();
    let rows = (0..table.num_rows()).map(|row| {
        let (side, source) = (text(1, row), text(2, row));
        let (other_side, other) = (text(5, row), text(6, row));
        let bits = match distances.is_null(row) {
            true => String::new(),
            false => format!(" {}", distances.value(row)),
        };
        format!("{side} {source} {} {other_side} {other}{bits}", text(3, row))
    });
    let mut lines: Vec<String> = rows.collect();
    lines.sort();
    lines
}

#[test]
fn a_patient_in_two_folds_is_told_for_each_of_its_samples() {
    let table = table(&[
        ("a", Some("p1"), (1, 0)),
        ("b", Some("p1"), (2, 0)),
        ("c", Some("p1"), (3, 0)),
        ("d", Some("p2"), (4, 0)),
        ("e", None, (5, 0)),
        ("f", None, (6, 0)),
        ("g", Some("p1"), (7, 0)),
    ]);
    let folds = [
        ("a", "train"),
        ("b", "test"),
        ("c", "train"),
        ("d", "test"),
        ("e", "train"),
        ("f", "test"),
    ];
    let context = run(std::slice::from_ref(&table), Some(&folds), "{on-leak: warn}").unwrap();
    let told = pairs(&context);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.contains(&"train a.jpg same-group test b.jpg".to_string()),
        "{told:?}"
    );
    assert!(
        told.contains(&"train c.jpg same-group test b.jpg".to_string()),
        "{told:?}"
    );
    let lines = context.lines.lock().unwrap().join("\n");
    assert!(
        lines.contains("1 samples have no fold") && lines.contains("both of `p1`"),
        "{lines}"
    );
    let error = run(&[table], Some(&folds), "{}").err().unwrap();
    assert!(
        error.message.contains("2 of `train` with `test` (same-group)"),
        "{error}"
    );
    assert!(error.help.unwrap().contains("on-leak: warn"));
}

#[test]
fn the_same_image_and_nearly_the_same_are_found_across_tables() {
    let first = table(&[("a", None, (1, 0)), ("b", None, (2, 0)), ("c", None, (3, 0))]);
    let second = table(&[("a", None, (1, 0)), ("x", None, (2, 20)), ("y", None, (9, 0))]);
    let yaml = "{names: [train, test], near-duplicates: 4, on-leak: warn}";
    let context = run(&[first.clone(), second], None, yaml).unwrap();
    let bits = {
        let hash = |shift| perceptual_hash(&picture(2, shift), 16, 16).unwrap();
        distance(hash(0), hash(20))
    };
    assert!(bits <= 4, "{bits}");
    let expected = [
        "test a.jpg same-image train a.jpg".to_string(),
        format!("test x.jpg near-duplicate train b.jpg {bits}"),
        "train a.jpg same-image test a.jpg".to_string(),
        format!("train b.jpg near-duplicate test x.jpg {bits}"),
    ];
    assert_eq!(pairs(&context), expected);
    let clean = table(&[("m", None, (11, 0))]);
    assert_eq!(
        pairs(&run(&[first, clean], None, "{near-duplicates: 4}").unwrap()),
        [""; 0]
    );
}

#[test]
fn tables_with_folds_are_sides_together() {
    let first = table(&[("a", None, (1, 0)), ("b", None, (2, 0))]);
    let folds = [("a", "train"), ("b", "test")];
    let context = run(
        &[first.clone(), first],
        Some(&folds),
        "{names: [x, y], on-leak: warn}",
    )
    .unwrap();
    let told = pairs(&context);
    assert_eq!(told.len(), 4);
    assert_eq!(told[0], "x test b.jpg same-image y test b.jpg");
}

#[test]
fn what_has_nothing_to_compare_is_refused() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = CheckLeakage::check(&serde_yaml::from_str(yaml).unwrap());
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{same-image: false, group: null}"), [""]);
    assert_eq!(places("{names: [a, a]}"), ["names"]);
    assert_eq!(places("{near-duplicates: 30}"), ["near-duplicates"]);
    let parameters: CheckLeakageParameters = serde_yaml::from_str("{}").unwrap();
    let mut wired = InputTypes::new();
    wired.insert("samples".to_string(), vec![PortType::Table(TableType::any())]);
    let problem = CheckLeakage::outputs(&parameters, &wired).unwrap_err();
    assert!(problem.help.unwrap().contains("splits"));
}

/// Two samples of one patient, in a table of exactly these columns.
fn patients(keys: [&str; 2], column: &str) -> RecordBatch {
    let patients: ArrayRef = Arc::new(StringArray::from(vec!["p1", "p1"]));
    batch(&keys, [(column, patients)])
}

#[test]
fn a_column_of_groups_without_which_nothing_is_compared_is_refused() {
    let [known, other] = [patients(["a", "b"], "patient"), patients(["c", "d"], "person")];
    let folds = [("a", "train"), ("b", "test")];
    let refused = |tables: &[RecordBatch], folds: Option<&[(&str, &str)]>, yaml: &str| -> String {
        run(tables, folds, yaml)
            .err()
            .map_or_else(String::new, |error| error.message)
    };
    let misspelt = "{group: pateint, names: [one]}";
    let told = refused(std::slice::from_ref(&known), Some(&folds), misspelt);
    assert!(
        told.starts_with("`group`: no groups can be compared")
            && told.contains("`one` has no column `pateint`"),
        "{told}"
    );
    // One table of two has nobody to be compared with.
    let tables = [known.clone(), other.clone()];
    let told = refused(&tables, None, "{group: patient}");
    assert!(told.contains("`table-2` has no column `patient`"), "{told}");
    assert!(!told.contains("table-1"), "{told}");
    // Nor do tables without rows hide a wrong name.
    let empty = [known.slice(0, 0), other.slice(0, 0)];
    assert!(refused(&empty, None, "{group: pateint}").contains("no groups"));
    // A third table may be without.
    let more = [known.clone(), patients(["e", "f"], "patient"), other.clone()];
    let context = run(&more, None, "{group: patient, on-leak: warn}").unwrap();
    assert_eq!(context.output("pairs").num_rows(), 4);
    let lines = context.lines.lock().unwrap().join("\n");
    assert!(lines.contains("`table-3` has no column `patient`"), "{lines}");
    // The usual column may be missing, and groups need not be compared.
    for right in ["{}", "{group: group}", "{group: null}"] {
        assert_eq!(refused(&tables, None, right), "", "{right}");
    }
}

#[test]
fn a_column_of_groups_that_is_known_to_be_missing_is_told_before_anything_runs() {
    let outputs = |tables: &[(&str, bool)], yaml: &str| {
        let types = tables.iter().map(|(column, open)| {
            let known = TableType::exactly([Column::new(*column, ColumnType::Text)]);
            PortType::Table(TableType { open: *open, ..known })
        });
        let wired = InputTypes::from([("samples".to_string(), types.collect())]);
        CheckLeakage::outputs(&serde_yaml::from_str(yaml).unwrap(), &wired).map(drop)
    };
    let closed = [("patient", false), ("patient", false)];
    let problem = outputs(&closed, "{group: pateint}").unwrap_err();
    assert_eq!(problem.parameter, "group");
    assert!(
        problem.message.contains("`pateint`") && problem.message.contains("`patient` (text)"),
        "{}",
        problem.message
    );
    assert!(problem.help.unwrap().contains("group: null"));
    let half = [("patient", false), ("person", false)];
    assert!(outputs(&half, "{group: patient}").is_err());
    for (tables, yaml) in [
        (&closed, "{group: patient}"),
        (&closed, "{group: group}"),
        (&closed, "{group: null}"),
        (&[("patient", true), ("person", true)], "{group: pateint}"),
        (&[("patient", false), ("person", true)], "{group: patient}"),
    ] {
        assert_eq!(outputs(tables, yaml), Ok(()), "{yaml}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_sample_with_a_partner_in_the_other_side_is_told_and_no_other(
        left in prop::collection::vec((0u64..6, 0u8..3), 1..14),
        right in prop::collection::vec((0u64..6, 0u8..3), 1..14),
        most in 0u32..8,
    ) {
        let name = |side: &str, rows: &[(u64, u8)]| -> Vec<String> {
            (0..rows.len()).map(|at| format!("{side}{at}")).collect()
        };
        let (left_names, right_names) = (name("l", &left), name("r", &right));
        let build = |names: &[String], rows: &[(u64, u8)]| {
            let rows: Vec<_> = names.iter().zip(rows).map(|(n, r)| (n.as_str(), None, (r.0, r.1 * 15))).collect();
            table(&rows)
        };
        let tables = [build(&left_names, &left), build(&right_names, &right)];
        let yaml = format!("{{names: [l, r], near-duplicates: {most}, on-leak: warn}}");
        let told = pairs(&run(&tables, None, &yaml).unwrap());
        let hash = |row: &(u64, u8)| perceptual_hash(&picture(row.0, row.1 * 15), 16, 16).unwrap();
        let mut expected = BTreeSet::new();
        for (a, b, names) in [(&left, &right, &left_names), (&right, &left, &right_names)] {
            for (row, name) in a.iter().zip(names) {
                let nearest = b.iter().map(|other| distance(hash(row), hash(other))).min().unwrap();
                if nearest <= most {
                    expected.insert((name.clone(), nearest.to_string()));
                }
            }
        }
        let found: BTreeSet<(String, String)> = told
            .iter()
            .map(|line| {
                let parts: Vec<&str> = line.split(' ').collect();
                (parts[1].trim_end_matches(".jpg").to_string(), parts[5].to_string())
            })
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(told.len(), told.iter().collect::<BTreeSet<_>>().len());
    }
}
