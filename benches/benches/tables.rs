//! What tables cost: rows written in any order, and read back with all columns or one.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use dermflow_benches::{median, tell, wanted};
use dermflow_core::sample_ids;
use dermflow_core::{Column, ColumnType, SampleId, TableManifest, TableType};
use dermflow_store::{Store, TableReader, TableWriter};

const ROWS: usize = 500_000;
const BATCH: usize = 8_192;

fn main() {
    if !wanted() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for stores");
    let batches = batches();
    let mut stores = 0;
    let mut fresh = || {
        stores += 1;
        Store::open(folder.path().join(stores.to_string())).expect("a new store")
    };
    let taken = median(3, &mut fresh, |store| write(&store, &batches));
    tell(
        "rows of an id, an integer and a float written, unsorted",
        taken,
        ROWS,
    );

    let store = fresh();
    let table = write(&store, &batches);
    for (what, columns) in [
        ("all columns", None),
        ("one column", Some(vec!["age".to_string()])),
    ] {
        let taken = median(5, || (), |()| read(&store, &table, columns.as_deref()));
        tell(&format!("rows read, {what}"), taken, ROWS);
    }
}

fn batches() -> Vec<RecordBatch> {
    let columns = [
        Column::new("age", ColumnType::Integer),
        Column::new("score", ColumnType::Float64),
    ];
    let schema = TableType::exactly(columns).schema();
    let batch = |first: usize| {
        let rows = first..(first + BATCH).min(ROWS);
        let ids: Vec<SampleId> = rows
            .clone()
            .map(|row| SampleId::of_key(&row.to_string()))
            .collect();
        let ages: ArrayRef = Arc::new(Int64Array::from_iter_values(
            rows.clone().map(|row| row as i64 % 90),
        ));
        let scores: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.map(|row| row as f64 / 1e6)));
        RecordBatch::try_new(schema.clone(), vec![sample_ids(&ids), ages, scores])
            .expect("columns of one length")
    };
    (0..ROWS).step_by(BATCH).map(batch).collect()
}

fn write(store: &Store, batches: &[RecordBatch]) -> TableManifest {
    let mut writer = TableWriter::new(store, "Table", batches[0].schema()).expect("a good schema");
    for batch in batches {
        writer.write(batch).expect("room on the disk");
    }
    writer.finish().expect("room on the disk")
}

fn read(store: &Store, table: &TableManifest, columns: Option<&[String]>) {
    let reader = TableReader::open(store, table, columns).expect("a table that was written");
    let rows: usize = reader.map(|batch| batch.expect("whole blobs").num_rows()).sum();
    assert_eq!(rows, ROWS);
}
