//! A network's steps from images to the last features, and how a batch goes through them.

use std::ops::Range;
use std::sync::Arc;

use crate::kernels::activation::Nonlinearity;
use crate::kernels::buffer::Buffer;
use crate::kernels::parallel;

use super::super::Images;
use super::super::context::{Context, Grid};
use super::super::plan::Kind;
use super::super::regressor::double;
use super::block::FoldedBlock;
use super::folded::Folded;
use super::segments::{Extent, Segment, segments};

/// One step.
#[allow(clippy::large_enum_variant, reason = "a network has few")]
pub(super) enum Step {
    Stem(Folded),
    Block(FoldedBlock),
    /// One step of a regressor's neck.
    Neck {
        up: Folded,
        lateral: Option<Folded>,
        /// The step whose result joins, or at least tells the grid.
        join: Option<usize>,
    },
}

impl Step {
    /// Channels of the result.
    pub(super) fn outputs(&self) -> usize {
        match self {
            Step::Stem(of) | Step::Neck { up: of, .. } => of.of.outputs,
            Step::Block(block) => block.outputs(),
        }
    }

    fn numbers(&self) -> usize {
        match self {
            Step::Stem(of) => of.numbers(),
            Step::Block(block) => block.numbers(),
            Step::Neck { up, lateral, .. } => up.numbers() + lateral.as_ref().map_or(0, Folded::numbers),
        }
    }

    /// See [`Extent::rows`], for a result on this grid.
    fn rows(&self, to: Grid) -> usize {
        match self {
            Step::Stem(of) | Step::Neck { up: of, .. } => of.rows(to),
            Step::Block(block) => block.rows(to),
        }
    }

    fn join(&self) -> Option<usize> {
        match self {
            Step::Neck { join, .. } => *join,
            Step::Stem(_) | Step::Block(_) => None,
        }
    }

    /// The grid of the result; `before` are those of all steps before.
    pub(super) fn grid(&self, context: &Context<'_>, from: Grid, before: &[Grid]) -> Grid {
        match self {
            Step::Stem(of) => of.grid(context, from, None),
            Step::Block(block) => block.grid(context, from),
            Step::Neck { join, .. } => from.with_size(match join {
                Some(step) => before[*step].size(),
                None => (2 * from.height, 2 * from.width),
            }),
        }
    }

    /// Some images; `joined` is what joins them.
    pub(super) fn run(
        &self,
        context: &Context<'_>,
        (from, to): (Grid, Grid),
        input: &[f32],
        joined: Option<&[f32]>,
        out: &mut [f32],
    ) {
        match self {
            Step::Stem(of) => {
                let finishing = of.finishing(context.activation, None);
                of.run(context, from, None, input, finishing, out);
            }
            Step::Block(block) => block.run(context, from, input, out),
            Step::Neck { up, lateral, .. } => {
                let side = lateral.as_ref().zip(joined).map(|(lateral, joined)| {
                    let mut side = context.pool.take(out.len());
                    let finishing = lateral.finishing(Nonlinearity::Identity, None);
                    lateral.run(context, to, None, joined, finishing, &mut side);
                    side
                });
                let finishing = up.finishing(context.activation, side.as_deref());
                if up.of.kind == Kind::Transposed {
                    return up.run(context, from, Some(to.size()), input, finishing, out);
                }
                let doubled = double(context, up.of.inputs, from, input, to);
                up.run(context, to, None, &doubled, finishing, out);
            }
        }
    }
}

/// All steps.
pub(super) struct Steps(pub(super) Vec<Step>);

/// One batch on its way.
struct Batch<'a> {
    context: &'a Context<'a>,
    steps: &'a Steps,
    image: Grid,
    /// Of every step's result.
    grids: Vec<Grid>,
    /// Results that later steps ask for.
    joined: Vec<(usize, Arc<Buffer>)>,
}

impl Steps {
    /// The last step's result, and its grid.
    pub(super) fn run(&self, context: &Context<'_>, images: Images<'_>) -> (Arc<Buffer>, Grid) {
        let (mut batch, segments) = self.batch(context, images);
        // A network has a stem at least.
        let values = batch.segments(&segments, images.pixels);
        let values = values.unwrap_or_else(|| Arc::new(context.pool.copy(images.pixels)));
        (values, batch.from(self.0.len()))
    }

    /// Gives each group's result to `finish` with its part of what that writes, of as many as `parts` cuts:
    /// a large result is read while it is near, and is never there as a whole.
    pub(super) fn run_then<P: Send>(
        &self,
        context: &Context<'_>,
        images: Images<'_>,
        parts: impl FnOnce(usize) -> Vec<P>,
        finish: impl Fn(&Context<'_>, Grid, &[f32], P) + Sync + Send,
    ) {
        let (mut batch, segments) = self.batch(context, images);
        let grid = batch.from(self.0.len());
        // A network has a stem at least.
        let Some((last, before)) = segments.split_last() else {
            return;
        };
        let values = batch.segments(before, images.pixels);
        let input = values.as_ref().map_or(images.pixels, |values| values);
        let channels = self.0[last.steps.end - 1].outputs();
        let context = &context.for_groups(last.groups);
        parallel::for_each(parts(last.groups), |group, part| {
            let grid = grid.with_count(parallel::share(images.count, last.groups, group).len());
            let mut out = context.pool.take(grid.places() * channels);
            batch.group(context, last, group, input, &mut out);
            finish(context, grid, &out, part);
        });
    }

    /// Whether a later step asks for this one's result.
    fn is_kept(&self, index: usize) -> bool {
        self.0.iter().any(|step| step.join() == Some(index))
    }

    /// The grid of every step's result.
    fn grids(&self, context: &Context<'_>, image: Grid) -> Vec<Grid> {
        let mut grids: Vec<Grid> = Vec::with_capacity(self.0.len());
        for step in &self.0 {
            let from = grids.last().copied().unwrap_or(image);
            grids.push(step.grid(context, from, &grids));
        }
        grids
    }

    /// The grid of the last step's result.
    pub(super) fn grid(&self, context: &Context<'_>, image: Grid) -> Grid {
        self.grids(context, image).last().copied().unwrap_or(image)
    }

    /// A batch before its first step, and the segments that it goes through.
    fn batch<'a>(&'a self, context: &'a Context<'a>, images: Images<'_>) -> (Batch<'a>, Vec<Segment>) {
        let grids = self.grids(context, images.grid());
        let extents = self
            .0
            .iter()
            .zip(&grids)
            .enumerate()
            .map(|(index, (step, grid))| Extent {
                rows: step.rows(*grid),
                weights: step.numbers(),
                kept: self.is_kept(index),
            });
        let extents: Vec<Extent> = extents.collect();
        let segments = segments(&extents, images.count, rayon::current_num_threads());
        let batch = Batch {
            context,
            steps: self,
            image: images.grid(),
            grids,
            joined: Vec::new(),
        };
        (batch, segments)
    }
}

impl Batch<'_> {
    /// The grid of a step's input.
    fn from(&self, step: usize) -> Grid {
        match step.checked_sub(1) {
            Some(before) => self.grids[before],
            None => self.image,
        }
    }

    /// The last one's result, if there is one.
    fn segments(&mut self, segments: &[Segment], pixels: &[f32]) -> Option<Arc<Buffer>> {
        let mut values: Option<Arc<Buffer>> = None;
        for segment in segments {
            let input = values.as_ref().map_or(pixels, |values| values);
            let out = Arc::new(self.segment(segment, input));
            let last = segment.steps.end - 1;
            if self.steps.is_kept(last) {
                self.joined.push((last, Arc::clone(&out)));
            }
            values = Some(out);
        }
        values
    }

    fn segment(&self, segment: &Segment, input: &[f32]) -> Buffer {
        let context = &self.context.for_groups(segment.groups);
        let count = self.image.count;
        let last = segment.steps.end - 1;
        let to = self.grids[last].of_image() * self.steps.0[last].outputs();
        let mut out = self.context.pool.take(count * to);
        let parts = parallel::shares(&mut out, count, segment.groups, to);
        parallel::for_each(parts, |group, out| {
            self.group(context, segment, group, input, out);
        });
        out
    }

    /// One group of images through the steps of a segment.
    fn group(&self, context: &Context<'_>, segment: &Segment, group: usize, input: &[f32], out: &mut [f32]) {
        let count = self.image.count;
        let images = parallel::share(count, segment.groups, group);
        let from = input.len() / count;
        let input = &input[images.start * from..images.end * from];
        let mut held: Option<Buffer> = None;
        let last = segment.steps.end - 1;
        for index in segment.steps.clone() {
            let step = &self.steps.0[index];
            let grids = (self.from(index), self.grids[index]);
            let grids = (grids.0.with_count(images.len()), grids.1.with_count(images.len()));
            let joined = step.join().map(|join| self.joined(join, &images));
            let input = held.as_deref().unwrap_or(input);
            if index == last {
                return step.run(context, grids, input, joined, out);
            }
            let mut next = context.pool.take(grids.1.places() * step.outputs());
            step.run(context, grids, input, joined, &mut next);
            held = Some(next);
        }
    }

    /// What a step before gave for these images.
    fn joined(&self, step: usize, images: &Range<usize>) -> &[f32] {
        let of_step = self.joined.iter().find(|(kept, _)| *kept == step);
        let len = self.grids[step].of_image() * self.steps.0[step].outputs();
        of_step.map_or(&[], |(_, values)| &values[images.start * len..images.end * len])
    }
}
