//! The README's commands and the pipelines that come with the program, run as they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use dermflow_tests::Project;

use crate::project::{copy, digests, empty};
use crate::whole_method::small;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// A project with the repository's pipelines, without what runs left there.
fn with_pipelines() -> Project {
    let project = empty();
    copy(&repository().join("pipelines"), &project.at("pipelines"));
    project
}

/// The lines of all ```sh blocks.
fn commands() -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim_end() {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside && !command.trim().is_empty() && !command.starts_with('#') => {
                commands.push(command.to_string())
            }
            _ => {}
        }
    }
    commands
}

/// The words of a command line as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let script = format!("for word in {line}; do printf '%s\\n' \"$word\"; done");
    let output = Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
    assert!(output.status.success(), "{line}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_string)
        .collect()
}

#[test]
fn every_command_of_the_readme_works_in_the_order_of_the_page() {
    let project = with_pipelines();
    let ci = std::fs::read_to_string(repository().join(".ci/run")).unwrap();
    let mut run = 0;
    for command in commands() {
        if let Some(arguments) = command.strip_prefix("cargo run --release -- ") {
            let arguments = words(arguments);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            if needs_what_is_absent(&arguments) {
                continue;
            }
            let mut arguments = arguments;
            let smaller = smaller(&arguments);
            arguments.extend(smaller.iter().map(String::as_str));
            project.done(&arguments);
            run += 1;
        } else if command.starts_with("cargo ") {
            assert!(
                ci.lines().any(|line| line == command),
                "`{command}` is in README.md and not in .ci/run"
            );
        } else {
            assert!(
                command.starts_with("git clone ") || command.starts_with("cd "),
                "nothing tests `{command}`"
            );
        }
    }
    assert!(run >= 2, "only {run} commands were run");
}

/// What makes a command that trains networks for minutes one of seconds.
fn smaller(arguments: &[&str]) -> Vec<String> {
    let trains = |file: &&str| text_of(file).is_some_and(|text| learns(&text));
    match arguments
        .first()
        .is_some_and(|verb| ["run", "plan", "why"].contains(verb))
    {
        true if arguments.iter().any(trains) => small(),
        _ => Vec::new(),
    }
}

fn text_of(file: &str) -> Option<String> {
    let is_pipeline = file.ends_with(".yaml");
    is_pipeline.then(|| std::fs::read_to_string(repository().join(file)).ok())?
}

/// Whether a pipeline has the whole method in it.
fn learns(text: &str) -> bool {
    let included =
        |line: &str| line.starts_with("include:") && (line.contains("parts/") || line.contains("demo.yaml"));
    text.lines().any(included)
}

/// Whether a command runs a pipeline on data or a program that this machine lacks.
fn needs_what_is_absent(arguments: &[&str]) -> bool {
    let Some(file) = arguments.iter().find(|argument| argument.ends_with(".yaml")) else {
        return false;
    };
    let Ok(text) = std::fs::read_to_string(repository().join(file)) else {
        return false;
    };
    match arguments_for(&text) {
        Err(what) => {
            eprintln!("skipped: {file} needs {what}");
            true
        }
        Ok(_) => false,
    }
}

/// Data of those who work on this project lie in a folder beside it.
const SHARED: &str = "../../shared";

/// Checks a pipeline that can't be run here, every variant of it; one on such data where they are.
fn check_alone(project: &Project, name: &str, pipeline: &str) {
    let mut arguments = vec!["check", name, "--all-variants"];
    if !pipeline.contains(SHARED) {
        return drop(project.done(&arguments));
    }
    let shared = repository().join("pipelines").join(SHARED);
    let Ok(shared) = shared.canonicalize() else {
        return;
    };
    let weights = shared.join("weights/tf_efficientnet_lite0.imagenet.safetensors");
    let data = format!("data={}", shared.join("data").display());
    let weights = format!("weights={}", weights.display());
    arguments.extend(["--set", &data, "--set", &weights]);
    project.done(&arguments);
}

/// An interpreter that has pyarrow. A stage looks programs up in a fixed path, so the one of
/// an active virtual environment has to be named.
fn python_with_pyarrow() -> Option<String> {
    let script = "import pyarrow, sys; print(sys.executable)";
    let asked = Command::new("python3").args(["-c", script]).output().ok()?;
    let path = String::from_utf8(asked.stdout).ok()?;
    asked.status.success().then(|| path.trim().to_string())
}

/// What a pipeline needs that is not here, or the arguments to run it with.
fn arguments_for(pipeline: &str) -> Result<Vec<String>, &'static str> {
    if pipeline.contains(SHARED) {
        return Err("data that are not part of this project");
    }
    if !pipeline.contains("python3") {
        return Ok(Vec::new());
    }
    let python = python_with_pyarrow().ok_or("python3 with pyarrow")?;
    Ok(vec!["--set".to_string(), format!("python={python}")])
}

/// Every YAML file below `pipelines/` that has stages and is not only there to be included.
fn pipelines() -> Vec<PathBuf> {
    let root = repository();
    let files = crate::project::files_below(&root.join("pipelines")).into_iter();
    let yaml = files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    let whole = yaml.filter(|path| {
        std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .any(|line| line.starts_with("name:"))
    });
    whole
        .map(|path| path.strip_prefix(&root).unwrap().to_path_buf())
        .collect()
}

#[test]
fn every_pipeline_that_comes_with_the_program_runs_and_runs_nothing_twice() {
    let project = with_pipelines();
    let all = pipelines();
    assert!(all.len() >= 2, "{all:?}");
    for file in all {
        let name = file.to_str().unwrap();
        let text = project.read(name);
        let more = match arguments_for(&text) {
            Ok(more) => more,
            Err(what) => {
                eprintln!("not run: {name} needs {what}");
                check_alone(&project, name, &text);
                continue;
            }
        };
        project.done(&["check", name]);
        // Sixty trainings are no test.
        let (cells, small) = match learns(&text) {
            true => (None, small()),
            false => (Some("--all-variants"), Vec::new()),
        };
        let mut arguments = vec!["run", name];
        arguments.extend(cells);
        arguments.extend(more.iter().chain(&small).map(String::as_str));
        assert!(project.run(&arguments).executed() > 0, "{name}");
        let again = project.run(&arguments);
        assert_eq!((again.executed(), again.number("failed")), (0, 0), "{name}");
        let before = digests(&project);
        arguments.push("--isolate");
        assert_eq!(project.run(&arguments).executed(), 0, "{name}");
        assert_eq!(digests(&project), before, "{name}");
    }
}

#[test]
fn the_readme_names_the_exit_codes_and_every_folder_that_is_there() {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    for code in [
        "0 done",
        "1 a stage failed",
        "2 the pipeline or the command line is wrong",
        "130 interrupted",
    ] {
        assert!(text.replace('\n', " ").contains(code), "{code}");
    }
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let folder = line.split('`').nth(1).unwrap();
        assert!(
            repository().join(folder).exists(),
            "README.md names {folder}, which is not there"
        );
    }
}

#[test]
fn the_table_of_claims_names_files_that_are_there() {
    let root = repository();
    let text = std::fs::read_to_string(root.join("pipelines/README.md")).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    let files: Vec<&str> = quoted
        .filter(|name| name.ends_with(".rs") || name.ends_with(".yaml"))
        .collect();
    assert!(files.len() > 30, "{files:?}");
    for name in files.into_iter().filter(|name| !name.contains(' ')) {
        let places = [
            root.join(name),
            root.join("crates").join(name),
            root.join("pipelines").join(name),
        ];
        assert!(places.iter().any(|place| place.is_file()), "{name}");
    }
}
