//! Convolutions over a batch, backward: gradients of weights and of what was read.
//!
//! The gradient behind a norm goes through the norm on the way in, piece by piece; if what was
//! read came through a norm itself, its activation's gradient is taken on the way out, with the
//! sums that the norm before needs. Must not know of blocks.

mod dense;
mod depthwise;
mod pointwise;
mod transposed;
mod winograd;

use crate::kernels::bordered::Bordered;
use crate::kernels::buffer::Buffer;
use crate::kernels::parallel;
use crate::kernels::product::End;
use crate::kernels::rows::{Extent, NormBack};
use crate::kernels::winograd::applies;

use super::context::{Context, Grid, Normed, Source};
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
        let end = if base.is_some() { End::Add } else { End::Store };
        let mut out =
            wanted.then(|| base.unwrap_or_else(|| self.context.pool.take(self.grid.places() * of.inputs)));
        let window = self
            .context
            .window(of, self.grid.size(), Some(self.out_grid.size()));
        let sums = match of.kind {
            Kind::Dense if window.is_pointwise() => self.pointwise(weight_gradient, out.as_deref_mut(), end),
            Kind::Dense if applies(of.kernel, of.stride, of.inputs, of.outputs) => {
                self.winograd(weight_gradient, out.as_deref_mut(), end)
            }
            Kind::Dense => self.dense(weight_gradient, out.as_deref_mut(), end),
            Kind::Depthwise => self.depthwise(weight_gradient, out.as_deref_mut(), end),
            Kind::Transposed => self.transposed(weight_gradient, out.as_deref_mut(), end),
        };
        Gone { gradient: out, sums }
    }

    /// The lanes' parts of what goes out, where that is asked for: `unit` numbers for each of
    /// `units`.
    fn parts(out: Option<&mut [f32]>, lanes: usize, units: usize, unit: usize) -> Vec<Option<&mut [f32]>> {
        match out {
            Some(out) => {
                let parts = parallel::shares(out, units, lanes, unit);
                parts.into_iter().map(Some).collect()
            }
            None => (0..lanes).map(|_| None).collect(),
        }
    }

    /// Float64 sums of a lane; none where nothing came through a norm.
    fn sums_len(&self) -> usize {
        match self.source {
            Source::Plain(_) => 0,
            Source::Normed(_) => 2 * self.of.inputs,
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
}
