//! `explain`: where a classifier looks: class activation maps or Grad-CAM over the pictures, and how
//! much of them lies in the lesion boxes (`method.md` C5, E3).
//!
//! Must not know how the classifier was trained.

mod maps;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use dermflow_core::{
    Arity, Column, ColumnType, InputPort, InputSizes, InputTypes, Inputs, NamedFile, OutputPort, PortType,
    Problem, Resources, SampleId, StageContext, StageError, StageKind, TableType, sample_ids,
};
use dermflow_vision::boxes::PixelBox;
use dermflow_vision::placement::{Placement, Rectangle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::ids_of;
use crate::learning::activation::{ActivationMap, Attention, painted};
use crate::learning::classes::Labelled;
use crate::learning::classifier_ports::contract;
use crate::learning::infer::Pictures;
use crate::regressor_infer::placement;
use maps::Explainer;

/// See the module.
pub struct Explain;

/// What `explain` is told under `with:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Explain")]
pub struct ExplainParameters {
    /// Of how many pictures the maps are painted, the first in order of sample ids.
    #[schemars(range(min = 0, max = 100_000))]
    pictures: usize,
    /// Whose class is explained.
    class: ExplainedClass,
    /// How the map is made.
    method: ExplainMethod,
    /// For `grad-cam`: the stage of blocks, counted from 1, whose features are looked at. An earlier one
    /// has a finer grid, and knows less of classes. Left out, it is the last.
    #[schemars(range(min = 1, max = 1000))]
    stage: Option<u32>,
}

impl Default for ExplainParameters {
    fn default() -> ExplainParameters {
        ExplainParameters {
            pictures: 24,
            class: ExplainedClass::Predicted,
            method: ExplainMethod::ClassActivation,
            stage: None,
        }
    }
}

/// How the map is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExplainMethod {
    /// The class's weights by the features before the last layer (Zhou et al. 2016): what the logit is
    /// the mean of.
    ClassActivation,
    /// The features of a stage, each channel by how much the class's logit changes with it in the mean
    /// (Selvaraju et al. 2017).
    GradCam,
}

/// Whose class is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExplainedClass {
    /// The one that the classifier decides for.
    Predicted,
    /// The true one, of the table wired to `labels`; pictures without a label are left out.
    True,
}

impl StageKind for Explain {
    type Parameters = ExplainParameters;
    const NAME: &'static str = "explain";
    const VERSION: u32 = 6;
    const ABOUT: &'static str =
        "Paints where a classifier looks, and measures how much of that lies within the lesion boxes.";
    const EXAMPLE: &'static str = "\
name: explain-example
seed: 20
stages:
  photos:
    kind: ingest
    with: {root: photos, size: 96}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  boxes:
    kind: import-boxes
    in: {samples: photos.samples}
    with: {path: boxes.csv, unit: fractions, box: {corners: [x0, y0, x1, y1]}}
  classifier:
    kind: classifier-train
    in: {samples: photos.samples, labels: labels.labels}
    with: {side: 96}
  explained:
    kind: explain
    in: {samples: photos.samples, model: classifier.model, boxes: boxes.boxes}
    with: {pictures: 12, class: predicted}
  finer:
    kind: explain
    in: {samples: photos.samples, model: classifier.model, boxes: boxes.boxes}
    with: {method: grad-cam, stage: 3}
outputs:
  attention: explained.attention
";

    fn inputs(_: &ExplainParameters) -> Inputs {
        let columns = [
            "width",
            "height",
            "placed_left",
            "placed_top",
            "placed_width",
            "placed_height",
            "pixels",
        ];
        let model = PortType::Model(Some("classifier".to_string()));
        Inputs {
            ports: vec![
                InputPort::one("samples", contract("Samples"), "the pictures").reading(columns),
                InputPort::one("model", model, "the classifier"),
                InputPort::one(
                    "boxes",
                    contract("Boxes"),
                    "the lesions; only pictures with boxes are measured",
                )
                .with_arity(Arity::Optional)
                .reading(["x", "y", "w", "h"]),
                InputPort::one("labels", contract("Labels"), "the true labels")
                    .with_arity(Arity::Optional)
                    .reading(["label"]),
            ],
            open: false,
        }
    }

    fn outputs(parameters: &ExplainParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        if parameters.class == ExplainedClass::True && !wired.contains_key("labels") {
            return Err(Problem::new(
                "class",
                "the true class needs a table wired to `labels`",
            ));
        }
        if parameters.method == ExplainMethod::ClassActivation && parameters.stage.is_some() {
            return Err(Problem::new(
                "stage",
                "class activation reads the features before the last layer; only `method: grad-cam` reads a stage's",
            ));
        }
        Ok(vec![
            OutputPort::new(
                "attention",
                PortType::Table(attention_type()),
                "for each picture with boxes, what share of the map lies in them, and whether its peak does",
            ),
            OutputPort::new(
                "pictures",
                PortType::Files,
                "pictures with the maps painted over them",
            ),
        ])
    }

    fn resources(_: &ExplainParameters, _: &InputSizes) -> Resources {
        Resources {
            memory: 1 << 30,
            threads: 0,
        }
    }

    fn run(parameters: &ExplainParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let explainer = Explainer::read(parameters, context)?;
        let boxes = match context.has_input("boxes") {
            true => read_boxes(context)?,
            false => BTreeMap::new(),
        };
        let labels = match parameters.class {
            ExplainedClass::Predicted => None,
            ExplainedClass::True => Some(Labelled::read(context, "labels")?),
        };
        let mut painted_files = Vec::new();
        let mut measured = Vec::new();
        let mut pictures = Pictures::of(context, "samples")?;
        let (total, mut done) = (pictures.rows(), 0);
        while let Some(part) = pictures.next_part()? {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let maps = explainer.maps(&part, labels.as_ref(), context.threads())?;
            for (place, map) in maps.into_iter().enumerate() {
                let Some((class, map)) = map else { continue };
                let mut id = [0; 32];
                id.copy_from_slice(ids_of(&part.rows)?.value(place));
                let picture = &part.pictures[place];
                if painted_files.len() < parameters.pictures {
                    let name = format!(
                        "{}-{}.png",
                        SampleId::from_bytes(id).to_string().get(..12).unwrap_or(""),
                        class
                    );
                    painted_files.push(save(&name, &painted(picture, &map), context)?);
                }
                if let Some(boxes) = boxes.get(&id) {
                    let placed = placement(&part.rows, place)?;
                    let attention = of_boxes(&map, boxes, &placed, [picture.width(), picture.height()]);
                    measured.push((
                        SampleId::from_bytes(id),
                        explainer.classes()[class].clone(),
                        attention,
                    ));
                }
            }
            done += part.pictures.len() as u64;
            context.progress(done, Some(total));
        }
        tell(&measured, context);
        write(&measured, context)?;
        context.write_files("pictures", &painted_files)
    }
}

/// Each sample's boxes, in fractions of the original.
fn read_boxes(context: &dyn StageContext) -> Result<BTreeMap<[u8; 32], Vec<Rectangle>>, StageError> {
    let mut boxes: BTreeMap<[u8; 32], Vec<Rectangle>> = BTreeMap::new();
    for batch in context.table("boxes")? {
        let batch = batch?;
        let ids = ids_of(&batch)?;
        let sides = ["x", "y", "w", "h"].map(|name| {
            let column = batch
                .column_by_name(name)
                .and_then(|column| column.as_primitive_opt::<Float64Type>());
            column.ok_or_else(|| StageError::new(format!("`boxes` came without a proper column `{name}`")))
        });
        let [x, y, w, h] = sides;
        let (x, y, w, h) = (x?, y?, w?, h?);
        for row in 0..batch.num_rows() {
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            boxes.entry(id).or_default().push(Rectangle {
                x: x.value(row),
                y: y.value(row),
                w: w.value(row),
                h: h.value(row),
            });
        }
    }
    Ok(boxes)
}

fn of_boxes(map: &ActivationMap, boxes: &[Rectangle], placed: &Placement, size: [usize; 2]) -> Attention {
    let pixels: Vec<PixelBox> = boxes
        .iter()
        .map(|of_original| PixelBox::of_original(*of_original, placed, size[0], size[1]))
        .collect();
    map.attention(&pixels, size)
}

fn save(
    name: &str,
    picture: &dermflow_vision::picture::Picture,
    context: &dyn StageContext,
) -> Result<NamedFile, StageError> {
    let path = context.scratch().join(name);
    let size = (picture.width() as u32, picture.height() as u32);
    image::save_buffer(
        &path,
        picture.pixels(),
        size.0,
        size.1,
        image::ExtendedColorType::Rgb8,
    )
    .map_err(|error| StageError::new(format!("writing {}: {error}", path.display())))?;
    Ok(NamedFile {
        name: name.to_string(),
        path,
    })
}

fn attention_type() -> TableType {
    TableType::exactly([
        Column::new("class", ColumnType::Text),
        Column::nullable("energy_in_boxes", ColumnType::Float64),
        Column::new("area_of_boxes", ColumnType::Float64),
        Column::new("peak_in_boxes", ColumnType::Float64),
    ])
}

fn tell(measured: &[(SampleId, String, Attention)], context: &mut dyn StageContext) {
    let energies: Vec<f64> = measured
        .iter()
        .filter_map(|(_, _, attention)| attention.energy)
        .collect();
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len().max(1) as f64;
    let areas: Vec<f64> = measured.iter().map(|(_, _, attention)| attention.area).collect();
    let peaks: Vec<f64> = measured.iter().map(|(_, _, attention)| attention.peak).collect();
    context.metric("pictures measured", measured.len() as f64);
    if !measured.is_empty() {
        context.metric("mean energy in boxes", mean(&energies));
        context.metric("mean area of boxes", mean(&areas));
        context.metric("pointing game", mean(&peaks));
    }
}

fn write(
    measured: &[(SampleId, String, Attention)],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let ids: Vec<SampleId> = measured.iter().map(|(id, _, _)| *id).collect();
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new(
            measured
                .iter()
                .map(|(_, class, _)| Some(class))
                .collect::<StringArray>(),
        ),
        Arc::new(
            measured
                .iter()
                .map(|(_, _, attention)| attention.energy)
                .collect::<Float64Array>(),
        ),
        Arc::new(
            measured
                .iter()
                .map(|(_, _, attention)| Some(attention.area))
                .collect::<Float64Array>(),
        ),
        Arc::new(
            measured
                .iter()
                .map(|(_, _, attention)| Some(attention.peak))
                .collect::<Float64Array>(),
        ),
    ];
    let schema = attention_type().schema();
    let mut out = context.write_table("attention", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}
