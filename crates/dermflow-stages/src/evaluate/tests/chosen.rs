//! What is chosen on other samples than those that are judged: thresholds and the temperature; and
//! the tables of fixed rates and net benefits.

use super::*;

/// The text of a column in each row.
fn words(table: &RecordBatch, name: &str) -> Vec<String> {
    let column = table.column_by_name(name).unwrap().as_string::<i32>();
    column
        .iter()
        .map(|value| value.unwrap_or_default().to_string())
        .collect()
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
    let document = by_scikit_learn();
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

#[test]
fn thresholds_at_fixed_rates_are_those_of_scikit_learns_curves_and_stand_beside_what_they_give() {
    let document = by_scikit_learn();
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
    let document = by_scikit_learn();
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
