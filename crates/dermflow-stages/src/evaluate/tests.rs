//! Tests of `evaluate` on real predictions, against scikit-learn.

mod chosen;
mod edges;

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::memory::MemoryContext;
use dermflow_core::{StageContext, StageError, StageKind};

use super::{Evaluate, EvaluateParameters};
use crate::lesions::{
    CLASSES, lesion_attributes, lesion_predictions, lesion_splits, lesion_truth, predictions, texts,
};

fn parameters(yaml: &str) -> EvaluateParameters {
    let value: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
    serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap()
}

/// What scikit-learn says of the real predictions.
fn by_scikit_learn() -> serde_json::Value {
    serde_json::from_slice(include_bytes!("../../tests/data/lesion_figures.json")).unwrap()
}

/// Name, class and slice of a figure.
type Key = (String, Option<String>, Option<String>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Figure {
    value: f64,
    interval: Option<(f64, f64)>,
    n: i64,
}

fn figures(context: &MemoryContext) -> BTreeMap<Key, Figure> {
    let table = context.output("metrics");
    let text = |name: &str, row: usize| {
        let column = table.column_by_name(name).unwrap().as_string::<i32>();
        (!column.is_null(row)).then(|| column.value(row).to_string())
    };
    let float = |name: &str, row: usize| {
        let column = table.column_by_name(name).unwrap().as_primitive::<Float64Type>();
        (!column.is_null(row)).then(|| column.value(row))
    };
    let n = table.column_by_name("n").unwrap().as_primitive::<Int64Type>();
    let rows = (0..table.num_rows()).map(|row| {
        let key = (text("name", row).unwrap(), text("class", row), text("slice", row));
        let figure = Figure {
            value: float("value", row).unwrap(),
            interval: float("low", row).zip(float("high", row)),
            n: n.value(row),
        };
        (key, figure)
    });
    rows.collect()
}

fn overall(figures: &BTreeMap<Key, Figure>, name: &str) -> Figure {
    figures[&(name.to_string(), None, None)]
}

fn lesions(yaml: &str, threads: usize) -> MemoryContext {
    let mut context = MemoryContext::default();
    context.threads = threads;
    context.seed = 11;
    context.add_table("predictions", lesion_predictions());
    context.add_table("truth", lesion_truth());
    context.add_table("attributes", lesion_attributes());
    context.add_table("splits", lesion_splits());
    Evaluate::run(&parameters(yaml), &mut context).unwrap();
    context
}

const LIKE_THE_SCRIPT: &str = "
classes: [ACK, BCC, NEV, SCC, SEK]
fold: test
group: patient
slices: [fitzpatrick, {column: age, bounds: [40, 65]}]
min-samples: 20
top: [2, 3]
bins: 15
bootstrap: {resamples: 200}
choose-on: {fold: valid}
class-groups: {malignant: [BCC, MEL, SCC]}
sensitivity-at-specificity: [0.9]
specificity-at-sensitivity: [0.8, 0.95]
operating-points:
  cautious: {by: energy, fold: valid, coverage: 0.95}
  fixed: {threshold: 0.4}
";

#[test]
fn every_figure_is_that_of_scikit_learn() {
    let document = by_scikit_learn();
    let context = lesions(LIKE_THE_SCRIPT, 2);
    let mut given = figures(&context);
    let text = |value: &serde_json::Value| value.as_str().map(str::to_string);
    for expected in document["figures"].as_array().unwrap() {
        let key = (
            text(&expected["name"]).unwrap(),
            text(&expected["class"]),
            text(&expected["slice"]),
        );
        let found = given.remove(&key).unwrap_or_else(|| panic!("{key:?} is missing"));
        let value = expected["value"].as_f64().unwrap();
        assert!(
            (found.value - value).abs() < 1e-9,
            "{key:?}: {} is not {value}",
            found.value
        );
        if let Some((low, high)) = found.interval {
            assert!(low <= high, "{key:?}");
        }
    }
    let more: Vec<&Key> = given
        .keys()
        .filter(|(name, _, _)| {
            !name.ends_with("-gap") && !name.starts_with("samples") && !name.contains("without")
        })
        .collect();
    assert!(
        more.is_empty(),
        "figures that scikit-learn doesn't give: {more:?}"
    );
}

#[test]
fn intervals_by_patient_are_near_those_of_numpy() {
    let document = by_scikit_learn();
    let yaml =
        "{classes: [ACK, BCC, NEV, SCC, SEK], fold: test, group: patient, bootstrap: {resamples: 4000}}";
    let given = figures(&lesions(yaml, 2));
    for expected in document["intervals"].as_array().unwrap() {
        let name = expected["name"].as_str().unwrap();
        let (low, high) = overall(&given, name).interval.unwrap();
        let [wanted_low, wanted_high] = ["low", "high"].map(|end| expected[end].as_f64().unwrap());
        // Both are of other draws: the ends scatter by a few thousandths.
        assert!(
            (low - wanted_low).abs() < 0.01,
            "{name}: {low} is not near {wanted_low}"
        );
        assert!(
            (high - wanted_high).abs() < 0.01,
            "{name}: {high} is not near {wanted_high}"
        );
    }
}

#[test]
fn small_slices_are_told_by_their_size_only_and_gaps_span_the_others() {
    let context = lesions(LIKE_THE_SCRIPT, 1);
    let figures = figures(&context);
    let of = |name: &str, slice: &str| figures.get(&(name.to_string(), None, Some(slice.to_string())));
    let small = "fitzpatrick: 4";
    let size = of("samples", small).unwrap().value;
    assert!((1.0..20.0).contains(&size), "{size}");
    assert_eq!(of("accuracy", small), None);
    let ages = ["age: below 40", "age: 40 to below 65", "age: 65 or more"];
    let accuracies = ages.map(|slice| of("accuracy", slice).unwrap().value);
    let [low, high] = [f64::min, f64::max].map(|choose| accuracies.into_iter().reduce(choose).unwrap());
    let gap = of("accuracy-gap", "age").unwrap();
    assert!((gap.value - (high - low)).abs() < 1e-12 && gap.interval.is_some());
    let sizes: f64 = ages.iter().map(|slice| of("samples", slice).unwrap().value).sum();
    assert_eq!(sizes, overall(&figures, "samples").value);
}

#[test]
fn patients_drawn_together_give_other_intervals_than_photos_drawn_alone() {
    let grouped = figures(&lesions(LIKE_THE_SCRIPT, 1));
    let alone = figures(&lesions(&LIKE_THE_SCRIPT.replace("group: patient", ""), 1));
    let [grouped, alone] = [grouped, alone].map(|figures| overall(&figures, "accuracy"));
    assert_eq!(grouped.value, alone.value);
    assert_ne!(grouped.interval, alone.interval);
    let none = figures(&lesions(
        &LIKE_THE_SCRIPT.replace("resamples: 200", "resamples: 0"),
        1,
    ));
    assert_eq!(overall(&none, "accuracy").interval, None);
}

fn doubles(table: &RecordBatch, name: &str) -> Vec<f64> {
    let column = table.column_by_name(name).unwrap().as_primitive::<Float64Type>();
    column.values().to_vec()
}

#[test]
fn the_area_under_each_curve_is_the_figure_beside_it() {
    let context = lesions(&LIKE_THE_SCRIPT.replace("top: [2, 3]", "curve-points: 100000"), 1);
    let (figures, curves) = (figures(&context), context.output("curves"));
    let classes = curves.column_by_name("class").unwrap().as_string::<i32>();
    let by = curves.column_by_name("by").unwrap().as_string::<i32>();
    let points = curves
        .column_by_name("point")
        .unwrap()
        .as_primitive::<Int64Type>();
    let [across, up, precision, threshold] = [
        "false_positive_rate",
        "true_positive_rate",
        "precision",
        "threshold",
    ]
    .map(|name| doubles(&curves, name));
    let mut compared = 0;
    for (class, score, auroc, average) in CLASSES
        .iter()
        .chain(&["malignant"])
        .map(|class| (Some(*class), "probability", "auroc", "average-precision"))
        .chain([
            (
                None,
                "probability",
                "unseen-auroc-by-probability",
                "average-precision-of-seen-by-probability",
            ),
            (
                None,
                "energy",
                "unseen-auroc-by-energy",
                "average-precision-of-seen-by-energy",
            ),
        ])
    {
        let mut rows: Vec<usize> = (0..curves.num_rows())
            .filter(|row| {
                (!classes.is_null(*row)).then(|| classes.value(*row)) == class && by.value(*row) == score
            })
            .collect();
        rows.sort_by_key(|row| points.value(*row));
        let (mut area, mut sum, mut before) = (0.0, 0.0, (0.0, 0.0));
        for row in &rows {
            area += (across[*row] - before.0) * (up[*row] + before.1) / 2.0;
            sum += (up[*row] - before.1) * precision[*row];
            before = (across[*row], up[*row]);
        }
        let sure: Vec<f64> = rows
            .iter()
            .map(|row| {
                if score == "energy" {
                    -threshold[*row]
                } else {
                    threshold[*row]
                }
            })
            .collect();
        assert!(sure.windows(2).all(|pair| pair[0] > pair[1]), "{class:?}");
        let name = |figure: &str| match class {
            Some(_) => figure.to_string(),
            None if figure.starts_with("average") => format!("unseen-{figure}"),
            None => figure.to_string(),
        };
        let figure = |figure: &str| {
            figures
                .get(&(name(figure), class.map(str::to_string), None))
                .map(|f| f.value)
        };
        assert!((area - figure(auroc).unwrap()).abs() < 1e-9, "{class:?} {score}");
        assert!((sum - figure(average).unwrap()).abs() < 1e-9, "{class:?} {score}");
        compared += 1;
    }
    assert_eq!(compared, 8);
    let thin = lesions(&LIKE_THE_SCRIPT.replace("top: [2, 3]", "curve-points: 9"), 1).output("curves");
    assert_eq!(thin.num_rows(), 8 * 9);
}

#[test]
fn proportions_have_their_counts_and_an_interval_around_them() {
    let context = lesions(LIKE_THE_SCRIPT, 1);
    let table = context.output("proportions");
    let names = table.column_by_name("name").unwrap().as_string::<i32>();
    let [hits, n] = ["hits", "n"].map(|name| {
        table
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int64Type>()
            .clone()
    });
    let [value, low, high] = ["value", "low", "high"].map(|name| doubles(&table, name));
    for row in 0..table.num_rows() {
        let share = hits.value(row) as f64 / n.value(row) as f64;
        assert!((share - value[row]).abs() < 1e-12, "{}", names.value(row));
        assert!(low[row] <= share && share <= high[row] && low[row] >= 0.0 && high[row] <= 1.0);
    }
    let slices = table.column_by_name("slice").unwrap();
    let accuracy = (0..table.num_rows()).find(|row| names.value(*row) == "accuracy" && slices.is_null(*row));
    let accuracy = accuracy.unwrap();
    assert_eq!((hits.value(accuracy), n.value(accuracy)), (84, 202));
    assert!(names.iter().flatten().any(|name| name == "risk-at-cautious"));
    assert!(names.iter().flatten().all(|name| !name.contains("balanced")));
}

#[test]
fn unseen_classes_stand_in_the_confusion_table_and_counts_sum_up() {
    let context = lesions(LIKE_THE_SCRIPT, 1);
    let table = context.output("confusion");
    let truth = table.column_by_name("truth").unwrap().as_string::<i32>();
    let seen = table.column_by_name("seen").unwrap().as_boolean();
    let counts = table.column_by_name("count").unwrap().as_primitive::<Int64Type>();
    assert_eq!(counts.values().iter().sum::<i64>(), 214);
    for row in 0..table.num_rows() {
        assert_eq!(seen.value(row), truth.value(row) != "MEL");
    }
    let unseen: i64 = (0..table.num_rows())
        .filter(|row| !seen.value(*row))
        .map(|row| counts.value(row))
        .sum();
    assert_eq!(unseen, 12);
    let reliability = context.output("reliability");
    let counts = reliability
        .column_by_name("count")
        .unwrap()
        .as_primitive::<Int64Type>();
    assert_eq!(counts.values().iter().sum::<i64>(), 2 * (214 - 12));
}
