//! What is damaged, hostile or fits no table.

use super::*;

#[test]
fn schemas_that_no_table_can_have_are_refused() {
    let (_folder, store) = store();
    let id = || Field::new("sample_id", DataType::FixedSizeBinary(32), false);
    let wrong = [
        (vec![], "sample_id"),
        (vec![Field::new("a", DataType::Int64, false), id()], "sample_id"),
        (
            vec![Field::new("sample_id", DataType::FixedSizeBinary(32), true)],
            "never null",
        ),
        (
            vec![id(), Field::new("a", DataType::Int32, false)],
            "`a` is Int32",
        ),
        (
            vec![
                id(),
                Field::new("a", DataType::Int64, false),
                Field::new("a", DataType::Utf8, false),
            ],
            "twice",
        ),
    ];
    for (fields, expected) in wrong {
        let error = TableWriter::new(&store, "Table", Arc::new(Schema::new(fields)))
            .err()
            .unwrap();
        assert!(error.message().contains(expected), "{error}");
    }
}

#[test]
fn batches_that_do_not_fit_the_table_are_refused() {
    let (_folder, store) = store();
    let numbers = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let good = batch(&["a"], [("n", numbers(vec![Some(1)]))]);
    let mut writer = TableWriter::new(&store, "Table", good.schema()).unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    for (wrong, expected) in [
        (batch(&["a"], [("m", numbers(vec![Some(1)]))]), "\"m\""),
        (batch(&["a"], [("n", texts)]), "Utf8"),
        (batch(&["a"], [("n", numbers(vec![None]))]), "n"),
    ] {
        let error = writer.write(&wrong).unwrap_err();
        assert!(error.message().contains(expected), "{error}");
    }
    writer.write(&good).unwrap();
    assert_eq!(writer.finish().unwrap().rows, 1);
}

/// A blob that really lies in the store, under a manifest that lies about it.
#[test]
fn a_manifest_that_lies_about_its_blobs_is_found_out() {
    let (_folder, store) = store();
    let whole = write(&store, &[batch(&["a", "b", "c"], [])], 1 << 30);
    let with = |change: &dyn Fn(&mut Partition)| {
        let mut table = whole.clone();
        change(&mut table.partitions[0]);
        TableManifest::new("Table", table.columns, table.partitions)
    };
    let other = write(&store, &[all_types()], 1 << 30).partitions[0].blob;
    let garbage: Vec<BlobRef> = [&b"PAR1"[..], b"", b"PAR1\xff\xff\xff\x7fPAR1", &[b'P'; 5000]]
        .map(|bytes| store.put_bytes(bytes).unwrap())
        .to_vec();
    let mut lies = vec![
        with(&|partition| partition.rows = 2),
        with(&|partition| partition.rows = u64::MAX),
        with(&|partition| partition.first = SampleId::MIN),
        with(&|partition| partition.last = SampleId::from_bytes([255; 32])),
        with(&|partition| partition.blob = other),
    ];
    lies.extend(
        garbage
            .iter()
            .map(|blob| with(&|partition| partition.blob = *blob)),
    );
    for (number, table) in lies.iter().enumerate() {
        let mut reader = TableReader::open(&store, table, None).unwrap();
        let error = reader
            .find_map(Result::err)
            .unwrap_or_else(|| panic!("lie {number} was believed"));
        assert!(error.message.contains("does not hold"), "{error}");
        assert!(reader.next().is_none());
    }
}

#[test]
fn a_sink_that_is_full_is_told_by_its_path() {
    let (_folder, store) = store();
    let table = write(&store, &[all_types()], 1 << 30);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = concatenate(&store, &table, full, Path::new("/results/x.parquet"))
        .err()
        .unwrap();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.message().contains("/results/x.parquet"), "{error}");
}

/// Bytes flipped in a Parquet file that is filed under its new hash: only the decoder is left
/// to notice, and it must neither panic nor give rows that can't be.
#[test]
fn hostile_parquet_is_an_error_or_fits_the_manifest() {
    let (_folder, store) = store();
    let table = write(&store, &[all_types()], 1 << 30);
    let bytes = store.read_blob(&table.partitions[0].blob).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        let mut partitions = table.partitions.clone();
        partitions[0].blob = store.put_bytes(&flipped).unwrap();
        let hostile = TableManifest::new("Table", table.columns.clone(), partitions);
        for batch in TableReader::open(&store, &hostile, None).unwrap() {
            let Ok(batch) = batch else { break };
            assert_eq!(columns_of(&batch.schema()).unwrap(), table.columns);
        }
        // Nothing of the rows is looked at here; what can't be copied is told.
        if let Err(error) = concatenate(&store, &hostile, Vec::new(), Path::new("x")) {
            assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
        }
    }
}

#[test]
fn a_damaged_partition_is_told_as_such() {
    let (_folder, store) = store();
    let table = write(&store, &[batch(&["a"], [])], 1 << 30);
    let blob = table.partitions[0].blob;
    let path = store.blob_path(&blob).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, "x").unwrap();
    let store = Store::open(store.root()).unwrap();
    let mut reader = TableReader::open(&store, &table, None).unwrap();
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.cause, dermflow_core::Cause::DamagedBlob(blob.digest));
}

#[test]
fn samples_out_of_order_are_refused() {
    let (_folder, store) = store();
    let table = write(&store, &[batch(&["a"], [])], 1 << 30);
    let ids = [SampleId::from_bytes([1; 32]), SampleId::MIN];
    assert!(matches!(
        take_samples(&store, &table, &ids, None),
        Err(StoreError::Invalid { .. })
    ));
}
