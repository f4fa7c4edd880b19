use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dermflow_core::{Cause, Digest, StageError};

use super::{SourceIndex, walk};
use crate::testing::store;
use crate::{Store, StoreError};

/// Long enough for a file's times to lie safely in the past.
fn settle() {
    std::thread::sleep(Duration::from_millis(120));
}

/// Digests the file through an index that is loaded and saved, and says whether it was read.
fn look(store: &Store, path: &Path) -> (Digest, bool) {
    let index = SourceIndex::load(store);
    let (digest, _) = index.digest_file(path).unwrap();
    let read = index.files_hashed() == 1;
    index.save().unwrap();
    (digest, read)
}

#[test]
fn an_unchanged_file_is_read_once() {
    let (folder, store) = store();
    let path = folder.path().join("a.csv");
    fs::write(&path, "one").unwrap();
    settle();
    assert_eq!(look(&store, &path), (Digest::of(b"one"), true));
    assert_eq!(look(&store, &path), (Digest::of(b"one"), false));
    let index = SourceIndex::load(&store).with_rehash(true);
    assert_eq!(index.digest_file(&path).unwrap(), (Digest::of(b"one"), 3));
    assert_eq!(index.files_hashed(), 1);
}

#[test]
fn a_file_that_was_only_just_written_is_not_trusted_yet() {
    let (folder, store) = store();
    let path = folder.path().join("a.csv");
    fs::write(&path, "one").unwrap();
    assert!(look(&store, &path).1);
    // Racy: an edit within the clock's tick could have left the same times.
    assert!(look(&store, &path).1);
    settle();
    assert!(look(&store, &path).1);
    assert!(!look(&store, &path).1);
}

#[test]
fn an_edit_of_the_same_size_with_its_time_restored_is_seen() {
    let (folder, store) = store();
    let path = folder.path().join("a.csv");
    fs::write(&path, "one").unwrap();
    settle();
    look(&store, &path);
    assert!(!look(&store, &path).1);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "two").unwrap();
    let times = FileTimes::new().set_modified(modified);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
    assert_eq!(look(&store, &path), (Digest::of(b"two"), true));
}

#[test]
fn a_file_put_in_anothers_place_is_seen() {
    let (folder, store) = store();
    let (path, other) = (folder.path().join("a"), folder.path().join("b"));
    let past = SystemTime::now() - Duration::from_secs(1000);
    for (path, text) in [(&path, "one"), (&other, "two")] {
        fs::write(path, text).unwrap();
        let times = FileTimes::new().set_modified(past);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_times(times)
            .unwrap();
    }
    settle();
    look(&store, &path);
    fs::rename(&other, &path).unwrap();
    assert_eq!(look(&store, &path), (Digest::of(b"two"), true));
}

#[test]
fn a_file_with_a_time_in_the_future_is_never_trusted() {
    let (folder, store) = store();
    let path = folder.path().join("a");
    fs::write(&path, "one").unwrap();
    let times = FileTimes::new().set_modified(SystemTime::now() + Duration::from_secs(1000));
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    settle();
    assert!(look(&store, &path).1);
    assert!(look(&store, &path).1);
}

/// A file that is written all the while: each digest given is one of a state that it had.
#[test]
fn a_file_that_is_edited_while_it_is_hashed_is_refused_or_right() {
    let (folder, store) = store();
    let path = folder.path().join("large");
    let content = |letter: u8| vec![letter; 24 << 20];
    fs::write(&path, content(b'a')).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let results: Vec<Result<(Digest, u64), StoreError>> = std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::os::unix::fs::FileExt;
            let file = File::options().write(true).open(&path).unwrap();
            let mut at = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                at = (at + 4097) % (24 << 20);
                file.write_at(b"b", at as u64).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let index = SourceIndex::load(&store);
        let results = (0..3).map(|_| index.digest_file(&path)).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        results
    });
    let refused = results.iter().filter(|result| result.is_err()).count();
    assert!(refused > 0, "24 MiB were hashed within a millisecond");
    for result in results {
        if let Err(error) = result {
            assert!(error.message().contains("large"), "{error}");
            assert_eq!(StageError::from(error).cause, Cause::SourceChanged);
        }
    }
    assert_eq!(look(&store, &path).0, Digest::of(&fs::read(&path).unwrap()));
}

#[test]
fn many_files_come_in_order_and_the_first_error_counts() {
    let (folder, store) = store();
    let mut paths: Vec<PathBuf> = (0..200)
        .map(|number| folder.path().join(format!("{number}")))
        .collect();
    for (number, path) in paths.iter().enumerate() {
        fs::write(path, format!("{number}")).unwrap();
    }
    let index = SourceIndex::load(&store);
    let digests = index.digest_files(&paths).unwrap();
    for (number, (digest, _)) in digests.iter().enumerate() {
        assert_eq!(*digest, Digest::of(format!("{number}").as_bytes()));
    }
    fs::remove_file(&paths[70]).unwrap();
    paths.push(folder.path().to_path_buf());
    let error = index.digest_files(&paths).unwrap_err();
    assert!(error.message().contains("/70"), "{error}");
}

#[test]
fn two_processes_do_not_lose_each_others_entries() {
    let (folder, store) = store();
    let paths = [folder.path().join("a"), folder.path().join("b")];
    paths.iter().for_each(|path| fs::write(path, "x").unwrap());
    settle();
    let indexes = [SourceIndex::load(&store), SourceIndex::load(&store)];
    for (index, path) in indexes.iter().zip(&paths) {
        index.digest_file(path).unwrap();
    }
    indexes.iter().for_each(|index| index.save().unwrap());
    assert!(!look(&store, &paths[0]).1);
    assert!(!look(&store, &paths[1]).1);
    fs::remove_file(&paths[0]).unwrap();
    assert_eq!(super::forget_missing(store.disk()).unwrap(), 1);
    assert!(!look(&store, &paths[1]).1);
}

#[test]
fn a_damaged_index_is_an_empty_one() {
    let (folder, store) = store();
    let path = folder.path().join("a");
    fs::write(&path, "x").unwrap();
    settle();
    look(&store, &path);
    fs::write(store.root().join("sources"), "nonsense").unwrap();
    assert!(look(&store, &path).1);
    assert!(!look(&store, &path).1);
}

#[test]
fn what_is_no_file_is_refused_with_its_name() {
    let (folder, store) = store();
    let index = SourceIndex::load(&store);
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    for (path, expected) in [
        (folder.path(), "a folder"),
        (&pipe, "a pipe"),
        (Path::new("/dev/null"), "a device"),
    ] {
        let message = index.digest_file(path).unwrap_err().message();
        assert!(
            message.contains(expected) && message.contains(path.to_str().unwrap()),
            "{message}"
        );
    }
}

fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from_bits_truncate(0o644), 0).unwrap();
}

fn tree(folder: &Path, paths: &[&str]) {
    for path in paths {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
}

#[test]
fn a_walk_is_sorted_and_keeps_to_its_patterns() {
    let folder = tempfile::tempdir().unwrap();
    tree(
        folder.path(),
        &[
            "b.png",
            "a/c.png",
            "a/d.jpg",
            "a/e/f.png",
            "a.txt",
            ".dermflow/format",
        ],
    );
    let walk = |patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        walk(folder.path(), &patterns).unwrap()
    };
    assert_eq!(walk(&[]), ["a.txt", "a/c.png", "a/d.jpg", "a/e/f.png", "b.png"]);
    assert_eq!(walk(&["*.png"]), ["b.png"]);
    assert_eq!(walk(&["**/*.png"]), ["a/c.png", "a/e/f.png", "b.png"]);
    assert_eq!(walk(&["a/*.{png,jpg}"]), ["a/c.png", "a/d.jpg"]);
    assert_eq!(walk(&["?.txt", "b.*"]), ["a.txt", "b.png"]);
    assert_eq!(walk(&["nothing"]), [""; 0]);
}

#[test]
fn a_walk_follows_links_and_refuses_circles() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    tree(elsewhere.path(), &["x.png"]);
    tree(folder.path(), &["a/b.png"]);
    symlink(elsewhere.path(), folder.path().join("linked")).unwrap();
    symlink(elsewhere.path().join("x.png"), folder.path().join("y.png")).unwrap();
    assert_eq!(
        walk(folder.path(), &[]).unwrap(),
        ["a/b.png", "linked/x.png", "y.png"]
    );
    symlink(folder.path(), folder.path().join("a/circle")).unwrap();
    let message = walk(folder.path(), &[]).unwrap_err().message();
    assert!(message.contains("circle"), "{message}");
}

#[test]
fn a_walk_tells_of_names_links_and_pipes_that_it_can_not_take() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), &["a.png"]);
    fs::write(folder.path().join(OsStr::from_bytes(b"\xff.png")), "").unwrap();
    symlink("/nowhere/at/all", folder.path().join("dangling")).unwrap();
    symlink("round", folder.path().join("round")).unwrap();
    make_pipe(&folder.path().join("pipe"));
    let walk = |pattern: &str| walk(folder.path(), &[pattern.to_string()]);
    assert_eq!(walk("a*").unwrap(), ["a.png"]);
    for (pattern, expected) in [
        ("*.png", "\\xff.png"),
        ("pipe", "a pipe"),
        ("dang*", "dangling is a link that can't be followed"),
        ("round", "round is a link that can't be followed"),
        ("{a", "pattern"),
    ] {
        let error = walk(pattern).unwrap_err();
        let message = error.message();
        assert!(message.contains(expected), "{pattern}: {message}");
        assert!(error.help().is_some(), "{pattern}: {message}");
    }
    assert!(super::walk(&folder.path().join("missing"), &[]).is_err());
}
