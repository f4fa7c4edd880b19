//! Which files are meant by paths, folders and patterns. Must not know what is in them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// A file, or something asked for that gives none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file to be looked at.
    File(PathBuf),
    /// Nothing, and why.
    Nothing {
        /// What was asked for.
        path: PathBuf,
        /// Why there is no file.
        reason: String,
    },
}

/// The files that are meant: a file by its path; of a folder, all files below it, in order of
/// their names, hidden ones left out; of a pattern (`*` within a name, `**` across folders, `?`,
/// `{a,b}`, `[a-z]`), those that fit. A path that is there is never taken for a pattern. A file
/// meant twice is found once, the first time. Folders are walked now, files opened later.
pub fn found(asked: &[String]) -> Vec<Found> {
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    for text in asked {
        let of_text = of(text);
        let new = of_text.into_iter().filter(|found| match found {
            Found::File(path) => seen.insert(path.clone()),
            Found::Nothing { .. } => true,
        });
        all.extend(new);
    }
    all
}

fn of(text: &str) -> Vec<Found> {
    let path = Path::new(text);
    let nothing = |reason: &str| {
        vec![Found::Nothing {
            path: path.to_owned(),
            reason: reason.to_string(),
        }]
    };
    if path.is_dir() {
        let mut all = Vec::new();
        walk(path, &mut |found| all.push(found));
        return match all.is_empty() {
            true => nothing("the folder has no files"),
            false => all,
        };
    }
    if path.exists() {
        return vec![Found::File(path.to_owned())];
    }
    if !text.contains(['*', '?', '{', '[']) {
        return nothing("there is no such file or folder");
    }
    let matcher = match GlobBuilder::new(text).literal_separator(true).build() {
        Ok(glob) => glob.compile_matcher(),
        Err(error) => return nothing(&format!("it is no path that is there, and no pattern: {error}")),
    };
    matching(text, &matcher).unwrap_or_else(|| nothing("no file fits the pattern"))
}

/// The files that fit a pattern; none where there are none.
fn matching(text: &str, matcher: &GlobMatcher) -> Option<Vec<Found>> {
    // The folders before the first special sign are walked, so that `photos/*.jpg` looks nowhere
    // else.
    let fixed: PathBuf = Path::new(text)
        .components()
        .take_while(|part| match part {
            Component::Normal(name) => !name.to_string_lossy().contains(['*', '?', '{', '[']),
            _ => true,
        })
        .collect();
    let root = match fixed.as_os_str().is_empty() {
        true => Path::new("."),
        false => &fixed,
    };
    let mut all = Vec::new();
    walk(root, &mut |found| match &found {
        Found::File(path) => {
            let shown = path.strip_prefix("./").unwrap_or(path);
            if matcher.is_match(shown) || matcher.is_match(path) {
                all.push(Found::File(shown.to_owned()));
            }
        }
        Found::Nothing { .. } => all.push(found),
    });
    (!all.is_empty()).then_some(all)
}

/// Every file below a folder in order of names, links to folders not followed: they may lead
/// back.
fn walk(folder: &Path, each: &mut dyn FnMut(Found)) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return each(Found::Nothing {
                path: folder.to_owned(),
                reason: format!("the folder can't be read: {error}"),
            });
        }
    };
    let mut entries: Vec<std::fs::DirEntry> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match is_folder {
            true => walk(&path, each),
            // A link to nothing is told when it is opened, as any file that can't be read.
            false if path.is_file() || !path.exists() => each(Found::File(path)),
            false => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_patterns_give_each_file_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("a/deep")).unwrap();
        std::fs::create_dir_all(at("empty")).unwrap();
        for name in ["a/2.jpg", "a/1.png", "a/deep/3.jpg", "a/.hidden", "b[1].jpg"] {
            std::fs::write(at(name), name).unwrap();
        }
        let asked = |names: &[&str]| -> Vec<String> {
            let all: Vec<String> = names
                .iter()
                .map(|name| at(name).to_string_lossy().into_owned())
                .collect();
            let short = |path: &Path| {
                path.strip_prefix(folder.path())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            };
            found(&all)
                .iter()
                .map(|found| match found {
                    Found::File(path) => short(path),
                    Found::Nothing { path, reason } => format!("{}: {reason}", short(path)),
                })
                .collect()
        };
        assert_eq!(asked(&["a"]), ["a/1.png", "a/2.jpg", "a/deep/3.jpg"]);
        assert_eq!(asked(&["a/2.jpg", "a"]), ["a/2.jpg", "a/1.png", "a/deep/3.jpg"]);
        assert_eq!(asked(&["a/*.jpg"]), ["a/2.jpg"]);
        assert_eq!(asked(&["**/*.jpg"]), ["a/2.jpg", "a/deep/3.jpg", "b[1].jpg"]);
        assert_eq!(asked(&["a/*.{png,jpg}"]), ["a/1.png", "a/2.jpg"]);
        assert_eq!(asked(&["b[1].jpg"]), ["b[1].jpg"]);
        let refused = asked(&["gone.jpg", "empty", "a/*.gif", "a/[.gif"]);
        assert!(refused[0].contains("no such file"), "{refused:?}");
        assert!(refused[1].contains("no files"), "{refused:?}");
        assert!(refused[2].contains("no file fits"), "{refused:?}");
        assert!(refused[3].contains("no pattern"), "{refused:?}");
        // A link to nothing is a file that can't be opened later; one to a folder is not followed.
        std::fs::create_dir_all(at("linked")).unwrap();
        std::os::unix::fs::symlink(at("gone.jpg"), at("linked/lost.jpg")).unwrap();
        std::os::unix::fs::symlink(at("a"), at("linked/back")).unwrap();
        assert_eq!(asked(&["linked"]), ["linked/lost.jpg"]);
        assert_eq!(asked(&["linked/*.jpg"]), ["linked/lost.jpg"]);
        assert!(asked(&["linked/*.png"])[0].contains("no file fits"));
    }
}
