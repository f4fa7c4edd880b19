//! Tests of `evaluate`: against scikit-learn on real predictions, and at the edges.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::memory::MemoryContext;
use dermflow_core::{InputTypes, PortType, StageContext, StageError, StageKind, TableType};
use proptest::prelude::*;

use super::{Evaluate, EvaluateParameters};
use crate::lesions::{
    CLASSES, lesion_attributes, lesion_predictions, lesion_splits, lesion_truth, predictions, texts,
};

fn parameters(yaml: &str) -> EvaluateParameters {
    let value: serde_yaml::Value = serde_yaml::from_str(yaml).unwrap();
    serde_yaml::with::singleton_map_recursive::deserialize(value).unwrap()
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
    let document: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../tests/data/lesion_figures.json")).unwrap();
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
    let document: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../tests/data/lesion_figures.json")).unwrap();
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

#[test]
fn the_operating_point_keeps_on_the_judged_fold_about_what_was_asked_for_on_the_other() {
    let context = lesions(LIKE_THE_SCRIPT, 1);
    let table = context.output("operating-points");
    let names = table.column_by_name("point").unwrap().as_string::<i32>();
    let row = (0..2).find(|row| names.value(*row) == "cautious").unwrap();
    let float = |name: &str| {
        table
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Float64Type>()
            .value(row)
    };
    let integer = |name: &str| {
        table
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int64Type>()
            .value(row)
    };
    assert_eq!(float("wanted_coverage"), 0.95);
    assert!((float("coverage") - 0.95).abs() < 0.06);
    assert_eq!(integer("seen") + integer("unseen"), 214);
    // 128 photos of the validation fold, less those of the class that the model doesn't know.
    assert_eq!(integer("chosen_on"), 124);
    let document: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../tests/data/lesion_figures.json")).unwrap();
    assert_eq!(
        float("threshold"),
        document["thresholds"]["cautious"].as_f64().unwrap()
    );
}

/// The rows of a table whose `fold` by the real data's splits is this.
fn of_fold(table: &RecordBatch, fold: &str) -> RecordBatch {
    let splits = lesion_splits();
    assert_eq!(splits.column(0), table.column(0));
    let folds = splits.column_by_name("fold").unwrap().as_string::<i32>();
    let keep: arrow::array::BooleanArray = folds.iter().map(|own| Some(own == Some(fold))).collect();
    arrow::compute::filter_record_batch(table, &keep).unwrap()
}

/// The real data, judged on the test fold, with the validation fold wired to `validation`.
fn validated(yaml: &str) -> Result<MemoryContext, StageError> {
    let mut context = MemoryContext::default();
    context.add_table("predictions", lesion_predictions());
    context.add_table("truth", of_fold(&lesion_truth(), "test"));
    context.add_table("validation", of_fold(&lesion_truth(), "valid"));
    Evaluate::run(&parameters(yaml), &mut context).map(|()| context)
}

const CLASS_LIST: &str = "classes: [ACK, BCC, NEV, SCC, SEK]\nbootstrap: {resamples: 0}\n";

#[test]
fn thresholds_chosen_on_the_validation_table_are_those_of_the_same_samples_as_a_fold() {
    let chosen = "temperature: {}\noperating-points:\n  cautious: {by: energy, coverage: 0.95}";
    let context = validated(&format!("{CLASS_LIST}{chosen}")).unwrap();
    let by_fold = lesions(
        &format!("{CLASS_LIST}{chosen}\nfold: test\nchoose-on: {{fold: valid}}"),
        1,
    );
    let both = [&context, &by_fold].map(|context| context.output("operating-points"));
    for name in ["threshold", "coverage", "risk"] {
        assert_eq!(doubles(&both[0], name), doubles(&both[1], name), "{name}");
    }
    let among = both.map(|table| {
        let column = table.column_by_name("chosen_among").unwrap();
        column.as_string::<i32>().value(0).to_string()
    });
    assert_eq!(among, ["validation", "fold valid"]);
    let [found, fold] = [&context, &by_fold].map(|context| overall(&figures(context), "temperature"));
    assert_eq!(found, fold);
    // What is judged is the test fold alone.
    assert_eq!(overall(&figures(&context), "samples").value, 214.0);
}

#[test]
fn thresholds_are_not_chosen_on_what_is_judged_unless_that_is_said() {
    let mut context = MemoryContext::default();
    context.add_table("predictions", lesion_predictions());
    context.add_table("truth", lesion_truth());
    context.add_table("validation", of_fold(&lesion_truth(), "valid"));
    let error = Evaluate::run(&parameters(CLASS_LIST), &mut context).unwrap_err();
    assert!(error.message.contains("128 judged samples"), "{error}");
    let said = "choose-on: judged\noperating-points: {half: {coverage: 0.5}}";
    let table = lesions(&format!("{CLASS_LIST}{said}\nfold: test"), 1).output("operating-points");
    assert_eq!(
        table
            .column_by_name("chosen_among")
            .unwrap()
            .as_string::<i32>()
            .value(0),
        "judged"
    );
    assert!((doubles(&table, "coverage")[0] - 0.5).abs() < 0.01);
}

#[test]
fn a_class_that_was_not_left_out_or_that_nothing_is_of_is_told() {
    let context = validated(&format!("{CLASS_LIST}unseen: [MEL]")).unwrap();
    assert!(figures(&context).contains_key(&("unseen-auroc-by-energy".to_string(), None, None)));
    for (unseen, word) in [("NEV", "the model knows"), ("MLE", "no judged sample")] {
        let error = validated(&format!("{CLASS_LIST}unseen: [{unseen}]"))
            .err()
            .unwrap();
        assert!(
            error.message.contains(word) && error.message.contains(unseen),
            "{error}"
        );
    }
}

/// The text of a column in each row.
fn words(table: &RecordBatch, name: &str) -> Vec<String> {
    let column = table.column_by_name(name).unwrap().as_string::<i32>();
    column
        .iter()
        .map(|value| value.unwrap_or_default().to_string())
        .collect()
}

#[test]
fn thresholds_at_fixed_rates_are_those_of_scikit_learns_curves_and_stand_beside_what_they_give() {
    let document: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../tests/data/lesion_figures.json")).unwrap();
    let context = lesions(LIKE_THE_SCRIPT, 1);
    let (figures, table) = (figures(&context), context.output("fixed-rates"));
    let (classes, fixed) = (words(&table, "class"), words(&table, "fixed"));
    let expected = document["fixed_rates"].as_array().unwrap();
    assert_eq!((table.num_rows(), expected.len()), (18, 18));
    for one in expected {
        let row = (0..18).find(|row| {
            classes[*row] == one["class"]
                && fixed[*row] == one["fixed"]
                && doubles(&table, "level")[*row] == one["level"]
        });
        let row = row.unwrap_or_else(|| panic!("{one}"));
        let value = |name: &str| doubles(&table, name)[row];
        assert!(
            (value("threshold") - one["threshold"].as_f64().unwrap()).abs() < 1e-9,
            "{one}"
        );
        let count = |name: &str| {
            table
                .column_by_name(name)
                .unwrap()
                .as_primitive::<Int64Type>()
                .value(row) as f64
        };
        let (found, spared) = (
            count("true_positives"),
            count("negatives") - count("false_positives"),
        );
        assert!((value("sensitivity") - found / count("positives")).abs() < 1e-12);
        assert!((value("specificity") - spared / count("negatives")).abs() < 1e-12);
        let told = figures[&(
            format!("sensitivity-at-{}-{}", fixed[row], one["level"]),
            Some(classes[row].clone()),
            None,
        )];
        assert_eq!(
            (told.value, told.n as f64),
            (value("sensitivity"), count("positives"))
        );
        assert_eq!(
            told.interval,
            Some((value("sensitivity_low"), value("sensitivity_high")))
        );
    }
    // The melanomas, which the model doesn't know, count where the group names them.
    let malignant = classes.iter().position(|class| class == "malignant").unwrap();
    let positives = table
        .column_by_name("positives")
        .unwrap()
        .as_primitive::<Int64Type>();
    let truth = dermflow_core::memory::sorted(&of_fold(&lesion_truth(), "test")).unwrap();
    let labels = words(&truth, "label");
    let of_group = labels
        .iter()
        .filter(|label| ["BCC", "MEL", "SCC"].contains(&label.as_str()));
    assert_eq!(positives.value(malignant), of_group.count() as i64);
}

#[test]
fn without_anything_to_choose_on_no_rate_is_fixed_and_on_what_is_judged_only_where_that_is_said() {
    let nowhere = lesions(&format!("{CLASS_LIST}fold: test"), 1);
    assert_eq!(nowhere.output("fixed-rates").num_rows(), 0);
    let said =
        "fold: test\nchoose-on: judged\nsensitivity-at-specificity: [0.9]\nspecificity-at-sensitivity: []";
    let context = lesions(&format!("{CLASS_LIST}{said}"), 1);
    let table = context.output("fixed-rates");
    assert!(
        words(&table, "chosen_among")
            .iter()
            .all(|among| among == "judged")
    );
    assert_eq!(table.num_rows(), 5);
    for specificity in doubles(&table, "specificity") {
        // Above, but by no more than the next false positive would take.
        assert!((0.9..1.0).contains(&specificity), "{specificity}");
    }
}

#[test]
fn net_benefits_are_those_of_numpy() {
    let document: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../tests/data/lesion_figures.json")).unwrap();
    let yaml = format!("{LIKE_THE_SCRIPT}decision-curves: {{from: 0.05, to: 0.95, points: 19}}");
    let table = lesions(&yaml, 2).output("decision-curves");
    let classes = words(&table, "class");
    let [threshold, net, low, high, all, none, avoided] = [
        "threshold",
        "net_benefit",
        "low",
        "high",
        "treat_all",
        "treat_none",
        "interventions_avoided",
    ]
    .map(|name| doubles(&table, name));
    let expected = document["net_benefits"].as_array().unwrap();
    assert_eq!((table.num_rows(), expected.len()), (6 * 19, 6 * 19));
    for one in expected {
        let number = |name: &str| one[name].as_f64().unwrap();
        let row = (0..table.num_rows())
            .find(|row| classes[*row] == one["class"] && (threshold[*row] - number("threshold")).abs() < 1e-9)
            .unwrap_or_else(|| panic!("{one}"));
        assert!(
            (net[row] - number("net_benefit")).abs() < 1e-9,
            "{one}: {}",
            net[row]
        );
        assert!(
            (all[row] - number("treat_all")).abs() < 1e-9,
            "{one}: {}",
            all[row]
        );
        assert!(low[row] <= high[row] && none[row] == 0.0);
        let odds = threshold[row] / (1.0 - threshold[row]);
        assert!((avoided[row] * odds - (net[row] - all[row])).abs() < 1e-9);
    }
}

#[test]
fn a_group_of_classes_has_a_name_of_its_own_and_a_class_that_the_model_knows() {
    for (groups, word) in [
        ("{NEV: [ACK, BCC]}", "is called `NEV` already"),
        ("{bad: [MEL]}", "knows none"),
    ] {
        let yaml = format!("{CLASS_LIST}class-groups: {groups}");
        let in_words = match groups.contains("NEV") {
            true => Evaluate::check(&parameters(&yaml)).remove(0).parameter,
            false => "class-groups.bad".to_string(),
        };
        assert!(in_words.starts_with("class-groups."), "{in_words}");
        let error = validated(&yaml).err().unwrap();
        assert!(error.message.contains(word), "{error}");
    }
}

fn doubles(table: &RecordBatch, name: &str) -> Vec<f64> {
    let column = table.column_by_name(name).unwrap().as_primitive::<Float64Type>();
    column.values().to_vec()
}

#[test]
fn the_temperature_is_the_best_of_the_validation_fold_and_changes_calibration_only() {
    let with = LIKE_THE_SCRIPT.replace("bins: 15", "bins: 15\ntemperature: {fold: valid}");
    let (plain, scaled) = (lesions(LIKE_THE_SCRIPT, 1), lesions(&with, 2));
    let (before, after) = (figures(&plain), figures(&scaled));
    for (key, figure) in &before {
        assert_eq!(after.get(key), Some(figure), "{key:?}");
    }
    let found = overall(&after, "temperature");
    assert_eq!(found.n, 124);
    // On the fold that it was fitted on, by itself: no other temperature has a smaller loss.
    let loss = |temperature: f64| -> f64 {
        let predictions = dermflow_core::memory::sorted(&lesion_predictions()).unwrap();
        let truth = dermflow_core::memory::sorted(&lesion_truth()).unwrap();
        let splits = dermflow_core::memory::sorted(&lesion_splits()).unwrap();
        let labels = truth.column_by_name("label").unwrap().as_string::<i32>();
        let folds = splits.column_by_name("fold").unwrap().as_string::<i32>();
        let lists = predictions
            .column_by_name("probabilities")
            .unwrap()
            .as_list::<i32>();
        assert_eq!(
            (predictions.column(0), truth.column(0)),
            (truth.column(0), splits.column(0))
        );
        (0..predictions.num_rows())
            .filter(|row| folds.value(*row) == "valid")
            .filter_map(|row| {
                let class = CLASSES.iter().position(|class| *class == labels.value(row))?;
                let list = lists.value(row);
                let list = list.as_primitive::<arrow::datatypes::Float32Type>();
                Some(-crate::scores::temperature::scaled(list.values(), temperature)[class].ln())
            })
            .sum()
    };
    let least = loss(found.value);
    for other in [0.5, 0.9, 0.99, 1.01, 1.1, 2.0] {
        assert!(least < loss(found.value * other), "{} {other}", found.value);
    }
    let [plain_loss, scaled_loss] = ["log-loss", "log-loss-scaled"].map(|name| overall(&after, name));
    // On the judged fold it may help or not; here it hardly matters.
    assert!(
        scaled_loss.interval.is_some() && scaled_loss.value != plain_loss.value,
        "{scaled_loss:?}"
    );
    let binnings = scaled.output("reliability");
    let binnings = binnings.column_by_name("binning").unwrap().as_string::<i32>();
    assert_eq!(
        binnings
            .iter()
            .flatten()
            .filter(|name| name.ends_with("-scaled"))
            .count(),
        30
    );
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

/// Two classes, `a` likely by `shares`.
fn small(keys: &[&str], shares: &[f32], truth: &[&str], yaml: &str) -> Result<MemoryContext, StageError> {
    let rows: Vec<Vec<f32>> = shares.iter().map(|share| vec![*share, 1.0 - share]).collect();
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let mut context = MemoryContext::default();
    context.add_table("predictions", predictions(keys, &["a", "b"], &rows, None));
    context.add_table("truth", texts(keys, "label", truth));
    Evaluate::run(&parameters(yaml), &mut context).map(|()| context)
}

#[test]
fn one_true_class_only_leaves_out_what_is_not_defined() {
    let context = small(&["1", "2"], &[0.9, 0.2], &["a", "a"], "classes: [a, b]").unwrap();
    let figures = figures(&context);
    assert_eq!(overall(&figures, "accuracy").value, 0.5);
    assert_eq!(overall(&figures, "balanced-accuracy").value, 0.5);
    assert!(!figures.contains_key(&("macro-auroc".to_string(), None, None)));
    assert!(!figures.contains_key(&("sensitivity".to_string(), Some("b".to_string()), None)));
    assert_eq!(
        figures[&("specificity".to_string(), Some("b".to_string()), None)].n,
        2
    );
}

#[test]
fn only_unseen_classes_are_covered_by_nothing() {
    let context = small(&["1", "2"], &[0.9, 0.2], &["x", "y"], "classes: [a, b]").unwrap();
    let figures = figures(&context);
    assert_eq!(overall(&figures, "coverage").value, 0.0);
    assert!(!figures.contains_key(&("accuracy".to_string(), None, None)));
    assert_eq!(overall(&figures, "samples-of-unseen-classes").value, 2.0);
}

#[test]
fn a_class_list_in_another_order_is_found_out() {
    let error = small(&["1"], &[0.9], &["a"], "classes: [b, a]").err().unwrap();
    assert!(error.message.contains("place 1"), "{error}");
    let error = small(&["1"], &[0.9], &["a"], "classes: [a, b, c]").err().unwrap();
    assert!(error.message.contains("3 classes"), "{error}");
}

#[test]
fn rows_that_do_not_match_are_counted_or_refused() {
    let mut context = MemoryContext::default();
    let rows: [&[f32]; 2] = [&[0.9, 0.1], &[0.2, 0.8]];
    context.add_table("predictions", predictions(&["1", "2"], &["a", "b"], &rows, None));
    context.add_table("truth", texts(&["2", "3", "4"], "label", &["b", "a", "a"]));
    Evaluate::run(&parameters("classes: [a, b]"), &mut context).unwrap();
    let figures = figures(&context);
    assert_eq!(overall(&figures, "samples").value, 1.0);
    assert_eq!(overall(&figures, "predictions-without-truth").value, 1.0);
    assert_eq!(overall(&figures, "truth-without-prediction").value, 2.0);
    assert!(context.lines.lock().unwrap()[0].contains("2 true labels without"));
    for (keys, truths, word) in [
        (["1", "1"], ["1", "2"], "`predictions` has 2 rows"),
        (["1", "2"], ["1", "1"], "`truth` has 2 rows"),
    ] {
        let mut context = MemoryContext::default();
        context.add_table("predictions", predictions(&keys, &["a", "b"], &rows, None));
        context.add_table("truth", texts(&truths, "label", &["a", "a"]));
        let error = Evaluate::run(&parameters("classes: [a, b]"), &mut context).unwrap_err();
        assert!(error.message.contains(word), "{error}");
    }
    let mut context = MemoryContext::default();
    context.add_table("predictions", predictions(&["1", "2"], &["a", "b"], &rows, None));
    context.add_table("truth", texts(&["3"], "label", &["a"]));
    let error = Evaluate::run(&parameters("classes: [a, b]"), &mut context).unwrap_err();
    assert!(error.message.contains("no sample has both"), "{error}");
}

#[test]
fn a_fold_that_no_sample_has_is_told_with_those_there_are() {
    let mut context = MemoryContext::default();
    context.add_table("predictions", lesion_predictions());
    context.add_table("truth", lesion_truth());
    context.add_table("splits", lesion_splits());
    let yaml = format!("{{classes: [{}], fold: tset}}", CLASSES.join(", "));
    let error = Evaluate::run(&parameters(&yaml), &mut context).unwrap_err();
    assert!(error.message.contains("`tset`"), "{error}");
    assert!(error.help.unwrap().contains("test"));
}

#[test]
fn wrong_parameters_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = Evaluate::check(&parameters(yaml));
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    assert_eq!(places("{classes: [a, b, a]}"), ["classes.2"]);
    assert_eq!(
        places("{slices: [{column: age, bounds: [3, 2]}]}"),
        ["slices.0.bounds"]
    );
    let points = |point: &str| places(&format!("{{fold: test, operating-points: {{p: {point}}}}}"));
    assert_eq!(points("{fold: test, coverage: 0.9}"), ["operating-points.p.fold"]);
    assert_eq!(points("{fold: valid}"), ["operating-points.p"]);
    assert_eq!(points("{threshold: 0.5, coverage: 0.9}"), ["operating-points.p"]);
    assert_eq!(
        places("{operating-points: {p: {fold: valid, coverage: 0.9}}}"),
        ["fold"]
    );
    assert_eq!(
        places("{fold: test, temperature: {fold: test}}"),
        ["temperature.fold"]
    );
    assert_eq!(places("{temperature: {fold: valid}}"), ["fold"]);
    assert_eq!(places("{choose-on: {fold: valid}}"), ["fold"]);
    assert_eq!(places("{class-groups: {bad: []}}"), ["class-groups.bad"]);
    assert_eq!(
        places("{sensitivity-at-specificity: [0.9, 0.9]}"),
        ["sensitivity-at-specificity.1"]
    );
    assert_eq!(
        places("{decision-curves: {from: 0.5, to: 0.5}}"),
        ["decision-curves.from"]
    );
    assert_eq!(places("{fold: a, choose-on: {fold: a}}"), ["choose-on.fold"]);
}

#[test]
fn wirings_that_can_not_work_are_told_before_the_run() {
    let wired = |ports: &[(&str, RecordBatch)]| -> InputTypes {
        let of =
            |table: &RecordBatch| PortType::Table(TableType::from_schema("Table", &table.schema()).unwrap());
        ports
            .iter()
            .map(|(port, table)| (port.to_string(), vec![of(table)]))
            .collect()
    };
    let both = [("predictions", lesion_predictions()), ("truth", lesion_truth())];
    let mut all = both.to_vec();
    all.push(("attributes", lesion_attributes()));
    let place = |yaml: &str, ports: &[(&str, RecordBatch)]| {
        Evaluate::outputs(&parameters(yaml), &wired(ports))
            .unwrap_err()
            .parameter
    };
    assert_eq!(place("{}", &both), "classes");
    assert_eq!(place("{classes: [a], group: patient}", &both), "group");
    assert_eq!(place("{classes: [a], group: pateint}", &all), "group");
    assert_eq!(place("{classes: [a], slices: [age]}", &all), "slices.0");
    assert_eq!(
        place("{classes: [a], slices: [{column: patient, bounds: [1]}]}", &all),
        "slices.0"
    );
    assert_eq!(place("{classes: [a], fold: test}", &all), "fold");
    let homeless = "{classes: [a], operating-points: {p: {coverage: 0.9}}}";
    assert_eq!(place(homeless, &all), "operating-points.p");
    assert_eq!(place("{classes: [a], temperature: {}}", &all), "temperature");
    assert_eq!(place("{classes: [a], choose-on: validation}", &all), "choose-on");
    let mut without_energy = both.to_vec();
    without_energy[0].1 = lesion_predictions().project(&[0, 1, 2, 3]).unwrap();
    let yaml = "{classes: [a], operating-points: {p: {by: energy, threshold: 1}}}";
    assert_eq!(place(yaml, &without_energy), "operating-points.p.by");
    assert!(MemoryContext::default().wired().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn figures_stay_within_their_bounds_and_do_not_hang_on_threads_or_batches(
        samples in proptest::collection::vec((0_u8..=10, 0_usize..3), 1..25),
        threads in 1_usize..4,
        batch_rows in 1_usize..9,
    ) {
        let keys: Vec<String> = (0..samples.len()).map(|key| key.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let rows: Vec<Vec<f32>> = samples
            .iter()
            .map(|(share, _)| vec![f32::from(*share) / 10.0, 1.0 - f32::from(*share) / 10.0])
            .collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let truth: Vec<&str> = samples.iter().map(|(_, truth)| ["a", "b", "unknown"][*truth]).collect();
        let run = |threads: usize, batch_rows: usize| {
            let mut context = MemoryContext::default();
            (context.threads, context.batch_rows) = (threads, batch_rows);
            context.add_table("predictions", predictions(&keys, &["a", "b"], &rows, None));
            context.add_table("truth", texts(&keys, "label", &truth));
            Evaluate::run(&parameters("{classes: [a, b], bootstrap: {resamples: 20}}"), &mut context).unwrap();
            figures(&context)
        };
        let given = run(threads, batch_rows);
        prop_assert_eq!(&given, &run(1, 8192));
        for ((name, _, _), figure) in given {
            let bounds = match name.as_str() {
                "matthews-correlation" | "cohen-kappa" => -1.0..=1.0,
                "brier" => 0.0..=2.0,
                "log-loss" => 0.0..=16.0,
                name if name.contains("samples") || name.contains("without") => 0.0..=25.0,
                _ => 0.0..=1.0,
            };
            for value in [figure.value].into_iter().chain(figure.interval.map(|(low, _)| low)) {
                prop_assert!(value >= bounds.start() - 1e-9 && value <= bounds.end() + 1e-9, "{}: {}", name, value);
            }
        }
    }
}
