//! Compares a loss's gradient with central differences.

use dfdx::prelude::*;

/// Numbers between −2 and 2 without a pattern.
pub(super) fn logits(count: usize) -> Vec<f32> {
    (0..count)
        .map(|at| ((at * at * 37 + at * 11) % 101) as f32 / 25.0 - 2.0)
        .collect()
}

/// Checks every element's gradient of `traced` against the differences of `plain`, which is
/// the same function without a tape.
pub(super) fn check<S: Shape>(
    at: &[f32],
    shape: S,
    traced: impl Fn(Tensor<S, f32, Cpu, OwnedTape<f32, Cpu>>) -> Tensor<Rank0, f32, Cpu, OwnedTape<f32, Cpu>>,
    plain: impl Fn(Tensor<S, f32, Cpu>) -> Tensor<Rank0, f32, Cpu>,
) {
    let device = Cpu::default();
    let input = device.tensor_from_vec(at.to_vec(), shape);
    // Twice the loss, so that what comes from upstream must enter.
    let gradient = (traced(input.leaky_trace()) * 2.0)
        .backward()
        .get(&input)
        .as_vec();
    let step = 1e-2;
    for element in 0..at.len() {
        let value = |shift: f32| {
            let mut moved = at.to_vec();
            moved[element] += shift;
            plain(device.tensor_from_vec(moved, shape)).as_vec()[0]
        };
        // Fourth order, so that a step large enough for float32 is small enough.
        let near = value(step) - value(-step);
        let far = value(2.0 * step) - value(-2.0 * step);
        let expected = 2.0 * (8.0 * near - far) / (12.0 * step);
        let error = (gradient[element] - expected).abs();
        assert!(
            error < 2e-3 * expected.abs().max(0.1),
            "element {element}: {} by the tape, {expected} by differences",
            gradient[element]
        );
    }
}
