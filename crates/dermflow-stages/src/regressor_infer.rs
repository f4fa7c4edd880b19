//! `regressor-infer`: foreground maps of pictures, and the boxes of their lesions
//! (`method.md` H5).
//!
//! Must not know how the regressor was trained, or of true boxes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryBuilder, Float32Builder, Float64Builder, Int64Builder, RecordBatch,
    StringBuilder,
};
use arrow::datatypes::Float64Type;
use dermflow_core::{
    Column, ColumnType, Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem,
    Resources, SampleId, Shape, StageContext, StageError, StageKind, TableType, sample_ids,
};
use dermflow_nn::network::{Grids, Images};
use dermflow_vision::boxes::{PixelBox, problem};
use dermflow_vision::picture::Picture;
use dermflow_vision::placement::{Placement, Rectangle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::ids_of;
use crate::learning::classifier_ports::contract;
use crate::learning::decode::{Found, exact_cells, foreground, lesions};
use crate::learning::infer::{Loaded, Part, Pictures, resources};
use crate::learning::prior::STRIDE;

/// See the module.
pub struct RegressorInfer;

/// What `regressor-infer` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "RegressorInfer")]
pub struct RegressorInferParameters {
    /// The least probability of a box that is told.
    #[schemars(range(min = 0.0, max = 1.0))]
    threshold: f64,
    /// The most boxes of a picture.
    #[schemars(range(min = 0, max = 10_000))]
    most: usize,
}

impl Default for RegressorInferParameters {
    fn default() -> RegressorInferParameters {
        RegressorInferParameters {
            threshold: 0.1,
            most: 100,
        }
    }
}

impl StageKind for RegressorInfer {
    type Parameters = RegressorInferParameters;
    const NAME: &'static str = "regressor-infer";
    const VERSION: u32 = 6;
    const ABOUT: &'static str = "Makes a foreground map of every picture, one channel at stride 8, and tells the boxes of its lesions.";
    const EXAMPLE: &'static str = "\
name: regressor-infer-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  boxes:
    kind: import-boxes
    in: {samples: photos.samples}
    with: {path: boxes.csv, unit: fractions, box: {corners: [x0, y0, x1, y1]}}
  heatmaps:
    kind: box-to-heatmap
    in: {samples: photos.samples, boxes: boxes.boxes}
    with: {stride: 4}
  regressor:
    kind: regressor-train
    in: {samples: photos.samples, heatmaps: heatmaps.heatmaps}
    with: {side: 96}
  foreground:
    kind: regressor-infer
    in: {samples: photos.samples, model: regressor.model}
    with: {threshold: 0.3, most: 20}
  scores:
    kind: evaluate-detections
    in: {detections: foreground.boxes, boxes: boxes.boxes, samples: photos.samples}
outputs:
  foreground: foreground.foreground
  scores: scores.metrics
";

    fn inputs(_: &RegressorInferParameters) -> Inputs {
        let columns = [
            "width",
            "height",
            "placed_left",
            "placed_top",
            "placed_width",
            "placed_height",
            "pixels",
        ];
        let model = PortType::Model(Some("regressor".to_string()));
        Inputs {
            ports: vec![
                InputPort::one("samples", contract("Samples"), "the pictures").reading(columns),
                InputPort::one("model", model, "the regressor"),
            ],
            open: false,
        }
    }

    fn outputs(_: &RegressorInferParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![
            OutputPort::new(
                "foreground",
                PortType::Table(foreground_type()),
                "how likely each cell of 8 × 8 pixels is foreground, whatever the class",
            ),
            OutputPort::new(
                "boxes",
                PortType::Table(boxes_type()),
                "the lesions that were found, with how sure the regressor is of each, for `evaluate-detections`",
            ),
        ])
    }

    fn shape(_: &RegressorInferParameters) -> Shape {
        Shape::Map {
            over: "samples".to_string(),
        }
    }

    fn resources(_: &RegressorInferParameters, _: &InputSizes) -> Resources {
        resources()
    }

    fn run(parameters: &RegressorInferParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let loaded = Loaded::read(context, "model")?;
        let mut maps = context.write_table("foreground", foreground_type().schema())?;
        let mut boxes = context.write_table("boxes", boxes_type().schema())?;
        let at_once = loaded.at_once(context.threads());
        let mut pictures = Pictures::of(context, "samples")?.at_once(at_once);
        let total = pictures.rows();
        let mut done = 0;
        while let Some(part) = pictures.next_part()? {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let [heat, sizes] = regress(&loaded, &part.pictures, context.threads())?;
            maps.write(&foreground_rows(&loaded, &part, &heat)?)?;
            boxes.write(&box_rows(&loaded, &part, &heat, &sizes, parameters)?)?;
            done += part.pictures.len() as u64;
            context.progress(done, Some(total));
        }
        maps.finish()?;
        boxes.finish()
    }
}

/// The network's maps of pictures.
fn regress(loaded: &Loaded, pictures: &[Picture], threads: usize) -> Result<[Grids; 2], StageError> {
    let mut pixels = Vec::new();
    for picture in pictures {
        loaded.normalise.append(&loaded.resized(picture), &mut pixels);
    }
    let images = Images {
        pixels: &pixels,
        count: pictures.len(),
        height: loaded.description.preprocessing.height as usize,
        width: loaded.description.preprocessing.width as usize,
    };
    loaded.within_threads(threads, |network| {
        network
            .maps(images)
            .map_err(|error| StageError::new(error.to_string()))
    })
}

/// How many cells of the network's maps its picture is across and down.
fn cells(loaded: &Loaded) -> [f64; 2] {
    let preprocessing = &loaded.description.preprocessing;
    let stride = loaded.description.architecture.output_stride();
    exact_cells([preprocessing.width, preprocessing.height], stride)
}

fn foreground_type() -> TableType {
    closed("Foreground", [])
}

fn boxes_type() -> TableType {
    closed("Boxes", [Column::new("probability", ColumnType::Float32)])
}

/// A contract's columns and these, and no others.
fn closed(name: &str, more: impl IntoIterator<Item = Column>) -> TableType {
    // The names used here are in the constant list of contracts; `any` only keeps this total.
    let mut table = Contract::named(name).map_or_else(TableType::any, TableType::of);
    table.open = false;
    table.columns.extend(more);
    table
}

fn foreground_rows(loaded: &Loaded, part: &Part, heat: &Grids) -> Result<RecordBatch, StageError> {
    let exact = cells(loaded);
    let (mut heights, mut widths) = (Int64Builder::new(), Int64Builder::new());
    let mut codes = BinaryBuilder::new();
    for (place, picture) in part.pictures.iter().enumerate() {
        let map = foreground(heat, exact, place, [picture.width(), picture.height()], STRIDE);
        heights.append_value(map.height() as i64);
        widths.append_value(map.width() as i64);
        codes.append_value(map.codes());
    }
    let columns: Vec<ArrayRef> = vec![
        part.ids.clone(),
        Arc::new(heights.finish()),
        Arc::new(widths.finish()),
        Arc::new(codes.finish()),
    ];
    Ok(RecordBatch::try_new(foreground_type().schema(), columns)?)
}

fn box_rows(
    loaded: &Loaded,
    part: &Part,
    heat: &Grids,
    sizes: &Grids,
    parameters: &RegressorInferParameters,
) -> Result<RecordBatch, StageError> {
    let ids = ids_of(&part.rows)?;
    let exact = cells(loaded);
    let mut own = Vec::new();
    let (mut labels, mut probabilities) = (StringBuilder::new(), Float32Builder::new());
    let mut sides: [Float64Builder; 4] = std::array::from_fn(|_| Float64Builder::new());
    for (place, picture) in part.pictures.iter().enumerate() {
        let mut id = [0; 32];
        id.copy_from_slice(ids.value(place));
        let placement = placement(&part.rows, place)?;
        let threshold = parameters.threshold as f32;
        for found in lesions(heat, sizes, exact, place, threshold, parameters.most) {
            let Found { class, score, of_map } = found;
            let [width, height] = [picture.width(), picture.height()];
            let stored = PixelBox {
                left: of_map.left * width as f64,
                top: of_map.top * height as f64,
                width: of_map.width * width as f64,
                height: of_map.height * height as f64,
            };
            let original = stored.in_original(&placement, width, height);
            // A network may give a centre no size: there is no box to tell then.
            if problem(&original).is_some() {
                continue;
            }
            let Rectangle { x, y, w, h } = original;
            own.push(SampleId::from_bytes(id));
            labels.append_value(&loaded.description.classes[class]);
            probabilities.append_value(score);
            for (builder, number) in sides.iter_mut().zip([x, y, w, h]) {
                builder.append_value(number);
            }
        }
    }
    let mut columns: Vec<ArrayRef> = vec![sample_ids(&own), Arc::new(labels.finish())];
    for mut side in sides {
        columns.push(Arc::new(side.finish()));
    }
    columns.push(Arc::new(probabilities.finish()));
    Ok(RecordBatch::try_new(boxes_type().schema(), columns)?)
}

/// Where the original of a row of `Samples` lies.
///
/// # Errors
/// Where a column is missing.
pub fn placement(rows: &RecordBatch, row: usize) -> Result<Placement, StageError> {
    let number = |name: &str| {
        rows.column_by_name(name)
            .and_then(|column| column.as_primitive_opt::<Float64Type>())
            .map(|column| column.value(row))
            .ok_or_else(|| StageError::new(format!("`samples` came without a proper column `{name}`")))
    };
    Ok(Placement {
        left: number("placed_left")?,
        top: number("placed_top")?,
        width: number("placed_width")?,
        height: number("placed_height")?,
    })
}
