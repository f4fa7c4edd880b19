//! The files below a folder.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::{DirEntry, WalkDir};

use crate::blob::sort_of;
use crate::error::StoreError;

/// What to do about an entry that is asked for and is no file.
const REMOVE_OR_LEAVE_OUT: &str = "remove it, or leave it out with a pattern";

/// The relative paths (`/` between the parts, sorted) of the files below `folder` that match
/// one of the patterns; no pattern means all. `*` and `?` stay within a part, `**` crosses
/// parts, `{a,b}` is either. Links to files and folders are followed. Folders called
/// `.dermflow` are passed over: a store's own files are no source.
///
/// # Errors
/// Where a pattern can't be read, a folder can't be listed, links run in a circle, or a path
/// that is asked for is no UTF-8, leads nowhere, or is no regular file.
pub fn walk(folder: &Path, matching: &[String]) -> Result<Vec<String>, StoreError> {
    let wanted = patterns(matching)?;
    let mut paths = Vec::new();
    let entries = WalkDir::new(folder).follow_links(true).into_iter();
    for entry in entries.filter_entry(|entry| entry.file_name() != ".dermflow") {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => match unreadable(folder, &wanted, error) {
                Some(error) => return Err(error),
                None => continue,
            },
        };
        if entry.file_type().is_dir() {
            continue;
        }
        if let Some(path) = accept(folder, &wanted, &entry)? {
            paths.push(path);
        }
    }
    if paths.is_empty() && !folder.is_dir() {
        return Err(StoreError::invalid(format!("{} is no folder", folder.display())));
    }
    paths.sort_unstable();
    Ok(paths)
}

fn patterns(matching: &[String]) -> Result<GlobSet, StoreError> {
    let wrong = |error: globset::Error| StoreError::Invalid {
        message: format!("a pattern can't be read: {error}"),
        help: Some(
            "`*` and `?` stand within a file name, `**` across folders, `{a,b}` for either".to_string(),
        ),
    };
    let mut set = GlobSetBuilder::new();
    for pattern in matching {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        set.add(glob.map_err(wrong)?);
    }
    if matching.is_empty() {
        set.add(GlobBuilder::new("**").build().map_err(wrong)?);
    }
    set.build().map_err(wrong)
}

fn is_wanted(folder: &Path, wanted: &GlobSet, path: &Path) -> bool {
    wanted.is_match(path.strip_prefix(folder).unwrap_or(path))
}

fn accept(folder: &Path, wanted: &GlobSet, entry: &DirEntry) -> Result<Option<String>, StoreError> {
    if !is_wanted(folder, wanted, entry.path()) {
        return Ok(None);
    }
    let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
    let Some(text) = relative.to_str() else {
        return Err(StoreError::Invalid {
            message: format!(
                "the name {} below {} is not UTF-8",
                relative.as_os_str().as_bytes().escape_ascii(),
                folder.display()
            ),
            help: Some("rename the file, or leave it out with a pattern".to_string()),
        });
    };
    if !entry.file_type().is_file() {
        let sort = entry.metadata().map_or("special", |metadata| sort_of(&metadata));
        return Err(StoreError::Invalid {
            message: format!("{} is {sort}, not a file", entry.path().display()),
            help: Some(REMOVE_OR_LEAVE_OUT.to_string()),
        });
    }
    Ok(Some(text.to_string()))
}

/// What stands in the way of the walk; `None` for a link to nowhere that nobody asked for.
fn unreadable(folder: &Path, wanted: &GlobSet, error: walkdir::Error) -> Option<StoreError> {
    let path = error.path().unwrap_or(folder).to_path_buf();
    if let Some(ancestor) = error.loop_ancestor() {
        return Some(StoreError::Invalid {
            message: format!(
                "{} leads back to {}: the links run in a circle",
                path.display(),
                ancestor.display()
            ),
            help: Some("remove the link".to_string()),
        });
    }
    let io = error
        .into_io_error()
        .unwrap_or_else(|| std::io::Error::other("it can't be listed"));
    // To nothing, to itself, or through a folder that is closed.
    if path.is_symlink() && !path.exists() {
        return is_wanted(folder, wanted, &path).then(|| StoreError::Invalid {
            message: format!("{} is a link that can't be followed: {io}", path.display()),
            help: Some(REMOVE_OR_LEAVE_OUT.to_string()),
        });
    }
    Some(StoreError::io("reading", &path, io))
}
