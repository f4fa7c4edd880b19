use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use dermflow_core::{BlobRef, Cause, Digest, StageError};

use crate::testing::store;
use crate::{Store, StoreError};

/// Another process's view: nothing that this one wrote or verified is trusted.
fn afresh(store: &Store) -> Store {
    Store::open_existing(store.root()).unwrap()
}

fn names(store: &Store, folder: &str) -> Vec<String> {
    crate::find::names_in(&store.root().join(folder))
}

#[test]
fn bytes_come_back_under_their_plain_blake3_read_only() {
    let (_folder, store) = store();
    for size in [0, 1, 100_000, 200_000, 5_000_000] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let blob = store.put_bytes(&bytes).unwrap();
        assert_eq!(blob.digest, Digest::of(&bytes));
        let path = afresh(&store).blob_path(&blob).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
    }
    assert!(names(&store, "tmp").is_empty());
}

#[test]
fn a_copied_file_stays_and_an_adopted_one_goes() {
    let (folder, store) = store();
    let bytes = vec![7; 3_000_000];
    let outside = folder.path().join("outside");
    fs::write(&outside, &bytes).unwrap();
    let copied = store.put_file(&outside).unwrap();
    assert!(outside.exists());
    let inside = store.root().join("tmp").join("inside");
    fs::write(&inside, b"adopted").unwrap();
    let adopted = store.adopt_file(inside.clone()).unwrap();
    assert!(!inside.exists());
    assert_eq!(afresh(&store).read_blob(&copied).unwrap(), bytes);
    assert_eq!(afresh(&store).read_blob(&adopted).unwrap(), b"adopted");
}

#[test]
fn a_file_with_a_second_name_is_copied_so_that_nobody_can_write_through_it() {
    let (folder, store) = store();
    store.put_bytes(b"makes tmp").unwrap();
    let (inside, other) = (
        store.root().join("tmp").join("inside"),
        folder.path().join("other"),
    );
    fs::write(&inside, b"adopted").unwrap();
    fs::hard_link(&inside, &other).unwrap();
    let blob = store.adopt_file(inside).unwrap();
    fs::write(&other, b"changed").unwrap();
    assert_eq!(afresh(&store).read_blob(&blob).unwrap(), b"adopted");
}

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let (_folder, store) = store();
    let mut writer = store.blob_writer();
    writer.write_all(&vec![1; 1 << 20]).unwrap();
    assert_eq!(names(&store, "tmp").len(), 1);
    drop(writer);
    assert!(names(&store, "tmp").is_empty());
    assert!(names(&store, "blobs").is_empty());
}

#[test]
fn links_folders_and_pipes_are_not_put() {
    let (folder, store) = store();
    assert!(matches!(
        store.put_file(folder.path()),
        Err(StoreError::Invalid { .. })
    ));
    let error = store.put_file(&folder.path().join("missing")).unwrap_err();
    assert!(error.message().contains("missing"), "{error}");
}

/// Every way in which a blob can be hurt, and what its message says.
#[test]
fn damage_is_found_set_aside_and_healed() {
    type Hurt = fn(&std::path::Path);
    let ways: [(&str, Hurt); 6] = [
        ("bytes, not", |path| fs::write(path, b"short").unwrap()),
        ("other bytes", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[500] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("missing", |path| fs::remove_file(path).unwrap()),
        ("a link", |path| {
            let elsewhere = path.with_extension("moved");
            fs::rename(path, &elsewhere).unwrap();
            symlink(elsewhere, path).unwrap();
        }),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("bytes, not", |path| fs::write(path, b"").unwrap()),
    ];
    for (number, (expected, hurt)) in ways.into_iter().enumerate() {
        let (_folder, store) = store();
        let bytes = [number as u8; 1000];
        let blob = store.put_bytes(&bytes).unwrap();
        let path = store.blob_path(&blob).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        hurt(&path);

        let store = afresh(&store);
        let error = store.blob_path(&blob).unwrap_err();
        let StoreError::Damaged { reason, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(reason.contains(expected), "{reason}");
        let cause = StageError::from(error.clone()).cause;
        assert_eq!(cause, Cause::DamagedBlob(blob.digest));
        assert!(fs::symlink_metadata(&path).is_err(), "it still lies there");
        if expected != "missing" {
            let aside = names(&store, "damaged");
            assert_eq!(aside.len(), 2, "{aside:?}");
            assert!(aside[1].ends_with(".reason"));
        }
        assert!(!store.has_blob(&blob));
        assert_eq!(store.put_bytes(&bytes).unwrap(), blob);
        assert_eq!(afresh(&store).read_blob(&blob).unwrap(), bytes);
    }
}

#[test]
fn putting_the_bytes_again_heals_damage_that_nobody_met() {
    let (_folder, store) = store();
    let blob = store.put_bytes(b"whole").unwrap();
    let path = store.blob_path(&blob).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, b"whale").unwrap();
    let store = afresh(&store);
    store.put_bytes(b"whole").unwrap();
    assert_eq!(afresh(&store).read_blob(&blob).unwrap(), b"whole");
}

#[test]
fn a_blob_that_claims_an_absurd_size_is_simply_not_there() {
    let (_folder, store) = store();
    let blob = store.put_bytes(b"x").unwrap();
    let absurd = BlobRef {
        bytes: u64::MAX,
        ..blob
    };
    assert!(!store.has_blob(&absurd));
    assert!(matches!(
        store.blob_path(&absurd),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn threads_that_put_the_same_bytes_agree() {
    let (_folder, store) = store();
    let blobs: Vec<BlobRef> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| store.put_bytes(&vec![3; 300_000]).unwrap()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(blobs.iter().all(|blob| *blob == blobs[0]));
    assert!(names(&store, "tmp").is_empty());
    afresh(&store).blob_path(&blobs[0]).unwrap();
}
