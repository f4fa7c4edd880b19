//! Rows in and rows out of `box-to-heatmap`: boxes and pictures are read, drawn by class, and
//! the maps gathered into batches. Must not know how a box is drawn.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, FixedSizeBinaryBuilder, Float32Builder, Float64Array, Int64Array, Int64Builder,
    ListBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use dermflow_core::{Column, ColumnType, SampleId, StageContext, StageError, TableWriter};
use dermflow_vision::boxes::{self, PixelBox};
use dermflow_vision::heatmap::{self, Drawing};
use dermflow_vision::placement::{Placement, Rectangle};

use super::heatmaps;
use crate::columns::typed_column;
use crate::rejects::Rejects;
use crate::whole_samples::Cursor;

/// The columns of a batch of boxes.
pub struct BoxRows<'a> {
    labels: &'a StringArray,
    sides: [&'a Float64Array; 4],
}

impl<'a> BoxRows<'a> {
    pub const COLUMNS: [&'static str; 5] = ["label", "x", "y", "w", "h"];

    pub fn of(batch: &'a RecordBatch) -> Result<BoxRows<'a>, StageError> {
        let side = |name| typed_column(batch, name);
        Ok(BoxRows {
            labels: typed_column(batch, "label")?,
            sides: [side("x")?, side("y")?, side("w")?, side("h")?],
        })
    }

    fn at(&self, row: usize) -> Rectangle {
        let [x, y, w, h] = self.sides.map(|side| side.value(row));
        Rectangle { x, y, w, h }
    }
}

/// How large a stored picture is, and where in it the original lies.
#[derive(Clone, Copy)]
pub struct Geometry {
    width: usize,
    height: usize,
    placement: Placement,
}

impl Geometry {
    pub const COLUMNS: [&'static str; 6] = [
        "width",
        "height",
        "placed_left",
        "placed_top",
        "placed_width",
        "placed_height",
    ];

    /// Those columns with their types.
    pub fn columns() -> impl Iterator<Item = Column> {
        let types = [ColumnType::Integer, ColumnType::Float64];
        Geometry::COLUMNS
            .into_iter()
            .map(move |name| Column::new(name, types[usize::from(name.starts_with("placed"))].clone()))
    }

    /// Goes on in the table of samples to the one with this id; none where it isn't there.
    /// Ids must be asked for in order.
    pub fn seek(samples: &mut Cursor, id: &[u8]) -> Result<Option<Geometry>, StageError> {
        samples.seek(id)?;
        if samples.id() != Some(id) {
            return Ok(None);
        }
        let row = samples.pass().start;
        match samples.batch() {
            Some(batch) => Geometry::of(batch, row).map(Some),
            None => Ok(None),
        }
    }

    fn of(batch: &RecordBatch, row: usize) -> Result<Geometry, StageError> {
        let size = |name| {
            let value = typed_column::<Int64Array>(batch, name)?.value(row);
            match usize::try_from(value) {
                Ok(size @ 1..=MOST_PIXELS) => Ok(size),
                _ => Err(StageError::new(format!(
                    "the table `samples` has an image whose `{name}` is {value}; 1 to {MOST_PIXELS} was expected"
                ))),
            }
        };
        let placed = |name| Ok::<f64, StageError>(typed_column::<Float64Array>(batch, name)?.value(row));
        Ok(Geometry {
            width: size("width")?,
            height: size("height")?,
            placement: Placement {
                left: placed("placed_left")?,
                top: placed("placed_top")?,
                width: placed("placed_width")?,
                height: placed("placed_height")?,
            },
        })
    }

    /// The box in the stored picture, or why it can't be drawn.
    fn place(&self, given: &Rectangle) -> Result<PixelBox, &'static str> {
        if let Some(problem) = boxes::problem(given) {
            return Err(problem);
        }
        let pixels = PixelBox::of_original(*given, &self.placement, self.width, self.height);
        match pixels.clipped(self.width, self.height) {
            Some(_) => Ok(pixels),
            None => Err("the box lies outside of the stored picture, which may be cropped"),
        }
    }
}

/// The longest side of a picture; beyond it a size is taken for a mistake.
const MOST_PIXELS: usize = 65_536;

/// Bytes of maps that are gathered before they are written.
const GATHERED: usize = 16 << 20;

/// The outputs at work.
pub struct Maps {
    drawing: Drawing,
    heatmaps: Box<dyn TableWriter>,
    rejects: Rejects,
    schema: SchemaRef,
    ids: FixedSizeBinaryBuilder,
    classes: StringBuilder,
    sizes: [Int64Builder; 2],
    heat: BinaryBuilder,
    centres: ListBuilder<Float32Builder>,
    diameters: ListBuilder<Float32Builder>,
    gathered: usize,
}

fn floats() -> ListBuilder<Float32Builder> {
    ListBuilder::new(Float32Builder::new()).with_field(Field::new("item", DataType::Float32, false))
}

impl Maps {
    pub fn new(drawing: Drawing, context: &mut dyn StageContext) -> Result<Maps, StageError> {
        let schema = heatmaps().schema();
        Ok(Maps {
            drawing,
            heatmaps: context.write_table("heatmaps", schema.clone())?,
            rejects: Rejects::open(context)?,
            schema,
            ids: FixedSizeBinaryBuilder::new(32),
            classes: StringBuilder::new(),
            sizes: Default::default(),
            heat: BinaryBuilder::new(),
            centres: floats(),
            diameters: floats(),
            gathered: 0,
        })
    }

    /// Draws the boxes of one sample, a map for each class in order of their names.
    pub fn add(
        &mut self,
        id: &[u8; 32],
        geometry: Option<Geometry>,
        boxes: &BoxRows<'_>,
        rows: Range<usize>,
    ) -> Result<(), StageError> {
        let mut by_class: BTreeMap<&str, Vec<PixelBox>> = BTreeMap::new();
        for row in rows {
            let (label, given) = (boxes.labels.value(row), boxes.at(row));
            let placed = match &geometry {
                Some(geometry) => geometry.place(&given),
                None => Err("the image of the box is not in `samples`"),
            };
            match placed {
                Ok(pixels) => by_class.entry(label).or_default().push(pixels),
                Err(reason) => self.refuse(SampleId::from_bytes(*id), label, &given, reason)?,
            }
        }
        let Some(geometry) = geometry else {
            return Ok(());
        };
        for (class, boxes) in by_class {
            self.draw(id, class, &geometry, &boxes)?;
        }
        match self.gathered < GATHERED {
            true => Ok(()),
            false => self.write(),
        }
    }

    fn draw(
        &mut self,
        id: &[u8],
        class: &str,
        geometry: &Geometry,
        boxes: &[PixelBox],
    ) -> Result<(), StageError> {
        let (width, height) = (geometry.width, geometry.height);
        let [across, down] = heatmap::grid(width, height, self.drawing.stride);
        if across * down > MOST_CELLS {
            return Err(StageError::new(format!(
                "a map of {across} × {down} cells for a picture of {width} × {height} pixels is too large"
            ))
            .with_help("raise `stride`, or make the pictures smaller when they are ingested"));
        }
        let map = self.drawing.draw(width, height, boxes);
        self.ids.append_value(id)?;
        self.classes.append_value(class);
        self.sizes[0].append_value(down as i64);
        self.sizes[1].append_value(across as i64);
        self.heat.append_value(map.codes());
        for pixels in boxes {
            if self.drawing.centre_cell(width, height, pixels).is_none() {
                continue;
            }
            let centre = pixels.centre();
            self.centres
                .values()
                .append_slice(&centre.map(|number| number as f32));
            self.diameters
                .values()
                .append_slice(&[pixels.width as f32, pixels.height as f32]);
        }
        self.centres.append(true);
        self.diameters.append(true);
        self.gathered += map.codes().len() + 256;
        Ok(())
    }

    fn refuse(
        &mut self,
        id: SampleId,
        label: &str,
        given: &Rectangle,
        reason: &str,
    ) -> Result<(), StageError> {
        let Rectangle { x, y, w, h } = given;
        let source = format!("box of `{label}` at x {x}, y {y}, w {w}, h {h}");
        self.rejects.add(Some(id), source, reason.to_string())
    }

    fn write(&mut self) -> Result<(), StageError> {
        self.gathered = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.classes.finish()),
            Arc::new(self.sizes[0].finish()),
            Arc::new(self.sizes[1].finish()),
            Arc::new(self.heat.finish()),
            Arc::new(self.centres.finish()),
            Arc::new(self.diameters.finish()),
        ];
        self.heatmaps
            .write(&RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// Completes the outputs; gives how many boxes were refused.
    pub fn finish(mut self) -> Result<u64, StageError> {
        self.write()?;
        self.heatmaps.finish()?;
        let refused = self.rejects.count();
        self.rejects.finish()?;
        Ok(refused)
    }
}

/// Cells of the largest map: 64 MiB of codes.
const MOST_CELLS: usize = 1 << 26;
