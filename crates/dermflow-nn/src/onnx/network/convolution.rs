//! Convolutions with their padding and norms, and their weights in ONNX's order.

use super::super::graph::{float, integer, integers, text};
use super::super::message::Attribute;
use super::{Window, Writing};
use crate::architecture::Padding;
use crate::layout::{Role, Slot, TensorSpec, Unit};
use crate::weights::{Convention, foreign_shape, native_indices};

impl Writing<'_> {
    pub(super) fn convolution(&mut self, unit: Unit, input: &str, window: Window) -> String {
        let mut attributes = vec![
            integers("kernel_shape", &[window.kernel; 2]),
            integers("strides", &[window.stride; 2]),
            integer("group", window.groups),
        ];
        attributes.push(self.padding(window));
        self.with_norm(unit, "Conv", input, attributes)
    }

    pub(super) fn transposed(&mut self, unit: Unit, input: &str) -> String {
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
    pub(super) fn weight(&mut self, unit: Unit, factors: Option<&[f32]>) -> String {
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

    pub(super) fn vector(&mut self, unit: Unit, slot: Slot) -> String {
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
