//! The whole network forward, with what the backward pass needs, and backward.
//!
//! Must not know of the tape beyond where gradients are put.

use std::sync::Arc;

use dfdx::tensor::{Cpu, CpuError};

use crate::Parameters;
use crate::kernels::buffer::Buffer;

use super::block::{Forward, SavedBlock, activation_back, block_back, convolution_back, merge};
use super::classifier::SavedClassifier;
use super::context::{Context, Forgotten, Gradients, Grid, Normed, Source};
use super::convolve;
use super::convolve_back::Downstream;
use super::draws::Draws;
use super::plan::{BlockPlan, Convolution, Top};
use super::regressor::{SavedHead, SavedStep};
use super::{Images, Inner, Mode};

/// What the backward pass needs of all parts that are trained.
pub(super) struct Saved {
    grid: Grid,
    /// The images, and the stem's norm.
    stem: Option<(Buffer, Forgotten)>,
    /// The input of the first block that is trained, where the stem is not.
    first_input: Option<Arc<Buffer>>,
    /// Blocks from the first that is trained.
    blocks: Vec<SavedBlock>,
    first_block: usize,
    top: SavedTop,
    /// Stages below this one are not trained.
    frozen_stages: usize,
}

enum SavedTop {
    Classifier(Box<SavedClassifier>),
    Regressor {
        steps: Vec<SavedStep>,
        heads: Box<[SavedHead; 2]>,
    },
}

/// Logits and nothing, or heat and size.
pub(super) fn forward(
    inner: &Inner,
    images: Images<'_>,
    parameters: &Parameters,
    statistics: &mut [f32],
    mode: Mode<'_>,
) -> ([Vec<f32>; 2], Saved) {
    let plan = &inner.plan;
    let (draw, frozen_stages, frozen_statistics) = match mode {
        Mode::Train(draw) => (Some(draw), draw.frozen_stages, draw.frozen_stages),
        Mode::FrozenStatistics { frozen_stages } => (None, frozen_stages, usize::MAX),
    };
    let draws = draw.map(|draw| Draws {
        seed: draw.seed,
        samples: draw.samples,
    });
    let mut run = Forward {
        context: inner.context(parameters.decayed.values(), parameters.plain.values()),
        norm: inner.architecture.backbone.norm,
        statistics,
        frozen_stages: frozen_statistics,
    };
    let mut grid = images.grid();
    let pixels = inner.pool.copy(images.pixels);
    let activation = run.context.activation;
    let stem = run.convolution(&plan.stem, grid, Source::Plain(&pixels), None, activation);
    let mut out = Arc::new(merge(&run.context, &stem, None, None));
    let stem_grid = grid;
    grid = stem.grid;
    let stem = (frozen_stages == 0).then(|| (pixels, stem.forget()));
    let mut first_input = None;

    let joins = joins(&plan.top);
    let mut joined: Vec<Option<(Grid, Arc<Buffer>)>> = vec![None; plan.blocks.len()];
    let mut blocks = Vec::new();
    let mut first_block = 0;
    for (index, block) in plan.blocks.iter().enumerate() {
        // A part that is not trained is what it will be in use: no block of it is skipped.
        let keep = draws
            .filter(|_| block.drop > 0.0 && block.stage >= frozen_stages)
            .map(|draws| draws.depth(index, block.drop, grid.count));
        let (next, saved) = run.block(block, grid, &out, keep);
        grid = saved.out_grid();
        let input = std::mem::replace(&mut out, Arc::new(next));
        if block.stage >= frozen_stages {
            if blocks.is_empty() && stem.is_none() {
                first_input = Some(input);
            }
            blocks.push(saved);
        } else {
            first_block = index + 1;
        }
        if joins.contains(&index) {
            joined[index] = Some((grid, Arc::clone(&out)));
        }
    }

    let (values, top) = match &plan.top {
        Top::Classifier {
            head,
            linear,
            dropout,
        } => {
            let drop = draw.map_or(0.0, |draw| draw.dropout.unwrap_or(*dropout));
            let factors = draws
                .filter(|_| drop > 0.0)
                .map(|draws| draws.dropout(drop, grid.count, linear.inputs));
            let (logits, saved) = run.classifier(head, linear, grid, out, factors);
            ([logits, Vec::new()], SavedTop::Classifier(Box::new(saved)))
        }
        Top::Regressor { neck, heads } => {
            let mut steps = Vec::with_capacity(neck.len());
            for step in neck {
                let place = step.grid.and_then(|block| joined[block].clone());
                let target = place
                    .as_ref()
                    .map_or((2 * grid.height, 2 * grid.width), |(grid, _)| grid.size());
                let join = place.map(|(_, features)| features);
                let (next, saved) = run.neck_step(step, grid, out, target, join);
                grid = grid.with_size(target);
                out = next;
                steps.push(saved);
            }
            let (heat, heat_saved) = run.head(&heads[0], grid, Arc::clone(&out));
            let (size, size_saved) = run.head(&heads[1], grid, out);
            let heads = Box::new([heat_saved, size_saved]);
            ([heat, size], SavedTop::Regressor { steps, heads })
        }
    };
    let saved = Saved {
        grid: stem_grid,
        stem,
        first_input,
        blocks,
        first_block,
        top,
        frozen_stages,
    };
    (values, saved)
}

/// Blocks whose grid or features a neck asks for.
fn joins(top: &Top) -> Vec<usize> {
    match top {
        Top::Classifier { .. } => Vec::new(),
        Top::Regressor { neck, .. } => neck.iter().filter_map(|step| step.grid).collect(),
    }
}

/// Adds the gradients of all trained parameters, from those of the outputs.
pub(super) fn backward(
    inner: &Inner,
    parameters: &Parameters,
    saved: Saved,
    outputs: [Vec<f32>; 2],
    on_tape: &mut dfdx::tensor::Gradients<f32, Cpu>,
) -> Result<(), CpuError> {
    let (decayed_slot, plain_slot) = (parameters.decayed.slot(), parameters.plain.slot());
    let mut decayed = decayed_slot.take_gradient(on_tape)?;
    let mut plain = plain_slot.take_gradient(on_tape)?;
    let context = inner.context(parameters.decayed.values(), parameters.plain.values());
    let mut gradients = Gradients {
        decayed: &mut decayed,
        plain: &mut plain,
    };
    run_backward(inner, &context, saved, outputs, &mut gradients, false);
    decayed_slot.put_gradient(on_tape, decayed)?;
    plain_slot.put_gradient(on_tape, plain)
}

/// Gives the gradient of what the first trained part has read, if that is `wanted` and parts below
/// are not trained.
pub(super) fn run_backward(
    inner: &Inner,
    context: &Context<'_>,
    saved: Saved,
    outputs: [Vec<f32>; 2],
    gradients: &mut Gradients<'_>,
    wanted: bool,
) -> Option<Buffer> {
    let plan = &inner.plan;
    let first_block = saved.first_block;
    // Whether a gradient is needed below the top.
    let below = !saved.blocks.is_empty() || saved.stem.is_some() || wanted;
    let mut joined: Vec<Option<Buffer>> = plan.blocks.iter().map(|_| None).collect();
    let [first, second] = outputs;
    let mut gradient = match (saved.top, &plan.top) {
        (SavedTop::Classifier(top), Top::Classifier { head, linear, .. }) => {
            let trained = head.stage >= saved.frozen_stages;
            top.back(context, head, linear, &first, gradients, (trained, below))
        }
        (SavedTop::Regressor { steps, heads }, Top::Regressor { neck, heads: plans }) => {
            let [heat, size] = *heads;
            let gradient = heat.back(context, &plans[0], &first, gradients, None);
            let mut gradient = size.back(context, &plans[1], &second, gradients, gradient);
            for (index, (step, saved_step)) in neck.iter().zip(steps).enumerate().rev() {
                let Some(own) = gradient.filter(|_| step.upsample.stage >= saved.frozen_stages) else {
                    gradient = None;
                    break;
                };
                let of_join = step.grid.is_some_and(|block| block >= first_block) && below;
                let (next, join) =
                    saved_step.back(context, step, own, gradients, (index > 0 || below, of_join));
                if let (Some(block), Some(join)) = (step.grid, join) {
                    add(&mut joined[block], join);
                }
                gradient = next;
            }
            gradient
        }
        _ => unreachable!("the same plan forward and backward"),
    };
    let last_wanted = saved.stem.is_some() || wanted;
    let mut bottom = Bottom {
        context,
        plan: &plan.stem,
        grid: saved.grid,
        forgotten: saved.stem,
        stem: None,
        first_input: saved.first_input,
    };
    let mut blocks = saved.blocks;
    let mut inputs = Vec::new();
    while let Some(block) = blocks.pop() {
        let mut own = gradient?;
        let index = blocks.len();
        let at = first_block + index;
        if let Some(join) = joined[at].take() {
            own.iter_mut().zip(&*join).for_each(|(own, join)| *own += join);
        }
        if inputs.is_empty() {
            inputs = inputs_again(context, &plan.blocks[first_block..], &blocks, &mut bottom);
        }
        let input = inputs.pop()?;
        let downstream = index > 0 || last_wanted;
        gradient = block_back(
            context,
            &plan.blocks[at],
            block,
            &input,
            own,
            gradients,
            downstream,
        );
    }
    let Some((pixels, stem)) = bottom.stem() else {
        return gradient;
    };
    let mut gradient = gradient?;
    let sums = activation_back(context, &stem, &mut gradient, None);
    convolution_back(
        context,
        &plan.stem,
        saved.grid,
        Source::Plain(&pixels),
        &stem,
        &gradient,
        &sums,
        gradients,
        Downstream::Unwanted,
    );
    None
}

impl Saved {
    /// What the first trained part of a classifier has read, and its grid; none where all is trained.
    pub(super) fn bottom(&self) -> Option<(Grid, Arc<Buffer>)> {
        match (&self.first_input, self.blocks.first(), &self.top) {
            (Some(input), Some(block), _) => Some((block.grid(), Arc::clone(input))),
            (_, None, SavedTop::Classifier(top)) if self.stem.is_none() => Some(top.input()),
            _ => None,
        }
    }
}

/// What the first trained block has read, or how it is worked out again.
struct Bottom<'a> {
    context: &'a Context<'a>,
    plan: &'a Convolution,
    grid: Grid,
    forgotten: Option<(Buffer, Forgotten)>,
    /// The images and the stem's output, once it is there again.
    stem: Option<(Buffer, Normed)>,
    first_input: Option<Arc<Buffer>>,
}

impl Bottom<'_> {
    /// The stem's output, worked out from the images again: that costs less than to keep the largest
    /// of all outputs from the first step to the last.
    fn again(&mut self) {
        if let Some((pixels, forgotten)) = self.forgotten.take() {
            let source = Source::Plain(&pixels);
            let convolved = convolve::forward(self.context, self.plan, self.grid, source, None, false);
            self.stem = Some((pixels, forgotten.with(convolved.y)));
        }
    }

    fn stem(mut self) -> Option<(Buffer, Normed)> {
        self.again();
        self.stem
    }

    /// The input of the first trained block.
    fn input(&mut self) -> Option<Arc<Buffer>> {
        self.again();
        match &self.stem {
            Some((_, stem)) => Some(Arc::new(merge(self.context, stem, None, None))),
            None => self.first_input.take(),
        }
    }
}

/// The input of the block behind these, and before it those of the blocks before as far as each
/// adds to the one before: outputs are cheap to work out again, and those of a few blocks at a time
/// take less memory than all.
fn inputs_again(
    context: &Context<'_>,
    plans: &[BlockPlan],
    blocks: &[SavedBlock],
    bottom: &mut Bottom<'_>,
) -> Vec<Arc<Buffer>> {
    let first = (0..blocks.len()).rev().find(|&block| !plans[block].skip);
    let start = match first {
        Some(block) => Some(Arc::new(blocks[block].out(context, None))),
        None => bottom.input(),
    };
    let mut inputs: Vec<Arc<Buffer>> = start.into_iter().collect();
    for block in &blocks[first.map_or(0, |block| block + 1)..] {
        let out = block.out(context, inputs.last().map(|input| &***input));
        inputs.push(Arc::new(out));
    }
    inputs
}

fn add(to: &mut Option<Buffer>, other: Buffer) {
    match to {
        Some(sum) => sum.iter_mut().zip(&*other).for_each(|(sum, other)| *sum += other),
        None => *to = Some(other),
    }
}
