//! What stands on the backbone: a classifier, or a regressor's neck and heads.

use super::super::graph::{Side, integer, text};
use super::{Features, Window, Writing};
use crate::architecture::{NeckLayer, Upsampling};
use crate::layout::{Slot, Unit};

impl Writing<'_> {
    pub(super) fn classifier(&mut self, features: &str) {
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

    pub(super) fn regressor(&mut self, features: &Features) {
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
}
