//! Results that runs laid out for people: are they there, and what the store would lay now?

use std::path::Path;

use dermflow_core::Digest;
use dermflow_engine::{LaidOut, Sources, export, laid_out};

use super::{Problem, Remedy, Verified};
use crate::records::Records;

pub(super) fn check(records: &Records, results: &Path, found: &mut Verified) {
    // Nothing that an index says of files is believed here.
    let sources = Sources::new(records.store(), true);
    let all = match laid_out(results, &sources) {
        Ok(all) => all,
        Err(error) => {
            let problem = Problem::new("result", results.display().to_string(), error.message);
            return found.problems.push(problem);
        }
    };
    found.checked.results = all.len();
    for one in &all {
        let what = one.path.display().to_string();
        let wrong = match (one.path.exists(), one.unchanged) {
            (false, _) => Some("is missing: it was removed or renamed".to_string()),
            (true, false) => Some("was changed since a run laid it".to_string()),
            (true, true) => match differs(records, one, &sources) {
                Ok(true) => Some("is not what the store would lay, though its index says so".to_string()),
                Ok(false) => None,
                Err(reason) => {
                    found.notices.push(format!("{what} can't be compared: {reason}"));
                    None
                }
            },
        };
        if let Some(reason) = wrong {
            let reason = format!("{reason}; the next run lays it again");
            found
                .problems
                .push(Problem::new("result", what, reason).with(Remedy::LayAgain));
        }
    }
}

/// Whether a result differs from what its artifact would be laid out as.
fn differs(records: &Records, one: &LaidOut, sources: &Sources) -> Result<bool, String> {
    let held = &one.published;
    let node = records
        .node(&held.action)
        .ok_or("the record of its action is not in the store")?;
    let artifact = node
        .outputs
        .get(&held.port)
        .ok_or("its action has no such output")?;
    if artifact.name() != held.artifact {
        return Ok(true);
    }
    if artifact
        .blobs()
        .iter()
        .any(|blob| !records.store().has_blob(blob))
    {
        return Err("a blob of it is not in the store".to_string());
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let name = one.path.file_name().unwrap_or_default();
    let laid = folder.path().join(name);
    export(records.store(), artifact, &laid).map_err(|error| error.message)?;
    let digests = |path: &Path| -> Result<Vec<(String, Digest)>, String> {
        match path.is_dir() {
            false => {
                let digest = sources.digest(path).map_err(|error| error.message)?;
                Ok(vec![(String::new(), digest)])
            }
            true => {
                let names = dermflow_store::walk(path, &[]).map_err(|error| error.message())?;
                let digest = |name: String| {
                    let digest = sources.digest(&path.join(&name)).map_err(|error| error.message)?;
                    Ok((name, digest))
                };
                names.into_iter().map(digest).collect()
            }
        }
    };
    Ok(digests(&laid)? != digests(&one.path)?)
}
