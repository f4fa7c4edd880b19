//! The backward pass of a depthwise convolution, image by image.

use crate::kernels::bordered::Bordered;
use crate::kernels::depthwise::{Depthwise, DepthwiseWeights};
use crate::kernels::parallel;
use crate::kernels::product::End;
use crate::kernels::rows::{ActivationBack, Extent};
use crate::kernels::window::Window;

use super::super::context::{Source, join_sums, lanes, sum_in_lanes};
use super::super::convolve::fill;
use super::Backward;

impl Backward<'_> {
    pub(super) fn depthwise(
        &self,
        weight_gradient: &mut [f32],
        out: Option<&mut [f32]>,
        end: End<'_>,
    ) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (channels, kernel, stride) = (of.inputs, of.kernel, of.stride);
        let weight = &context.decayed[of.weight.clone()];
        let window = context.window(of, self.grid.size(), None);
        // A convolution with the turned window over gradients `stride` apart.
        let mut turned = context.pool.take(weight.len());
        for (tap, to) in turned.chunks_exact_mut(channels).enumerate() {
            let from = (kernel * kernel - 1 - tap) * channels;
            to.copy_from_slice(&weight[from..from + channels]);
        }
        let large = window.bordered_large();
        let spread = self.spread(&window);
        let lane_count = lanes(self.grid.count, self.out_grid.places());
        let mut sums = vec![0.0; lane_count * self.sums_len()];
        let image_len = self.grid.of_image() * channels;
        let parts = Self::parts(out, lane_count, self.grid.count, image_len)
            .into_iter()
            .zip(parallel::equal(&mut sums, lane_count));
        let add = matches!(end, End::Add);
        sum_in_lanes(
            context.pool,
            parts.collect(),
            self.grid.count,
            weight_gradient,
            |share, (mut out, sums), weights| {
                let mut up = context.pool.zeros(spread.len(channels));
                let mut read = context.pool.take(large.len(channels));
                let mut own = context.pool.take(if add { image_len } else { 0 });
                for (index, image) in share.enumerate() {
                    self.up_image(image, &spread, stride, &mut up);
                    let of_image = index * image_len..(index + 1) * image_len;
                    let out = out.as_deref_mut().map_or(&mut [][..], |out| &mut out[of_image]);
                    if !out.is_empty() {
                        context.set.run(Depthwise {
                            channels,
                            kernel,
                            stride: 1,
                            grid: &up,
                            pitch: spread.pitch(channels),
                            grid_step: channels,
                            weights: &turned,
                            weights_step: channels,
                            lines: self.grid.height,
                            steps: self.grid.width,
                            out: if add { &mut own } else { out },
                            out_step: channels,
                            finish: None,
                        });
                        if add {
                            out.iter_mut().zip(&*own).for_each(|(out, own)| *out += own);
                        }
                    }
                    self.read(image, &large, &mut read, out, sums);
                    context.set.run(DepthwiseWeights {
                        channels,
                        kernel,
                        stride,
                        small: &up[spread.start(channels)..],
                        small_line: stride * spread.pitch(channels),
                        small_step: stride * channels,
                        grid: &read,
                        pitch: large.pitch(channels),
                        lines: self.out_grid.height,
                        steps: self.out_grid.width,
                        weights,
                    });
                }
            },
        );
        join_sums(self.sums_len().max(1), &sums)
    }

    /// Where the output's gradients lie in the grid that the turned window moves over.
    fn spread(&self, window: &Window) -> Bordered {
        let kernel = self.of.kernel;
        Bordered {
            height: self.grid.height + kernel - 1,
            width: self.grid.width + kernel - 1,
            above: kernel - 1 - window.above,
            left: kernel - 1 - window.left,
            lines: 0,
            steps: 0,
        }
    }

    /// What was read of one image, in its bordered grid; where it came through a norm, its
    /// gradient in `out` is taken through the activation as well.
    fn read(&self, image: usize, large: &Bordered, read: &mut [f32], out: &mut [f32], sums: &mut [f64]) {
        let (context, channels) = (self.context, self.of.inputs);
        let Source::Normed(normed) = self.source else {
            return fill(context, self.source, self.grid, image, channels, large, read);
        };
        let value = if large.lines == self.grid.height && large.steps == self.grid.width {
            large.clear(channels, read);
            Some((&mut read[large.start(channels)..], large.pitch(channels)))
        } else {
            fill(context, self.source, self.grid, image, channels, large, read);
            None
        };
        context.set.run(ActivationBack {
            extent: Extent {
                lines: self.grid.height,
                steps: self.grid.width,
                channels,
            },
            y: normed.image(image),
            affine: normed.affine(),
            nonlinearity: normed.nonlinearity,
            factor: 1.0,
            gradient: out,
            value,
            sums,
        });
    }
}
