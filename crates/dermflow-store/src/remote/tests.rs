use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dermflow_core::{BlobRef, Digest, Record};
use tempfile::TempDir;

use super::*;
use crate::testing::{key, record, record_after, store};

const PUSHES: RemoteUse = RemoteUse {
    push: true,
    create: true,
};

/// A store of one of a team, behind which the shared one lies.
fn member(shared: &Path) -> (TempDir, Store) {
    let (folder, store) = store();
    let store = store.with_remote(shared, PUSHES);
    (folder, store)
}

fn shared() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared");
    (folder, path)
}

fn put_and_share(store: &Store, record: &Record) -> Pushed {
    store.put_record(record).unwrap();
    store.share(&record.manifest.key().unwrap(), record);
    store.finish_sharing(&|| false)
}

fn blob_of(record: &Record) -> BlobRef {
    record.outputs["model"].blobs()[0]
}

/// Bytes that anybody may have put in the place of a file.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn messages(store: &Store) -> String {
    let notes = store.take_remote_notes().into_iter();
    notes.map(|note| note.message + "\n").collect()
}

#[test]
fn what_one_makes_another_has_and_blobs_come_when_they_are_read() {
    let (_shared, shared) = shared();
    let ((_one, one), (_other, other)) = (member(&shared), member(&shared));
    assert!(messages(&one).contains("made a new shared store"));
    assert_eq!(messages(&other), "");
    let made = record(&one, 1, b"weights");
    assert!(one.is_unshared(&key(1)));
    assert_eq!(put_and_share(&one, &made), Pushed { records: 1, bytes: 7 });
    assert!(!one.is_unshared(&key(1)));

    let blob = blob_of(&made);
    assert_eq!(other.get_record(&key(1)).unwrap(), Some(made.clone()));
    assert!(other.is_complete(&made) && other.is_elsewhere([blob]) && !other.has_own_blob(&blob));
    assert_eq!(other.read_blob(&blob).unwrap(), b"weights");
    assert!(!other.is_elsewhere([blob]) && other.has_own_blob(&blob));
    // It is filed here, too, and nothing goes back.
    other.share(&key(1), &made);
    assert_eq!(other.finish_sharing(&|| false), Pushed::default());
    let alone = Store::open(other.root()).unwrap();
    assert_eq!(alone.get_record(&key(1)).unwrap(), Some(made));
    assert_eq!(messages(&one) + &messages(&other), "");
}

#[test]
fn a_record_without_all_its_blobs_is_not_taken() {
    let (_shared, shared) = shared();
    let ((_one, one), (_other, other)) = (member(&shared), member(&shared));
    let made = record(&one, 1, b"weights");
    put_and_share(&one, &made);
    let far = Store::open(&shared).unwrap();
    fs::remove_file(far.blob_path(&blob_of(&made)).unwrap()).unwrap();
    assert_eq!(other.get_record(&key(1)).unwrap(), None);
    assert_eq!(Store::open(other.root()).unwrap().records().count(), 0);
}

#[test]
fn a_damaged_blob_of_the_remote_is_not_believed_and_is_healed_by_who_makes_it_again() {
    let (_shared, shared) = shared();
    let ((_one, one), (_other, other)) = (member(&shared), member(&shared));
    let made = record(&one, 1, b"weights");
    put_and_share(&one, &made);
    let (blob, far) = (blob_of(&made), Store::open(&shared).unwrap());
    overwrite(&far.blob_path(&blob).unwrap(), b"wEights");

    assert_eq!(other.get_record(&key(1)).unwrap(), Some(made.clone()));
    let error = other.read_blob(&blob).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(messages(&other).contains("not believed"));
    assert!(!other.is_complete(&made) && !other.has_blob(&blob));
    // What happens then: the action runs again.
    other.invalidate_record(&key(1), "incomplete");
    assert_eq!(other.get_record(&key(1)).unwrap(), None);
    let again = record(&other, 1, b"weights");
    assert_eq!(put_and_share(&other, &again).bytes, 7);
    let far = Store::open(&shared).unwrap();
    assert_eq!(far.read_blob(&blob).unwrap(), b"weights");
}

#[test]
fn a_damaged_blob_here_is_not_pushed() {
    let (_shared, shared) = shared();
    let (_one, one) = member(&shared);
    let made = record(&one, 1, b"weights");
    one.put_record(&made).unwrap();
    overwrite(&one.blob_path(&blob_of(&made)).unwrap(), b"wEights");
    one.share(&key(1), &made);
    assert_eq!(one.finish_sharing(&|| false), Pushed::default());
    let far = Store::open(&shared).unwrap();
    assert!(far.records().count() == 0 && !far.has_blob(&blob_of(&made)));
    assert!(crate::find::names_in(&shared.join("tmp")).is_empty());
}

#[test]
fn another_result_of_the_same_action_is_told_and_each_keeps_its_own() {
    let (_shared, shared) = shared();
    let ((_one, one), (_other, other)) = (member(&shared), member(&shared));
    let (first, second) = (record(&one, 1, b"first"), record(&other, 1, b"second"));
    other.put_record(&second).unwrap();
    put_and_share(&one, &first);
    put_and_share(&other, &second);
    assert!(messages(&other).contains("not deterministic"));
    let far = Store::open(&shared).unwrap();
    assert_eq!(far.get_record(&key(1)).unwrap(), Some(first));
    assert_eq!(other.get_record(&key(1)).unwrap(), Some(second));
}

#[test]
fn many_push_at_once_and_all_of_it_is_whole() {
    let (_shared, shared) = shared();
    // Made once, so that eight don't argue about it.
    drop(member(&shared));
    std::thread::scope(|scope| {
        for member_number in 0..4i128 {
            let shared = &shared;
            scope.spawn(move || {
                let (_folder, store) = member(shared);
                for number in 0..20 {
                    // Half of all actions are the same for everybody.
                    let number = if number % 2 == 0 {
                        number
                    } else {
                        number + 100 * member_number
                    };
                    let made = record(&store, number, format!("result {number}").as_bytes());
                    store.put_record(&made).unwrap();
                    store.share(&key(number), &made);
                }
                store.finish_sharing(&|| false);
                assert_eq!(messages(&store), "");
            });
        }
    });
    let far = Store::open(&shared).unwrap();
    assert_eq!(far.records().count(), 10 + 4 * 10);
    for key in far.records() {
        let record = far.get_record(&key).unwrap().unwrap();
        assert!(far.is_complete(&record));
        far.read_blob(&blob_of(&record)).unwrap();
    }
    assert!(crate::find::names_in(&shared.join("tmp")).is_empty());
}

#[test]
fn partitions_go_with_their_map_and_families_are_found() {
    let (_shared, shared) = shared();
    let ((_one, one), (_other, other)) = (member(&shared), member(&shared));
    let part = record(&one, 1, b"rows");
    let mut whole = record_after(&one, 2, b"table", key(7));
    whole.making.partitions = vec![key(1)];
    one.put_record(&part).unwrap();
    let family = Digest::of(b"family");
    one.set_family(&family, &key(2)).unwrap();
    one.share_family(&family, &key(2));
    assert_eq!(put_and_share(&one, &whole).records, 2);
    assert_eq!(other.get_family(&family), Some(key(2)));
    assert_eq!(other.get_record(&key(1)).unwrap(), Some(part));
}

#[test]
fn a_push_that_nobody_waits_for_is_made_up_for_later() {
    let (_shared, shared) = shared();
    let (_one, one) = member(&shared);
    let made = record(&one, 1, b"weights");
    one.put_record(&made).unwrap();
    // Half of a push that was killed: a blob, and a file on its way.
    let far = Store::open(&shared).unwrap();
    far.put_bytes(b"weights").unwrap();
    fs::create_dir_all(shared.join("tmp")).unwrap();
    fs::write(shared.join("tmp/half"), b"wei").unwrap();
    assert_eq!(far.records().count(), 0);
    assert_eq!(put_and_share(&one, &made), Pushed { records: 1, bytes: 0 });
}

#[test]
fn a_remote_that_cannot_be_used_is_told_and_the_store_works_without() {
    let (folder, shared) = shared();
    let refused = |shared: &Path, what: &str| {
        let (_folder, store) = member(shared);
        let said = messages(&store);
        assert!(said.contains("is not used") && said.contains(what), "{said}");
        assert_eq!(store.remote_path(), None);
        assert_eq!(put_and_share(&store, &record(&store, 1, b"x")), Pushed::default());
        assert!(store.get_record(&key(1)).unwrap().is_some());
        assert_eq!(store.get_record(&key(2)).unwrap(), None);
    };
    refused(&folder.path().join("not/mounted"), "No such file");
    assert!(!folder.path().join("not").exists());
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("thesis.txt"), "years of work").unwrap();
    refused(&shared, "holds other things");
    fs::remove_file(shared.join("thesis.txt")).unwrap();
    fs::write(shared.join("format"), "dermflow store 2\n").unwrap();
    refused(&shared, "dermflow store 2");
    fs::write(folder.path().join("file"), "").unwrap();
    refused(&folder.path().join("file"), "");
    let (_own, own) = store();
    let behind_itself = own.with_remote(own.root(), PUSHES);
    assert!(messages(&behind_itself).contains("the store itself"));
}

#[test]
fn a_remote_that_cannot_be_written_is_told_once_and_still_read() {
    let (_shared, shared) = shared();
    let (_one, one) = member(&shared);
    put_and_share(&one, &record(&one, 1, b"weights"));
    // No file can be begun: as on a full or read-only share, but for everybody, root as well.
    fs::remove_dir(shared.join("tmp")).unwrap();
    fs::write(shared.join("tmp"), "").unwrap();
    let (_other, other) = member(&shared);
    for number in 2..5 {
        put_and_share(&other, &record(&other, number, b"mine"));
    }
    let said = messages(&other);
    assert_eq!(said.matches("nothing more is pushed").count(), 1, "{said}");
    let taken = other.get_record(&key(1)).unwrap().unwrap();
    assert_eq!(other.read_blob(&blob_of(&taken)).unwrap(), b"weights");
    assert!(!other.is_unshared(&key(2)), "it would be tried again and again");
    // Another run finds it writable again.
    fs::remove_file(shared.join("tmp")).unwrap();
    let other = Store::open(other.root()).unwrap().with_remote(&shared, PUSHES);
    assert!(other.is_unshared(&key(2)));
    let made = other.get_record(&key(2)).unwrap().unwrap();
    assert_eq!(put_and_share(&other, &made), Pushed { records: 1, bytes: 4 });
}

#[test]
fn a_hostile_record_of_the_remote_is_refused() {
    let (_shared, shared) = shared();
    let ((_one, one), (_other, other)) = (member(&shared), member(&shared));
    let made = record(&one, 1, b"weights");
    put_and_share(&one, &made);
    // The record of another action, in the place of one that is asked for.
    let path = |number| {
        let hex = key(number).hex();
        shared
            .join("actions")
            .join(&hex[..2])
            .join(format!("{}.json", &hex[2..]))
    };
    fs::create_dir_all(path(2).parent().unwrap()).unwrap();
    fs::copy(path(1), path(2)).unwrap();
    assert_eq!(other.get_record(&key(2)).unwrap(), None);
    fs::write(path(2), "{\"manifest\": [").unwrap();
    assert_eq!(other.get_record(&key(2)).unwrap(), None);
}
