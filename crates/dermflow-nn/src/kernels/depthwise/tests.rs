use super::super::activation::Nonlinearity;
use super::super::lanes::InstructionSet;
use super::super::rows::{ColumnSums, Extent, Finish as FinishRows};
use super::super::testing::{close, numbers};
use super::*;

#[test]
fn depthwise_convolutions_are_the_scalar_ones_on_every_instruction_set() {
    for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)] {
        for (lines, steps, channels) in [(1, 1, 1), (2, 3, 16), (5, 4, 24), (9, 11, 37)] {
            let width = (steps - 1) * stride + kernel;
            let pitch = width * channels;
            let grid = numbers(1, ((lines - 1) * stride + kernel) * pitch);
            let weights = numbers(2, kernel * kernel * channels);
            let small = numbers(3, lines * steps * channels);
            let mut gathered = vec![0.0f64; small.len()];
            let mut weighed = vec![0.0f64; weights.len()];
            for place in 0..lines * steps {
                for tap in 0..kernel * kernel {
                    for c in 0..channels {
                        let y = place / steps * stride + tap / kernel;
                        let x = place % steps * stride + tap % kernel;
                        let from = f64::from(grid[y * pitch + x * channels + c]);
                        gathered[place * channels + c] += from * f64::from(weights[tap * channels + c]);
                        weighed[tap * channels + c] += from * f64::from(small[place * channels + c]);
                    }
                }
            }
            let mut first: Option<(Vec<f32>, Vec<f32>)> = None;
            for set in InstructionSet::available() {
                let mut out = vec![f32::NAN; small.len()];
                set.run(Depthwise {
                    channels,
                    kernel,
                    stride,
                    grid: &grid,
                    pitch,
                    grid_step: channels,
                    weights: &weights,
                    weights_step: channels,
                    lines,
                    steps,
                    out: &mut out,
                    out_step: channels,
                    finish: None,
                });
                let mut gradient = vec![0.0; weights.len()];
                set.run(DepthwiseWeights {
                    channels,
                    kernel,
                    stride,
                    small: &small,
                    small_line: steps * channels,
                    small_step: channels,
                    grid: &grid,
                    pitch,
                    lines,
                    steps,
                    weights: &mut gradient,
                });
                out.iter()
                    .zip(&gathered)
                    .for_each(|(out, expected)| close(*out, *expected, 1e-5));
                gradient
                    .iter()
                    .zip(&weighed)
                    .for_each(|(out, expected)| close(*out, *expected, 1e-5));
                let first = first.get_or_insert_with(|| (out.clone(), gradient.clone()));
                assert_eq!(*first, (out, gradient));
            }
        }
    }
}

#[test]
fn some_channels_with_what_follows_are_those_of_all_channels_and_what_follows() {
    let (channels, from, some) = (53, 16, 21);
    for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)] {
        for (lines, steps) in [(1, 1), (3, 3), (16, 8), (9, 17)] {
            let width = (steps - 1) * stride + kernel;
            let places = ((lines - 1) * stride + kernel) * width;
            let grid = numbers(1, places * channels);
            let weights = numbers(2, kernel * kernel * channels);
            let bias = numbers(3, channels);
            let own = grid.chunks_exact(channels);
            let own: Vec<f32> = own.flat_map(|place| &place[from..from + some]).copied().collect();
            let nonlinearity = Nonlinearity::Silu;
            for set in InstructionSet::available() {
                let mut whole = vec![f32::NAN; lines * steps * channels];
                set.run(Depthwise {
                    channels,
                    kernel,
                    stride,
                    grid: &grid,
                    pitch: width * channels,
                    grid_step: channels,
                    weights: &weights,
                    weights_step: channels,
                    lines,
                    steps,
                    out: &mut whole,
                    out_step: channels,
                    finish: None,
                });
                set.run(FinishRows {
                    extent: Extent::flat(lines * steps, channels),
                    values: &mut whole,
                    values_line: 0,
                    bias: &bias,
                    nonlinearity,
                    shortcut: None,
                });
                let mut sums = vec![0.0; channels];
                set.run(ColumnSums {
                    rows: &whole,
                    factor: 1.0 / (lines * steps) as f32,
                    sums: &mut sums,
                });
                let (mut out, mut means) = (vec![7.0; whole.len()], vec![7.0; some]);
                set.run(Depthwise {
                    channels: some,
                    kernel,
                    stride,
                    grid: &own,
                    pitch: width * some,
                    grid_step: some,
                    weights: &weights[from..],
                    weights_step: channels,
                    lines,
                    steps,
                    out: &mut out[from..],
                    out_step: channels,
                    finish: Some(Finish {
                        bias: &bias[from..],
                        nonlinearity,
                        means: Some(&mut means),
                    }),
                });
                assert_eq!(means, &sums[from..from + some]);
                for (found, expected) in out.chunks_exact(channels).zip(whole.chunks_exact(channels)) {
                    assert_eq!(found[from..from + some], expected[from..from + some]);
                    assert!(
                        found[..from]
                            .iter()
                            .chain(&found[from + some..])
                            .all(|&value| value == 7.0)
                    );
                }
            }
        }
    }
}
