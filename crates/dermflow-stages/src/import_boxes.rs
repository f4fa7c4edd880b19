//! `import-boxes`: lesion boxes from tables, annotation tools and masks, placed on the samples.
//!
//! Requirement D3 of `method.md`. Every box of the file ends in `boxes`, in fractions of the
//! oriented original picture, or in `rejects` with the reason. Must not know how any format is
//! written: that is `annotations`.

mod parameters;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use dermflow_core::{
    Arity, Contract, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, SampleId, Source,
    StageContext, StageError, StageKind, TableType, TableWriter, sample_ids,
};

use crate::annotations::{Annotation, ForeignRow, Image, Images, Refused, read_table};
use crate::columns::ids_of;
use crate::rejects::Rejects;
pub use parameters::ImportBoxesParameters;
pub(crate) use parameters::{reserved, tables_only};

/// See the module.
pub struct ImportBoxes;

impl StageKind for ImportBoxes {
    type Parameters = ImportBoxesParameters;
    const NAME: &'static str = "import-boxes";
    const VERSION: u32 = 2;
    const ABOUT: &'static str = "Reads lesion boxes (CSV, Parquet, JSON, COCO, Pascal VOC, CVAT, YOLO, Label Studio, \
                                 masks) onto the samples; boxes that aren't sound become rejects.";
    const EXAMPLE: &'static str = "\
name: import-boxes-example
stages:
  photos:
    kind: import-table
    with: {path: photos.parquet, contract: Samples}
  boxes:
    kind: import-boxes
    in: {samples: photos.table}
    with:
      path: boxes.csv
      image: file
      label: diagnosis
      box: {corner-and-size: [left, top, width, height]}
      unit: pixels
      size: [image_width, image_height]
      match: file-name
      classes: [nevus, melanoma]
      outside: clip
      tolerance: 0.02
  lesions:
    kind: import-boxes
    in: {samples: photos.table}
    with:
      path: masks
      format: masks
      masks: {per: component, suffix: _mask, min-area: 0.001}
      class: lesion
outputs:
  boxes: boxes.boxes
  refused: boxes.rejects
  lesions: lesions.boxes
";

    fn inputs(_: &ImportBoxesParameters) -> Inputs {
        let contract = |name: &str| {
            let found = Contract::named(name).map_or_else(TableType::any, TableType::of);
            PortType::Table(found)
        };
        Inputs {
            ports: vec![
                samples_port(),
                InputPort::one("labels", contract("Labels"), "classes for boxes that have none")
                    .with_arity(Arity::Optional)
                    .reading(["label"]),
            ],
            open: false,
        }
    }

    fn outputs(parameters: &ImportBoxesParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let boxes = PortType::Table(parameters.boxes());
        Ok(vec![
            OutputPort::new("boxes", boxes, "one row a box"),
            Rejects::port("boxes that were refused, and why"),
        ])
    }

    fn check(parameters: &ImportBoxesParameters) -> Vec<Problem> {
        parameters.problems()
    }

    fn sources(parameters: &ImportBoxesParameters) -> Vec<Source> {
        parameters.file().sources()
    }

    fn run(parameters: &ImportBoxesParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let images = Images::read(context, "samples")?;
        let labels = match context.has_input("labels") {
            true => sample_labels(context)?,
            false => Vec::new(),
        };
        let schema = parameters.boxes().schema();
        let mut placing = Placing {
            parameters,
            images,
            labels,
            boxes: context.write_table("boxes", schema.clone())?,
            rejects: Rejects::open(context)?,
            schema,
            ready: Vec::new(),
            count: 0,
        };
        placing.read(context)?;
        placing.finish(context)
    }
}

/// The samples as the importers take them.
pub fn samples_port() -> InputPort {
    let contract = Contract::named("Samples")
        .map(Contract::columns)
        .unwrap_or_default();
    let read = contract
        .into_iter()
        .filter(|column| Images::COLUMNS.contains(&column.name.as_str()));
    let samples = TableType {
        contract: "Samples".to_string(),
        open: true,
        ..TableType::exactly(read)
    };
    InputPort::one(
        "samples",
        PortType::Table(samples),
        "the images that the file speaks of",
    )
    .reading(Images::COLUMNS)
}

/// The first label of each sample, in order of ids.
fn sample_labels(context: &dyn StageContext) -> Result<Vec<(SampleId, String)>, StageError> {
    let mut labels: Vec<(SampleId, String)> = Vec::new();
    for batch in context.table("labels")? {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let batch = batch?;
        let ids = ids_of(&batch)?;
        let column = batch
            .column_by_name("label")
            .and_then(|column| column.as_string_opt::<i32>());
        let column = column.ok_or_else(|| StageError::new("the labels came without their column `label`"))?;
        for row in 0..batch.num_rows() {
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            let id = SampleId::from_bytes(id);
            if labels.last().is_none_or(|(last, _)| *last != id) && !column.is_null(row) {
                labels.push((id, column.value(row).to_string()));
            }
        }
    }
    Ok(labels)
}

/// How many boxes are held before they are written.
const HELD: usize = 8192;

/// A sound box.
struct Placed {
    id: SampleId,
    label: String,
    /// x, y, w, h.
    sides: [f64; 4],
}

/// Boxes on their way to their samples.
struct Placing<'a> {
    parameters: &'a ImportBoxesParameters,
    images: Images,
    labels: Vec<(SampleId, String)>,
    boxes: Box<dyn TableWriter>,
    rejects: Rejects,
    schema: SchemaRef,
    ready: Vec<Placed>,
    count: u64,
}

impl Placing<'_> {
    fn read(&mut self, context: &dyn StageContext) -> Result<(), StageError> {
        let parameters = self.parameters;
        let file = parameters.file();
        if file.format.is_table() {
            let layout = parameters.layout();
            return read_table(file, &layout, context, &mut |rows| self.table_rows(rows));
        }
        file.read(context, &mut |found| {
            match found {
                // A label of the whole image is no box.
                Ok(Annotation { mark: None, .. }) => return Ok(()),
                Ok(annotation) => {
                    if let Some(placed) = self.place(annotation)? {
                        self.ready.push(placed);
                    }
                }
                Err(Refused { place, reason }) => self.rejects.add(None, place, reason)?,
            }
            match self.ready.len() < HELD {
                true => Ok(()),
                false => self.write(Vec::new()),
            }
        })?;
        self.write(Vec::new())
    }

    /// The box on its sample; none where it was refused.
    fn place(&mut self, annotation: Annotation) -> Result<Option<Placed>, StageError> {
        let Annotation {
            place,
            image,
            label,
            mark,
        } = annotation;
        let found = self.images.find(&image, self.parameters.match_by).copied();
        let Image { id, size } = match found {
            Ok(image) => image,
            Err(reason) => return self.refuse(None, place, reason),
        };
        let Some((mark, size)) = mark.zip(size) else {
            return self.refuse(Some(id), place, "the size of its sample is not known".to_string());
        };
        let Some(label) = label.or_else(|| self.label_of(id)) else {
            let reason = "it has no class: wire `labels`, or give a `class`".to_string();
            return self.refuse(Some(id), place, reason);
        };
        let known = &self.parameters.classes;
        if !known.is_empty() && !known.contains(&label) {
            let reason = format!("`{}` is none of the {} classes", shown(&label), known.len());
            return self.refuse(Some(id), place, reason);
        }
        match self.parameters.rules().fractions(&mark, size) {
            Ok(sides) => Ok(Some(Placed { id, label, sides })),
            Err(reason) => self.refuse(Some(id), place, reason),
        }
    }

    fn refuse(
        &mut self,
        id: Option<SampleId>,
        place: String,
        reason: String,
    ) -> Result<Option<Placed>, StageError> {
        self.rejects.add(id, place, reason)?;
        Ok(None)
    }

    /// The class of a box that has none of its own.
    fn label_of(&self, id: SampleId) -> Option<String> {
        let found = self.labels.binary_search_by(|(other, _)| other.cmp(&id));
        let of_sample = found.ok().map(|at| self.labels[at].1.clone());
        of_sample.or_else(|| self.parameters.class.clone())
    }

    fn table_rows(&mut self, rows: Result<Vec<ForeignRow<'_>>, Refused>) -> Result<(), StageError> {
        let rows = match rows {
            Ok(rows) => rows,
            Err(Refused { place, reason }) => return self.rejects.add(None, place, reason),
        };
        let Some(batch) = rows.first().map(|row| row.batch) else {
            return Ok(());
        };
        let mut kept = Vec::new();
        for row in rows {
            let mark = match self.parameters.mark(&row) {
                Ok(mark) => mark,
                Err(reason) => {
                    self.rejects.add(None, row.place, reason)?;
                    continue;
                }
            };
            let annotation = Annotation {
                label: self.parameters.label_of(&row),
                image: row.image,
                place: row.place,
                mark: Some(mark),
            };
            if let Some(placed) = self.place(annotation)? {
                self.ready.push(placed);
                kept.push(row.row as u32);
            }
        }
        let kept = UInt32Array::from(kept);
        let mut more = Vec::new();
        for name in self.parameters.columns.keys() {
            let column = batch.column_by_name(name);
            let column = column.ok_or_else(|| StageError::new(format!("the rows came without `{name}`")))?;
            more.push(take(column, &kept, None)?);
        }
        self.write(more)
    }

    /// Writes what is ready, with the columns that come along.
    fn write(&mut self, more: Vec<ArrayRef>) -> Result<(), StageError> {
        let ready = std::mem::take(&mut self.ready);
        self.count += ready.len() as u64;
        let ids: Vec<SampleId> = ready.iter().map(|placed| placed.id).collect();
        let labels: StringArray = ready.iter().map(|placed| Some(placed.label.as_str())).collect();
        let mut columns: Vec<ArrayRef> = vec![sample_ids(&ids), Arc::new(labels)];
        for side in 0..4 {
            let sides = ready.iter().map(|placed| placed.sides[side]);
            columns.push(Arc::new(Float64Array::from_iter_values(sides)));
        }
        columns.extend(more);
        self.boxes
            .write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    fn finish(self, context: &mut dyn StageContext) -> Result<(), StageError> {
        let refused = self.rejects.count();
        if refused > 0 {
            let all = self.count + refused;
            context.log(&format!(
                "{refused} of {all} boxes were refused: see the output `rejects`"
            ));
        }
        if self.count == 0 && refused > 0 && self.images.len() > 0 {
            context.log("no box was placed on any sample: are these the right images?");
        }
        context.metric("boxes", self.count as f64);
        context.metric("rejects", refused as f64);
        self.boxes.finish()?;
        self.rejects.finish()
    }
}

/// At most 80 characters, for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
