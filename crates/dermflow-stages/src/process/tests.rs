//! Tests of `process`, with `/bin/sh` as the foreign program.

mod tables;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dermflow_core::memory::MemoryContext;
use dermflow_core::{Cause, NamedFile, StageError, StageKind};

use super::{Process, ProcessParameters};

fn parameters(yaml: &str) -> ProcessParameters {
    serde_yaml::from_str(yaml).unwrap()
}

/// A context whose scratch folder lives as long as it is looked at.
fn world() -> (tempfile::TempDir, MemoryContext) {
    let scratch = tempfile::tempdir().unwrap();
    let mut context = MemoryContext::default();
    context.scratch = scratch.path().to_path_buf();
    context.threads = 3;
    (scratch, context)
}

fn shell(script: &str, context: &mut MemoryContext) -> Result<(), StageError> {
    let mut given = parameters("{command: '', outputs: {out: files}}");
    given.command = super::parameters::Command::Shell(script.to_string());
    Process::run(&given, context)
}

fn lines(context: &MemoryContext) -> Vec<String> {
    context.lines.lock().unwrap().clone()
}

#[test]
fn a_program_sees_its_context_and_nothing_of_our_environment() {
    let (_scratch, mut context) = world();
    let given = parameters(
        "{command: 'env | sort; pwd; cp \"$DERMFLOW_CONTEXT\" outputs/out/context.json', \
          environment: {SHADE: dark}, parameters: {depth: 3, half: 0.5, list: [a, null]}, \
          outputs: {out: files, table: {table: Labels}}}",
    );
    let error = Process::run(&given, &mut context).unwrap_err();
    assert!(error.message.contains("outputs/table.parquet"), "{error}");
    let json: serde_json::Value =
        serde_json::from_slice(&context.output_files["out"]["context.json"]).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["threads"], 3);
    assert_eq!(
        json["parameters"],
        serde_json::json!({"depth": 3, "half": 0.5, "list": ["a", null]})
    );
    assert!(
        json["outputs"]["table"]["path"]
            .as_str()
            .unwrap()
            .ends_with("outputs/table.parquet")
    );
    let printed = lines(&context);
    let names: Vec<&str> = printed
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    // PWD, OLDPWD, SHLVL and _ are set by shells themselves.
    let own: Vec<&str> = names
        .into_iter()
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    assert_eq!(
        own,
        ["DERMFLOW_CONTEXT", "HOME", "LANG", "PATH", "SHADE", "TMPDIR"]
    );
    assert!(
        printed
            .iter()
            .any(|line| line.starts_with('/') && line.contains("/.attempt-"))
    );
}

#[test]
fn declared_files_and_inputs_lie_under_their_names() {
    let (scratch, mut context) = world();
    let run = scratch.path().join("original.sh");
    std::fs::write(
        &run,
        "#!/bin/sh\ncat inputs/notes/a/b.txt more/x.txt > outputs/out/both.txt\n",
    )
    .unwrap();
    std::fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let more = scratch.path().join("more");
    std::fs::create_dir(&more).unwrap();
    std::fs::write(more.join("x.txt"), "file").unwrap();
    let listed = NamedFile {
        name: "x.txt".to_string(),
        path: more.join("x.txt"),
    };
    let blob = scratch.path().join("0123abcd");
    std::fs::write(&blob, "input ").unwrap();
    let note = NamedFile {
        name: "a/b.txt".to_string(),
        path: blob,
    };
    context.add_files("notes", vec![note]);
    context.add_source("files.0.path", run, Vec::new());
    context.add_source("files.1.path", more, vec![listed]);
    let given = parameters(
        "{command: [./run.sh], files: [{path: original.sh, name: run.sh}, data/more], outputs: {out: files}}",
    );
    assert_eq!(Process::check(&given), []);
    assert_eq!(Process::tool(&given), None);
    Process::run(&given, &mut context).unwrap();
    assert_eq!(context.output_files["out"]["both.txt"], b"input file");
}

#[test]
fn a_declared_folder_comes_without_files_that_are_not_in_the_key() {
    let (scratch, mut context) = world();
    let photos = scratch.path().join("photos");
    std::fs::create_dir_all(photos.join("b")).unwrap();
    for name in ["a.txt", "forgotten.txt", "b/c.txt", "b/forgotten.txt"] {
        std::fs::write(photos.join(name), name).unwrap();
    }
    let kept = ["a.txt", "b/c.txt"].map(|name| NamedFile {
        name: name.to_string(),
        path: photos.join(name),
    });
    context.add_source("files.0.path", photos, kept.to_vec());
    let given = parameters(
        "{command: 'find -L photos -type f | sort | xargs cat > outputs/out/all.txt', files: [photos], \
          outputs: {out: files}}",
    );
    Process::run(&given, &mut context).unwrap();
    assert_eq!(context.output_files["out"]["all.txt"], b"a.txtb/c.txt");
}

#[test]
fn messages_are_told_and_junk_among_them_becomes_lines() {
    let (_scratch, mut context) = world();
    let script = r#"
        messages=$(sed -n 's/.*"messages": "\(.*\)".*/\1/p' "$DERMFLOW_CONTEXT")
        echo '{"type":"metric","name":"score","value":0.5}' >> "$messages"
        echo '{"type":"log","line":"told"}' >> "$messages"
        echo '{"type":"metric","name":"bad","value":"x"}' >> "$messages"
        echo printed; echo complained >&2; printf unended
        printf junk >> "$messages"
        touch outputs/out/x"#;
    shell(script, &mut context).unwrap();
    assert_eq!(context.metrics.get("score"), Some(&0.5));
    let told = lines(&context);
    for line in ["told", "printed", "complained", "unended", "junk"] {
        assert!(told.iter().any(|other| other == line), "{line} in {told:?}");
    }
    assert!(told.iter().any(|line| line.contains("bad")));
}

#[test]
fn a_failure_tells_the_status_or_the_signal_and_the_last_lines() {
    let (_scratch, mut context) = world();
    let error = shell(
        "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i; done; exit 3",
        &mut context,
    )
    .unwrap_err();
    assert!(error.message.contains("exit status 3"), "{error}");
    assert!(
        error.message.contains("line 61\n") && error.message.ends_with("line 100"),
        "{error}"
    );
    assert!(!error.message.contains("line 60\n"), "{error}");
    let error = shell("kill -9 $$", &mut context).unwrap_err();
    assert!(error.message.contains("signal 9 (SIGKILL"), "{error}");
    let missing = Process::run(
        &parameters("{command: [no-such-program], outputs: {out: files}}"),
        &mut context,
    );
    assert!(missing.unwrap_err().message.contains("could not be started"));
    let silent = shell("true", &mut context).unwrap_err();
    assert!(
        silent.message.contains("`out` is missing at outputs/out"),
        "{silent}"
    );
}

fn is_gone(process: &str) -> bool {
    let number = process.trim().parse().unwrap();
    let process = rustix::process::Pid::from_raw(number).unwrap();
    let patience = Instant::now();
    while patience.elapsed() < Duration::from_secs(5) {
        if rustix::process::test_kill_process(process).is_err() || is_zombie(number) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// A dead orphan may stay in the list until whoever adopted it looks.
fn is_zombie(number: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    state
        .rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[test]
fn a_program_over_its_timeout_is_ended_with_all_that_it_started() {
    let (_scratch, mut context) = world();
    let started = Instant::now();
    let given = parameters(
        "{command: 'trap \"\" TERM; (trap \"\" TERM; sleep 100) & echo $!; sleep 100; sleep 100', outputs: {out: files}, timeout: 0.2}",
    );
    let error = Process::run(&given, &mut context).unwrap_err();
    assert!(error.message.contains("timeout of 0.2 s"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(is_gone(&lines(&context)[0]));
}

#[test]
fn what_a_program_leaves_running_neither_delays_nor_outlives_it() {
    let (_scratch, mut context) = world();
    let started = Instant::now();
    shell("sleep 100 & echo $!; touch outputs/out/x", &mut context).unwrap();
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(is_gone(&lines(&context)[0]));
}

#[test]
fn an_interrupted_program_may_end_by_itself_and_the_outcome_is_cancelled() {
    let (_scratch, mut context) = world();
    let cancel = context.cancel.clone();
    let ready = context.scratch.join("ready");
    let touch = format!("touch '{}'", ready.display());
    let interrupt = std::thread::spawn(move || {
        while !ready.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        cancel.store(true, Ordering::Relaxed);
    });
    let script = format!("trap 'echo saved; exit 0' TERM; {touch}; while :; do sleep 0.02; done");
    let error = shell(&script, &mut context).unwrap_err();
    interrupt.join().unwrap();
    assert_eq!(error.cause, Cause::Cancelled);
    assert_eq!(lines(&context).last().map(String::as_str), Some("saved"));
}

#[test]
fn what_a_killed_attempt_left_is_not_taken_but_its_scratch_is_found_again() {
    let (scratch, mut context) = world();
    let left = scratch.path().join(".attempt-1").join("outputs/out");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("half"), "half").unwrap();
    std::fs::write(scratch.path().join(".attempt-1.messages"), "half").unwrap();
    std::fs::set_permissions(&left, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
    let kept = "s=$(sed -n 's/.*\"scratch\": \"\\(.*\\)\",/\\1/p' \"$DERMFLOW_CONTEXT\"); ";
    shell(&format!("{kept} echo 7 > $s/epoch; exit 1"), &mut context).unwrap_err();
    shell(&format!("{kept} cp $s/epoch outputs/out/epoch"), &mut context).unwrap();
    let files = &context.output_files["out"];
    assert_eq!(files.keys().collect::<Vec<_>>(), ["epoch"]);
    assert!(!left.exists() && !scratch.path().join(".attempt-1.messages").exists());
}

#[test]
fn links_to_folders_and_odd_files_among_the_outputs_are_refused() {
    let (_scratch, mut context) = world();
    let circle = shell("ln -s . outputs/out/circle", &mut context).unwrap_err();
    assert!(circle.message.contains("neither a file nor a folder"), "{circle}");
    shell("echo x > real; ln -s ../../real outputs/out/link", &mut context).unwrap();
    assert_eq!(context.output_files["out"]["link"], b"x\n");
}

#[test]
fn parameters_that_make_no_sense_are_told_at_their_place() {
    let places = |yaml: &str| -> Vec<String> {
        let problems = Process::check(&parameters(yaml));
        problems.into_iter().map(|problem| problem.parameter).collect()
    };
    let expectations = [
        ("{command: [], outputs: {o: files}}", "command"),
        ("{command: [./x], outputs: {o: files}}", "command"),
        ("{command: x, files: [a/x, b/x], outputs: {o: files}}", "files.1"),
        ("{command: x, files: [..], outputs: {o: files}}", "files.0"),
        ("{command: x, files: [outputs], outputs: {o: files}}", "files.0"),
        (
            "{command: x, environment: {'A=B': x}, outputs: {o: files}}",
            "environment.A=B",
        ),
        (
            "{command: x, environment: {DERMFLOW_CONTEXT: x}, outputs: {o: files}}",
            "environment.DERMFLOW_CONTEXT",
        ),
        (
            "{command: x, parameters: {a: [.nan]}, outputs: {o: files}}",
            "parameters.a",
        ),
        ("{command: x, outputs: {}}", "outputs"),
        ("{command: x, outputs: {'../o': files}}", "outputs.../o"),
        ("{command: x, outputs: {o: files}, timeout: 0}", "timeout"),
    ];
    for (yaml, place) in expectations {
        assert_eq!(places(yaml), [place], "{yaml}");
    }
    let unknown = serde_yaml::from_str::<ProcessParameters>(
        "{command: x, inherit-environment: [A], outputs: {o: files}}",
    );
    assert!(unknown.err().unwrap().to_string().contains("inherit-environment"));
    let problem = Process::outputs(
        &parameters("{command: x, outputs: {o: {table: Lables}}}"),
        &Default::default(),
    );
    assert_eq!(problem.unwrap_err().parameter, "outputs.o.table");
}

#[test]
fn the_tool_is_the_program_that_will_run() {
    let tool = |yaml: &str| {
        let tool = Process::tool(&parameters(yaml)).unwrap();
        tool.find(Path::new("/nowhere"))
    };
    assert_eq!(
        tool("{command: 'exit 0', outputs: {}}").as_deref(),
        Some(Path::new("/bin/sh"))
    );
    assert_eq!(tool("{command: [no-such-program], outputs: {}}"), None);
    assert_eq!(tool("{command: [/no/such/program], outputs: {}}"), None);
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    std::fs::create_dir_all(&first).unwrap();
    std::fs::create_dir_all(&second).unwrap();
    std::fs::write(second.join("mine"), "").unwrap();
    let yaml = format!(
        "{{command: [mine], environment: {{PATH: '{}:{}'}}, outputs: {{}}}}",
        first.display(),
        second.display()
    );
    assert_eq!(tool(&yaml), Some(second.join("mine")));
    std::fs::write(first.join("mine"), "").unwrap();
    assert_eq!(tool(&yaml), Some(first.join("mine")), "put before the other");
}
