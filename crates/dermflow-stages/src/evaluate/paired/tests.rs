//! Tests of [`compared`].

use super::*;
use crate::lesions::{
    lesion_attributes, lesion_predictions, lesion_splits, lesion_truth, predictions, texts,
};

const WITH: &str = "{classes: [ACK, BCC, NEV, SCC, SEK], fold: test, group: patient}";

fn value(yaml: &str) -> Value {
    Value::from_serialize(&serde_yaml::from_str::<serde_yaml::Value>(yaml).unwrap()).unwrap()
}

fn side(predictions: RecordBatch) -> Side {
    let tables = [
        ("predictions", predictions),
        ("truth", lesion_truth()),
        ("attributes", lesion_attributes()),
        ("splits", lesion_splits()),
    ];
    Side {
        parameters: value(WITH),
        tables: tables
            .into_iter()
            .map(|(port, table)| (port.to_string(), vec![table]))
            .collect(),
    }
}

/// The same predictions, every `nth` one of the most frequent class instead.
fn spoilt(nth: usize) -> RecordBatch {
    use arrow::array::{AsArray, Float32Array, Float32Builder, ListBuilder, StringArray};
    use arrow::datatypes::{DataType, Field, Float32Type};
    let table = lesion_predictions();
    let labels = table.column_by_name("label").unwrap().as_string::<i32>();
    let lists = table.column_by_name("probabilities").unwrap().as_list::<i32>();
    let item = Field::new("item", DataType::Float32, false);
    let mut changed = ListBuilder::new(Float32Builder::new()).with_field(item);
    let (mut names, mut shares) = (Vec::new(), Vec::new());
    for row in 0..table.num_rows() {
        let own = lists.value(row).as_primitive::<Float32Type>().values().to_vec();
        let own = match row % nth {
            0 => vec![0.1, 0.1, 0.6, 0.1, 0.1],
            _ => own,
        };
        names.push(match row % nth {
            0 => "NEV".to_string(),
            _ => labels.value(row).to_string(),
        });
        shares.push(own.iter().copied().fold(0.0, f32::max));
        changed.values().append_slice(&own);
        changed.append(true);
    }
    let mut columns = table.columns().to_vec();
    for (name, column) in [
        (
            "label",
            std::sync::Arc::new(StringArray::from(names)) as arrow::array::ArrayRef,
        ),
        ("probability", std::sync::Arc::new(Float32Array::from(shares))),
        ("probabilities", std::sync::Arc::new(changed.finish())),
    ] {
        columns[table.schema().index_of(name).unwrap()] = column;
    }
    RecordBatch::try_new(table.schema(), columns).unwrap()
}

fn bootstrap(resamples: u64) -> Bootstrap {
    Bootstrap {
        resamples,
        level: 0.95,
    }
}

fn of<'a>(compared: &'a Compared, name: &str) -> &'a Difference {
    compared.differences.iter().find(|one| one.name == name).unwrap()
}

#[test]
fn a_side_compared_with_itself_is_not_apart() {
    let own = side(lesion_predictions());
    let found = compared(&[[own.clone(), own]], &bootstrap(50), 3, 2).unwrap();
    assert!(found.samples > 100 && found.pairs == 1);
    for one in &found.differences {
        assert_eq!(
            (one.difference, one.over_samples),
            (0.0, Some((0.0, 0.0))),
            "{one:?}"
        );
        assert_eq!((one.p, one.over_pairs), (Some(1.0), None));
    }
    assert_eq!((found.only_one_right, found.mcnemar), ([0, 0], 1.0));
}

#[test]
fn a_worse_side_is_apart_and_a_pairs_interval_is_narrower_than_that_of_each_side() {
    let pair = [side(lesion_predictions()), side(spoilt(3))];
    let found = compared(&[pair], &bootstrap(400), 3, 2).unwrap();
    let accuracy = of(&found, "accuracy");
    let (low, high) = accuracy.over_samples.unwrap();
    assert!(low <= accuracy.difference && accuracy.difference <= high);
    // `evaluate` says of the first side alone what is wider.
    assert!(accuracy.difference < 0.0 && high - low < 0.16, "{accuracy:?}");
    assert!((accuracy.first - 0.415_841_584).abs() < 1e-6, "{accuracy:?}");
    let [first, second] = found.only_one_right;
    let by_counts = (second as f64 - first as f64) / 202.0;
    assert!((accuracy.difference - by_counts).abs() < 1e-9);
    assert!(of(&found, "log-loss").difference > 0.0);
    assert_eq!(
        compared(
            &[[side(lesion_predictions()), side(spoilt(3))]],
            &bootstrap(400),
            3,
            1
        )
        .unwrap(),
        found
    );
}

#[test]
fn several_pairs_give_an_interval_over_them_too() {
    let pairs: Vec<[Side; 2]> = [3, 4, 7]
        .map(|nth| [side(lesion_predictions()), side(spoilt(nth))])
        .to_vec();
    let found = compared(&pairs, &bootstrap(300), 3, 2).unwrap();
    let accuracy = of(&found, "accuracy");
    let alone: Vec<f64> = pairs
        .iter()
        .map(|pair| {
            let found = compared(std::slice::from_ref(pair), &bootstrap(0), 3, 1).unwrap();
            of(&found, "accuracy").difference
        })
        .collect();
    assert!((accuracy.difference - alone.iter().sum::<f64>() / 3.0).abs() < 1e-12);
    let width = |interval: Option<(f64, f64)>| interval.map(|(low, high)| high - low).unwrap();
    assert!(
        width(accuracy.over_pairs) > width(accuracy.over_samples),
        "{accuracy:?}"
    );
}

#[test]
fn what_is_drawn_is_what_differences_are_of_however_many_sides_are_drawn_together() {
    let seeds = [3, 4].map(|nth| {
        [
            side(lesion_predictions()),
            side(spoilt(nth)),
            side(spoilt(2 * nth)),
        ]
    });
    let found = drawn(&seeds, &bootstrap(60), 3, 2).unwrap();
    assert_eq!(found, drawn(&seeds, &bootstrap(60), 3, 1).unwrap());
    assert_eq!((found.over_samples.len(), found.over_pairs.len()), (60, 60));
    let near = |left: f64, right: f64| assert!((left - right).abs() < 1e-12, "{left} {right}");
    for other in [1, 2] {
        let pairs: Vec<[Side; 2]> = seeds
            .iter()
            .map(|sides| [sides[0].clone(), sides[other].clone()])
            .collect();
        let apart = compared(&pairs, &bootstrap(60), 3, 2).unwrap();
        assert_eq!(apart.samples, found.samples);
        for one in &apart.differences {
            let place = COMPARED.iter().position(|name| *name == one.name).unwrap();
            let difference = |sides: &[Figures; 3]| Some(sides[other][place]? - sides[0][place]?);
            near(difference(&found.whole).unwrap(), one.difference);
            for (draws, wanted) in [
                (&found.over_samples, one.over_samples),
                (&found.over_pairs, one.over_pairs),
            ] {
                let own = interval(draws.iter().map(difference), 0.95);
                assert_eq!(own.is_some(), wanted.is_some(), "{one:?}");
                for (own, wanted) in own.iter().zip(&wanted) {
                    near(own.0, wanted.0);
                    near(own.1, wanted.1);
                }
            }
        }
    }
    // Of one seed there are no draws of seeds.
    let alone = drawn(&seeds[..1], &bootstrap(5), 3, 1).unwrap();
    assert_eq!((alone.over_samples.len(), alone.over_pairs.len()), (5, 0));
    assert!(drawn::<3>(&[], &bootstrap(5), 3, 1).is_err());
}

#[test]
fn only_common_samples_count_and_none_is_an_error() {
    let all = lesion_predictions();
    let some = all.slice(0, 200);
    let found = compared(&[[side(all.clone()), side(some.clone())]], &bootstrap(0), 1, 1).unwrap();
    assert!(found.samples < 200);
    assert_eq!(of(&found, "accuracy").difference, 0.0);
    let rest = all.slice(200, all.num_rows() - 200);
    let error = compared(&[[side(some), side(rest)]], &bootstrap(0), 1, 1).unwrap_err();
    assert!(error.message.contains("no sample in common"), "{error}");
    let mut untold = side(texts(&["1"], "label", &["ACK"]));
    untold.tables.remove("truth");
    assert!(compared(&[[untold.clone(), untold]], &bootstrap(0), 1, 1).is_err());
}

/// A side of a few samples called `1`, `2`, …, each predicted to be of the class at its place.
fn small(classes: &[&str], predicted: &[usize], truth: &[&str]) -> Side {
    let rows: Vec<Vec<f32>> = predicted
        .iter()
        .map(|place| {
            let mut row = vec![0.0; classes.len()];
            row[*place] = 1.0;
            row
        })
        .collect();
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let keys: Vec<String> = (1..=truth.len()).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let tables = [
        ("predictions", predictions(&keys, classes, &rows, None)),
        ("truth", texts(&keys, "label", truth)),
        ("attributes", texts(&keys, "patient", &vec!["one"; keys.len()])),
    ];
    Side {
        parameters: value(&format!("{{classes: [{}]}}", classes.join(", "))),
        tables: tables
            .into_iter()
            .map(|(port, table)| (port.to_string(), vec![table]))
            .collect(),
    }
}

#[test]
fn a_model_of_other_classes_is_compared_on_the_samples_that_both_models_can_have_right() {
    let truth = ["a", "a", "b", "c", "c", "x"];
    let first = || small(&["a", "b", "c"], &[0, 0, 1, 0, 1, 0], &truth);
    let second = || small(&["a", "b"], &[0, 0, 1, 0, 1, 1], &truth);
    // The first is wrong about both samples of `c`, which the second knows nothing of.
    for pair in [[first(), second()], [second(), first()]] {
        let found = compared(&[pair], &bootstrap(20), 1, 1).unwrap();
        let accuracy = of(&found, "accuracy");
        assert_eq!(
            (accuracy.first, accuracy.second, accuracy.difference),
            (1.0, 1.0, 0.0)
        );
        // `x`, which neither knows, is there to be told from the others.
        assert_eq!(found.samples, 4);
        assert!(
            found
                .differences
                .iter()
                .any(|one| one.name == "unseen-auroc-by-probability"),
            "{found:?}"
        );
        assert_eq!(found.remarks.len(), 1, "{found:?}");
        let remark = &found.remarks[0];
        assert!(
            remark.contains("2 samples") && remark.contains("class lists"),
            "{remark}"
        );
    }
    let twice = compared(&[[first(), second()], [first(), second()]], &bootstrap(0), 1, 1).unwrap();
    assert!(twice.remarks[0].contains("4 samples") && twice.remarks[0].contains("2 seeds"));
    let trio = drawn(&[[first(), first(), second()]], &bootstrap(0), 1, 1).unwrap();
    assert_eq!(
        (trio.samples, trio.remarks),
        (
            4,
            compared(&[[first(), second()]], &bootstrap(0), 1, 1)
                .unwrap()
                .remarks
        )
    );
    let other = small(&["d", "e"], &[0, 0, 1, 0, 1, 1], &truth);
    let error = compared(&[[first(), other]], &bootstrap(0), 1, 1).unwrap_err();
    assert!(error.message.contains("no sample is left"), "{error}");
}

#[test]
fn only_samples_that_both_sides_judge_by_their_own_folds_count() {
    let of_fold = |fold: &str| {
        let mut side = side(lesion_predictions());
        side.parameters = value(&WITH.replace("fold: test,", fold));
        side
    };
    let error = compared(
        &[[of_fold("fold: test,"), of_fold("fold: valid,")]],
        &bootstrap(0),
        1,
        1,
    )
    .unwrap_err();
    assert!(error.message.contains("no sample is left"), "{error}");
    let alone = compared(
        &[[of_fold("fold: test,"), of_fold("fold: test,")]],
        &bootstrap(0),
        1,
        1,
    )
    .unwrap();
    assert!(alone.remarks.is_empty(), "{alone:?}");
    // Whichever side judges more, the test fold is what both judge.
    for pair in [
        [of_fold("fold: test,"), of_fold("")],
        [of_fold(""), of_fold("fold: test,")],
    ] {
        let found = compared(&[pair], &bootstrap(0), 1, 1).unwrap();
        assert_eq!(found.samples, alone.samples);
        assert_eq!(found.differences, alone.differences);
        assert!(found.remarks[0].contains("not all of them judge"), "{found:?}");
    }
}

#[test]
fn samples_whose_true_label_is_disputed_are_left_out() {
    let [first, second] =
        [["a", "b", "a"], ["a", "b", "b"]].map(|truth| small(&["a", "b"], &[0, 1, 0], &truth));
    let found = compared(&[[first, second]], &bootstrap(0), 1, 1).unwrap();
    assert_eq!(found.samples, 2);
    assert_eq!(of(&found, "accuracy").second, 1.0);
    assert!(
        found.remarks[0].contains("1 samples") && found.remarks[0].contains("true label"),
        "{found:?}"
    );
}

#[test]
fn samples_of_one_group_have_no_interval() {
    let of = |with: &str| {
        [[0, 1, 0], [1, 1, 0]].map(|predicted| {
            let mut side = small(&["a", "b"], &predicted, &["a", "b", "b"]);
            side.parameters = value(with);
            side
        })
    };
    let together = "{classes: [a, b], group: patient}";
    let found = compared(&[of(together)], &bootstrap(20), 1, 1).unwrap();
    for one in &found.differences {
        assert_eq!((one.over_samples, one.p), (None, None), "{one:?}");
    }
    assert!(found.remarks[0].contains("one group"), "{found:?}");
    let trio = of(together);
    let trio = drawn(
        &[[trio[0].clone(), trio[0].clone(), trio[1].clone()]],
        &bootstrap(20),
        1,
        1,
    )
    .unwrap();
    assert!(trio.over_samples.is_empty());
    let apart = compared(&[of("{classes: [a, b]}")], &bootstrap(20), 1, 1).unwrap();
    assert!(apart.remarks.is_empty() && apart.differences[0].over_samples.is_some());
}

#[test]
fn mcnemars_test_is_that_of_the_binomial() {
    // scipy.stats.binomtest(3, 15).pvalue, and of 10 of 30.
    assert!((mcnemar([3, 12]) - 0.035_156_25).abs() < 1e-9);
    assert!((mcnemar([20, 10]) - 0.098_737_146).abs() < 1e-8);
    assert_eq!(mcnemar([0, 0]), 1.0);
    assert_eq!(mcnemar([7, 7]), 1.0);
    let many = mcnemar([5000, 5400]);
    assert!((0.00005..0.0002).contains(&many), "{many}");
}
