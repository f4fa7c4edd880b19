//! Exit codes: 0 done, 1 a stage or the verb failed, 2 the pipeline (or the command line) is
//! wrong, 130 interrupted.

use std::collections::BTreeSet;
use std::process::ExitCode;

use dermflow_core::StageError;
use dermflow_graph::{Diagnostics, suggestion};
use dermflow_store::StoreError;

/// Why a verb ends other than well.
pub enum Failure {
    /// The pipeline file is wrong: nothing was started.
    Pipeline(Diagnostics),
    /// The command line is wrong, in words: nothing was started.
    CommandLine(StageError),
    /// Something failed, in words.
    Failed(StageError),
    /// It was told already.
    Told,
    /// The user stopped it.
    Interrupted,
}

/// What a verb gives.
pub type Done = Result<(), Failure>;

impl Failure {
    /// A failure in words.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure::Failed(StageError::new(message))
    }
}

impl Failure {
    /// A name on the command line that is not among those that there are.
    pub fn unknown<'a>(sort: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
        // Cells have stages of one name.
        let known: BTreeSet<&str> = known.into_iter().collect();
        let error = StageError::new(format!("there is no {sort} `{name}`"));
        let help = suggestion(name, sort, known.iter().copied());
        Failure::CommandLine(error.with_help(help))
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Failure {
        Failure::Failed(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Failed(error.into())
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Failure {
        Failure::Pipeline(diagnostics)
    }
}

/// Tells what is left to tell, and the code to end with.
pub fn code(done: Done) -> ExitCode {
    match done.and_then(|()| crate::output::finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Pipeline(diagnostics)) => {
            eprint!("{}", diagnostics.render(crate::text::stderr_has_colour()));
            ExitCode::from(2)
        }
        Err(Failure::CommandLine(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::Interrupted) => ExitCode::from(130),
    }
}
