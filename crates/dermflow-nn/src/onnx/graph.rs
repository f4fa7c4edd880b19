//! [`GraphBuilder`]: operators and constants, one after the other. Must not know of networks.

use super::message::{
    Attribute, Extent, FLOAT, Graph, INT64, Node, Size, Tensor, TensorShape, TensorType, Type, ValueInfo,
};

/// Collects a graph; each method gives the name of the value that it makes.
#[derive(Default)]
pub(super) struct GraphBuilder {
    graph: Graph,
}

/// An extent of an input or output.
pub(super) enum Side<'a> {
    Known(usize),
    Named(&'a str),
}

impl GraphBuilder {
    pub(super) fn input(&mut self, name: &str, shape: &[Side]) {
        self.graph.inputs.push(value(name, shape));
    }

    pub(super) fn output(&mut self, name: &str, shape: &[Side]) {
        self.graph.outputs.push(value(name, shape));
    }

    /// An operator with one output, which is called `name`.
    pub(super) fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<Attribute>,
    ) -> String {
        self.graph.nodes.push(Node {
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            outputs: vec![name.to_owned()],
            name: name.to_owned(),
            operator: operator.to_owned(),
            attributes,
        });
        name.to_owned()
    }

    /// A constant of float32.
    pub(super) fn floats(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = f32>,
    ) -> String {
        let raw = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.constant(name, shape, FLOAT, raw)
    }

    /// A constant vector of int64; one name stands for one vector.
    pub(super) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], INT64, raw)
    }

    fn constant(&mut self, name: &str, shape: &[usize], number: i32, raw: Vec<u8>) -> String {
        if !self.graph.initializers.iter().any(|tensor| tensor.name == name) {
            self.graph.initializers.push(Tensor {
                extents: shape.iter().map(|&extent| extent as i64).collect(),
                number,
                name: name.to_owned(),
                raw,
            });
        }
        name.to_owned()
    }

    pub(super) fn finish(self, name: &str) -> Graph {
        Graph {
            name: name.to_owned(),
            ..self.graph
        }
    }
}

fn value(name: &str, shape: &[Side]) -> ValueInfo {
    let extents = shape.iter().map(|side| Extent {
        size: Some(match side {
            Side::Known(extent) => Size::Known(*extent as i64),
            Side::Named(name) => Size::Named((*name).to_owned()),
        }),
    });
    let shape = TensorShape {
        extents: extents.collect(),
    };
    ValueInfo {
        name: name.to_owned(),
        value_type: Some(Type {
            tensor: Some(TensorType {
                number: FLOAT,
                shape: Some(shape),
            }),
        }),
    }
}

pub(super) fn integer(name: &str, integer: usize) -> Attribute {
    Attribute {
        name: name.to_owned(),
        integer: integer as i64,
        kind: 2,
        ..Attribute::default()
    }
}

pub(super) fn integers(name: &str, values: &[usize]) -> Attribute {
    Attribute {
        name: name.to_owned(),
        integers: values.iter().map(|&value| value as i64).collect(),
        kind: 7,
        ..Attribute::default()
    }
}

pub(super) fn float(name: &str, float: f64) -> Attribute {
    Attribute {
        name: name.to_owned(),
        float: float as f32,
        kind: 1,
        ..Attribute::default()
    }
}

pub(super) fn text(name: &str, text: &str) -> Attribute {
    Attribute {
        name: name.to_owned(),
        text: text.as_bytes().to_vec(),
        kind: 3,
        ..Attribute::default()
    }
}
