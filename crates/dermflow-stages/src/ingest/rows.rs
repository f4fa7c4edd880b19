//! The outputs of `ingest`: which columns they have, and their rows. Must not know how
//! pictures are decoded.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Column, ColumnType, Contract, Problem, SampleId, StageContext, StageError, TableType, TableWriter,
    sample_ids,
};

use super::decoding::{Decoded, Stored};
use super::files::{Listed, USED};
use super::parameters::IngestParameters;
use crate::rejects::Rejects;

const HASH: &str = "perceptual_hash";
/// Rows and bytes of pixels that are gathered before they are written: what a table encodes at
/// a time, so that it need not copy them together.
const GATHERED: (usize, usize) = (4096, 1 << 20);

/// The columns of the outputs.
pub struct Layout {
    /// One row a picture.
    pub samples: TableType,
    /// One row a file whose bytes are stored already.
    pub duplicates: TableType,
    parts: Vec<String>,
    carried: Vec<Column>,
    hashed: bool,
}

impl Layout {
    /// What comes out, given what is known of the list of files.
    ///
    /// # Errors
    /// Where two columns would have one name, or `label` or `group` are no text.
    pub fn new(parameters: &IngestParameters, listed: &TableType) -> Result<Layout, Problem> {
        // The contract is in the constant list of contracts; `any` only keeps this total.
        let mut samples = Contract::named("Samples").map_or_else(TableType::any, TableType::of);
        samples.open = parameters.root.is_none() && listed.open;
        let contract = samples.columns.clone();
        if parameters.perceptual_hash {
            samples.columns.push(Column::new(HASH, ColumnType::Integer));
        }
        let pattern = parameters.compiled_pattern()?;
        let parts = pattern
            .map(|pattern| pattern.names().to_vec())
            .unwrap_or_default();
        let filled = |name: &str| name == "label" || name == "group";
        for name in parts.iter().filter(|name| !filled(name)) {
            if samples.column(name).is_some() {
                let message = format!("`{{{name}}}` would be a second column `{name}`");
                return Err(Problem::new("pattern", message));
            }
            samples.columns.push(Column::new(name.clone(), ColumnType::Text));
        }
        let used = |column: &&Column| !USED.contains(&column.name.as_str());
        let carried: Vec<Column> = listed.columns.iter().filter(used).cloned().collect();
        for column in &carried {
            let name = &column.name;
            if parts.contains(name) {
                let message = format!("`{{{name}}}` is a column of the input `files` already");
                return Err(Problem::new("pattern", message));
            }
            if filled(name) {
                if column.column_type != ColumnType::Text {
                    let message = format!(
                        "the column `{name}` of the input `files` is {}, not text",
                        column.column_type
                    );
                    return Err(Problem::new("", message));
                }
            } else if samples.column(name).is_some() {
                let message = format!("the input `files` has a column `{name}`, which is made here");
                let help = "leave it out with `filter` and its `columns`, or rename it";
                return Err(Problem::new("", message).with_help(help));
            } else {
                samples.columns.push(column.clone());
            }
        }
        let pick = |name: &str| contract.iter().find(|column| column.name == name).cloned();
        let text = |name: &str| Column::new(name, ColumnType::Text);
        let kept = [
            text("source"),
            text("kept"),
            Column::nullable("kept_label", ColumnType::Text),
        ];
        let duplicates = TableType::exactly(kept.into_iter().chain(pick("label")).chain(pick("group")));
        Ok(Layout {
            samples,
            duplicates,
            parts,
            carried: carried
                .into_iter()
                .filter(|column| !filled(&column.name))
                .collect(),
            hashed: parameters.perceptual_hash,
        })
    }

    /// A file's text of this name, from its path or from the list.
    fn text(&self, name: &str, file: &Listed) -> Option<String> {
        if let Some(at) = self.parts.iter().position(|part| part == name) {
            return file.parts.as_ref()?.get(at).cloned();
        }
        let column = file.carried.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(0).then(|| column.value(0).to_string())
    }
}

/// The outputs while they are written.
pub struct Rows<'a> {
    layout: &'a Layout,
    schema: SchemaRef,
    samples: Box<dyn TableWriter>,
    duplicates: Box<dyn TableWriter>,
    rejects: Rejects,
    gathered: Gathered,
}

#[derive(Default)]
struct Gathered {
    ids: Vec<SampleId>,
    texts: [StringBuilder; 3],
    sizes: [Int64Builder; 4],
    placed: [Float64Builder; 4],
    pixels: BinaryBuilder,
    bytes: usize,
    hashes: Int64Builder,
    parts: Vec<StringBuilder>,
    carried: Vec<RecordBatch>,
}

impl<'a> Rows<'a> {
    /// Starts the outputs.
    ///
    /// # Errors
    /// Where an output can't be begun.
    pub fn open(layout: &'a Layout, context: &mut dyn StageContext) -> Result<Rows<'a>, StageError> {
        let schema = layout.samples.schema();
        Ok(Rows {
            samples: context.write_table("samples", schema.clone())?,
            duplicates: context.write_table("duplicates", layout.duplicates.schema())?,
            rejects: Rejects::open(context)?,
            schema,
            gathered: Gathered::default(),
            layout,
        })
    }

    /// Takes what a run gave.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn take(&mut self, decoded: Decoded) -> Result<(), StageError> {
        let Decoded { run, outcome } = decoded;
        let (fitting, others): (Vec<Listed>, Vec<Listed>) =
            run.files.into_iter().partition(|file| file.parts.is_some());
        for file in others {
            let reason = "its path doesn't fit the pattern".to_string();
            self.rejects.add(Some(run.id), file.source, reason)?;
        }
        match outcome {
            Err(refusal) => {
                for file in fitting {
                    self.rejects.add(Some(run.id), file.source, refusal.to_string())?;
                }
            }
            Ok(stored) => {
                let mut files = fitting.into_iter();
                if let Some(kept) = files.next() {
                    self.take_duplicates(run.id, &kept, files.as_slice())?;
                    self.take_sample(run.id, kept, stored)?;
                }
            }
        }
        Ok(())
    }

    fn take_sample(&mut self, id: SampleId, file: Listed, stored: Stored) -> Result<(), StageError> {
        let Stored { picture, hash } = stored;
        let gathered = &mut self.gathered;
        gathered.ids.push(id);
        gathered.texts[0].append_value(&file.source);
        gathered.texts[1].append_option(self.layout.text("group", &file));
        gathered.texts[2].append_option(self.layout.text("label", &file));
        let (size, original, placed) = (picture.size, picture.original, picture.placement);
        let sizes = [size.width, size.height, original.width, original.height];
        for (builder, value) in gathered.sizes.iter_mut().zip(sizes) {
            builder.append_value(i64::from(value));
        }
        let placed = [placed.left, placed.top, placed.width, placed.height];
        for (builder, value) in gathered.placed.iter_mut().zip(placed) {
            builder.append_value(value);
        }
        if gathered.bytes == 0 && picture.pixels.len() < GATHERED.1 {
            // What is gathered at most, once, so that it isn't copied as it grows.
            gathered.pixels = BinaryBuilder::with_capacity(0, GATHERED.1 + picture.pixels.len());
        }
        gathered.pixels.append_value(&picture.pixels);
        gathered.bytes += picture.pixels.len();
        // The bits as they are; a picture that is stored has a pixel, and so a hash.
        gathered.hashes.append_value(hash.unwrap_or_default() as i64);
        let free = self
            .layout
            .parts
            .iter()
            .filter(|name| *name != "label" && *name != "group");
        for (at, name) in free.enumerate() {
            if gathered.parts.len() <= at {
                gathered.parts.push(StringBuilder::new());
            }
            gathered.parts[at].append_option(self.layout.text(name, &file));
        }
        if !self.layout.carried.is_empty() {
            gathered.carried.push(file.carried);
        }
        match gathered.ids.len() >= GATHERED.0 || gathered.bytes >= GATHERED.1 {
            true => self.write_samples(),
            false => Ok(()),
        }
    }

    fn write_samples(&mut self) -> Result<(), StageError> {
        let mut gathered = std::mem::take(&mut self.gathered);
        if gathered.ids.is_empty() {
            return Ok(());
        }
        let mut columns: Vec<ArrayRef> = vec![sample_ids(&gathered.ids)];
        columns.extend(
            gathered
                .texts
                .iter_mut()
                .map(|texts| Arc::new(texts.finish()) as ArrayRef),
        );
        columns.extend(
            gathered
                .sizes
                .iter_mut()
                .map(|sizes| Arc::new(sizes.finish()) as ArrayRef),
        );
        columns.extend(
            gathered
                .placed
                .iter_mut()
                .map(|placed| Arc::new(placed.finish()) as ArrayRef),
        );
        columns.push(Arc::new(gathered.pixels.finish()));
        if self.layout.hashed {
            columns.push(Arc::new(gathered.hashes.finish()));
        }
        columns.extend(
            gathered
                .parts
                .iter_mut()
                .map(|parts| Arc::new(parts.finish()) as ArrayRef),
        );
        if let Some(first) = gathered.carried.first() {
            let carried = concat_batches(&first.schema(), &gathered.carried)?;
            let named = self.layout.carried.iter();
            columns.extend(named.filter_map(|column| carried.column_by_name(&column.name).cloned()));
        }
        self.samples
            .write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    fn take_duplicates(&mut self, id: SampleId, kept: &Listed, others: &[Listed]) -> Result<(), StageError> {
        if others.is_empty() {
            return Ok(());
        }
        let mut texts: [StringBuilder; 5] = Default::default();
        for file in others {
            let values = [
                Some(file.source.clone()),
                Some(kept.source.clone()),
                self.layout.text("label", kept),
                self.layout.text("label", file),
                self.layout.text("group", file),
            ];
            for (builder, value) in texts.iter_mut().zip(values) {
                builder.append_option(value);
            }
        }
        let mut columns: Vec<ArrayRef> = vec![sample_ids(&vec![id; others.len()])];
        columns.extend(texts.iter_mut().map(|texts| Arc::new(texts.finish()) as ArrayRef));
        let schema = self.layout.duplicates.schema();
        self.duplicates.write(&RecordBatch::try_new(schema, columns)?)
    }

    /// Completes the outputs.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn finish(mut self) -> Result<(), StageError> {
        self.write_samples()?;
        self.samples.finish()?;
        self.duplicates.finish()?;
        self.rejects.finish()
    }
}
