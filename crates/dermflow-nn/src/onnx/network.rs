//! A network's operators in ONNX. Must not know of bytes.

use super::OnnxOptions;
use super::graph::{GraphBuilder, Side, float, integer, integers, text};
use super::message::{Attribute, Graph};
use crate::architecture::{
    Activation, Architecture, Block, BlockKind, NeckLayer, Padding, Upsampling, strided,
};
use crate::layout::{Layout, Role, Slot, TensorSpec, Unit, Weights};
use crate::weights::{Convention, foreign_shape, native_indices};

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

    fn classifier(&mut self, features: &str) {
        let stride = self.architecture.backbone.stride();
        let head = self.convolution(Unit::Head, features, Window::pointwise(stride));
        let head = self.activation(&head);
        let pooled = self
            .graph
            .node("GlobalAveragePool", "head.pooled", &[&head], vec![]);
        let flat = self
            .graph
            .node("Flatten", "head.flat", &[&pooled], vec![integer("axis", 1)]);
        let weight = self.weight(Unit::Classifier, None);
        let bias = self.vector(Unit::Classifier, Slot::Bias);
        let name = if self.options.probabilities {
            "classifier"
        } else {
            "logits"
        };
        let attributes = vec![integer("transB", 1)];
        let logits = self
            .graph
            .node("Gemm", name, &[&flat, &weight, &bias], attributes);
        let output = match self.options.probabilities {
            true => {
                let axis = vec![integer("axis", 1)];
                self.graph.node("Softmax", "probabilities", &[&logits], axis)
            }
            false => logits,
        };
        let classes = self.architecture.classes() as usize;
        let shape = [Side::Named("batch"), Side::Known(classes)];
        self.graph.output(&output, &shape);
    }

    fn regressor(&mut self, features: &Features) {
        let mut value = features.last().value.clone();
        let mut stride = features.last().stride;
        for (index, layer) in self.architecture.neck().iter().enumerate() {
            stride /= 2;
            value = self.neck(index, layer, &value, stride, features);
        }
        let heads = [
            (
                "heat",
                Unit::HeatHidden,
                Unit::HeatOutput,
                self.architecture.classes() as usize,
            ),
            ("size", Unit::SizeHidden, Unit::SizeOutput, 2),
        ];
        for (name, hidden, output, channels) in heads {
            let inside = self.convolution(hidden, &value, Window::square(3, stride));
            let inside = self.activation(&inside);
            let map = self.convolution(output, &inside, Window::pointwise(stride));
            let operator = match name == "heat" && self.options.probabilities {
                true => "Sigmoid",
                false => "Identity",
            };
            self.graph.node(operator, name, &[&map], vec![]);
            let (rows, columns) = match self.grid(stride) {
                Some((rows, columns)) => (Side::Known(rows), Side::Known(columns)),
                None => (Side::Named("rows"), Side::Named("columns")),
            };
            let shape = [Side::Named("batch"), Side::Known(channels), rows, columns];
            self.graph.output(name, &shape);
        }
    }

    fn neck(
        &mut self,
        index: usize,
        layer: &NeckLayer,
        input: &str,
        stride: usize,
        features: &Features,
    ) -> String {
        let unit = Unit::Upsample(index);
        let name = |part: &str| format!("neck.{index}.{part}");
        let value = match layer.upsampling {
            Upsampling::Learned => {
                let value = self.transposed(unit, input);
                self.cut(&name("cut"), &value, stride, features)
            }
            Upsampling::Bilinear => {
                let scales = self.graph.floats("twice", &[4], [1.0, 1.0, 2.0, 2.0]);
                let attributes = vec![
                    text("mode", "linear"),
                    text("coordinate_transformation_mode", "half_pixel"),
                ];
                let value = self
                    .graph
                    .node("Resize", &name("resized"), &[input, "", &scales], attributes);
                let value = self.cut(&name("cut"), &value, stride, features);
                self.convolution(unit, &value, Window::square(3, stride))
            }
        };
        let value = self.activation(&value);
        let Some(lateral) = features.at(stride).filter(|_| layer.lateral.is_some()) else {
            return value;
        };
        let joined = self.convolution(Unit::Lateral(index), &lateral.value, Window::pointwise(stride));
        self.graph.node("Add", &name("sum"), &[&value, &joined], vec![])
    }

    /// Cuts a doubled grid to that of the backbone's features with this stride.
    fn cut(&mut self, name: &str, value: &str, stride: usize, features: &Features) -> String {
        let axes = self.graph.integers("rows-and-columns", &[2, 3]);
        let zeros = self.graph.integers("zeros", &[0, 0]);
        let ends = match (self.grid(stride), features.at(stride)) {
            (Some((rows, columns)), _) => {
                let doubled = self.grid(2 * stride);
                if doubled.is_some_and(|(above, beside)| (2 * above, 2 * beside) == (rows, columns)) {
                    return value.to_owned();
                }
                self.graph
                    .integers(&format!("grid.{stride}"), &[rows as i64, columns as i64])
            }
            (None, Some(feature)) => {
                let attributes = vec![integer("start", 2), integer("end", 4)];
                self.graph
                    .node("Shape", &format!("{name}.grid"), &[&feature.value], attributes)
            }
            // Only a stem that doesn't halve leaves strides without features, and a checked
            // neck stays above those.
            (None, None) => return value.to_owned(),
        };
        self.graph
            .node("Slice", name, &[value, &zeros, &ends, &axes], vec![])
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

    fn convolution(&mut self, unit: Unit, input: &str, window: Window) -> String {
        let mut attributes = vec![
            integers("kernel_shape", &[window.kernel; 2]),
            integers("strides", &[window.stride; 2]),
            integer("group", window.groups),
        ];
        attributes.push(self.padding(window));
        self.with_norm(unit, "Conv", input, attributes)
    }

    fn transposed(&mut self, unit: Unit, input: &str) -> String {
        let attributes = vec![
            integers("kernel_shape", &[4; 2]),
            integers("strides", &[2; 2]),
            integers("pads", &[1; 4]),
        ];
        self.with_norm(unit, "ConvTranspose", input, attributes)
    }

    fn padding(&self, window: Window) -> Attribute {
        let padding = self.architecture.backbone.padding;
        // With stride 1 both rules are the same, whatever the size.
        let (rows, columns) = match (padding, self.grid(window.input_stride)) {
            (Padding::TensorflowSame, None) if window.stride > 1 => return text("auto_pad", "SAME_UPPER"),
            (_, grid) => grid.unwrap_or((window.kernel, window.kernel)),
        };
        let (above, below) = padding.amounts(rows, window.kernel, window.stride);
        let (left, right) = padding.amounts(columns, window.kernel, window.stride);
        integers("pads", &[above, left, below, right])
    }

    /// A convolution with its bias or norm, folded into it or behind it.
    fn with_norm(&mut self, unit: Unit, operator: &str, input: &str, attributes: Vec<Attribute>) -> String {
        let name = unit.to_string();
        if self.spec(unit, Slot::Bias).is_some() {
            let (weight, bias) = (self.weight(unit, None), self.vector(unit, Slot::Bias));
            return self
                .graph
                .node(operator, &name, &[input, &weight, &bias], attributes);
        }
        let epsilon = self.architecture.backbone.norm.epsilon;
        if self.options.fold_norms {
            let (factors, bias) = self.folded(unit, epsilon);
            let weight = self.weight(unit, Some(&factors));
            let bias = self.graph.floats(&format!("{unit}.bias"), &[factors.len()], bias);
            return self
                .graph
                .node(operator, &name, &[input, &weight, &bias], attributes);
        }
        let weight = self.weight(unit, None);
        let value = self.graph.node(operator, &name, &[input, &weight], attributes);
        let slots = [Slot::Scale, Slot::Shift, Slot::Mean, Slot::Variance];
        let vectors = slots.map(|slot| self.vector(unit, slot));
        let mut inputs = vec![value.as_str()];
        inputs.extend(vectors.iter().map(String::as_str));
        let name = format!("{unit}.norm");
        self.graph.node(
            "BatchNormalization",
            &name,
            &inputs,
            vec![float("epsilon", epsilon)],
        )
    }

    /// What a norm multiplies each channel with, and adds to it.
    fn folded(&self, unit: Unit, epsilon: f64) -> (Vec<f32>, Vec<f32>) {
        let values = |slot| {
            self.spec(unit, slot)
                .map(|spec| self.weights.of(spec))
                .unwrap_or_default()
        };
        let scale = values(Slot::Scale).iter().zip(values(Slot::Variance));
        let factors: Vec<f64> = scale
            .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        let shift = values(Slot::Shift).iter().zip(values(Slot::Mean));
        let bias = shift.zip(&factors);
        let bias = bias.map(|((&shift, &mean), factor)| (f64::from(shift) - f64::from(mean) * factor) as f32);
        let bias = bias.collect();
        (factors.iter().map(|&factor| factor as f32).collect(), bias)
    }

    /// A unit's weight in ONNX's order, each output channel times a factor.
    fn weight(&mut self, unit: Unit, factors: Option<&[f32]>) -> String {
        let Some(spec) = self.layout.tensor(unit, Slot::Weight) else {
            return String::new();
        };
        // PyTorch's order is ONNX's.
        let shape = foreign_shape(spec, Convention::Timm);
        let (channels, inner) = match (spec.role, shape.as_slice()) {
            (Role::TransposedConvolution, &[_, out, rows, columns]) => (out, rows * columns),
            (_, &[out, ..]) => (out, spec.len() / out),
            _ => (1, spec.len()),
        };
        let values = self.weights.of(spec);
        let ordered = native_indices(spec, Convention::Timm)
            .enumerate()
            .map(|(at, index)| {
                let factor = factors.map_or(1.0, |factors| factors[at / inner % channels]);
                values[index] * factor
            });
        self.graph.floats(&spec.name, &shape, ordered)
    }

    fn vector(&mut self, unit: Unit, slot: Slot) -> String {
        let Some(spec) = self.layout.tensor(unit, slot) else {
            return String::new();
        };
        let values = self.weights.of(spec).iter().copied();
        self.graph.floats(&spec.name, &spec.shape, values)
    }

    fn spec(&self, unit: Unit, slot: Slot) -> Option<&TensorSpec> {
        self.layout.tensor(unit, slot)
    }
}
