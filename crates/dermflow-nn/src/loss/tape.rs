//! One number with a known gradient as an operation on dfdx's tape.

use dfdx::shapes::{Rank0, Shape};
use dfdx::tensor::{Cpu, CpuError, PutTape, SplitTape, Tape, Tensor, TensorFrom};

/// A scalar `value` computed from `input`, whose gradient for each element of `input` is
/// `gradient` (in memory order; not looked at where the tape records nothing).
pub(super) fn scalar<S: Shape, T: Tape<f32, Cpu>>(
    input: Tensor<S, f32, Cpu, T>,
    value: f32,
    mut gradient: Vec<f32>,
) -> Result<Tensor<Rank0, f32, Cpu, T>, CpuError> {
    let (input, mut tape) = input.split_tape();
    let output: Tensor<Rank0, f32, Cpu> = Cpu::default().try_tensor(value)?;
    if T::OWNS_TAPE {
        let (from, to) = (input.ghost(), output.ghost());
        tape.add_backward_op(move |gradients| {
            let upstream = gradients.get_or_alloc_mut(&to)?.first().copied().unwrap_or(0.0);
            gradient.iter_mut().for_each(|element| *element *= upstream);
            let into = gradients.get_or_alloc_mut(&from)?;
            into.iter_mut()
                .zip(&gradient)
                .for_each(|(sum, element)| *sum += element);
            Ok(())
        });
    }
    Ok(output.put_tape(tape))
}
