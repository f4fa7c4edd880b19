//! The rules, each as one pass over values, gradient and what is remembered.
//!
//! The passes are cut into blocks for the caller's thread pool. Every element is computed by
//! itself, so the cut doesn't show. They are bound by memory, not by arithmetic.

use std::ops::Range;

use rayon::prelude::*;

use super::{AdamSettings, RmspropSettings, SgdSettings, UpdateRule};

/// Numbers of one block: small enough to share out, large enough to pay.
const BLOCK: usize = 1 << 14;

/// The buffers that one group's update goes through; moments that the rule lacks are empty.
pub(super) struct Buffers<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) gradient: &'a [f32],
    pub(super) first: &'a mut [f32],
    pub(super) second: &'a mut [f32],
}

impl Buffers<'_> {
    /// A part of every buffer. What reaches beyond the values or the gradient is left out.
    pub(super) fn part(&mut self, range: Range<usize>) -> Buffers<'_> {
        let end = range.end.min(self.values.len()).min(self.gradient.len());
        let range = range.start.min(end)..end;
        fn moments(buffer: &mut [f32], range: Range<usize>) -> &mut [f32] {
            match buffer.is_empty() {
                true => &mut [],
                false => &mut buffer[range],
            }
        }
        Buffers {
            values: &mut self.values[range.clone()],
            gradient: &self.gradient[range.clone()],
            first: moments(self.first, range.clone()),
            second: moments(self.second, range),
        }
    }
}

/// Changes the values: `step` counts from 1, `rate` is the learning rate, `decay` the weight
/// decay.
pub(super) fn update(rule: &UpdateRule, step: u64, rate: f64, decay: f64, buffers: Buffers<'_>) {
    match *rule {
        UpdateRule::Sgd(settings) if settings.momentum == 0.0 => plain_descent(rate, decay, buffers),
        UpdateRule::Sgd(settings) => sgd(settings, rate, decay, buffers),
        UpdateRule::Adam(settings) => adam(settings, step, rate, (decay, 0.0), buffers),
        UpdateRule::Adamw(settings) => adam(settings, step, rate, (0.0, decay), buffers),
        UpdateRule::Rmsprop(settings) => rmsprop(settings, rate, decay, buffers),
    }
}

fn plain_descent(rate: f64, decay: f64, buffers: Buffers<'_>) {
    let (rate, decay) = (rate as f32, decay as f32);
    let blocks = buffers.values.par_chunks_mut(BLOCK);
    blocks
        .zip(buffers.gradient.par_chunks(BLOCK))
        .for_each(|(values, gradient)| {
            for (value, &slope) in values.iter_mut().zip(gradient) {
                *value -= rate * (slope + decay * *value);
            }
        });
}

/// As PyTorch's `SGD` without dampening.
fn sgd(settings: SgdSettings, rate: f64, decay: f64, buffers: Buffers<'_>) {
    let (rate, decay, momentum) = (rate as f32, decay as f32, settings.momentum as f32);
    let blocks = buffers.values.par_chunks_mut(BLOCK);
    let blocks = blocks.zip(buffers.gradient.par_chunks(BLOCK));
    blocks
        .zip(buffers.first.par_chunks_mut(BLOCK))
        .for_each(|((values, gradient), velocity)| {
            for ((value, &slope), velocity) in values.iter_mut().zip(gradient).zip(velocity) {
                let slope = slope + decay * *value;
                *velocity = momentum * *velocity + slope;
                let change = if settings.nesterov {
                    slope + momentum * *velocity
                } else {
                    *velocity
                };
                *value -= rate * change;
            }
        });
}

/// As PyTorch's `Adam` and `AdamW`: `decays` within the gradient and apart from it.
fn adam(settings: AdamSettings, step: u64, rate: f64, decays: (f64, f64), buffers: Buffers<'_>) {
    let power = step.min(1 << 30) as i32;
    let correction1 = 1.0 - settings.beta1.powi(power);
    let correction2 = 1.0 - settings.beta2.powi(power);
    let (keep1, take1) = (settings.beta1 as f32, (1.0 - settings.beta1) as f32);
    let (keep2, take2) = (settings.beta2 as f32, (1.0 - settings.beta2) as f32);
    let (rate_now, root) = ((rate / correction1) as f32, (1.0 / correction2.sqrt()) as f32);
    let (within, shrink) = (decays.0 as f32, (1.0 - rate * decays.1) as f32);
    let epsilon = settings.epsilon as f32;
    let blocks = buffers.values.par_chunks_mut(BLOCK);
    let blocks = blocks.zip(buffers.gradient.par_chunks(BLOCK));
    let moments = buffers
        .first
        .par_chunks_mut(BLOCK)
        .zip(buffers.second.par_chunks_mut(BLOCK));
    blocks
        .zip(moments)
        .for_each(|((values, gradient), (first, second))| {
            let moments = first.iter_mut().zip(second);
            for ((value, &slope), (first, second)) in values.iter_mut().zip(gradient).zip(moments) {
                let slope = slope + within * *value;
                *first = keep1 * *first + take1 * slope;
                *second = keep2 * *second + take2 * (slope * slope);
                *value = shrink * *value - rate_now * *first / (second.sqrt() * root + epsilon);
            }
        });
}

/// As timm's `RMSpropTF`.
fn rmsprop(settings: RmspropSettings, rate: f64, decay: f64, buffers: Buffers<'_>) {
    let (rate, decay, momentum) = (rate as f32, decay as f32, settings.momentum as f32);
    let (take, epsilon) = ((1.0 - settings.decay) as f32, settings.epsilon as f32);
    let blocks = buffers.values.par_chunks_mut(BLOCK);
    let blocks = blocks.zip(buffers.gradient.par_chunks(BLOCK));
    let moments = buffers
        .first
        .par_chunks_mut(BLOCK)
        .zip(buffers.second.par_chunks_mut(BLOCK));
    blocks
        .zip(moments)
        .for_each(|((values, gradient), (change, squares))| {
            let moments = change.iter_mut().zip(squares);
            for ((value, &slope), (change, square)) in values.iter_mut().zip(gradient).zip(moments) {
                let slope = slope + decay * *value;
                *square += take * (slope * slope - *square);
                *change = momentum * *change + rate * slope / (*square + epsilon).sqrt();
                *value -= *change;
            }
        });
}
