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

mod canonical;
mod refused;

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
