//! The trained numbers of a network and how they take part in dfdx's tape.
//!
//! dfdx lends the numbers of a tensor to nobody (they can only be copied) and its optimisers
//! walk a list of tensors that is known at compile time. So the numbers live here, in one flat
//! buffer per group, and a tensor without elements stands for each buffer on the tape: its
//! identity is the key of the buffer's gradient. Custom operations read the numbers without a
//! copy and add into the gradient by offset.
//!
//! This module must not know which numbers belong to which layer; that is the layout's.

use std::sync::Arc;

use dfdx::shapes::Shape;
use dfdx::tensor::{
    Cpu, CpuError, Gradients, OwnedTape, PutTape, SplitTape, Tape, Tensor, TensorFromVec, Trace,
};

/// The tape that training records on.
pub type TrainingTape = OwnedTape<f32, Cpu>;

/// Everything that an optimiser changes: weights that decay, and norms and biases that don't.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Weights of convolutions and linear layers.
    pub decayed: Flat,
    /// Scales and shifts of norms, and biases.
    pub plain: Flat,
}

impl Parameters {
    /// Parameters of these values, without a copy.
    pub fn new(decayed: Vec<f32>, plain: Vec<f32>) -> Parameters {
        Parameters {
            decayed: Flat::new(decayed),
            plain: Flat::new(plain),
        }
    }
}

/// A flat buffer of numbers and its place on the tape.
///
/// A clone shares the numbers and the place, until one of the two is changed.
#[derive(Clone, Debug)]
pub struct Flat {
    values: Arc<Vec<f32>>,
    slot: GradientSlot,
}

impl Flat {
    /// A buffer of these values, without a copy.
    pub fn new(values: Vec<f32>) -> Flat {
        let slot = GradientSlot::new(values.len());
        Flat {
            values: Arc::new(values),
            slot,
        }
    }

    /// The numbers.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The numbers for a backward operation, which owns what it uses. They must be dropped by
    /// the end of the backward pass, or the next change copies them.
    pub fn shared(&self) -> Arc<Vec<f32>> {
        self.values.clone()
    }

    /// The numbers to change. Copies them if a clone or [`Flat::shared`] still holds them.
    pub fn values_mut(&mut self) -> &mut [f32] {
        Arc::make_mut(&mut self.values).as_mut_slice()
    }

    /// Where the gradient of these numbers is found on the tape.
    pub fn slot(&self) -> &GradientSlot {
        &self.slot
    }

    /// A tensor of the numbers from `offset` on, copied, whose gradient flows back to them: a way
    /// to compute with parameters by dfdx's own operations.
    ///
    /// # Errors
    /// Where the buffer is shorter than the shape asks for, or dfdx can't allocate.
    pub fn view<S: Shape, T: Tape<f32, Cpu>>(
        &self,
        offset: usize,
        shape: S,
    ) -> Result<Tensor<S, f32, Cpu, T>, CpuError> {
        let range = offset..offset.saturating_add(shape.num_elements());
        let values = self.values.get(range.clone()).ok_or(CpuError::WrongNumElements)?;
        let view = Cpu::default().try_tensor_from_vec(values.to_vec(), shape)?;
        let mut tape = T::default();
        if T::OWNS_TAPE {
            let (slot, from) = (self.slot.clone(), view.ghost());
            tape.add_backward_op(move |gradients| {
                let slopes = std::mem::take(&mut **gradients.get_or_alloc_mut(&from)?);
                let sums = &mut slot.gradient(gradients)?[range];
                sums.iter_mut()
                    .zip(&slopes)
                    .for_each(|(sum, slope)| *sum += slope);
                Ok(())
            });
        }
        Ok(view.put_tape(tape))
    }

    /// The numbers, copied only if something else still holds them.
    pub fn into_values(self) -> Vec<f32> {
        Arc::try_unwrap(self.values).unwrap_or_else(|shared| shared.to_vec())
    }
}

/// The key of a buffer's gradient among dfdx's gradients.
#[derive(Clone, Debug)]
pub struct GradientSlot {
    key: Tensor<(usize,), f32, Cpu>,
    len: usize,
}

impl GradientSlot {
    fn new(len: usize) -> GradientSlot {
        GradientSlot {
            key: Cpu::default().tensor_from_vec(Vec::new(), (0,)),
            len,
        }
    }

    /// How many numbers the buffer and so its gradient has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to train.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole buffer's gradient, to be added to; zero when first asked for.
    ///
    /// # Errors
    /// Where dfdx can't allocate.
    pub fn gradient<'a>(&self, gradients: &'a mut Gradients<f32, Cpu>) -> Result<&'a mut [f32], CpuError> {
        let gradient = gradients.get_or_alloc_mut(&self.key)?;
        if gradient.len() != self.len {
            gradient.resize(self.len, 0.0);
        }
        Ok(gradient)
    }

    /// Moves the gradient out; zeros where no operation has touched it.
    ///
    /// # Errors
    /// Where dfdx can't allocate.
    pub fn take_gradient(&self, gradients: &mut Gradients<f32, Cpu>) -> Result<Vec<f32>, CpuError> {
        self.gradient(gradients)?;
        Ok(std::mem::take(&mut **gradients.get_or_alloc_mut(&self.key)?))
    }

    /// Moves a buffer in, to be added to: one that is used again, or a sum so far.
    ///
    /// # Errors
    /// Where dfdx can't allocate.
    pub fn put_gradient(
        &self,
        gradients: &mut Gradients<f32, Cpu>,
        buffer: Vec<f32>,
    ) -> Result<(), CpuError> {
        **gradients.get_or_alloc_mut(&self.key)? = buffer;
        Ok(())
    }
}

/// A tape on which operations are recorded, and whose backward pass adds to these gradients.
pub fn tape_onto(gradients: Gradients<f32, Cpu>) -> TrainingTape {
    let nothing: Tensor<(usize,), f32, Cpu> = Cpu::default().tensor_from_vec(Vec::new(), (0,));
    nothing.traced(gradients).split_tape().1
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::*;

    use super::*;

    #[test]
    fn operations_add_into_the_gradient_of_a_buffer_by_offset() {
        let parameters = Parameters::new(vec![1.0, 2.0, 3.0], vec![4.0]);
        let slot = parameters.decayed.slot().clone();
        let mut gradients = Gradients::leaky();
        slot.put_gradient(&mut gradients, vec![10.0, 20.0, 30.0]).unwrap();
        let mut tape = tape_onto(gradients);
        let values = parameters.decayed.shared();
        let key = slot.clone();
        tape.add_backward_op(move |gradients| {
            let gradient = key.gradient(gradients)?;
            gradient[1] += values[1];
            Ok(())
        });
        let one: Tensor<Rank0, f32, Cpu> = Cpu::default().tensor(1.0);
        let mut gradients = one.put_tape(tape).backward();
        assert_eq!(slot.take_gradient(&mut gradients).unwrap(), [10.0, 22.0, 30.0]);
        assert_eq!(
            parameters.plain.slot().take_gradient(&mut gradients).unwrap(),
            [0.0]
        );
    }

    #[test]
    fn views_compute_with_dfdx_and_their_gradients_flow_back_by_offset() {
        let parameters = Parameters::new(vec![1.0, 2.0, 3.0, 4.0], vec![]);
        let row = parameters.decayed.view::<_, TrainingTape>(1, (3,)).unwrap();
        let mut gradients = row.square().sum::<Rank0, _>().backward();
        let slopes = parameters.decayed.slot().take_gradient(&mut gradients).unwrap();
        assert_eq!(slopes, [0.0, 4.0, 6.0, 8.0]);
        assert!(parameters.decayed.view::<_, NoneTape>(2, (3,)).is_err());
    }

    #[test]
    fn numbers_are_changed_in_place_once_the_backward_pass_let_go_of_them() {
        let mut flat = Flat::new(vec![1.0, 2.0]);
        let before = flat.values().as_ptr();
        flat.values_mut()[0] = 5.0;
        assert_eq!(flat.values().as_ptr(), before);
        let held = flat.shared();
        flat.values_mut()[0] = 6.0;
        assert_eq!((held[0], flat.values()[0]), (5.0, 6.0));
        assert_eq!(flat.into_values(), [6.0, 2.0]);
    }
}
