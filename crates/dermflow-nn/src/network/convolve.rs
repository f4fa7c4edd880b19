//! Convolutions over a batch, forward: from numbers as they are or through a norm, with the
//! moments of the result.
//!
//! Must not know of blocks.

use std::ops::Range;

use crate::kernels::bordered::Bordered;
use crate::kernels::buffer::Buffer;
use crate::kernels::depthwise::Depthwise;
use crate::kernels::panels::Panels;
use crate::kernels::parallel;
use crate::kernels::product::{Distances, End, Finishing, Places, Product};
use crate::kernels::rows::{Extent, Moments, NormActivate};
use crate::kernels::window::Window;
use crate::kernels::winograd::{self, Filters3, Frame};

use super::context::{Context, Grid, Source, row_pieces, winograd_groups};
use super::norm::BatchMoments;
use super::plan::{Convolution, Kind};

/// A convolution's output over a batch.
pub(super) struct Convolved {
    pub(super) y: Buffer,
    pub(super) grid: Grid,
    /// Where they were asked for.
    pub(super) moments: Option<BatchMoments>,
}

/// Rows of a matrix product that are taken through a norm at a time: they should stay in the
/// second cache.
pub(crate) fn tile_rows(numbers_of_row: usize) -> usize {
    (98_304 / numbers_of_row.max(1)).clamp(24, 240) / 24 * 24
}

/// Runs the convolution. `target` is the grid that one which doubles it shall give.
pub(super) fn forward(
    context: &Context<'_>,
    of: &Convolution,
    grid: Grid,
    source: Source<'_>,
    target: Option<(usize, usize)>,
    moments: bool,
) -> Convolved {
    let window = context.window(of, grid.size(), target);
    let weight = &context.decayed[of.weight.clone()];
    let out_size = if of.kind == Kind::Transposed {
        window.large
    } else {
        window.small
    };
    let out_grid = grid.with_size(out_size);
    // An image at a time, with a border around it that the window may reach into.
    let by_bordered_image = |border: &Bordered, work: &(dyn Fn(&[f32], &mut [f32]) + Sync)| {
        by_image(
            context,
            out_grid,
            of.outputs,
            moments,
            nothing(grid),
            |image, out, ()| {
                let mut bordered = context.pool.take(border.len(of.inputs));
                fill(context, source, grid, image, of.inputs, border, &mut bordered);
                work(&bordered, out);
            },
        )
    };
    match of.kind {
        Kind::Dense if window.is_pointwise() => {
            let panels = window.gather_panels(context.pool, context.set, weight, of.outputs, None);
            pointwise(context, grid, source, &panels, moments)
        }
        Kind::Dense if winograd::applies(of.kernel, of.stride, of.inputs, of.outputs) => {
            by_winograd(context, of, &window, grid, source, moments)
        }
        Kind::Dense => {
            let panels = window.gather_panels(context.pool, context.set, weight, of.outputs, None);
            let border = window.bordered_large();
            by_bordered_image(&border, &|bordered, out| {
                window.gather(context.set, bordered, of.inputs, &panels, out, End::Store);
            })
        }
        Kind::Depthwise => {
            let border = window.bordered_large();
            by_bordered_image(&border, &|bordered, out| {
                context.set.run(Depthwise {
                    channels: of.inputs,
                    kernel: of.kernel,
                    stride: of.stride,
                    grid: bordered,
                    pitch: border.pitch(of.inputs),
                    grid_step: of.inputs,
                    weights: weight,
                    weights_step: of.inputs,
                    lines: out_grid.height,
                    steps: out_grid.width,
                    out,
                    out_step: of.inputs,
                    finish: None,
                });
            })
        }
        Kind::Transposed => {
            let panels = transposed_panels(context, of, &window);
            let border = window.bordered_small();
            by_bordered_image(&border, &|bordered, out| {
                window.spread(context.set, bordered, of.inputs, &panels, out, End::Store);
            })
        }
    }
}

/// The right sides of a transposed convolution; its weights are `[kernel, kernel, out, in]`.
pub(super) fn transposed_panels(context: &Context<'_>, of: &Convolution, window: &Window) -> Vec<Panels> {
    let weight = &context.decayed[of.weight.clone()];
    let (inputs, outputs) = (of.inputs, of.outputs);
    let mut turned = context.pool.take(weight.len());
    for (from, to) in weight
        .chunks_exact(inputs * outputs)
        .zip(turned.chunks_exact_mut(inputs * outputs))
    {
        for (output, row) in from.chunks_exact(inputs).enumerate() {
            for (input, value) in row.iter().enumerate() {
                to[input * outputs + output] = *value;
            }
        }
    }
    window.spread_panels(context.pool, context.set, inputs, outputs, |i, j, input| {
        let start = ((i * of.kernel + j) * inputs + input) * outputs;
        &turned[start..start + outputs]
    })
}

/// A 1x1 convolution: one matrix product over all places.
fn pointwise(
    context: &Context<'_>,
    grid: Grid,
    source: Source<'_>,
    panels: &Panels,
    moments: bool,
) -> Convolved {
    let (inputs, outputs) = (panels.depth(), panels.columns());
    let rows = grid.places();
    let pieces = row_pieces(rows);
    let mut y = context.pool.take(rows * outputs);
    let mut found = vec![0.0; if moments { pieces * 2 * outputs } else { 0 }];
    let parts = parallel::shares(&mut y, rows, pieces, outputs)
        .into_iter()
        .zip(parallel::equal(&mut found, pieces));
    parallel::for_each(parts.collect(), |piece, (out, found)| {
        let share = parallel::share(rows, pieces, piece);
        let tile = tile_rows(inputs);
        let mut scratch = context.pool.take(match source {
            Source::Plain(_) => 0,
            Source::Normed(_) => tile * inputs,
        });
        for (index, out) in out.chunks_mut(tile * outputs).enumerate() {
            let start = share.start + index * tile;
            let end = (start + tile).min(share.end);
            let left = match source {
                Source::Plain(values) => &values[start * inputs..end * inputs],
                Source::Normed(normed) => {
                    let to = &mut scratch[..(end - start) * inputs];
                    context.set.run(NormActivate {
                        extent: Extent::flat(end - start, inputs),
                        from: &normed.y[start * inputs..end * inputs],
                        from_line: 0,
                        affine: normed.affine(),
                        nonlinearity: normed.nonlinearity,
                        to,
                        to_line: 0,
                    });
                    &scratch[..(end - start) * inputs]
                }
            };
            context
                .set
                .run(Product::plain(left, panels.all(), out, End::Store));
            if moments {
                join_moments(context, out, index * tile, found);
            }
        }
    });
    let counts: Vec<usize> = (0..pieces)
        .map(|piece| parallel::share(rows, pieces, piece).len())
        .collect();
    Convolved {
        y,
        grid,
        moments: moments.then(|| BatchMoments::of_pieces(outputs, &found, &counts)),
    }
}

/// A 3×3 convolution that makes fewer products: as many images at a time as fill a band of tiles.
fn by_winograd(
    context: &Context<'_>,
    of: &Convolution,
    window: &Window,
    grid: Grid,
    source: Source<'_>,
    moments: bool,
) -> Convolved {
    let Source::Plain(values) = source else {
        unreachable!("a 3×3 convolution reads what is stored");
    };
    let weight = &context.decayed[of.weight.clone()];
    let filters = Filters3::of_weights(context.pool, context.set, weight, of.outputs);
    let zeros = vec![0.0; of.outputs];
    let groups = vec![(); winograd_groups(grid.count, window.small)];
    let out_grid = grid.with_size(window.small);
    let len = grid.of_image() * of.inputs;
    by_images(
        context,
        out_grid,
        of.outputs,
        moments,
        groups,
        |images, out, ()| {
            let places = Places {
                images: images.len(),
                ..Places::of_image(window.small)
            };
            let images = winograd::Images {
                frame: Frame::of(window),
                read: &values[images.start * len..images.end * len],
                places,
                distances: Distances::adjacent(places, of.outputs),
                out,
                finishing: Finishing::nothing(&zeros),
            };
            filters.run(context.pool, context.set, images);
        },
    )
}

/// Joins the moments of `rows` to those of `before` rows, means first, then squares.
fn join_moments(context: &Context<'_>, rows: &[f32], before: usize, found: &mut [f64]) {
    let (mean, squares) = found.split_at_mut(found.len() / 2);
    context.set.run(Moments {
        rows,
        before,
        mean,
        squares,
    });
}

/// No parts beside the output, for every image.
fn nothing(grid: Grid) -> Vec<()> {
    vec![(); grid.count]
}

/// Runs `work(image, out, part)` for every image, with its part of what else it writes, and takes
/// the moments of its output.
fn by_image<P: Send>(
    context: &Context<'_>,
    grid: Grid,
    channels: usize,
    moments: bool,
    parts: Vec<P>,
    work: impl Fn(usize, &mut [f32], P) + Sync + Send,
) -> Convolved {
    by_images(context, grid, channels, moments, parts, |images, out, part| {
        work(images.start, out, part);
    })
}

/// Runs `work(images, out, part)` for groups of images, as many as there are parts of what else is
/// written, and takes the moments of the output.
pub(super) fn by_images<P: Send>(
    context: &Context<'_>,
    grid: Grid,
    channels: usize,
    moments: bool,
    parts: Vec<P>,
    work: impl Fn(Range<usize>, &mut [f32], P) + Sync + Send,
) -> Convolved {
    let groups = parts.len();
    let mut y = context.pool.take(grid.places() * channels);
    let mut found = vec![0.0; if moments { groups * 2 * channels } else { 0 }];
    let images = |group: usize| parallel::share(grid.count, groups, group);
    let parts = parallel::shares(&mut y, grid.count, groups, grid.of_image() * channels)
        .into_iter()
        .zip(parallel::equal(&mut found, groups))
        .zip(parts);
    parallel::for_each(parts.collect(), |group, ((out, found), part)| {
        work(images(group), out, part);
        if moments {
            join_moments(context, out, 0, found);
        }
    });
    let counts: Vec<usize> = (0..groups)
        .map(|group| images(group).len() * grid.of_image())
        .collect();
    Convolved {
        y,
        grid,
        moments: moments.then(|| BatchMoments::of_pieces(channels, &found, &counts)),
    }
}

/// One image of a source in a bordered grid.
pub(super) fn fill(
    context: &Context<'_>,
    source: Source<'_>,
    grid: Grid,
    image: usize,
    channels: usize,
    border: &Bordered,
    to: &mut [f32],
) {
    let len = grid.of_image() * channels;
    match source {
        Source::Plain(values) => {
            border.copy(channels, grid.width, &values[image * len..(image + 1) * len], to);
        }
        Source::Normed(normed) => {
            border.clear(channels, to);
            context.set.run(NormActivate {
                extent: Extent {
                    lines: border.lines,
                    steps: border.steps,
                    channels,
                },
                from: normed.image(image),
                from_line: grid.width * channels,
                affine: normed.affine(),
                nonlinearity: normed.nonlinearity,
                to: &mut to[border.start(channels)..],
                to_line: border.pitch(channels),
            });
        }
    }
}
