//! The output `rejects`: what was refused, and why. Shared by the kinds that read files.
//!
//! Must not know why anything is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Contract, OutputPort, PortType, SampleId, StageContext, StageError, TableType, TableWriter, sample_ids,
};

/// The name of the port.
const PORT: &str = "rejects";
/// How many refusals are held before they are written.
const HELD: usize = 8192;

/// The output while it is written.
pub struct Rejects {
    writer: Box<dyn TableWriter>,
    schema: SchemaRef,
    held: Vec<(SampleId, String, String)>,
    count: u64,
}

impl Rejects {
    /// The port, for the kind's outputs.
    pub fn port(about: &'static str) -> OutputPort {
        OutputPort::new(PORT, PortType::Table(Self::table_type()), about)
    }

    fn table_type() -> TableType {
        // The contract is in the constant list of contracts; `any` only keeps this total.
        let mut rejects = Contract::named("Rejects").map_or_else(TableType::any, TableType::of);
        rejects.open = false;
        rejects
    }

    /// Starts the output.
    ///
    /// # Errors
    /// Where the kind has no such port.
    pub fn open(context: &mut dyn StageContext) -> Result<Rejects, StageError> {
        let schema = Self::table_type().schema();
        Ok(Rejects {
            writer: context.write_table(PORT, schema.clone())?,
            schema,
            held: Vec::new(),
            count: 0,
        })
    }

    /// Adds what stands at `source` (such as `labels.csv line 18`). Without an id of its own
    /// it gets one from its place.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn add(&mut self, id: Option<SampleId>, source: String, reason: String) -> Result<(), StageError> {
        let id = id.unwrap_or_else(|| SampleId::of_key(&source));
        self.held.push((id, source, reason));
        self.count += 1;
        match self.held.len() < HELD {
            true => Ok(()),
            false => self.write(),
        }
    }

    /// How many there are so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn write(&mut self) -> Result<(), StageError> {
        let mut sources = StringBuilder::new();
        let mut reasons = StringBuilder::new();
        let mut ids = Vec::with_capacity(self.held.len());
        for (id, source, reason) in self.held.drain(..) {
            ids.push(id);
            sources.append_value(source);
            reasons.append_value(reason);
        }
        let columns: Vec<ArrayRef> = vec![
            sample_ids(&ids),
            Arc::new(sources.finish()),
            Arc::new(reasons.finish()),
        ];
        self.writer
            .write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// Completes the output.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn finish(mut self) -> Result<(), StageError> {
        self.write()?;
        self.writer.finish()
    }
}
