//! [`Alone`]: one convolution or block by itself, over a batch.

use std::borrow::Cow;

use crate::Parameters;
use crate::kernels::buffer::Buffer;
use crate::kernels::parallel;

use super::super::Inner;
use super::super::context::{Context, Grid};
use super::super::plan::{BlockPlan, Convolution, Kind};
use super::Loading;
use super::block::FoldedBlock;
use super::segments::groups;
use super::steps::Step;

/// A step of a network that has no other.
pub(in super::super) struct Alone(Step);

impl Alone {
    /// The block if there is one, else the convolution; with weights and running statistics.
    pub(in super::super) fn new(
        inner: &Inner,
        of: &Convolution,
        block: Option<&BlockPlan>,
        (parameters, statistics): (&Parameters, &[f32]),
    ) -> Alone {
        let loading = Loading {
            decayed: Cow::Borrowed(parameters.decayed.values()),
            plain: Cow::Borrowed(parameters.plain.values()),
            statistics,
        };
        let depthwise = BlockPlan::of_depthwise(of);
        Alone(match (block, of.kind) {
            (Some(block), _) => Step::Block(FoldedBlock::new(inner, block, &loading)),
            (None, Kind::Depthwise) => Step::Block(FoldedBlock::new(inner, &depthwise, &loading)),
            // A convolution with its activation, as a stem is.
            (None, _) => Step::Stem(loading.fold(inner, of)),
        })
    }

    /// A batch, in groups as in a whole network.
    pub(in super::super) fn run(&self, context: &Context<'_>, from: Grid, input: &[f32]) -> Buffer {
        let (to, outputs) = (self.0.grid(context, from, &[]), self.0.outputs());
        let mut out = context.pool.take(to.places() * outputs);
        let count = from.count;
        let pieces = groups(to.of_image(), count, rayon::current_num_threads());
        let parts = parallel::shares(&mut out, count, pieces, to.of_image() * outputs);
        let len = input.len() / count;
        let context = &context.for_groups(pieces);
        parallel::for_each(parts, |piece, out| {
            let images = parallel::share(count, pieces, piece);
            let grids = (from.with_count(images.len()), to.with_count(images.len()));
            let input = &input[images.start * len..images.end * len];
            self.0.run(context, grids, input, None, out);
        });
        out
    }
}
