//! The length of the gradient of all parameters together, scaling it, and clearing it.

use rayon::prelude::*;

use super::ParameterGradients;

/// Numbers that one sum covers: the cut is the same whatever the thread count.
const BLOCK: usize = 1 << 15;

/// The Euclidean length of the whole gradient; not a number or infinite where an element is.
/// Summed in float64 in a fixed order.
pub fn global_norm(gradients: &ParameterGradients) -> f64 {
    let squares = |buffer: &[f32]| -> f64 {
        let blocks: Vec<f64> = buffer.par_chunks(BLOCK).map(block_of_squares).collect();
        blocks.iter().sum()
    };
    (squares(&gradients.decayed) + squares(&gradients.plain)).sqrt()
}

/// Eight sums side by side, so that the compiler may use vectors.
fn block_of_squares(block: &[f32]) -> f64 {
    let mut sums = [0.0f64; 8];
    let chunks = block.chunks_exact(8);
    let rest: f64 = chunks
        .remainder()
        .iter()
        .map(|&x| f64::from(x) * f64::from(x))
        .sum();
    for chunk in chunks {
        for (sum, &element) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(element) * f64::from(element);
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Multiplies the whole gradient.
pub fn scale(gradients: &mut ParameterGradients, factor: f32) {
    for buffer in [&mut gradients.decayed, &mut gradients.plain] {
        buffer.par_chunks_mut(BLOCK).for_each(|block| {
            block.iter_mut().for_each(|element| *element *= factor);
        });
    }
}

/// Sets the whole gradient to zero.
pub fn clear(gradients: &mut ParameterGradients) {
    for buffer in [&mut gradients.decayed, &mut gradients.plain] {
        buffer.par_chunks_mut(BLOCK).for_each(|block| block.fill(0.0));
    }
}
