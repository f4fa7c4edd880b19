//! Weights become a file that timm, torchvision or this crate reads.

use std::borrow::Cow;

use safetensors::View;
use safetensors::tensor::Dtype;

use super::convention::Names;
use super::order::{foreign_shape, native_indices};
use super::{Convention, WeightsError};
use crate::layout::{TensorSpec, Weights};

/// A safetensors file with the convention's names and shapes, all float32 (PyTorch's counts of
/// batches, which must be there, are zero).
///
/// The same weights give the same bytes.
///
/// # Errors
/// Where the file would be malformed, which no layout leads to.
pub fn export(weights: &Weights, convention: Convention) -> Result<Vec<u8>, WeightsError> {
    let tensors = exported(weights, convention);
    safetensors::serialize(tensors, None).map_err(|error| WeightsError::Unwritable(error.to_string()))
}

/// What stands in a file.
pub(crate) enum Exported<'a> {
    Numbers {
        spec: &'a TensorSpec,
        values: &'a [f32],
        convention: Convention,
        shape: Vec<usize>,
    },
    Count,
}

/// Every tensor of the weights with its name.
pub(crate) fn exported(weights: &Weights, convention: Convention) -> Vec<(String, Exported<'_>)> {
    let names = Names::of(weights.layout(), convention);
    let mut tensors = Vec::new();
    for spec in weights.layout().tensors() {
        let numbers = Exported::Numbers {
            spec,
            values: weights.of(spec),
            convention,
            shape: foreign_shape(spec, convention),
        };
        tensors.push((names.name(spec), numbers));
        tensors.extend(names.batches(spec).map(|name| (name, Exported::Count)));
    }
    tensors
}

impl View for Exported<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Exported::Numbers { .. } => Dtype::F32,
            Exported::Count => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Exported::Numbers { shape, .. } => shape,
            Exported::Count => &[],
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Exported::Numbers {
                spec,
                values,
                convention,
                ..
            } => {
                let ordered = native_indices(spec, *convention).map(|index| values[index]);
                Cow::Owned(ordered.flat_map(f32::to_le_bytes).collect())
            }
            Exported::Count => Cow::Borrowed(&[0; 8]),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Exported::Numbers { spec, .. } => 4 * spec.len(),
            Exported::Count => 8,
        }
    }
}
