//! The JSON Schema, for editors.

use dermflow_graph::{language_schema, load_text, unchecked_keywords};

use super::kinds;

fn errors(text: &str) -> Vec<String> {
    let schema = language_schema(&kinds::registry());
    let file: serde_json::Value = serde_yaml::from_str(text).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    validator
        .iter_errors(&file)
        .map(|error| format!("{}: {error}", error.instance_path))
        .collect()
}

#[test]
fn every_example_passes_the_schema_and_the_check() {
    for kind in kinds::registry().iter() {
        let wrong = errors(kind.example());
        assert!(wrong.is_empty(), "{}: {wrong:?}", kind.name());
        if let Err(wrong) = load_text(kind.example(), &kinds::registry()) {
            panic!("{}: {wrong}", kind.name());
        }
    }
}

#[test]
fn the_schema_is_a_valid_one_and_refuses_what_the_check_refuses() {
    assert!(jsonschema::meta::is_valid(&language_schema(&kinds::registry())));
    for wrong in [
        "stages: {a: {kind: nothing}}",
        "stages: {a: {kind: ingest}}",
        "stages: {a: {kind: ingest, with: {root: x, size: 3}}}",
        "stages: {a: {kind: ingest, with: {root: x, sise: 30}}}",
        "stages: {a: {kind: train, with: {epochs: 1, foreground: {apply: cut}}}}",
        "stages: {a: {with: {}}}",
        "stages: {1a: {kind: pass}}",
        "stage: {}",
        "matrix: {x: {seed: []}}",
    ] {
        assert!(!errors(wrong).is_empty(), "{wrong}");
    }
}

#[test]
fn params_may_stand_for_any_value_and_doc_comments_are_there() {
    let text = "stages: {a: {kind: train, with: {epochs: '${n}', foreground: '${f}', widths: ['${w}']}}}";
    assert_eq!(errors(text), Vec::<String>::new());
    let schema = language_schema(&kinds::registry()).to_string();
    assert!(schema.contains("How often all samples are seen."));
    assert!(schema.contains("Trains a network."));
}

#[test]
fn no_limit_of_these_kinds_goes_unchecked() {
    for kind in kinds::registry().iter() {
        assert_eq!(
            unchecked_keywords(&**kind),
            Vec::<String>::new(),
            "{}",
            kind.name()
        );
    }
}
