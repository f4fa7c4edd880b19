//! `show`: one artifact: its schema, how many rows, some of them, and how large it is.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use clap::Args;
use dermflow_core::{Artifact, TableManifest, sample_ids_as_text};
use dermflow_store::{Store, TableReader};
use serde_json::json;
use std::sync::Arc;

use crate::exit::{Done, Failure};
use crate::lookup::locate_in;
use crate::options::{StoreOptions, tell_remote_notes};
use crate::planned::PlanOptions;
use crate::text;

/// Shows an artifact: schema, rows, a few of them, sizes, and the action that made it.
#[derive(Args)]
pub struct Arguments {
    /// `stage.port`, a digest prefix, or the path of a result file.
    artifact: String,
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    plan: PlanOptions,
    /// How many rows to show.
    #[arg(long, default_value_t = 5)]
    rows: usize,
    /// Prints JSON without rows.
    #[arg(long)]
    json: bool,
}

/// Long values are cut.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let located = locate_in(&store, &arguments.artifact, &arguments.plan)?;
    let artifact = located.artifact()?;
    if arguments.json {
        let shown = json!({"artifact": artifact.name(), "action": located.key, "port": located.port,
            "kind": located.record.manifest.kind, "sort": artifact.sort(), "rows": artifact.rows(),
            "bytes": artifact.bytes(), "content": artifact});
        println!("{shown:#}");
        return Ok(());
    }
    println!("{} {}", artifact.sort(), artifact.name());
    println!(
        "made by {} (action {}), output `{}`",
        located.record.manifest.kind,
        located.key.digest().short(),
        located.port
    );
    for (_, tombstone) in store.tombstones()? {
        if tombstone
            .marks
            .iter()
            .any(|mark| mark.artifact == artifact.name())
        {
            println!("made from samples that were forgotten since");
        }
        if artifact
            .blobs()
            .iter()
            .any(|blob| tombstone.blobs.contains(&blob.digest))
        {
            println!("removed, in part or whole, because samples were forgotten");
        }
    }
    match artifact {
        Artifact::Table(table) => {
            let shown = show_table(&store, table, arguments.rows);
            tell_remote_notes(&store);
            shown?;
        }
        Artifact::Model(blob) => println!("{}", text::bytes(blob.bytes)),
        Artifact::Files(files) => {
            println!(
                "{} files, {}",
                text::count(files.len() as u64),
                text::bytes(artifact.bytes())
            );
            for (name, blob) in files.iter().take(arguments.rows) {
                println!("{}  {}  {name}", blob.digest.short(), text::bytes(blob.bytes));
            }
        }
    }
    Ok(())
}

fn show_table(store: &Store, table: &TableManifest, most: usize) -> Done {
    let bytes: u64 = table
        .partitions
        .iter()
        .map(|partition| partition.blob.bytes)
        .sum();
    println!(
        "{}: {} rows in {} partitions, {}",
        table.contract,
        text::count(table.rows),
        text::count(table.partitions.len() as u64),
        text::bytes(bytes)
    );
    let columns: Vec<Vec<String>> = table
        .columns
        .iter()
        .zip(&table.digests)
        .map(|(column, digest)| {
            let nullable = if column.nullable { "nullable" } else { "" };
            vec![
                column.name.clone(),
                column.column_type.to_string(),
                nullable.to_string(),
                digest.short(),
            ]
        })
        .collect();
    print!("{}", text::table(&["column", "type", "", "digest"], &columns));
    let mut left = most;
    for batch in TableReader::open(store, table, None)? {
        let batch = batch?;
        let part = batch.slice(0, left.min(batch.num_rows()));
        left -= part.num_rows();
        let shown =
            pretty_format_batches(&[short(&part)?]).map_err(|error| Failure::new(error.to_string()))?;
        println!("{shown}");
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Ids as their first digits, and bytes as a length: what people can read.
fn short(batch: &RecordBatch) -> Result<RecordBatch, Failure> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        let texts: Option<StringArray> = match field.data_type() {
            DataType::FixedSizeBinary(_) => Some(sample_ids_as_text(array.as_fixed_size_binary(), 6)),
            DataType::Binary => {
                let values = array.as_binary::<i32>();
                let length = |row: usize| text::bytes(values.value(row).len() as u64);
                Some(
                    (0..values.len())
                        .map(|row| (!values.is_null(row)).then(|| length(row)))
                        .collect(),
                )
            }
            _ => None,
        };
        let texts = texts.map(|texts| Arc::new(texts) as ArrayRef);
        let array = texts.unwrap_or_else(|| array.clone());
        fields.push(Field::new(field.name(), array.data_type().clone(), true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| Failure::new(error.to_string()))
}
