//! Convolutions over a batch, backward: gradients of weights and of what was read.
//!
//! The gradient behind a norm goes through the norm on the way in, piece by piece; if what was
//! read came through a norm itself, its activation's gradient is taken on the way out, with the
//! sums that the norm before needs. Must not know of blocks.

use crate::kernels::buffer::Buffer;
use crate::kernels::depthwise::{Depthwise, DepthwiseWeights};
use crate::kernels::panels::Panels;
use crate::kernels::parallel::Disjoint;
use crate::kernels::product::{OuterSum, Product};
use crate::kernels::rows::{ActivationBack, Extent, NormBack};
use crate::kernels::window::Bordered;

use super::context::{Context, Grid, Normed, Source, join_sums, lanes, sum_in_lanes};
use super::convolve::{fill, tile_rows};
use super::norm::BackConstants;
use super::plan::{Convolution, Kind};

/// The gradient that comes in: of a convolution's output, or of its norm's.
#[derive(Clone, Copy)]
pub(super) struct Upstream<'a> {
    pub(super) gradient: &'a [f32],
    pub(super) norm: Option<(&'a Normed, &'a BackConstants)>,
}

/// What goes out: the gradient of what was read.
pub(super) enum Downstream {
    /// Nobody asks for it.
    Unwanted,
    /// Asked for; added to the buffer's numbers if there is one.
    Wanted(Option<Buffer>),
}

/// The gradient of what was read, and, if that came through a norm, the norm's sums.
pub(super) struct Gone {
    /// Empty where it was unwanted. Of z, not of act(z), if it came through a norm.
    pub(super) gradient: Option<Buffer>,
    pub(super) sums: Vec<f64>,
}

/// One convolution's backward pass.
pub(super) struct Backward<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) of: &'a Convolution,
    /// The grid of what was read.
    pub(super) grid: Grid,
    /// The grid of what was written.
    pub(super) out_grid: Grid,
    pub(super) source: Source<'a>,
    pub(super) upstream: Upstream<'a>,
}

impl Backward<'_> {
    /// Adds to the weight's gradient and gives that of what was read.
    pub(super) fn run(&self, weight_gradient: &mut [f32], downstream: Downstream) -> Gone {
        let of = self.of;
        let (base, wanted) = match downstream {
            Downstream::Unwanted => (None, matches!(self.source, Source::Normed(_))),
            Downstream::Wanted(base) => (base, true),
        };
        let add = base.is_some();
        let mut out =
            wanted.then(|| base.unwrap_or_else(|| self.context.pool.take(self.grid.places() * of.inputs)));
        let window = self
            .context
            .window(of, self.grid.size(), Some(self.out_grid.size()));
        let sums = match of.kind {
            Kind::Dense if window.is_pointwise() => self.pointwise(weight_gradient, out.as_deref_mut(), add),
            Kind::Dense => self.dense(weight_gradient, out.as_deref_mut(), add),
            Kind::Depthwise => self.depthwise(weight_gradient, out.as_deref_mut(), add),
            Kind::Transposed => self.transposed(weight_gradient, out.as_deref_mut(), add),
        };
        Gone { gradient: out, sums }
    }

    fn pointwise(&self, weight_gradient: &mut [f32], out: Option<&mut [f32]>, add: bool) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (inputs, outputs) = (of.inputs, of.outputs);
        let weight = &context.decayed[of.weight.clone()];
        let panels = out.is_some().then(|| {
            Panels::from_rows(context.pool, context.set, outputs, inputs, |k| {
                &weight[k * inputs..(k + 1) * inputs]
            })
        });
        let rows = self.grid.places();
        let tile = tile_rows(inputs + outputs);
        let lane_count = lanes(rows.div_ceil(tile), rows);
        let mut sums = vec![0.0; lane_count * self.sums_len()];
        let sum_parts = Disjoint::new(&mut sums);
        let out = out.map(Disjoint::new);
        sum_in_lanes(
            context.pool,
            lane_count,
            rows,
            weight_gradient,
            |lane, share, weights| {
                // SAFETY: lanes do not overlap.
                #[allow(unsafe_code)]
                let sums = unsafe { sum_parts.part(lane * self.sums_len()..(lane + 1) * self.sums_len()) };
                let mut up_scratch = context.pool.take(tile * outputs);
                let mut value_scratch = context.pool.take(tile * inputs);
                let mut start = share.start;
                while start < share.end {
                    let end = (start + tile).min(share.end);
                    let up = self.up_rows(start, end, &mut up_scratch);
                    let mut empty: [f32; 0] = [];
                    let out = match &out {
                        // SAFETY: tiles do not overlap.
                        #[allow(unsafe_code)]
                        Some(out) => unsafe { out.part(start * inputs..end * inputs) },
                        None => &mut empty,
                    };
                    if let Some(panels) = &panels {
                        context.set.run(Product::plain(up, panels, out, add));
                    }
                    let value = match self.source {
                        Source::Plain(values) => &values[start * inputs..end * inputs],
                        Source::Normed(normed) => {
                            let to = &mut value_scratch[..(end - start) * inputs];
                            context.set.run(ActivationBack {
                                extent: Extent::flat(end - start, inputs),
                                y: &normed.y[start * inputs..end * inputs],
                                affine: normed.affine(),
                                nonlinearity: normed.nonlinearity,
                                factor: 1.0,
                                gradient: out,
                                value: Some((to, 0)),
                                sums,
                            });
                            &value_scratch[..(end - start) * inputs]
                        }
                    };
                    context.set.run(OuterSum {
                        left: up,
                        left_line: 0,
                        left_step: outputs,
                        right: value,
                        right_line: 0,
                        right_step: inputs,
                        lines: 1,
                        steps: end - start,
                        rows: outputs,
                        columns: inputs,
                        out: weights,
                        out_stride: inputs,
                    });
                    start = end;
                }
            },
        );
        join_sums(self.sums_len().max(1), &sums)
    }

    /// Float64 sums of a lane; none where nothing came through a norm.
    fn sums_len(&self) -> usize {
        match self.source {
            Source::Plain(_) => 0,
            Source::Normed(_) => 2 * self.of.inputs,
        }
    }

    /// The gradient of the output for some rows.
    fn up_rows<'s>(&'s self, start: usize, end: usize, scratch: &'s mut [f32]) -> &'s [f32] {
        let outputs = self.of.outputs;
        let rows = start * outputs..end * outputs;
        match self.upstream.norm {
            None => &self.upstream.gradient[rows],
            Some((normed, back)) => {
                let to = &mut scratch[..rows.len()];
                self.context.set.run(NormBack {
                    extent: Extent::flat(end - start, outputs),
                    dz: &self.upstream.gradient[rows.clone()],
                    y: &normed.y[rows],
                    from_line: 0,
                    mean: &normed.constants.mean,
                    gain: &back.gain,
                    slant: &back.slant,
                    offset: &back.offset,
                    to,
                    to_line: 0,
                    to_step: outputs,
                });
                to
            }
        }
    }

    /// The gradient of one image's output in a grid with places `step` apart (1: adjacent); what
    /// lies around and between them must be zero already.
    fn up_image(&self, image: usize, border: &Bordered, step: usize, to: &mut [f32]) {
        let (channels, grid) = (self.of.outputs, self.out_grid);
        let len = grid.of_image() * channels;
        let gradient = &self.upstream.gradient[image * len..(image + 1) * len];
        let (start, pitch) = (border.start(channels), step * border.pitch(channels));
        match self.upstream.norm {
            None => {
                for (line, from) in gradient.chunks_exact(grid.width * channels).enumerate() {
                    let to = &mut to[start + line * pitch..];
                    for (place, from) in from.chunks_exact(channels).enumerate() {
                        to[place * step * channels..][..channels].copy_from_slice(from);
                    }
                }
            }
            Some((normed, back)) => self.context.set.run(NormBack {
                extent: Extent {
                    lines: grid.height,
                    steps: grid.width,
                    channels,
                },
                dz: gradient,
                y: normed.image(image),
                from_line: grid.width * channels,
                mean: &normed.constants.mean,
                gain: &back.gain,
                slant: &back.slant,
                offset: &back.offset,
                to: &mut to[start..],
                to_line: pitch,
                to_step: step * channels,
            }),
        }
    }

    fn dense(&self, weight_gradient: &mut [f32], out: Option<&mut [f32]>, add: bool) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (inputs, outputs) = (of.inputs, of.outputs);
        let weight = &context.decayed[of.weight.clone()];
        let window = context.window(of, self.grid.size(), None);
        let taps = of.kernel * of.kernel;
        let panels = out.is_some().then(|| {
            window.spread_panels(context.pool, context.set, outputs, inputs, |i, j, output| {
                let start = (output * taps + i * of.kernel + j) * inputs;
                &weight[start..start + inputs]
            })
        });
        let (large, small) = (window.bordered_large(), window.bordered_small());
        let lane_count = lanes(self.grid.count, self.out_grid.places());
        let image_len = self.grid.of_image() * inputs;
        let out = out.map(Disjoint::new);
        sum_in_lanes(
            context.pool,
            lane_count,
            self.grid.count,
            weight_gradient,
            |_, share, weights| {
                let mut up = context.pool.take(small.len(outputs));
                let mut read = context.pool.take(large.len(inputs));
                small.clear(outputs, &mut up);
                for image in share {
                    self.up_image(image, &small, 1, &mut up);
                    if let (Some(panels), Some(out)) = (&panels, &out) {
                        // SAFETY: images do not overlap.
                        #[allow(unsafe_code)]
                        let out = unsafe { out.part(image * image_len..(image + 1) * image_len) };
                        window.spread(context.set, &up, outputs, panels, out, add);
                    }
                    fill(context, self.source, self.grid, image, inputs, &large, &mut read);
                    let small = (&up[small.start(outputs)..], small.pitch(outputs), outputs);
                    window.weigh(context.set, small, &read, inputs, weights);
                }
            },
        );
        Vec::new()
    }

    fn depthwise(&self, weight_gradient: &mut [f32], out: Option<&mut [f32]>, add: bool) -> Vec<f64> {
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
        let spread = Bordered {
            height: self.grid.height + kernel - 1,
            width: self.grid.width + kernel - 1,
            above: kernel - 1 - window.above,
            left: kernel - 1 - window.left,
            lines: 0,
            steps: 0,
        };
        let whole = large.lines == self.grid.height && large.steps == self.grid.width;
        let lane_count = lanes(self.grid.count, self.out_grid.places());
        let mut sums = vec![0.0; lane_count * self.sums_len()];
        let sum_parts = Disjoint::new(&mut sums);
        let image_len = self.grid.of_image() * channels;
        let out = out.map(Disjoint::new);
        sum_in_lanes(
            context.pool,
            lane_count,
            self.grid.count,
            weight_gradient,
            |lane, share, weights| {
                // SAFETY: lanes do not overlap.
                #[allow(unsafe_code)]
                let sums = unsafe { sum_parts.part(lane * self.sums_len()..(lane + 1) * self.sums_len()) };
                let mut up = context.pool.zeros(spread.len(channels));
                let mut read = context.pool.take(large.len(channels));
                let mut own = context.pool.take(if add { image_len } else { 0 });
                for image in share {
                    self.up_image(image, &spread, stride, &mut up);
                    let mut empty: [f32; 0] = [];
                    let out = match &out {
                        // SAFETY: images do not overlap.
                        #[allow(unsafe_code)]
                        Some(out) => unsafe { out.part(image * image_len..(image + 1) * image_len) },
                        None => &mut empty,
                    };
                    if !out.is_empty() {
                        context.set.run(Depthwise {
                            channels,
                            kernel,
                            stride: 1,
                            grid: &up,
                            pitch: spread.pitch(channels),
                            weights: &turned,
                            lines: self.grid.height,
                            steps: self.grid.width,
                            out: if add { &mut own } else { out },
                        });
                        if add {
                            out.iter_mut().zip(&*own).for_each(|(out, own)| *out += own);
                        }
                    }
                    match self.source {
                        Source::Normed(normed) => {
                            let value = if whole {
                                large.clear(channels, &mut read);
                                Some((&mut read[large.start(channels)..], large.pitch(channels)))
                            } else {
                                fill(
                                    context,
                                    self.source,
                                    self.grid,
                                    image,
                                    channels,
                                    &large,
                                    &mut read,
                                );
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
                        Source::Plain(_) => fill(
                            context,
                            self.source,
                            self.grid,
                            image,
                            channels,
                            &large,
                            &mut read,
                        ),
                    }
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

    fn transposed(&self, weight_gradient: &mut [f32], out: Option<&mut [f32]>, add: bool) -> Vec<f64> {
        let (context, of) = (self.context, self.of);
        let (inputs, outputs) = (of.inputs, of.outputs);
        let weight = &context.decayed[of.weight.clone()];
        let window = context.window(of, self.grid.size(), Some(self.out_grid.size()));
        let depth = window.depth(outputs);
        let panels = Panels::from_rows(context.pool, context.set, depth, inputs, |k| {
            &weight[k * inputs..(k + 1) * inputs]
        });
        let large = window.bordered_large();
        let lane_count = lanes(self.grid.count, self.grid.places());
        let image_len = self.grid.of_image() * inputs;
        let pitch = large.pitch(outputs);
        let out = out.map(Disjoint::new);
        sum_in_lanes(
            context.pool,
            lane_count,
            self.grid.count,
            weight_gradient,
            |_, share, weights| {
                let mut up = context.pool.zeros(large.len(outputs));
                let mut read = context.pool.take(image_len);
                for image in share {
                    self.up_image(image, &large, 1, &mut up);
                    if let Some(out) = &out {
                        // SAFETY: images do not overlap.
                        #[allow(unsafe_code)]
                        let out = unsafe { out.part(image * image_len..(image + 1) * image_len) };
                        if add {
                            read.copy_from_slice(out);
                        }
                        window.gather(context.set, &up, outputs, &panels, out);
                        if add {
                            out.iter_mut()
                                .zip(&*read)
                                .for_each(|(out, before)| *out += before);
                        }
                    }
                    let Source::Plain(values) = self.source else {
                        unreachable!("a neck reads what is stored");
                    };
                    let values = &values[image * image_len..(image + 1) * image_len];
                    for tap in 0..of.kernel * of.kernel {
                        let start = tap / of.kernel * pitch + tap % of.kernel * outputs;
                        context.set.run(OuterSum {
                            left: &up[start..],
                            left_line: of.stride * pitch,
                            left_step: of.stride * outputs,
                            right: values,
                            right_line: self.grid.width * inputs,
                            right_step: inputs,
                            lines: self.grid.height,
                            steps: self.grid.width,
                            rows: outputs,
                            columns: inputs,
                            out: &mut weights[tap * outputs * inputs..(tap + 1) * outputs * inputs],
                            out_stride: inputs,
                        });
                    }
                }
            },
        );
        Vec::new()
    }
}
