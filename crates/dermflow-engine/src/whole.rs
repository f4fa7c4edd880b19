//! Runs an action all at once: lock, look again, call the kind, confirm sources, record.

use std::time::SystemTime;

use dermflow_core::{Artifact, Record, StageError, TableManifest};

use crate::action::Action;
use crate::context::StoreContext;
use crate::map::LISTING_OUTPUT;
use crate::rows::Rows;
use crate::workshop::{How, Lookup, Made, Workshop, look_up, making, table_rows};

/// Computes an action, unless another process did in the meantime. `files` is the listing of
/// a map over files that found none.
pub(crate) fn run_whole(
    workshop: &Workshop<'_>,
    action: &Action,
    files: Option<&TableManifest>,
    forced: bool,
) -> Result<Made, StageError> {
    let lock = workshop.lock(&action.key)?;
    if !forced && let Lookup::Complete(finished) = look_up(workshop.store, &action.key)? {
        // The result is there. Scratch that can't be removed is in nobody's way, as in `Commit::complete`.
        let _ = lock.done();
        return Ok(Made {
            finished,
            how: How::Found,
            commit: None,
        });
    }
    let started = SystemTime::now();
    let (store, threads) = (workshop.store, workshop.threads(action));
    let scratch = lock.folder_path().to_path_buf();
    let mut context = StoreContext::new(store, action, scratch, threads, workshop.interrupt, workshop.sink)?;
    if let Some(files) = files {
        context = context.over(
            dermflow_core::FILES_PORT,
            Rows::All(files.clone()),
            &workshop.spare,
        );
    }
    workshop.call(action, &mut context)?;
    let produced = context.finish()?;
    workshop.confirm_sources(action)?;
    let mut outputs = produced.outputs;
    let rows_computed = table_rows(&outputs);
    if let Some(files) = files {
        outputs.insert(LISTING_OUTPUT.to_string(), Artifact::Table(files.clone()));
    }
    let mut making = making(started, produced.metrics);
    making.rows_computed = rows_computed;
    let record = Record {
        manifest: action.manifest.clone(),
        outputs,
        ancestry: action.ancestry()?,
        making,
    };
    workshop.settle(action, record, action.key, lock, None)
}
