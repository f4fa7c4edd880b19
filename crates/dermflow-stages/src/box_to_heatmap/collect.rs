//! Rows in and rows out of `box-to-heatmap`: boxes and pictures are read, drawn by class, and
//! the maps gathered into batches. Must not know how a box is drawn.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, FixedSizeBinaryBuilder, Float32Builder, Int64Builder, ListBuilder, RecordBatch,
    StringBuilder,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use dermflow_core::{SampleId, StageContext, StageError, TableWriter};
use dermflow_vision::boxes::PixelBox;
use dermflow_vision::heatmap::{self, Drawing};
use dermflow_vision::placement::Rectangle;

use super::heatmaps;
use crate::boxes::{BoxRows, Geometry};
use crate::rejects::Rejects;

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
            let (label, given) = (boxes.label(row), boxes.at(row));
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
