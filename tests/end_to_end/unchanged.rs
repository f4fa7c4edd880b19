//! A run or plan with nothing to do is answered from the memo of an earlier one, and says what
//! the long way would say. That a memo is believed only where nothing changed is tested beside it;
//! here, that users never notice it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dermflow_tests::{Ended, Events};

use crate::project::{CHAIN, CHAIN_STAGES, chain, empty, files_below};

/// Long enough for no time to be racy.
fn settle() {
    std::thread::sleep(Duration::from_millis(80));
}

#[test]
fn the_long_way_and_the_memo_say_the_same() {
    let project = chain(20);
    project.run(&["run"]);
    settle();
    let out = |ended: Ended| {
        let err: Vec<&str> = ended
            .err
            .lines()
            .filter(|line| !line.contains(" hit in "))
            .collect();
        (ended.out, err.join("\n"))
    };
    for arguments in [&["plan"][..], &["plan", "--json"], &["run"]] {
        let short = out(project.done(arguments));
        std::fs::remove_dir_all(project.at(".dermflow/memos")).unwrap();
        let long = out(project.done(arguments));
        assert_eq!(short, long, "{arguments:?}");
        assert!(
            !files_below(&project.at(".dermflow/memos")).is_empty(),
            "{arguments:?}"
        );
    }
    assert!(project.done(&["lineage", "names"]).out.contains("import-table"));
}

#[test]
fn warnings_are_told_every_time() {
    let project = chain(20);
    let text = CHAIN.replace("params: {youngest: 18}", "params: {youngest: 18, unused: 1}");
    project.write("dermflow.yaml", text);
    for round in 0..3 {
        for verb in ["run", "plan"] {
            let told = project.done(&[verb]).err;
            assert_eq!(
                told.matches("nothing uses the param `unused`").count(),
                1,
                "{verb}, {round}"
            );
        }
        settle();
    }
}

#[test]
fn an_edit_back_and_forth_is_seen_each_time() {
    let project = chain(20);
    project.run(&["run"]);
    for round in 0..4 {
        let youngest = ["30", "18"][round % 2];
        project.write(
            "dermflow.yaml",
            CHAIN.replace("youngest: 18", &format!("youngest: {youngest}")),
        );
        let run = project.run(&["run"]);
        assert_eq!(run.executed(), if round == 0 { 3 } else { 0 }, "round {round}");
        let rows = project.read("results/chain/report/rows.txt");
        assert_eq!(
            rows.trim(),
            if youngest == "18" { "15" } else { "11" },
            "round {round}"
        );
        settle();
    }
}

#[test]
fn another_program_of_the_same_version_looks_for_itself() {
    let project = chain(20);
    project.run(&["run"]);
    let memo = files_below(&project.at(".dermflow/memos"))[0].clone();
    let mut before = Vec::new();
    // On a busy machine a time may be too fresh to be trusted; then the memo is written anew.
    let stays = (0..10).any(|_| {
        settle();
        project.run(&["run"]);
        let now = std::fs::read(&memo).unwrap();
        let same = now == before;
        before = now;
        same
    });
    assert!(stays, "with nothing to do, the memo is written anew every time");
    let copy = project.at("dermflow-copy");
    std::fs::copy(env!("CARGO_BIN_EXE_dermflow-under-test"), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(&copy)
        .args(["run", "--json"])
        .current_dir(project.path())
        .output();
    let run = Events::from(Ended::from(output.unwrap()));
    assert_eq!((run.executed(), run.hit()), (0, 4));
    assert!(
        std::fs::read(&memo).unwrap() != before,
        "it left a memo of its own"
    );
}

#[test]
fn two_pipelines_in_one_store_keep_apart() {
    let project = chain(20);
    project.write(
        "other.yaml",
        CHAIN
            .replace("youngest: 18", "youngest: 40")
            .replace("name: chain", "name: other"),
    );
    for round in 0..3 {
        let (one, other) = (project.run(&["run"]), project.run(&["run", "other.yaml"]));
        assert_eq!(
            (one.executed(), other.executed()),
            if round == 0 { (4, 3) } else { (0, 0) }
        );
        assert_eq!(one.all[1]["pipeline"], "chain");
        assert_eq!(other.all[1]["pipeline"], "other");
        settle();
    }
    // The same file from another folder is another invocation, with results elsewhere.
    std::fs::create_dir(project.at("below")).unwrap();
    let mut command = project.command(&["run", "../dermflow.yaml", "--store", "../.dermflow", "--json"]);
    let output = command.current_dir(project.at("below")).output().unwrap();
    let run = Events::from(Ended::from(output));
    assert_eq!((run.code, run.executed()), (Some(0), 0));
}

#[test]
fn until_rehash_and_force_are_heeded_though_nothing_changed() {
    let project = chain(20);
    project.run(&["run"]);
    settle();
    for _ in 0..2 {
        let run = project.run(&["run", "--until", "adults"]);
        assert_eq!((run.executed(), run.hit()), (0, 2));
    }
    assert_eq!(project.run(&["run", "--rehash"]).hit(), 4);
    assert_eq!(project.run(&["run", "--force", "names"]).computed(), ["names"]);
    let wrong = project.ended(&["run", "--force", "nmaes"]);
    assert_eq!(wrong.code, Some(2));
    // A source that only an unwanted stage names must still be there.
    std::fs::rename(project.at("count.sh"), project.at("gone.sh")).unwrap();
    assert_eq!(project.ended(&["run", "--until", "adults"]).code, Some(2));
}

#[test]
fn many_processes_with_nothing_to_do_are_in_nobodys_way() {
    let project = chain(20);
    project.run(&["run"]);
    settle();
    let children: Vec<_> = (0..8).map(|_| project.spawn(&["run", "--json"])).collect();
    for child in children {
        let run = Events::from(Ended::from(child.wait_with_output().unwrap()));
        assert_eq!(
            (run.code, run.executed(), run.hit()),
            (Some(0), 0, 4),
            "{}",
            run.err
        );
    }
    // While one computes anew, others find what is there.
    project.write("data/lesions.csv", crate::project::lesions(30));
    let children: Vec<_> = (0..4).map(|_| project.spawn(&["run", "--json"])).collect();
    let runs = children
        .into_iter()
        .map(|child| Events::from(Ended::from(child.wait_with_output().unwrap())));
    let executed: u64 = runs.map(|run| run.executed()).sum();
    assert_eq!(executed, CHAIN_STAGES.len() as u64);
    settle();
    assert_eq!(project.run(&["run"]).hit(), 4);
}

#[test]
fn an_edited_or_removed_result_is_laid_again_at_the_next_run() {
    let project = chain(20);
    project.run(&["run"]);
    settle();
    project.run(&["run"]);
    let page = "results/chain/report/rows.txt";
    let rows = project.read(page);
    let times = std::fs::metadata(project.at(page)).unwrap().modified().unwrap();
    project.write(page, "99\n");
    // As an editor that puts the time back would leave it.
    std::fs::File::options()
        .append(true)
        .open(project.at(page))
        .unwrap()
        .set_modified(times)
        .unwrap();
    let run = project.run(&["run"]);
    assert_eq!((run.executed(), run.of("output-published").len()), (0, 1));
    assert_eq!(project.read(page), rows);
    std::fs::remove_file(project.at("results/chain/names.csv")).unwrap();
    let run = project.run(&["run"]);
    assert_eq!((run.executed(), run.of("output-published").len()), (0, 1));
    assert!(project.at("results/chain/names.csv").exists());
    assert_eq!(project.run(&["run"]).of("output-published").len(), 0);
    let told = project.done(&["lineage", page]).out;
    assert!(
        told.contains("process v1"),
        "a file within a result stands for it: {told}"
    );
}

#[test]
fn a_wrong_pipeline_is_told_though_the_right_one_has_a_memo() {
    let project = chain(20);
    project.run(&["run"]);
    settle();
    project.write("dermflow.yaml", CHAIN.replace("kind: filter", "kind: filtre"));
    assert_eq!(project.ended(&["run"]).code, Some(2));
    assert_eq!(project.ended(&["plan"]).code, Some(2));
    let empty = empty();
    assert_eq!(empty.ended(&["run"]).code, Some(2));
    assert!(
        !empty.at(".dermflow").exists(),
        "a wrong pipeline leaves no store"
    );
}

/// What one run says and leaves, with a memo of the run before and without: the same.
#[test]
fn after_any_edit_a_memo_changes_nothing_but_the_time() {
    let (with, without) = (chain(40), chain(40));
    let edits: [(&str, Edit); 12] = [
        ("nothing", &|_| {}),
        ("a parameter", &|project| {
            project.write("dermflow.yaml", CHAIN.replace("youngest: 18", "youngest: 30"));
        }),
        ("and back", &|project| project.write("dermflow.yaml", CHAIN)),
        ("the leaf", &|project| {
            project.write(
                "dermflow.yaml",
                CHAIN.replace("/bin/sh, count", "/bin/sh, -e, count"),
            );
        }),
        ("a source", &|project| {
            project.write("data/lesions.csv", crate::project::lesions(41))
        }),
        ("a script", &|project| {
            project.write("count.sh", format!("{}# counts\n", crate::project::COUNT));
        }),
        ("both", &|project| {
            project.write("dermflow.yaml", CHAIN.replace("youngest: 18", "youngest: 20"));
            project.write("data/lesions.csv", crate::project::lesions(42));
        }),
        ("another stage", &|project| {
            let more = "  more: {kind: filter, in: {table: adults.table}, with: {columns: [diagnosis]}}\noutputs: {names";
            project.write("dermflow.yaml", CHAIN.replace("outputs: {names", more));
        }),
        ("one less", &|project| project.write("dermflow.yaml", CHAIN)),
        ("a blob", &|project| {
            let blobs = files_below(&project.at(".dermflow/blobs"));
            blobs
                .iter()
                .take(blobs.len() / 2)
                .for_each(|blob| std::fs::remove_file(blob).unwrap());
            project.write("dermflow.yaml", format!("{CHAIN}# edited\n"));
        }),
        ("a record", &|project| {
            let records = files_below(&project.at(".dermflow/actions"));
            records
                .iter()
                .step_by(2)
                .for_each(|record| std::fs::remove_file(record).unwrap());
            project.write("dermflow.yaml", format!("{CHAIN}# edited again\n"));
        }),
        ("a result", &|project| {
            std::fs::remove_dir_all(project.at("results")).unwrap();
            project.write("dermflow.yaml", format!("{CHAIN}# and again\n"));
        }),
    ];
    for (name, edit) in edits {
        settle();
        let _ = std::fs::remove_dir_all(without.at(".dermflow/memos"));
        let ran = [&with, &without].map(|project| {
            edit(project);
            let run = project.run(&["run"]);
            let told = [run.stages("stage-hit"), run.computed(), run.stages("damaged")];
            let left = crate::project::contents(&project.at("results"));
            (told, crate::project::digests(project), left)
        });
        assert_eq!(ran[0], ran[1], "after an edit of {name}");
    }
}

type Edit<'a> = &'a dyn Fn(&dermflow_tests::Project);
