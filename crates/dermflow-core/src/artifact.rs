//! Artifacts: what a port holds, named by the digest of its *logical* content.
//!
//! A table is not named by its Parquet bytes: another compression level or Parquet version
//! must not rerun the world. Its name covers the schema and one digest per column.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canonical::Value;
use crate::contract::{Column, ColumnType, TableType};
use crate::digest::Digest;
use crate::sample_id::SampleId;

/// Bytes in the store: their blake3 and how many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobRef {
    /// Plain blake3 of the bytes.
    pub digest: Digest,
    /// How many bytes.
    pub bytes: u64,
}

/// One Parquet file of a table: the rows of a range of sample ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// How many rows.
    pub rows: u64,
    /// The smallest sample id in it.
    pub first: SampleId,
    /// The largest sample id in it.
    pub last: SampleId,
    /// The Parquet file.
    pub blob: BlobRef,
    /// One digest per column, in the order of [`TableManifest::columns`].
    pub digests: Vec<Digest>,
}

/// A table: its columns and the partitions that hold its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableManifest {
    /// The contract that the producer named; not part of the content.
    pub contract: String,
    /// The columns; the first is the sample id.
    pub columns: Vec<Column>,
    /// One digest per column over all partitions, in the same order.
    pub digests: Vec<Digest>,
    /// How many rows.
    pub rows: u64,
    /// In order of sample ids; ranges don't overlap, and none is empty.
    pub partitions: Vec<Partition>,
}

impl TableManifest {
    /// A table of these partitions, its column digests worked out from theirs.
    pub fn new(
        contract: impl Into<String>,
        columns: Vec<Column>,
        partitions: Vec<Partition>,
    ) -> TableManifest {
        let digests = (0..columns.len())
            .map(|column| whole_column_digest(column, &partitions))
            .collect();
        TableManifest {
            contract: contract.into(),
            rows: partitions.iter().map(|partition| partition.rows).sum(),
            columns,
            digests,
            partitions,
        }
    }

    /// What its columns are, as a type.
    pub fn table_type(&self) -> TableType {
        TableType {
            contract: self.contract.clone(),
            columns: self.columns.clone(),
            open: false,
        }
    }

    /// A partition holds 2^this many rows on average. It depends on the schema alone, so that
    /// one content has one partitioning: tables with pixels or maps have smaller ones.
    pub fn partition_bits(columns: &[Column]) -> u32 {
        let wide = columns
            .iter()
            .any(|column| column.column_type == ColumnType::Binary);
        let files = columns
            .iter()
            .any(|column| column.name == "bytes" && column.column_type == ColumnType::Integer)
            && columns.iter().any(|column| column.name == "source");
        if wide || files { 8 } else { 14 }
    }

    /// Whether counts, order and digests agree with each other: what every reader may rely on.
    ///
    /// # Errors
    /// Says what disagrees. Manifests come from disk and from other machines, so nothing in
    /// them is believed unchecked.
    pub fn validate(&self) -> Result<(), String> {
        if self.columns.first() != Some(&Column::sample_id()) {
            return Err("its first column is no sample id".to_string());
        }
        let mut names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a column stands twice".to_string());
        }
        let mut last: Option<SampleId> = None;
        let mut rows = 0u64;
        for partition in &self.partitions {
            if partition.digests.len() != self.columns.len() {
                return Err("a partition has another number of columns".to_string());
            }
            if partition.rows == 0 || partition.first > partition.last {
                return Err("a partition is empty or reversed".to_string());
            }
            if last.is_some_and(|last| last >= partition.first) {
                return Err("its partitions overlap or are out of order".to_string());
            }
            last = Some(partition.last);
            rows = rows
                .checked_add(partition.rows)
                .ok_or("its row counts overflow")?;
        }
        let expected = TableManifest::new("", self.columns.clone(), self.partitions.clone());
        if rows != self.rows || expected.digests != self.digests {
            return Err("its totals disagree with its partitions".to_string());
        }
        Ok(())
    }
}

/// The digest of a column over all partitions: their digests in order.
fn whole_column_digest(column: usize, partitions: &[Partition]) -> Digest {
    let mut bytes = Vec::with_capacity(32 * partitions.len());
    for partition in partitions {
        // A manifest from outside may be too short; `validate` refuses it, this must not panic.
        if let Some(digest) = partition.digests.get(column) {
            bytes.extend_from_slice(digest.as_bytes());
        }
    }
    Digest::derive("dermflow whole column v1", &bytes)
}

/// The immutable value of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Artifact {
    /// Rows by sample.
    Table(TableManifest),
    /// One safetensors file.
    Model(BlobRef),
    /// Files by relative path, `/` between the parts.
    Files(BTreeMap<String, BlobRef>),
}

impl Artifact {
    /// The digest of the logical content: the artifact's name.
    pub fn name(&self) -> Digest {
        match self {
            Artifact::Table(table) => {
                let columns = table.columns.iter().zip(&table.digests).map(|(column, digest)| {
                    Value::List(vec![
                        Value::Text(column.name.clone()),
                        Value::Text(column.column_type.to_string()),
                        Value::Boolean(column.nullable),
                        Value::Bytes(digest.as_bytes().to_vec()),
                    ])
                });
                Digest::derive("dermflow table v1", &Value::List(columns.collect()).encode())
            }
            Artifact::Model(blob) => blob.digest,
            Artifact::Files(files) => {
                let entries = files
                    .iter()
                    .map(|(path, blob)| (path.clone(), Value::Bytes(blob.digest.as_bytes().to_vec())));
                Digest::derive("dermflow files v1", &Value::Map(entries.collect()).encode())
            }
        }
    }

    /// Every blob that it needs, in a fixed order.
    pub fn blobs(&self) -> Vec<BlobRef> {
        match self {
            Artifact::Table(table) => table.partitions.iter().map(|partition| partition.blob).collect(),
            Artifact::Model(blob) => vec![*blob],
            Artifact::Files(files) => files.values().copied().collect(),
        }
    }

    /// `table`, `model` or `files`.
    pub fn sort(&self) -> &'static str {
        match self {
            Artifact::Table(_) => "table",
            Artifact::Model(_) => "model",
            Artifact::Files(_) => "files",
        }
    }

    /// The table's rows, or how many files.
    pub fn rows(&self) -> u64 {
        match self {
            Artifact::Table(table) => table.rows,
            Artifact::Model(_) => 1,
            Artifact::Files(files) => files.len() as u64,
        }
    }

    /// How many bytes its blobs hold together.
    pub fn bytes(&self) -> u64 {
        let blobs = self.blobs();
        blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.bytes))
    }

    /// Whether what it says can be true and safe: tables agree with themselves, file paths
    /// stay inside the folder they are written to.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Artifact::Table(table) => table.validate(),
            Artifact::Model(_) => Ok(()),
            Artifact::Files(files) => files.keys().try_for_each(|path| safe_relative_path(path)),
        }
    }
}

/// Whether `path` names a file below the folder it is joined to, on every platform.
///
/// # Errors
/// Says which part is refused.
pub fn safe_relative_path(path: &str) -> Result<(), String> {
    let refuse = |why: &str| {
        Err(format!(
            "the file path `{}` {why}",
            path.chars().take(120).collect::<String>()
        ))
    };
    if path.is_empty() || path.len() > 4096 {
        return refuse("is empty or longer than 4096 bytes");
    }
    if path.contains(['\\', '\0', ':']) {
        return refuse("contains a backslash, a colon or a zero byte");
    }
    for part in path.split('/') {
        if matches!(part, "" | "." | "..") {
            return refuse("is absolute or has an empty, `.` or `..` part");
        }
    }
    Ok(())
}
