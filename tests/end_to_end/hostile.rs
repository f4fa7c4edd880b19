//! Records and pipelines that somebody wrote to do harm.

use dermflow_tests::Project;
use serde_json::{Value, json};

use crate::project::{chain, digests, empty, files_below};

/// The record of the chain's last stage.
fn record(project: &Project) -> std::path::PathBuf {
    let listed: Value = serde_json::from_str(&project.done(&["ls", "--json"]).out).unwrap();
    let row = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "report.text")
        .unwrap();
    let key = row["action"].as_str().unwrap();
    project.at(&format!(".dermflow/actions/{}/{}.json", &key[..2], &key[2..]))
}

fn is_refused(change: &dyn Fn(&mut Value) -> Option<String>) {
    let project = chain(20);
    project.run(&["run"]);
    let (before, path) = (digests(&project), record(&project));
    let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let text = change(&mut value).unwrap_or_else(|| value.to_string());
    crate::project::put_in_place(&path, text.as_bytes());
    std::fs::remove_dir_all(project.at("results")).unwrap();
    let there = || {
        let outside = files_below(project.path()).into_iter();
        let outside = outside.filter(|path| {
            !path.starts_with(project.at(".dermflow")) && !path.starts_with(project.at("results"))
        });
        outside.collect::<Vec<_>>()
    };
    let files = there();
    // `show` and `export` see the record before a run does.
    let shown = project.ended(&["export", "report.text", "--to", "exported"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert_eq!(project.run(&["run"]).computed(), ["report"]);
    assert_eq!(digests(&project), before);
    assert_eq!(there(), files, "something was written outside");
}

/// The first file of the record's output, as a name and a blob.
fn files(record: &mut Value) -> &mut serde_json::Map<String, Value> {
    fn find(value: &mut Value) -> Option<&mut serde_json::Map<String, Value>> {
        let Value::Object(map) = value else { return None };
        if map.contains_key("rows.txt") {
            return Some(map);
        }
        map.values_mut().find_map(find)
    }
    find(&mut record["outputs"]).expect("the record names its file")
}

#[test]
fn names_that_climb_out_of_their_folder_are_refused() {
    for name in [
        "../../evil.txt",
        "/tmp/evil.txt",
        "a/../../b",
        "",
        ".",
        "..",
        "a\0b",
    ] {
        is_refused(&|record| {
            let files = files(record);
            let blob = files.remove("rows.txt").unwrap();
            files.insert(name.to_string(), blob);
            None
        });
    }
}

#[test]
fn absurd_sizes_are_refused() {
    for size in [json!(u64::MAX), json!(-1), json!(1e300), json!("many")] {
        is_refused(&|record| {
            for blob in files(record).values_mut() {
                blob["bytes"] = size.clone();
            }
            None
        });
    }
}

#[test]
fn deep_nesting_is_refused() {
    is_refused(&|_| Some("[".repeat(200_000)));
    is_refused(&|record| {
        record["outputs"] = json!(null);
        let text = record.to_string();
        Some(text.replace(
            "\"outputs\":null",
            &format!("\"outputs\":{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000)),
        ))
    });
}

#[test]
fn a_digest_that_is_a_path_is_refused() {
    is_refused(&|record| {
        for blob in files(record).values_mut() {
            blob["digest"] = json!("../../../../etc/passwd");
        }
        None
    });
}

#[test]
fn a_record_that_claims_other_work_is_refused() {
    is_refused(&|record| {
        record["manifest"]["parameters"]["environment"] = json!({"PATH": "/elsewhere"});
        None
    });
}

#[test]
fn pipelines_that_are_none_end_with_2_and_start_nothing() {
    let bomb: String = (1..40)
        .map(|at| format!("a{at}: &a{at} [*a{}, *a{}]\n", at - 1, at - 1))
        .collect();
    let loops = "name: loop\ninclude: [dermflow.yaml]\nstages: {}\n".to_string();
    let circle = "name: circle\nstages:\n  a: {kind: filter, in: {table: b.table}, with: {columns: [x]}}\n  \
                  b: {kind: filter, in: {table: a.table}, with: {columns: [x]}}\n";
    let escaping = "name: ../../evil\nstages: {}\n";
    for (what, text) in [
        ("nothing", String::new().into_bytes()),
        ("bytes", vec![0xff, 0xfe, 0, 1, 2]),
        ("a list", b"- a\n- b\n".to_vec()),
        ("deep", "[".repeat(100_000).into_bytes()),
        ("deep maps", "{a: ".repeat(50_000).into_bytes()),
        (
            "a bomb",
            format!(
                "name: bomb\nparams:\n  a0: &a0 [x, x]\n{}",
                bomb.replace("\na", "\n  a").replacen("a1:", "  a1:", 1)
            )
            .into_bytes(),
        ),
        ("itself included", loops.into_bytes()),
        ("a circle", circle.as_bytes().to_vec()),
        ("a name that climbs", escaping.as_bytes().to_vec()),
    ] {
        let project = empty();
        project.write("dermflow.yaml", text);
        let ended = project.ended(&["run"]);
        assert_eq!(ended.code, Some(2), "{what}: {ended:?}");
        assert!(
            ended.err.contains("error") && ended.err.len() < 20_000,
            "{what}: {}",
            ended.err
        );
        assert_eq!(
            files_below(project.path()),
            [project.at("dermflow.yaml")],
            "{what}"
        );
    }
}
