use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Float32Array, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use dermflow_core::memory::{batch, sorted};
use dermflow_core::sample_ids;
use dermflow_core::{BlobRef, Partition, SampleId, TableManifest};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use proptest::prelude::*;

use super::assemble::assemble_within;
use super::columns::columns_of;
use super::cut::Limits;
use super::{TableReader, TableWriter, assemble, concatenate, take_samples};
use crate::testing::store;
use crate::{Store, StoreError};

/// Small enough that tests meet every border.
const LIMITS: Limits = Limits {
    bits: 3,
    rows: 20,
    bytes: 2000,
};

fn write(store: &Store, batches: &[RecordBatch], budget: u64) -> TableManifest {
    let mut writer = TableWriter::new(store, "Table", batches[0].schema())
        .unwrap()
        .with(budget, LIMITS);
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap()
}

fn read(store: &Store, table: &TableManifest) -> RecordBatch {
    let reader = TableReader::open(store, table, None).unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// Rows of `(id, number, text, note)`; ids are few, so that some stand several times.
fn rows(rows: &[(u16, i64, Option<String>)]) -> RecordBatch {
    let keys: Vec<String> = rows.iter().map(|row| row.0.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let numbers: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let texts: Vec<Option<&str>> = rows.iter().map(|row| row.2.as_deref()).collect();
    let lengths: Vec<usize> = numbers.iter().map(|number| (number % 3) as usize).collect();
    let elements = lengths.iter().flat_map(|length| (0..*length).map(|at| at as f32));
    let elements = Float32Array::from_iter_values(elements);
    let field = Arc::new(Field::new("item", DataType::Float32, false));
    let list = ListArray::new(
        field,
        OffsetBuffer::from_lengths(lengths),
        Arc::new(elements),
        None,
    );
    let made = batch(
        &keys,
        [
            ("number", Arc::new(Int64Array::from(numbers.clone())) as ArrayRef),
            ("text", Arc::new(StringArray::from(texts))),
            ("list", Arc::new(list)),
        ],
    );
    // One schema whether or not a batch has nulls.
    let mut fields: Vec<Field> = made
        .schema()
        .fields()
        .iter()
        .map(|field| (**field).clone())
        .collect();
    fields[2] = fields[2].clone().with_nullable(true);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), made.columns().to_vec()).unwrap()
}

fn some_rows(most: usize) -> impl Strategy<Value = Vec<(u16, i64, Option<String>)>> {
    let row = (0u16..120, 0i64..1000, proptest::option::of("[a-z]{0,40}"));
    proptest::collection::vec(row, 1..most)
}

/// The rows of a Parquet file, as any reader sees them.
fn read_file(parquet: Vec<u8>) -> RecordBatch {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    fs::write(&path, parquet).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(|batch| batch.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// Cuts rows into batches at these places.
fn cut(rows: &RecordBatch, places: &[usize]) -> Vec<RecordBatch> {
    let mut places: Vec<usize> = places.iter().map(|at| at % (rows.num_rows() + 1)).collect();
    places.extend([0, rows.num_rows()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| rows.slice(pair[0], pair[1] - pair[0]))
        .collect()
}

/// Whether partitions are as the design says: each id in one of them, borders where ids or
/// limits say so and nowhere else.
fn assert_canonical(table: &TableManifest, content: &RecordBatch) {
    table.validate().unwrap();
    let ids = content.column(0).as_fixed_size_binary();
    let mut at = 0;
    for (number, partition) in table.partitions.iter().enumerate() {
        let rows = partition.rows as usize;
        assert_eq!(ids.value(at), partition.first.as_bytes());
        assert_eq!(ids.value(at + rows - 1), partition.last.as_bytes());
        let ends = |row: usize| SampleId::from_bytes(ids.value(row).try_into().unwrap()).ends_partition(3);
        for row in at..at + rows - 1 {
            assert!(
                !ends(row) || ids.value(row) == ids.value(row + 1),
                "a border was missed"
            );
        }
        let capped = rows >= 20 || partition_bytes(&content.slice(at, rows)) >= 2000;
        let is_last = number + 1 == table.partitions.len();
        assert!(
            is_last || ends(at + rows - 1) || capped,
            "a border without a reason"
        );
        at += rows;
    }
    assert_eq!(at, content.num_rows());
}

fn partition_bytes(rows: &RecordBatch) -> u64 {
    super::columns::RowSizes::of(rows).total(rows.num_rows())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn partitions_are_a_function_of_content(
        content in some_rows(300),
        places in proptest::collection::vec(0usize..1000, 0..12),
        budget in prop_oneof![Just(100u64), Just(1500), Just(10_000), Just(1 << 30)],
    ) {
        let (_folder, store) = store();
        let content = rows(&content);
        let expected = sorted(&content).unwrap();
        let table = write(&store, &cut(&content, &places), budget);
        assert_canonical(&table, &expected);
        let back = read(&store, &table);
        prop_assert_eq!(back.columns(), expected.columns());
        // All at once, in order, gives the same to the byte.
        prop_assert_eq!(&table, &write(&store, std::slice::from_ref(&expected), 1 << 30));
        // And so it does in order but through partitions written early.
        prop_assert_eq!(&table, &write(&store, &cut(&expected, &places), budget));
        prop_assert!(crate::find::names_in(&store.root().join("tmp")).is_empty());
    }

    #[test]
    fn to_expect_order_changes_nothing(
        content in some_rows(200),
        places in proptest::collection::vec(0usize..1000, 0..12),
        sort in any::<bool>(),
    ) {
        let (_folder, store) = store();
        let content = match sort {
            true => sorted(&rows(&content)).unwrap(),
            false => rows(&content),
        };
        let mut writer = TableWriter::new(&store, "Table", content.schema())
            .unwrap()
            .with(1 << 30, LIMITS)
            .expecting_order();
        cut(&content, &places).iter().for_each(|batch| writer.write(batch).unwrap());
        prop_assert_eq!(writer.finish().unwrap(), write(&store, &[content], 1 << 30));
    }

    #[test]
    fn one_file_of_all_partitions_holds_all_rows(content in some_rows(200)) {
        let (_folder, store) = store();
        let content = sorted(&rows(&content)).unwrap();
        let table = write(&store, std::slice::from_ref(&content), 1 << 30);
        let back = read_file(concatenate(&store, &table, Vec::new(), Path::new("x")).unwrap());
        prop_assert_eq!(back.schema(), content.schema());
        prop_assert_eq!(back, content);
    }

    #[test]
    fn the_order_of_unique_ids_does_not_count(
        content in some_rows(200),
        shuffle in any::<u64>(),
        budget in prop_oneof![Just(500u64), Just(1 << 30)],
    ) {
        let (_folder, store) = store();
        let mut content = content;
        content.sort_by_key(|row| row.0);
        content.dedup_by_key(|row| row.0);
        let content = rows(&content);
        let mut order: Vec<u32> = (0..content.num_rows() as u32).collect();
        order.sort_by_key(|row| (u64::from(*row) + 1).wrapping_mul(shuffle | 1).rotate_left(17));
        let shuffled = take_record_batch(&content, &UInt32Array::from(order)).unwrap();
        let parts = cut(&shuffled, &[50, 100]);
        prop_assert_eq!(write(&store, &[content], 1 << 30), write(&store, &parts, budget));
    }

    #[test]
    fn a_table_assembled_from_pieces_is_the_table_written_at_once(
        content in some_rows(400),
        borders in proptest::collection::vec(0usize..400, 0..6),
    ) {
        let (_folder, store) = store();
        let whole = sorted(&rows(&content)).unwrap();
        let ids = whole.column(0).as_fixed_size_binary();
        // Pieces end where an id does.
        let borders: Vec<usize> = borders
            .iter()
            .map(|at| {
                let at = at % (whole.num_rows() + 1);
                (at..whole.num_rows())
                    .find(|row| *row == 0 || ids.value(*row) != ids.value(*row - 1))
                    .unwrap_or(whole.num_rows())
            })
            .collect();
        let pieces: Vec<TableManifest> = cut(&whole, &borders)
            .iter()
            .map(|piece| write(&store, std::slice::from_ref(piece), 1 << 30))
            .collect();
        let expected = write(&store, &[whole], 1 << 30);
        let assembled = assemble_within(&store, "Table", &expected.columns, &pieces, LIMITS).unwrap();
        prop_assert_eq!(assembled, expected);
    }

    #[test]
    fn the_rows_of_chosen_samples_are_those_that_a_filter_gives(
        content in some_rows(200),
        chosen in proptest::collection::btree_set(0u16..140, 0..60),
    ) {
        let (_folder, store) = store();
        let content = rows(&content);
        let table = write(&store, std::slice::from_ref(&content), 1 << 30);
        let mut ids: Vec<SampleId> = chosen.iter().map(|id| SampleId::of_key(&id.to_string())).collect();
        ids.sort_unstable();
        let taken = take_samples(&store, &table, &ids, None).unwrap();
        let promised = taken.rows();
        let schema = taken.schema();
        let batches: Vec<RecordBatch> = taken.map(|batch| batch.unwrap()).collect();
        let taken = concat_batches(&schema, &batches).unwrap();
        prop_assert_eq!(promised, taken.num_rows() as u64);
        let names = [table.columns[1].name.clone()];
        let some = take_samples(&store, &table, &ids, Some(&names)).unwrap();
        let batches: Vec<RecordBatch> = some.map(|batch| batch.unwrap()).collect();
        let projected = taken.project(&[0, 1]).unwrap();
        prop_assert_eq!(concat_batches(&projected.schema(), &batches).unwrap(), projected);

        let whole = read(&store, &table);
        let all = whole.column(0).as_fixed_size_binary();
        let wanted: Vec<u32> = (0..whole.num_rows() as u32)
            .filter(|row| {
                let id = SampleId::from_bytes(all.value(*row as usize).try_into().unwrap());
                ids.binary_search(&id).is_ok()
            })
            .collect();
        let expected = take_record_batch(&whole, &UInt32Array::from(wanted)).unwrap();
        prop_assert_eq!(taken, expected);
    }
}

#[test]
fn a_change_moves_only_the_partitions_it_falls_in() {
    let (_folder, store) = store();
    let many: Vec<(u16, i64, Option<String>)> = (0..2000).map(|id| (id, i64::from(id), None)).collect();
    let before = write(&store, &[rows(&many)], 1 << 30);
    let without: Vec<_> = many.iter().filter(|row| row.0 != 1234).cloned().collect();
    let after = write(&store, &[rows(&without)], 1 << 30);
    let same = after
        .partitions
        .iter()
        .filter(|partition| before.partitions.contains(partition))
        .count();
    assert!(before.partitions.len() > 100);
    assert!(
        same + 3 >= after.partitions.len(),
        "{same} of {}",
        after.partitions.len()
    );
}

#[test]
fn assembling_reads_no_partition_that_it_keeps() {
    let (_folder, store) = store();
    let many: Vec<(u16, i64, Option<String>)> = (0..500).map(|id| (id, i64::from(id), None)).collect();
    let whole = sorted(&rows(&many)).unwrap();
    let expected = write(&store, std::slice::from_ref(&whole), 1 << 30);
    let pieces = cut(&whole, &[250]);
    let pieces: Vec<TableManifest> = pieces
        .iter()
        .map(|piece| write(&store, std::slice::from_ref(piece), 1 << 30))
        .collect();
    // Only the partitions beside the seam may be touched: all others are taken away.
    let seam = pieces[0].partitions.len() - 1;
    let beside = [&pieces[0].partitions[seam], &pieces[1].partitions[0]];
    let all = pieces.iter().flat_map(|piece| &piece.partitions);
    for partition in all.filter(|partition| !beside.contains(partition)) {
        store.set_aside(&partition.blob, "for the test");
    }
    let assembled = assemble_within(&store, "Table", &expected.columns, &pieces, LIMITS).unwrap();
    assert_eq!(assembled, expected);
}

#[test]
fn pieces_that_overlap_or_have_other_columns_are_refused() {
    let (_folder, store) = store();
    let one = write(&store, &[batch(&["a", "b", "c"], [])], 1 << 30);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let other = write(&store, &[batch(&["d"], [("n", numbers)])], 1 << 30);
    let twice = assemble(&store, "Table", &one.columns, &[one.clone(), one.clone()]);
    assert!(twice.unwrap_err().message().contains("overlap"));
    let mixed = assemble(&store, "Table", &one.columns, &[one.clone(), other]);
    assert!(mixed.unwrap_err().message().contains("n: integer"));
    let none = assemble(&store, "Table", &one.columns, &[]).unwrap();
    assert_eq!((none.rows, none.partitions.len()), (0, 0));
}

/// Every column type, with nulls, as one table.
fn all_types() -> RecordBatch {
    let floats = [Some(f64::NAN), None, Some(-0.0), Some(0.0)];
    let texts = ListArray::new(
        Arc::new(Field::new("item", DataType::Utf8, false)),
        OffsetBuffer::from_lengths([2, 0, 1, 0]),
        Arc::new(StringArray::from(vec!["x", "", "é"])),
        Some(vec![true, false, true, true].into()),
    );
    let columns: [(&str, ArrayRef); 8] = [
        (
            "boolean",
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None])),
        ),
        (
            "integer",
            Arc::new(Int64Array::from(vec![
                Some(i64::MIN),
                None,
                Some(0),
                Some(i64::MAX),
            ])),
        ),
        (
            "float32",
            Arc::new(Float32Array::from(vec![
                Some(f32::INFINITY),
                None,
                Some(-0.0),
                None,
            ])),
        ),
        ("float64", Arc::new(Float64Array::from(floats.to_vec()))),
        (
            "text",
            Arc::new(StringArray::from(vec![Some(""), None, Some("é\0"), None])),
        ),
        (
            "binary",
            Arc::new(BinaryArray::from_opt_vec(vec![
                Some(b"".as_slice()),
                None,
                Some(b"\xff\x00"),
                None,
            ])),
        ),
        ("texts", Arc::new(texts)),
        (
            "other",
            sample_ids(&[SampleId::MIN, SampleId::of_key("a"), SampleId::MIN, SampleId::MIN]),
        ),
    ];
    batch(&["a", "b", "c", "d"], columns)
}

#[test]
fn every_type_comes_back_as_it_was_nulls_and_bit_patterns_too() {
    let (_folder, store) = store();
    let content = sorted(&all_types()).unwrap();
    let table = write(&store, std::slice::from_ref(&content), 1 << 30);
    let back = read(&store, &table);
    assert_eq!(back.schema(), content.schema());
    for (left, right) in back.columns().iter().zip(content.columns()) {
        assert_eq!(format!("{left:?}"), format!("{right:?}"));
    }
    assert_eq!(write(&store, &[back], 1 << 30), table);
}

#[test]
fn chosen_columns_come_in_the_order_of_the_table_and_ids_always() {
    let (_folder, store) = store();
    let table = write(&store, &[all_types()], 1 << 30);
    let names = |columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let reader = TableReader::open(&store, &table, Some(&columns)).unwrap();
        let batch = reader.map(|batch| batch.unwrap()).next().unwrap();
        let schema = batch.schema();
        schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&["texts", "integer"]), ["sample_id", "integer", "texts"]);
    assert_eq!(names(&[]), ["sample_id"]);
    let wrong = TableReader::open(&store, &table, Some(&["labels".to_string()]));
    assert!(wrong.err().unwrap().message().contains("no column `labels`"));
}

#[test]
fn some_partitions_can_be_read_alone() {
    let (_folder, store) = store();
    let many: Vec<(u16, i64, Option<String>)> = (0..100).map(|id| (id, 0, None)).collect();
    let table = write(&store, &[rows(&many)], 1 << 30);
    let reader = TableReader::open_partitions(&store, &table, 2..4, None).unwrap();
    let expected = table.partitions[2].rows + table.partitions[3].rows;
    assert_eq!(reader.rows(), expected);
    assert_eq!(
        reader.map(|batch| batch.unwrap().num_rows() as u64).sum::<u64>(),
        expected
    );
    assert!(TableReader::open_partitions(&store, &table, 0..1000, None).is_err());
}

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

#[test]
fn lists_that_only_name_their_elements_otherwise_are_the_same() {
    let (_folder, store) = store();
    let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let list = |name: &str, nullable: bool| -> ArrayRef {
        let field = Arc::new(Field::new(name, DataType::Int64, nullable));
        let offsets = OffsetBuffer::from_lengths([1, 2]);
        Arc::new(ListArray::new(field, offsets, values.clone(), None))
    };
    let table = |list: ArrayRef| write(&store, &[batch(&["a", "b"], [("l", list)])], 1 << 30);
    assert_eq!(table(list("item", false)), table(list("element", true)));
    let missing = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let missing = batch(&["a", "b"], [("l", Arc::new(missing) as ArrayRef)]);
    let mut writer = TableWriter::new(&store, "Table", missing.schema()).unwrap();
    assert!(
        writer
            .write(&missing)
            .unwrap_err()
            .message()
            .contains("missing elements")
    );
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
fn a_table_of_all_types_and_one_without_rows_are_concatenated() {
    let (_folder, store) = store();
    let content = all_types();
    let empty = content.slice(0, 0);
    for rows in [sorted(&content).unwrap(), empty] {
        let table = write(&store, std::slice::from_ref(&rows), 1 << 30);
        let back = read_file(concatenate(&store, &table, Vec::new(), Path::new("x")).unwrap());
        assert_eq!(back.columns(), rows.columns());
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

#[test]
fn only_bytes_that_shrink_are_compressed() {
    let (_folder, store) = store();
    let noise = |seed: u32| -> Vec<u8> {
        let mixed = |at: u32| (at ^ seed).wrapping_mul(2_654_435_761).rotate_left(at % 31) as u8;
        (0..20_000).map(mixed).collect()
    };
    let pictures = BinaryArray::from_iter_values((0..3).map(noise));
    let maps = BinaryArray::from_iter_values((0..3).map(|_| vec![0; 20_000]));
    let columns = [
        ("pictures", Arc::new(pictures) as ArrayRef),
        ("maps", Arc::new(maps)),
    ];
    let table = write(&store, &[batch(&["a", "b", "c"], columns)], 1 << 30);
    let mut codecs = Vec::new();
    for partition in &table.partitions {
        let file = fs::File::open(store.blob_path(&partition.blob).unwrap()).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        for group in builder.metadata().row_groups() {
            codecs.push([1, 2].map(|column| group.column(column).compression()));
        }
    }
    assert!(!codecs.is_empty());
    let expected = [Compression::UNCOMPRESSED, Compression::LZ4_RAW];
    assert!(codecs.iter().all(|codecs| *codecs == expected), "{codecs:?}");
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

/// A promise to every store on disk: equal content keeps its name. (Its Parquet bytes may
/// change with the library.)
#[test]
fn the_name_of_a_known_table_stays() {
    let (_folder, store) = store();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let table = write(&store, &[batch(&["a", "b", "c"], [("n", numbers)])], 1 << 30);
    assert_eq!(
        dermflow_core::Artifact::Table(table).name().short(),
        "4fa38e020bc0"
    );
}
