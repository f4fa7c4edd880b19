//! A pipeline as boxes and arrows.

use super::{Arrow, Drawing, DrawnBox, DrawnNote, wire_label};
use crate::Pipeline;

impl From<&Pipeline> for Drawing {
    /// A box a stage, an arrow a wire, a note an output.
    fn from(pipeline: &Pipeline) -> Drawing {
        let stages = pipeline.stages.iter();
        let outputs = pipeline.outputs.iter();
        let wires = pipeline.stages.iter().enumerate().flat_map(|(to, stage)| {
            stage.inputs.iter().map(move |wire| Arrow {
                from: wire.from,
                to,
                label: wire_label(&wire.output, &wire.port),
            })
        });
        Drawing {
            title: pipeline.label(),
            boxes: stages
                .map(|stage| DrawnBox::new(&stage.name, stage.kind.name()))
                .collect(),
            arrows: wires.collect(),
            notes: outputs
                .map(|output| DrawnNote {
                    name: output.name.clone(),
                    of: output.stage,
                    label: output.port.clone(),
                })
                .collect(),
        }
    }
}
