//! Rows of `Boxes`, and the columns of `Samples` that say where in a stored picture they lie.
//! Must not know what boxes are used for.

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{Column, ColumnType, SampleId, StageError};
use dermflow_vision::boxes::{self, PixelBox};
use dermflow_vision::placement::{Placement, Rectangle};

use crate::columns::typed_column;
use crate::whole_samples::Cursor;

/// The columns of a batch of boxes.
pub struct BoxRows<'a> {
    labels: &'a StringArray,
    sides: [&'a Float64Array; 4],
}

impl<'a> BoxRows<'a> {
    /// The columns to read.
    pub const COLUMNS: [&'static str; 5] = ["label", "x", "y", "w", "h"];

    /// Of this batch.
    ///
    /// # Errors
    /// Where a column is missing.
    pub fn of(batch: &'a RecordBatch) -> Result<BoxRows<'a>, StageError> {
        let side = |name| typed_column(batch, name);
        Ok(BoxRows {
            labels: typed_column(batch, "label")?,
            sides: [side("x")?, side("y")?, side("w")?, side("h")?],
        })
    }

    /// The class of a box.
    pub fn label(&self, row: usize) -> &'a str {
        self.labels.value(row)
    }

    /// The box, in fractions of the original picture, whatever its numbers are.
    pub fn at(&self, row: usize) -> Rectangle {
        let [x, y, w, h] = self.sides.map(|side| side.value(row));
        Rectangle { x, y, w, h }
    }

    /// The box of a row of sample `id` of the table at `port`.
    ///
    /// # Errors
    /// Where it has no area or its numbers are none.
    pub fn sound(&self, row: usize, port: &str, id: &SampleId) -> Result<Rectangle, StageError> {
        let given = self.at(row);
        match boxes::problem(&given) {
            None => Ok(given),
            Some(problem) => {
                let Rectangle { x, y, w, h } = given;
                let message = format!("`{port}`, sample {id}, x {x}, y {y}, w {w}, h {h}: {problem}");
                Err(StageError::new(message))
            }
        }
    }
}

/// How large a stored picture is, and where in it the original lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Pixels across, 1 or more.
    pub width: usize,
    /// Pixels down, 1 or more.
    pub height: usize,
    /// Where the original lies.
    pub placement: Placement,
}

impl Geometry {
    /// The columns to read.
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
    ///
    /// # Errors
    /// Where the table can't be read, or the size can't be that of a picture.
    pub fn seek(samples: &mut Cursor, id: &[u8]) -> Result<Option<Geometry>, StageError> {
        let rows = samples.rows_of(id)?;
        match (rows, samples.batch()) {
            (Some(rows), Some(batch)) => Geometry::of(batch, rows.start).map(Some),
            _ => Ok(None),
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

    /// The box in the stored picture, or why it isn't in it.
    ///
    /// # Errors
    /// What is wrong with the box.
    pub fn place(&self, given: &Rectangle) -> Result<PixelBox, &'static str> {
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
