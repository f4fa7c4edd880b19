//! The two small layers of squeeze-and-excite on their way back. Must not know of what the gate
//! acts on.

use std::sync::{Mutex, PoisonError};

use crate::kernels::buffer::Buffer;
use crate::kernels::panels::Panels;
use crate::kernels::product::{End, Product};
use crate::kernels::rows::{ActivationBack, Extent};

use super::super::context::Context;
use super::super::norm::Constants;
use super::super::plan::Convolution;
use super::{GatedBack, bias};

/// The backward pass of the two small layers, image by image.
pub(super) struct SmallBack<'a> {
    context: &'a Context<'a>,
    excite: Panels,
    squeeze: Panels,
    narrow_norm: Constants,
    narrows: &'a [f32],
    channels: usize,
    wide: Mutex<Vec<(usize, Buffer, Buffer)>>,
}

impl<'a> SmallBack<'a> {
    pub(super) fn new(of: &'a GatedBack<'a>) -> SmallBack<'a> {
        let context = of.context;
        let panels = |of: &Convolution| {
            let weight = &context.decayed[of.weight.clone()];
            Panels::from_rows(context.pool, context.set, of.outputs, of.inputs, |k| {
                &weight[k * of.inputs..(k + 1) * of.inputs]
            })
        };
        SmallBack {
            context,
            excite: panels(&of.plan.excite),
            squeeze: panels(&of.plan.squeeze),
            narrow_norm: Constants::bias(bias(context, &of.plan.squeeze)),
            narrows: &of.gates.narrow,
            channels: of.project.inputs,
            wide: Mutex::new(Vec::new()),
        }
    }

    /// From the gate's gradient in `pooled`, makes the gradient that reaches every place through
    /// the mean.
    pub(super) fn image(&self, image: usize, gate: &[f32], pooled: &mut [f32], share: f32) {
        let (context, narrow) = (self.context, self.narrow_norm.mean.len());
        for (gradient, gate) in pooled.iter_mut().zip(gate) {
            *gradient *= gate * (1.0 - gate);
        }
        let wide = context.pool.copy(pooled);
        let mut inside = context.pool.take(narrow);
        let set = context.set;
        set.run(Product::plain(&wide, self.excite.all(), &mut inside, End::Store));
        let mut unused = vec![0.0; 2 * narrow];
        context.set.run(ActivationBack {
            extent: Extent::flat(1, narrow),
            y: &self.narrows[image * narrow..(image + 1) * narrow],
            affine: self.narrow_norm.affine(),
            nonlinearity: context.activation,
            factor: 1.0,
            gradient: &mut inside,
            value: None,
            sums: &mut unused,
        });
        set.run(Product::plain(&inside, self.squeeze.all(), pooled, End::Store));
        for value in pooled.iter_mut() {
            *value *= share;
        }
        let mut all = self.wide.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((image, wide, inside));
    }

    /// Gradients before the gate's logistic function and before the narrow layer's activation,
    /// of all images in order.
    pub(super) fn into_gradients(self) -> (Vec<f32>, Vec<f32>) {
        let mut all = self.wide.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.sort_by_key(|(image, ..)| *image);
        let mut wide = Vec::with_capacity(all.len() * self.channels);
        let mut narrow = Vec::new();
        for (_, own_wide, own_narrow) in &all {
            wide.extend_from_slice(own_wide);
            narrow.extend_from_slice(own_narrow);
        }
        (wide, narrow)
    }
}
