//! A folder with pipelines and a store, and the program run in it: what every end-to-end test
//! starts from.
//!
//! Must not know of any crate below the program: what a test sees is what a user sees.
//!
//! ```no_run
//! let project = dermflow_tests::Project::new("target/debug/dermflow");
//! project.write("dermflow.yaml", "name: empty\nstages: {}\n");
//! let run = project.run(&["run"]);
//! assert_eq!((run.executed(), run.hit()), (0, 0));
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A temporary project.
pub struct Project {
    folder: TempDir,
    program: PathBuf,
}

impl Project {
    /// An empty one, for this program.
    ///
    /// # Panics
    /// Where no temporary folder can be made.
    pub fn new(program: impl Into<PathBuf>) -> Project {
        Project {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            program: program.into(),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path inside it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    /// Where it can't be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder"))
            .expect("folders can be made");
        std::fs::write(path, text).expect("the file can be written");
    }

    /// Reads a file.
    ///
    /// # Panics
    /// Where it isn't there.
    pub fn read(&self, name: &str) -> String {
        let path = self.at(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The program with these arguments, in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::null());
        command.env_remove("DERMFLOW_STORE").env_remove("DERMFLOW_REMOTE");
        command.env("NO_COLOR", "1");
        command
    }

    /// Starts the program and leaves it running.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    /// Where it can't be started.
    pub fn ended(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("the program starts");
        Ended::from(output)
    }

    /// As [`Project::ended`], and it must end well.
    ///
    /// # Panics
    /// Where it doesn't.
    pub fn done(&self, arguments: &[&str]) -> Ended {
        let ended = self.ended(arguments);
        assert_eq!(
            ended.code,
            Some(0),
            "{arguments:?} failed:\n{}\n{}",
            ended.out,
            ended.err
        );
        ended
    }

    /// `run --json` with more arguments; it must end well.
    ///
    /// # Panics
    /// Where it doesn't.
    pub fn run(&self, arguments: &[&str]) -> Events {
        let run = self.try_run(arguments);
        assert_eq!(
            run.code,
            Some(0),
            "{arguments:?} failed: {}\n{:#?}",
            run.err,
            run.of("stage-failed")
        );
        run
    }

    /// `run --json` with more arguments, however it ends. `arguments` start with the verb.
    pub fn try_run(&self, arguments: &[&str]) -> Events {
        let mut all = arguments.to_vec();
        all.push("--json");
        Events::from(self.ended(&all))
    }
}

/// How the program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<std::process::Output> for Ended {
    fn from(output: std::process::Output) -> Ended {
        Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The events of a run.
#[derive(Debug)]
pub struct Events {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard error.
    pub err: String,
    /// Every event, in order.
    pub all: Vec<Value>,
}

impl From<Ended> for Events {
    fn from(ended: Ended) -> Events {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Events {
            code: ended.code,
            all: ended.out.lines().map(parse).collect(),
            err: ended.err,
        }
    }
}

impl Events {
    /// The events of one sort.
    pub fn of(&self, sort: &str) -> Vec<&Value> {
        self.all.iter().filter(|event| event["event"] == sort).collect()
    }

    /// The stages that events of one sort are about, in order of their names.
    pub fn stages(&self, sort: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .of(sort)
            .iter()
            .filter_map(|event| event["stage"].as_str())
            .map(str::to_string)
            .collect();
        names.sort();
        names
    }

    /// The stages that were computed, in order of their names.
    pub fn computed(&self) -> Vec<String> {
        self.stages("stage-executed")
    }

    /// A number of the last event, `run-finished`.
    ///
    /// # Panics
    /// Where the last event is another.
    pub fn number(&self, name: &str) -> u64 {
        let last = self
            .all
            .last()
            .unwrap_or_else(|| panic!("no event came: {}", self.err));
        assert_eq!(last["event"], "run-finished", "the last event is another");
        last[name]
            .as_u64()
            .unwrap_or_else(|| panic!("`{name}` is no number in {last}"))
    }

    /// Stages computed.
    pub fn executed(&self) -> u64 {
        self.number("executed")
    }

    /// Stages whose result was there.
    pub fn hit(&self) -> u64 {
        self.number("hit")
    }
}
