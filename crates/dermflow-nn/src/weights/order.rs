//! From this crate's order of a tensor's numbers to PyTorch's, and back. Must not know names.

use super::Convention;
use crate::layout::{Role, TensorSpec};

/// Extents of a tensor in a convention, outermost first.
pub(crate) fn foreign_shape(spec: &TensorSpec, convention: Convention) -> Vec<usize> {
    if convention == Convention::Native {
        return spec.shape.clone();
    }
    match (spec.role, spec.shape.as_slice()) {
        (Role::Convolution, &[out, height, width, inputs]) => vec![out, inputs, height, width],
        (Role::Depthwise, &[height, width, channels]) => vec![channels, 1, height, width],
        (Role::TransposedConvolution, &[height, width, out, inputs]) => vec![inputs, out, height, width],
        _ => spec.shape.clone(),
    }
}

/// For each number in the convention's order, where this crate has it in the tensor.
pub(crate) fn native_indices(spec: &TensorSpec, convention: Convention) -> impl Iterator<Item = usize> {
    // Extents in the convention's order, and how far one step along each goes in the native one.
    let (extents, steps) = match (convention, spec.role, spec.shape.as_slice()) {
        (Convention::Native, ..) => ([1, 1, 1, spec.len()], [0, 0, 0, 1]),
        (_, Role::Convolution, &[out, height, width, inputs]) => (
            [out, inputs, height, width],
            [height * width * inputs, 1, width * inputs, inputs],
        ),
        (_, Role::Depthwise, &[height, width, channels]) => {
            ([channels, 1, height, width], [1, 0, width * channels, channels])
        }
        (_, Role::TransposedConvolution, &[height, width, out, inputs]) => (
            [inputs, out, height, width],
            [1, inputs, width * out * inputs, out * inputs],
        ),
        _ => ([1, 1, 1, spec.len()], [0, 0, 0, 1]),
    };
    let along = move |axis: usize| (0..extents[axis]).map(move |at| at * steps[axis]);
    along(0).flat_map(move |a| {
        along(1).flat_map(move |b| along(2).flat_map(move |c| along(3).map(move |d| a + b + c + d)))
    })
}
