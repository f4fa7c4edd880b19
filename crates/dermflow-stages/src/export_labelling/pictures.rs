//! Pictures of samples as files. Knows no tool.

use std::collections::BTreeSet;
use std::io::Cursor;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_vision::picture::Picture;
use dermflow_vision::placement::{PixelSize, Placement};
use dermflow_vision::whole_original::whole_original;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::known::Known;
use super::{Files, PictureFormat, Task};
use crate::columns::ids_of;

const QUALITY: u8 = 90;

/// Writes the pictures of the chosen samples into `images/`; gives a task for each, and the labels
/// that samples have.
///
/// # Errors
/// Where a picture doesn't fit its columns, or can't be written.
pub fn write(
    format: PictureFormat,
    known: &Known,
    context: &dyn StageContext,
    files: &mut Files,
) -> Result<(Vec<Task>, BTreeSet<String>), StageError> {
    let (mut tasks, mut labels): (Vec<Task>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    let table = context.table("samples")?;
    let (total, mut done) = (table.rows(), 0);
    for batch in table {
        let batch = batch?;
        let ids = ids_of(&batch)?;
        for row in 0..batch.num_rows() {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            let id = SampleId::from_bytes(id);
            let repeated = tasks.last().is_some_and(|task| task.id == id);
            if repeated || !known.is_chosen(&id) {
                continue;
            }
            let sample = Row { batch: &batch, row };
            let picture = sample.picture().map_err(|reason| {
                StageError::new(format!(
                    "the picture of {} ({id}): {reason}",
                    sample.text("source").unwrap_or_default()
                ))
            })?;
            let file = format!("{id}.{}", format.extension());
            files.write(&format!("images/{file}"), &encoded(&picture, format)?)?;
            labels.extend(sample.text("label").map(str::to_string));
            tasks.push(Task {
                id,
                source: sample.text("source").unwrap_or_default().to_string(),
                file,
                size: (picture.width(), picture.height()),
            });
        }
        done += batch.num_rows() as u64;
        context.progress(done, Some(total));
    }
    Ok((tasks, labels))
}

/// A row of `Samples`.
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl Row<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        let column = self.batch.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(self.row).then(|| column.value(self.row))
    }

    fn size(&self, width: &str, height: &str) -> Result<PixelSize, String> {
        let side = |name: &str| {
            let column = self.batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?;
            u32::try_from(column.value(self.row)).ok()
        };
        let size = side(width)
            .zip(side(height))
            .and_then(|(width, height)| PixelSize::new(width, height));
        size.ok_or_else(|| format!("`{width}` and `{height}` are no size"))
    }

    fn picture(&self) -> Result<Picture, String> {
        let number = |name: &str| {
            let column = self
                .batch
                .column_by_name(name)
                .and_then(|column| column.as_primitive_opt::<Float64Type>());
            column
                .map(|column| column.value(self.row))
                .ok_or_else(|| format!("`{name}` is missing"))
        };
        let placement = Placement {
            left: number("placed_left")?,
            top: number("placed_top")?,
            width: number("placed_width")?,
            height: number("placed_height")?,
        };
        let pixels = self
            .batch
            .column_by_name("pixels")
            .and_then(|pixels| pixels.as_binary_opt::<i32>());
        let pixels = pixels
            .ok_or_else(|| "`pixels` is missing".to_string())?
            .value(self.row);
        let original = self.size("original_width", "original_height")?;
        whole_original(pixels, self.size("width", "height")?, &placement, original)
    }
}

fn encoded(picture: &Picture, format: PictureFormat) -> Result<Vec<u8>, StageError> {
    let mut bytes = Cursor::new(Vec::new());
    // A picture's sides were those of a `PixelSize`.
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    let written = match format {
        PictureFormat::Jpeg => JpegEncoder::new_with_quality(&mut bytes, QUALITY).write_image(
            picture.pixels(),
            width,
            height,
            ExtendedColorType::Rgb8,
        ),
        PictureFormat::Png => {
            PngEncoder::new(&mut bytes).write_image(picture.pixels(), width, height, ExtendedColorType::Rgb8)
        }
    };
    written.map_err(|error| StageError::new(format!("a picture can't be written: {error}")))?;
    Ok(bytes.into_inner())
}
