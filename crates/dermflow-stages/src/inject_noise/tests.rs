//! Tests of `inject-noise`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::{SampleId, StageContext, StageKind};

use super::{InjectNoise, InjectNoiseParameters};

/// 6,000 labels: half nevus, a third wart, a sixth melanoma.
const LABELS: [&str; 6] = ["nevus", "nevus", "nevus", "wart", "wart", "melanoma"];

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|key| key.to_string()).collect()
}

fn run(with: &str, count: usize, foreign: usize) -> MemoryContext {
    let parameters: InjectNoiseParameters = serde_yaml::from_str(with).unwrap();
    assert_eq!(InjectNoise::check(&parameters), []);
    let mut context = MemoryContext::default();
    context.seed = 7;
    let keys = keys(count);
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let labels: ArrayRef = Arc::new((0..count).map(|at| Some(LABELS[at % 6])).collect::<StringArray>());
    context.add_table("labels", batch(&names, [("label", labels)]));
    if foreign > 0 {
        let keys: Vec<String> = (0..foreign).map(|key| format!("foreign {key}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        context.add_table("foreign", batch(&keys, []));
    }
    InjectNoise::run(&parameters, &mut context).unwrap();
    context
}

/// How often each (true label, given label) stands in the truth, and each sort of noise.
fn pairs(context: &MemoryContext) -> (BTreeMap<(String, String), usize>, BTreeMap<String, usize>) {
    let truth = context.output("truth");
    let text = |name: &str| truth.column_by_name(name).unwrap().as_string::<i32>().clone();
    let [label, given, noise] = ["label", "given", "noise"].map(text);
    let (mut pairs, mut sorts) = (BTreeMap::new(), BTreeMap::new());
    for row in 0..truth.num_rows() {
        let pair = (label.value(row).to_string(), given.value(row).to_string());
        *pairs.entry(pair).or_default() += 1;
        *sorts.entry(noise.value(row).to_string()).or_default() += 1;
    }
    (pairs, sorts)
}

fn near(count: usize, expected: f64) -> bool {
    // Four standard deviations of a binomial count, and a little.
    (count as f64 - expected).abs() < 4.0 * expected.sqrt() + 2.0
}

#[test]
fn a_share_is_flipped_to_every_other_class_alike() {
    let (pairs, sorts) = pairs(&run("{share: 0.2}", 6000, 0));
    assert!(near(sorts["flipped"], 1200.0), "{sorts:?}");
    let at = |from: &str, to: &str| pairs[&(from.to_string(), to.to_string())];
    assert!(near(at("nevus", "wart"), 300.0) && near(at("nevus", "melanoma"), 300.0));
    assert!(near(at("melanoma", "nevus"), 100.0) && near(at("melanoma", "wart"), 100.0));
    assert!(near(at("wart", "wart"), 1600.0));
}

#[test]
fn flips_to_frequent_classes_follow_their_counts() {
    let (pairs, _) = pairs(&run("{share: 1, to: frequent}", 6000, 0));
    let at = |from: &str, to: &str| pairs.get(&(from.to_string(), to.to_string())).copied();
    assert_eq!(at("nevus", "nevus"), None);
    assert!(near(at("melanoma", "nevus").unwrap(), 600.0));
    assert!(near(at("melanoma", "wart").unwrap(), 400.0));
}

#[test]
fn a_confusion_table_rules_class_by_class() {
    let (pairs, sorts) = pairs(&run(
        "{confusion: {melanoma: {nevus: 0.3, wart: 0.1}, wart: {eczema: 1}}}",
        6000,
        0,
    ));
    let at = |from: &str, to: &str| pairs.get(&(from.to_string(), to.to_string())).copied();
    assert!(near(at("melanoma", "nevus").unwrap(), 300.0));
    assert!(near(at("melanoma", "wart").unwrap(), 100.0));
    assert_eq!(
        (at("wart", "eczema"), at("nevus", "nevus")),
        (Some(2000), Some(3000))
    );
    assert!(sorts["flipped"] > 2300);
}

#[test]
fn foreign_images_are_filed_and_the_truth_says_so() {
    let context = run(
        "{share: 0, foreign: {share: 0.5, to: frequent, truth: not skin}}",
        600,
        1000,
    );
    let (pairs, sorts) = pairs(&context);
    assert!(near(sorts["foreign"], 500.0), "{sorts:?}");
    assert_eq!(sorts.get("flipped"), None);
    let at = |to: &str| pairs[&("not skin".to_string(), to.to_string())];
    assert!(near(at("nevus"), 250.0) && near(at("melanoma"), 500.0 / 6.0));
    assert_eq!(context.output("labels").num_rows(), 600 + sorts["foreign"]);
    assert_eq!(context.metrics["foreign"], sorts["foreign"] as f64);
    let label = context.output("labels");
    assert_eq!(label.column(1), context.output("truth").column(2));
}

#[test]
fn adding_samples_flips_no_other_label() {
    let by_id = |count: usize| -> BTreeMap<Vec<u8>, String> {
        let labels = run("{share: 0.3}", count, 0).output("labels");
        let ids = labels.column(0).as_fixed_size_binary();
        let given = labels.column(1).as_string::<i32>();
        (0..ids.len())
            .map(|row| (ids.value(row).to_vec(), given.value(row).to_string()))
            .collect()
    };
    let (few, many) = (by_id(300), by_id(600));
    assert!(few.iter().all(|(id, given)| many[id] == *given));
}

#[test]
fn rows_of_one_sample_draw_apart_and_rows_without_a_label_are_left_out() {
    let parameters: InjectNoiseParameters = serde_yaml::from_str("{share: 0.5}").unwrap();
    let mut context = MemoryContext::default();
    let labels: StringArray = (0..400)
        .map(|row| [Some("a"), Some("b"), None, Some("a")][row % 4])
        .collect();
    let labels: ArrayRef = Arc::new(labels);
    context.add_table("labels", batch(&vec!["one"; 400], [("label", labels)]));
    InjectNoise::run(&parameters, &mut context).unwrap();
    let (_, sorts) = pairs(&context);
    assert_eq!(sorts["none"] + sorts["flipped"], 300);
    assert!(near(sorts["flipped"], 150.0), "{sorts:?}");
    let ids = context.output("labels").column(0).as_fixed_size_binary().clone();
    assert_eq!(ids.value(299), SampleId::of_key("one").as_bytes());
    assert!(context.has_input("labels"));
}

#[test]
fn one_class_alone_cannot_be_flipped_and_odd_tables_are_told() {
    let parameters: InjectNoiseParameters = serde_yaml::from_str("{share: 1}").unwrap();
    let mut context = MemoryContext::default();
    let labels: ArrayRef = Arc::new(StringArray::from(vec!["a", "a"]));
    context.add_table("labels", batch(&["1", "2"], [("label", labels)]));
    InjectNoise::run(&parameters, &mut context).unwrap();
    assert_eq!(context.metrics["flipped"], 0.0);
    let problems = |with: &str| InjectNoise::check(&serde_yaml::from_str(with).unwrap()).len();
    assert_eq!(problems("{share: 0.1, confusion: {a: {b: 0.2}}}"), 1);
    assert_eq!(problems("{to: frequent, confusion: {a: {b: 0.2}}}"), 1);
    assert_eq!(problems("{confusion: {a: {b: 0.7, c: 0.6}}}"), 1);
    assert_eq!(problems("{confusion: {a: {a: 0.7}, b: {a: -0.1}}}"), 2);
}
