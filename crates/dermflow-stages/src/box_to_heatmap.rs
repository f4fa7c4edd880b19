//! `box-to-heatmap`: lesion boxes become heat maps, one for each image and class
//! (`method.md` H1–H3).
//!
//! How a box is drawn stands in [`dermflow_vision::heatmap`]; this kind brings boxes and
//! pictures together and must not know what pixels or labels are good for. It reads where the
//! original picture lies in the stored one, of images with boxes alone, and never the pixels: new
//! pixels or labels of an image, or other images, don't draw its maps again.

mod collect;
#[cfg(test)]
mod tests;

use dermflow_core::{
    Contract, InputPort, InputTypes, Inputs, OutputPort, PortType, Problem, Shape, StageContext, StageError,
    StageKind, TableType,
};
use dermflow_vision::heatmap::{Blind, DEFAULT_EDGE, Decay, Drawing, Shape as DrawnShape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::boxes::{BoxRows, Geometry};
use crate::rejects::Rejects;
use crate::whole_samples::Cursor;
use collect::Maps;

/// See the module.
pub struct BoxToHeatmap;

/// What `box-to-heatmap` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BoxToHeatmap")]
pub struct BoxToHeatmapParameters {
    /// Pixels of the stored picture across and down that one cell of a map covers. It must be
    /// that of the regressor that learns from the maps.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 256))]
    stride: usize,
    /// What a box is drawn as: the patent's `ellipse`, or, to compare with, the published
    /// Gaussians `center-net` and `ttf-net`, which don't look at `decay` and `edge`.
    #[serde(default)]
    shape: DrawnShape,
    /// How an ellipse fades from 1 in its centre to `edge` at its rim, over the normalised
    /// elliptical distance.
    #[serde(default)]
    decay: Decay,
    /// The value at the rim of an ellipse, below 1; `gaussian` needs it above 0. The default
    /// is a Gaussian's whose sigma is a third of the radius.
    #[serde(default = "edge")]
    #[schemars(range(min = 0.0, max = 1.0))]
    edge: f64,
    /// The blind ring around a lesion, which the loss ignores: `{ratio: 0.5}` is half of the
    /// inner diameter in whole pixels, 0 turns it off. Left out: 0.5 around an `ellipse`, none
    /// around the other shapes, which know no ring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blind: Option<Blind>,
}

fn four() -> usize {
    4
}

fn edge() -> f64 {
    DEFAULT_EDGE
}

impl BoxToHeatmapParameters {
    fn drawing(&self) -> Drawing {
        let blind = self.blind.unwrap_or(match self.shape {
            DrawnShape::Ellipse => Blind::default(),
            DrawnShape::CenterNet | DrawnShape::TtfNet => Blind::none(),
        });
        Drawing {
            stride: self.stride,
            shape: self.shape,
            decay: self.decay,
            edge: self.edge,
            blind,
        }
    }
}

impl StageKind for BoxToHeatmap {
    type Parameters = BoxToHeatmapParameters;
    const NAME: &'static str = "box-to-heatmap";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Draws lesion boxes as heat maps, fading ellipses in blind rings, one map for each image and class.";
    const EXAMPLE: &'static str = "\
name: box-to-heatmap-example
stages:
  photos:
    kind: import-table
    with:
      path: photos.csv
      key: photo
      unique: true
      columns:
        width: integer
        height: integer
        placed_left: float64
        placed_top: float64
        placed_width: float64
        placed_height: float64
  lesions:
    kind: import-table
    with: {path: boxes.csv, key: photo, columns: {label: text, x: float64, y: float64, w: float64, h: float64}}
  heat:
    kind: box-to-heatmap
    in: {samples: photos.table, boxes: lesions.table}
    with: {stride: 4, shape: ellipse, decay: gaussian, edge: 0.02, blind: {ratio: 0.5, of: diameter, width: per-axis}}
outputs:
  heat: heat.heatmaps
";

    fn inputs(_: &BoxToHeatmapParameters) -> Inputs {
        let boxes = Contract::named("Boxes").map_or_else(TableType::any, TableType::of);
        let samples = TableType {
            open: true,
            ..TableType::exactly(Geometry::columns())
        };
        let boxes = InputPort::one("boxes", PortType::Table(boxes), "the lesions").reading(BoxRows::COLUMNS);
        let samples = InputPort::one(
            "samples",
            PortType::Table(samples),
            "the images: how large they are and where the original lies in them",
        );
        Inputs {
            ports: vec![boxes, samples.reading(Geometry::COLUMNS).of_same_sample()],
            open: false,
        }
    }

    fn outputs(_: &BoxToHeatmapParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![
            OutputPort::new(
                "heatmaps",
                PortType::Table(heatmaps()),
                "one row for each image and class that has a box",
            ),
            Rejects::port("boxes that could not be drawn, and why"),
        ])
    }

    fn check(parameters: &BoxToHeatmapParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if parameters.edge >= 1.0 {
            problems.push(Problem::new("edge", "must lie below 1, the value in the centre"));
        }
        let fades = (parameters.shape, parameters.decay) == (DrawnShape::Ellipse, Decay::Gaussian);
        if fades && parameters.edge == 0.0 {
            let problem = Problem::new("edge", "a Gaussian never falls to 0");
            problems.push(problem.with_help("write an `edge` above 0, or `decay: linear` or `cosine`"));
        }
        problems
    }

    fn shape(_: &BoxToHeatmapParameters) -> Shape {
        Shape::Map {
            over: "boxes".to_string(),
        }
    }

    fn run(parameters: &BoxToHeatmapParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let boxes = context.table("boxes")?;
        let total = boxes.rows();
        let mut boxes = Cursor::new(boxes)?;
        let mut samples = Cursor::new(context.table("samples")?)?;
        let mut maps = Maps::new(parameters.drawing(), context)?;
        let mut done = 0;
        while let Some(batch) = boxes.batch().cloned() {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let rows = BoxRows::of(&batch)?;
            while let Some(id) = boxes.id().and_then(|id| <[u8; 32]>::try_from(id).ok()) {
                let of_sample = boxes.pass();
                done += of_sample.len() as u64;
                let geometry = Geometry::seek(&mut samples, &id)?;
                maps.add(&id, geometry, &rows, of_sample)?;
            }
            context.progress(done, Some(total));
            boxes.next_batch()?;
        }
        let refused = maps.finish()?;
        if refused > 0 {
            context.log(&format!(
                "{refused} boxes could not be drawn: see the output `rejects`"
            ));
        }
        Ok(())
    }
}

/// Exactly the columns of the contract.
fn heatmaps() -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut table = Contract::named("Heatmaps").map_or_else(TableType::any, TableType::of);
    table.open = false;
    table
}
