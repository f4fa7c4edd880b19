//! A store on a disk that fills up. Needs the right to mount a small tmpfs; says so and passes
//! where there is none.

mod common;

use std::path::Path;

use dermflow_store::{Store, StoreError};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A mounted tmpfs, unmounted whatever happens.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(format!("size={bytes}")).unwrap();
        match mount(
            "tmpfs",
            folder.path(),
            "tmpfs",
            MountFlags::empty(),
            options.as_c_str(),
        ) {
            Ok(()) => Some(SmallDisk(folder)),
            Err(error) => {
                eprintln!("skipped: mounting a tmpfs is not permitted here ({error})");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}

/// Commits actions until the disk is full; the error, and how many records were acknowledged.
fn fill(store: &Store) -> (StoreError, usize) {
    for number in 0.. {
        let put = common::act(store, number, 200).and_then(|record| store.put_record(&record));
        if let Err(error) = put {
            return (error, number as usize);
        }
    }
    unreachable!("the disk is small")
}

#[test]
fn a_full_disk_is_told_and_costs_no_result_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount(4 << 20) else {
        return;
    };
    let root = disk.path().join("store");
    let store = Store::open(&root).unwrap();
    let (error, acknowledged) = fill(&store);
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("are free"), "{error}");
    assert!(error.to_string().contains("dermflow gc"), "{error}");
    assert!(acknowledged >= 3, "{acknowledged}");
    drop(store);
    assert_eq!(common::assert_tells_the_truth(&root), acknowledged);
    assert_eq!(
        std::fs::read_dir(root.join("tmp")).unwrap().count(),
        0,
        "half-written files stayed"
    );
}

#[test]
fn every_way_of_writing_tells_that_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount(1 << 20) else {
        return;
    };
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), vec![1; 3 << 20]).unwrap();
    let store = Store::open(disk.path().join("store")).unwrap();
    let full = |error: StoreError| assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    full(store.put_bytes(&vec![7; 2 << 20]).unwrap_err());
    full(store.put_file(outside.path()).unwrap_err());
    // There is room again, since nothing half-written stayed.
    let blob = store.put_bytes(&vec![7; 400 << 10]).unwrap();
    full(common::table(&store, 1, 60_000).unwrap_err());
    // Whole partitions of the failed table are left, which no record names: a clean-up helps
    // even where there is no room at all.
    let done = dermflow_store::gc::plan(&store, Default::default())
        .unwrap()
        .apply()
        .unwrap();
    assert!(
        done.blobs.contains(&blob) && done.bytes > 500 << 10,
        "{}",
        done.bytes
    );
    store.put_bytes(&vec![7; 700 << 10]).unwrap();
}
