//! A network's operators in ONNX. Must not know of bytes.

mod convolution;
mod top;

use super::OnnxOptions;
use super::graph::{GraphBuilder, Side};
use super::message::Graph;
use crate::architecture::{Activation, Architecture, Block, BlockKind, strided};
use crate::layout::{Layout, Unit, Weights};

/// The whole graph.
pub(super) fn graph_of(weights: &Weights, options: &OnnxOptions) -> Graph {
    let architecture = weights.layout().architecture();
    let mut writing = Writing {
        graph: GraphBuilder::default(),
        weights,
        layout: weights.layout(),
        architecture,
        options,
    };
    let (rows, columns) = match options.size {
        Some([height, width]) => (Side::Known(height as usize), Side::Known(width as usize)),
        None => (Side::Named("height"), Side::Named("width")),
    };
    let shape = [Side::Named("batch"), Side::Known(3), rows, columns];
    writing.graph.input("image", &shape);
    let features = writing.backbone();
    match architecture.regressor() {
        None => writing.classifier(&features.last().value),
        Some(_) => writing.regressor(&features),
    }
    writing.graph.finish(&architecture.name)
}

/// A value of the backbone with the stride of its grid.
struct Feature {
    value: String,
    stride: usize,
}

/// The stem's and every block's output.
struct Features(Vec<Feature>);

impl Features {
    fn last(&self) -> &Feature {
        // The stem is always there.
        &self.0[self.0.len() - 1]
    }

    /// The last one with this stride.
    fn at(&self, stride: usize) -> Option<&Feature> {
        self.0.iter().rfind(|feature| feature.stride == stride)
    }
}

/// How a convolution's window moves.
#[derive(Clone, Copy)]
struct Window {
    kernel: usize,
    stride: usize,
    /// Of the input, for padding that depends on the size.
    input_stride: usize,
    groups: usize,
}

impl Window {
    fn pointwise(input_stride: usize) -> Window {
        Window::square(1, input_stride)
    }

    fn square(kernel: usize, input_stride: usize) -> Window {
        Window {
            kernel,
            stride: 1,
            input_stride,
            groups: 1,
        }
    }
}

struct Writing<'a> {
    graph: GraphBuilder,
    weights: &'a Weights,
    layout: &'a Layout,
    architecture: &'a Architecture,
    options: &'a OnnxOptions,
}

impl Writing<'_> {
    fn backbone(&mut self) -> Features {
        let stem = &self.architecture.backbone.stem;
        let window = Window {
            kernel: stem.kernel as usize,
            stride: stem.stride as usize,
            input_stride: 1,
            groups: 1,
        };
        let value = self.convolution(Unit::Stem, "image", window);
        let value = self.activation(&value);
        let mut features = Features(vec![Feature {
            value,
            stride: window.stride,
        }]);
        for (index, block) in self.architecture.backbone.blocks().iter().enumerate() {
            let Feature { value, stride } = features.last();
            let feature = Feature {
                value: self.block(index, block, value, *stride),
                stride: stride * block.stride,
            };
            features.0.push(feature);
        }
        features
    }

    fn block(&mut self, index: usize, block: &Block, input: &str, stride: usize) -> String {
        let window = Window {
            kernel: block.kernel,
            stride: block.stride,
            input_stride: stride,
            groups: 1,
        };
        let mut value = match block.kind {
            BlockKind::Fused => {
                let value = self.convolution(Unit::Fused(index), input, window);
                self.activation(&value)
            }
            BlockKind::Inverted => self.inside(index, block, input, window),
        };
        if block.projects() {
            let pointwise = Window::pointwise(stride * block.stride);
            value = self.convolution(Unit::Project(index), &value, pointwise);
        }
        match block.skip {
            true => self
                .graph
                .node("Add", &format!("blocks.{index}.sum"), &[&value, input], vec![]),
            false => value,
        }
    }

    /// An inverted block, but for its last convolution.
    fn inside(&mut self, index: usize, block: &Block, input: &str, window: Window) -> String {
        let mut value = input.to_owned();
        if block.expands() {
            value = self.convolution(
                Unit::Expand(index),
                &value,
                Window::pointwise(window.input_stride),
            );
            value = self.activation(&value);
        }
        let depthwise = Window {
            groups: block.expanded,
            ..window
        };
        value = self.convolution(Unit::Depthwise(index), &value, depthwise);
        value = self.activation(&value);
        if block.squeeze.is_none() {
            return value;
        }
        let name = |part: &str| format!("blocks.{index}.{part}");
        let pooled = self
            .graph
            .node("GlobalAveragePool", &name("pooled"), &[&value], vec![]);
        let squeezed = self.convolution(Unit::Squeeze(index), &pooled, Window::pointwise(1));
        let squeezed = self.activation(&squeezed);
        let excited = self.convolution(Unit::Excite(index), &squeezed, Window::pointwise(1));
        let gate = self.graph.node("Sigmoid", &name("gate"), &[&excited], vec![]);
        self.graph.node("Mul", &name("gated"), &[&value, &gate], vec![])
    }

    /// Height and width of the grid with this stride, where the image's are fixed.
    fn grid(&self, stride: usize) -> Option<(usize, usize)> {
        let [height, width] = self.options.size?;
        Some((strided(height as usize, stride), strided(width as usize, stride)))
    }

    fn activation(&mut self, input: &str) -> String {
        let name = format!("{input}.activated");
        match self.architecture.backbone.activation {
            Activation::Silu => {
                let gate = self
                    .graph
                    .node("Sigmoid", &format!("{input}.sigmoid"), &[input], vec![]);
                self.graph.node("Mul", &name, &[input, &gate], vec![])
            }
            Activation::Relu6 => {
                let least = self.graph.floats("zero", &[], [0.0]);
                let most = self.graph.floats("six", &[], [6.0]);
                self.graph.node("Clip", &name, &[input, &least, &most], vec![])
            }
            Activation::Relu => self.graph.node("Relu", &name, &[input], vec![]),
        }
    }
}
