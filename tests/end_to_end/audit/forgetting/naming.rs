//! Whom a name means when it is to be forgotten, and where the certificate goes.

use dermflow_core::SampleId;
use dermflow_tests::Project;
use serde_json::Value;

use crate::project::{chain, lesions};

fn certificate(project: &Project, name: &str) -> Value {
    serde_json::from_str(&project.read(name)).unwrap()
}

#[test]
fn a_name_that_is_also_the_beginning_of_an_id_is_refused_with_both() {
    let project = chain(8);
    let one = SampleId::of_key("ISIC_00003").to_string();
    let start = &one[..6];
    let other = SampleId::of_key(start).to_string();
    project.write("data/lesions.csv", format!("{}{start},nevus,40\n", lesions(8)));
    project.run(&["run"]);
    for arguments in [vec!["forget", start, "--yes"], vec!["trace", start]] {
        let refused = project.ended(&arguments);
        assert_eq!(refused.code, Some(1), "{}", refused.out);
        for words in ["means several samples", one.as_str(), other.as_str(), "64 digits"] {
            assert!(refused.err.contains(words), "{words}: {}", refused.err);
        }
    }
    // More digits, or all, mean one alone.
    project.done(&["trace", &one[..9]]);
    project.done(&["forget", &other, "--yes"]);
    project.run(&["run"]);
    let traced = project.done(&["trace", start]).out;
    assert!(traced.contains(&one) && !traced.contains(&other), "{traced}");
}

#[test]
fn a_second_forgetting_is_told_what_to_wait_for_and_keeps_the_first_certificate() {
    let project = chain(20);
    project.run(&["run"]);
    let unknown = project.ended(&["forget", "nobody", "--yes"]);
    assert!(
        unknown.err.contains("is no sample of this store\n"),
        "{}",
        unknown.err
    );
    project.done(&["forget", "ISIC_00003", "--yes"]);
    let first = certificate(&project, "forgotten.json");

    let refused = project.ended(&["forget", "ISIC_00004", "--yes"]);
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    for words in [
        "wait to be made anew",
        "adults.table",
        "run their pipelines first",
    ] {
        assert!(refused.err.contains(words), "{words}: {}", refused.err);
    }
    project.run(&["run"]);
    let told = project.done(&["forget", "ISIC_00004", "--yes"]);
    assert!(
        told.err.contains("forgotten.json is kept as it is"),
        "{}",
        told.err
    );
    assert!(told.out.contains("forgotten-2.json"), "{}", told.out);
    assert_eq!(certificate(&project, "forgotten.json"), first);
    let second = certificate(&project, "forgotten-2.json");
    assert_ne!(second["tombstone"], first["tombstone"]);

    // The same one again is brought up to date where it lies.
    project.run(&["run"]);
    project.done(&["forget", second["tombstone"].as_str().unwrap()]);
    let second = certificate(&project, "forgotten-2.json");
    let replaced = second["replaced"].as_array().unwrap();
    assert!(replaced.iter().all(|one| !one["now"].is_null()), "{replaced:?}");
    assert!(!project.at("forgotten-3.json").exists());
}
