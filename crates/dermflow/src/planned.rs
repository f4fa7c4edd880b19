//! Results of a pipeline as its plan finds them: those of the stages as the file says them now,
//! whichever run made them, and whether or not a journal tells of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use dermflow_core::StageError;
use dermflow_engine::{Finished, PlannedStage, Sources, plan};
use dermflow_graph::{CellSelection, Request, load};
use dermflow_stages::registry;
use dermflow_store::Store;

use crate::exit::Failure;

/// The pipeline that is looked at where no journal tells of a stage, if it is there.
const USUAL: &str = "dermflow.yaml";

/// In which pipeline stages are looked up.
#[derive(Args, Default)]
pub struct PlanOptions {
    /// Takes the results of this pipeline as it is written now, instead of the newest run's.
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// With --pipeline: overrides a value, as in `run`. May be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE", requires = "pipeline")]
    overrides: Vec<String>,
}

impl PlanOptions {
    /// Whether a pipeline was named.
    pub fn is_given(&self) -> bool {
        self.pipeline.is_some()
    }

    /// The stages of the pipeline that was named, or of the usual one where there is one and it
    /// is right; with all cells, or the base alone.
    ///
    /// # Errors
    /// Where a pipeline was named and is wrong, or the store can't be read.
    pub fn plan(&self, store: &Store, all_cells: bool) -> Result<Vec<PlannedStage>, Failure> {
        let file = match &self.pipeline {
            Some(file) => file.as_path(),
            None if Path::new(USUAL).is_file() => Path::new(USUAL),
            None => return Ok(Vec::new()),
        };
        let cells = match all_cells {
            true => CellSelection::All,
            false => CellSelection::Base,
        };
        let loaded = load(&Request {
            file,
            registry: &registry(),
            overrides: &self.overrides,
            cells,
        });
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(_) if !self.is_given() => return Ok(Vec::new()),
            Err(diagnostics) => return Err(diagnostics.into()),
        };
        let sources = Sources::new(store, false);
        let mut planned = Vec::new();
        for pipeline in &loaded.pipelines {
            planned.extend(plan(pipeline, store, &sources, &[])?);
        }
        Ok(planned)
    }

    /// The result of a stage, where its plan is a hit.
    ///
    /// # Errors
    /// As [`PlanOptions::plan`]; and where a pipeline was named that has no such stage, or whose
    /// stage has no result.
    pub fn result(
        &self,
        store: &Store,
        cell: Option<&str>,
        stage: &str,
    ) -> Result<Option<Arc<Finished>>, Failure> {
        let planned = self.plan(store, cell.is_some())?;
        let of_cell = || {
            planned
                .iter()
                .filter(|planned| planned.label.cell.as_deref() == cell)
        };
        let found = of_cell().find(|planned| planned.label.stage == stage);
        match (found, self.is_given()) {
            (Some(planned), given) => match &planned.finished {
                Some(finished) => Ok(Some(finished.clone())),
                None if given => {
                    let message = format!("the stage `{}` has no result as it is written now", planned.label);
                    let error = StageError::new(message);
                    Err(error
                        .with_help("`dermflow plan` says why; `dermflow run` computes it")
                        .into())
                }
                None => Ok(None),
            },
            (None, true) => {
                let known = of_cell().map(|planned| planned.label.stage.as_str());
                Err(Failure::unknown("stage", stage, known))
            }
            (None, false) => Ok(None),
        }
    }
}
