//! Reads heat beside boxes and geometry, image by image; the figures of all images together.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch};
use dermflow_core::{
    Column, ColumnType, OutputPort, PortType, SampleId, StageContext, StageError, TableType, sample_ids,
};
use dermflow_vision::placement::{Placement, Rectangle};

use super::EvaluateForegroundParameters;
use super::grid::{self, ImageFigures, figures};
use crate::attributes::{Attributes, AttributesReader, several};
use crate::boxes::{BoxRows, Geometry};
use crate::columns::typed_column;
use crate::metric_rows::MetricRow;
use crate::scores::weighted_mean;
use crate::sliced::{Part, Take};
use crate::whole_samples::Cursor;

/// One of an image's figures.
type Figure = fn(&ImageFigures) -> Option<f64>;

/// What is measured, by name.
const FIGURES: [(&str, Figure); 10] = [
    ("overlap", |figures| figures.overlap),
    ("auroc", |figures| figures.auroc),
    ("energy-in-lesion", |figures| figures.energy),
    ("pointing-game", |figures| figures.pointing),
    ("centre-error", |figures| figures.centre_error),
    ("blank-heat", |figures| figures.blank),
    ("lesion-share", |figures| figures.lesion),
    ("middle-auroc", |figures| figures.middle.auroc),
    ("middle-pointing-game", |figures| figures.middle.pointing),
    ("middle-centre-error", |figures| figures.middle.centre_error),
];

/// Every image that has a box and heat.
pub struct Judged {
    /// Sample ids and figures.
    pub images: Vec<(SampleId, ImageFigures)>,
    /// Groups, folds and slices of the images.
    pub attributes: Attributes,
    without_heat: u64,
}

impl Judged {
    /// Reads and judges everything.
    ///
    /// # Errors
    /// Where a box is none, an image has no geometry or two rows, or a grid has another size than
    /// its picture asks for.
    pub fn read(
        parameters: &EvaluateForegroundParameters,
        context: &dyn StageContext,
    ) -> Result<Judged, StageError> {
        let mut attributes = AttributesReader::new(parameters.group.as_deref(), &parameters.slices, context)?;
        let (mut images, mut without_heat, mut done) = (Vec::new(), 0, 0);
        let boxes = context.table("boxes")?;
        let total = boxes.rows();
        let mut boxes = Cursor::new(boxes)?;
        let mut samples = Cursor::new(context.table("samples")?)?;
        let mut heat = Cursor::new(context.table("foreground")?)?;
        while let Some(batch) = boxes.batch().cloned() {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let columns = BoxRows::of(&batch)?;
            while let Some(bytes) = boxes.id().and_then(|id| <[u8; 32]>::try_from(id).ok()) {
                let id = SampleId::from_bytes(bytes);
                let rows = boxes.pass();
                done += rows.len() as u64;
                let lesions: Vec<Rectangle> = rows
                    .map(|row| columns.sound(row, "boxes", &id))
                    .collect::<Result<_, _>>()?;
                let Some(row) = one("foreground", &mut heat, &id)? else {
                    without_heat += 1;
                    continue;
                };
                let geometry = geometry_of(&mut samples, &id)?;
                let Some(heat) = heat.batch() else { continue };
                let cells = cells(heat, row, &geometry, parameters.stride, &id)?;
                attributes.take(&bytes)?;
                let judged = figures(
                    cells,
                    &geometry,
                    parameters.stride,
                    &lesions,
                    parameters.region,
                    parameters.threshold,
                );
                images.push((id, judged));
            }
            context.progress(done, Some(total));
            boxes.next_batch()?;
        }
        Ok(Judged {
            images,
            attributes: attributes.finish(),
            without_heat,
        })
    }

    /// How many images with boxes are not judged because they have no heat.
    pub fn without_heat(&self) -> MetricRow {
        MetricRow {
            name: "images-without-heat".to_string(),
            value: self.without_heat as f64,
            n: self.without_heat,
            ..MetricRow::default()
        }
    }
}

/// The one row of a sample, none where the table lacks it.
fn one(port: &str, cursor: &mut Cursor, id: &SampleId) -> Result<Option<usize>, StageError> {
    match cursor.rows_of(id.as_bytes())? {
        Some(rows) if rows.len() > 1 => Err(several(port, id.as_bytes(), rows.len())),
        rows => Ok(rows.map(|rows| rows.start)),
    }
}

fn geometry_of(samples: &mut Cursor, id: &SampleId) -> Result<Geometry, StageError> {
    let geometry = Geometry::seek(samples, id.as_bytes())?;
    let geometry = geometry
        .ok_or_else(|| StageError::new(format!("`samples` lacks sample {id}, which has a box and heat")))?;
    let Placement {
        left,
        top,
        width,
        height,
    } = geometry.placement;
    let finite = [left, top, width, height].iter().all(|side| side.is_finite());
    match finite && width > 0.0 && height > 0.0 {
        true => Ok(geometry),
        false => Err(StageError::new(format!(
            "the original of sample {id} is placed at {left}, {top} with the sides {width}, {height}"
        ))),
    }
}

/// The cells of a row's grid.
fn cells<'a>(
    batch: &'a RecordBatch,
    row: usize,
    geometry: &Geometry,
    stride: u32,
    id: &SampleId,
) -> Result<&'a [u8], StageError> {
    let side = |name| Ok::<i64, StageError>(typed_column::<Int64Array>(batch, name)?.value(row));
    let (width, height) = (side("width")?, side("height")?);
    let heat = typed_column::<BinaryArray>(batch, "heat")?.value(row);
    let [across, down] = grid::cells(geometry, stride);
    let fits = usize::try_from(width) == Ok(across) && usize::try_from(height) == Ok(down);
    if !fits || heat.len() != across * down {
        let message = format!(
            "the heat of sample {id} is {width} × {height} cells in {} bytes; its picture of {} × {} pixels has \
             {across} × {down} cells at stride {stride}",
            heat.len(),
            geometry.width,
            geometry.height
        );
        return Err(StageError::new(message)
            .with_help("wire the samples that the heat was made of, and give their `stride`"));
    }
    Ok(heat)
}

/// Some of the images.
pub struct Images {
    group: Vec<u32>,
    /// For each of [`FIGURES`], the value of each image and whether it is defined.
    values: Vec<(Vec<f64>, Vec<bool>)>,
}

impl Images {
    /// The images `images` of `judged`.
    pub fn new(judged: &Judged, images: &[u32]) -> Images {
        let of = |figure: &(&str, fn(&ImageFigures) -> Option<f64>)| {
            let values = images
                .iter()
                .map(|image| figure.1(&judged.images[*image as usize].1));
            values
                .map(|value| (value.unwrap_or(0.0), value.is_some()))
                .unzip()
        };
        Images {
            group: images
                .iter()
                .map(|image| judged.attributes.group[*image as usize])
                .collect(),
            values: FIGURES.iter().map(of).collect(),
        }
    }
}

impl Part for Images {
    fn figures<'p>(&'p self, groups: &[u32], take: Take<'p, '_>) {
        for ((name, _), (values, defined)) in FIGURES.iter().zip(&self.values) {
            let weights: Vec<u32> = self
                .group
                .iter()
                .zip(defined)
                .map(|(group, defined)| u32::from(*defined) * groups[*group as usize])
                .collect();
            let n = weights.iter().map(|weight| u64::from(*weight)).sum();
            take(name, None, n, weighted_mean(values, &weights));
        }
    }
}

fn images_type() -> TableType {
    TableType::exactly(FIGURES.map(|(name, _)| Column::nullable(name.replace('-', "_"), ColumnType::Float64)))
}

/// The output port `images`.
pub fn images_port() -> OutputPort {
    let about = "the figures of each image that has both a box and heat, of every fold";
    OutputPort::new("images", PortType::Table(images_type()), about)
}

/// Writes the figures of each image.
///
/// # Errors
/// Where the output can't be written.
pub fn write_images(judged: &Judged, context: &mut dyn StageContext) -> Result<(), StageError> {
    let ids: Vec<SampleId> = judged.images.iter().map(|(id, _)| *id).collect();
    let columns = FIGURES.map(|(_, of)| -> ArrayRef {
        Arc::new(
            judged
                .images
                .iter()
                .map(|(_, figures)| of(figures))
                .collect::<Float64Array>(),
        )
    });
    let schema = images_type().schema();
    let mut out = context.write_table("images", schema.clone())?;
    let columns = std::iter::once(sample_ids(&ids)).chain(columns).collect();
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}
