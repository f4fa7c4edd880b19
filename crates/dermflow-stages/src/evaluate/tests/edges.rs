//! Odd inputs and wrong parameters.

use dermflow_core::{InputTypes, PortType, TableType};
use proptest::prelude::*;

use super::*;

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
fn a_probability_that_is_just_the_threshold_is_kept() {
    // The float32 nearest to 0.7 is below it, and that nearest to 0.6 above.
    let yaml = "{classes: [a, b], operating-points: {p: {threshold: 0.7}, q: {threshold: 0.6}}}";
    let context = small(&["1", "2", "3"], &[0.7, 0.6, 0.59], &["a", "a", "a"], yaml).unwrap();
    let figures = figures(&context);
    assert_eq!(overall(&figures, "coverage-at-p").value, 1.0 / 3.0);
    assert_eq!(overall(&figures, "coverage-at-q").value, 2.0 / 3.0);
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
