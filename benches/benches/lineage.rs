//! What a question to a large store costs: 100,000 records over 20,000 tables with 10 million
//! sample rows. Lineage of one artifact, trace of one sample; first without an index, then warm.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use dermflow_benches::{manifest, median, tell, wanted};
use dermflow_core::{
    Ancestor, Artifact, Column, ColumnType, Key, Making, Record, SampleId, TableType, sample_ids,
};
use dermflow_lineage::{Graph, Records, Samples, Trace, tree};
use dermflow_store::{Store, TableWriter};

const RECORDS: usize = 100_000;
const TABLES: usize = 20_000;
const ROWS: usize = 500;

fn main() {
    if !wanted() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for a store");
    let store = Store::open(folder.path().join("store")).expect("a new store");
    let start = Instant::now();
    let (keys, sample) = fill(&store);
    tell("the store made (not what is measured)", start.elapsed(), RECORDS);
    let last = keys[keys.len() - 1];

    let start = Instant::now();
    println!(
        "{} records",
        Records::read(&store).expect("records").all().count()
    );
    tell(
        "records read for the first time, and an index of them left",
        start.elapsed(),
        RECORDS,
    );
    let taken = median(3, || (), |()| Records::read(&store).expect("records"));
    tell("records read by the index", taken, RECORDS);

    let taken = median(3, || (), |()| lineage(&store, &last));
    tell("lineage of one artifact, warm", taken, 1);

    let start = Instant::now();
    println!("{} artifacts reached", trace(&store, &sample));
    tell(
        "trace of one sample for the first time, and an index of ids left",
        start.elapsed(),
        1,
    );
    let taken = median(3, || (), |()| trace(&store, &sample));
    tell("trace of one sample, warm", taken, 1);
}

fn lineage(store: &Store, key: &Key) -> String {
    // As the program does: what a process ends with need not be freed.
    let records = Box::leak(Box::new(Records::read(store).expect("records")));
    let graph = Graph::of(records);
    tree::ancestry(records, &graph, key, "table").expect("a record")
}

fn trace(store: &Store, sample: &SampleId) -> usize {
    let records: &Records = Box::leak(Box::new(Records::read(store).expect("records")));
    let samples = Samples::find(records, &[sample.to_string()]).expect("an id is a sample");
    let graph = Graph::of(records);
    Trace::of(records, &graph, samples)
        .expect("tables that can be read")
        .reached
        .len()
}

/// Tables of ids that nothing else has, each the result of several actions in a chain.
fn fill(store: &Store) -> (Vec<Key>, SampleId) {
    let schema = TableType::exactly([Column::new("value", ColumnType::Integer)]).schema();
    let mut tables = Vec::with_capacity(TABLES);
    let mut sample = SampleId::MIN;
    for number in 0..TABLES {
        let ids: Vec<SampleId> = (0..ROWS)
            .map(|row| SampleId::of_content(&((number * ROWS + row) as u64).to_le_bytes()))
            .collect();
        sample = ids[0];
        let values: ArrayRef = std::sync::Arc::new(Int64Array::from_iter_values(0..ROWS as i64));
        let batch =
            RecordBatch::try_new(schema.clone(), vec![sample_ids(&ids), values]).expect("two columns");
        let mut writer = TableWriter::new(store, "Table", schema.clone()).expect("a schema of a table");
        writer.write(&batch).expect("room on the disk");
        tables.push(Artifact::Table(writer.finish().expect("room on the disk")));
    }
    let mut keys: Vec<Key> = Vec::with_capacity(RECORDS);
    let mut tickets = Vec::new();
    for number in 0..RECORDS {
        let manifest = manifest(number as u32);
        let artifact = &tables[number % TABLES];
        // Five actions in a row, each with the same rows.
        let before = number.checked_sub(TABLES).map(|before| keys[before]);
        let ancestry = before.map(|action| {
            let ancestor = Ancestor {
                artifact: artifact.name(),
                action: Some(action),
                port: "table".to_string(),
            };
            ("table".to_string(), vec![ancestor])
        });
        keys.push(manifest.key().expect("a manifest of plain values"));
        let record = Record {
            manifest,
            outputs: BTreeMap::from([("table".to_string(), artifact.clone())]),
            ancestry: ancestry.into_iter().collect(),
            making: Making::default(),
        };
        tickets.push(store.commit(record).expect("a record with a key"));
    }
    store.flush().expect("room on the disk");
    for ticket in tickets {
        ticket.wait().expect("room on the disk");
    }
    (keys, sample)
}
