use super::super::testing::{close, numbers};
use super::*;

/// A window over a grid, with both kinds of padding.
fn windows() -> Vec<Window> {
    let mut all = Vec::new();
    for (kernel, stride) in [(1, 1), (1, 2), (3, 1), (3, 2), (5, 1), (5, 2), (7, 2), (4, 2)] {
        for large in [(1, 1), (2, 3), (5, 4), (7, 8), (9, 6)] {
            for above in [kernel / 2, (kernel - 1) / 2] {
                let small = |size: usize| size.div_ceil(stride);
                all.push(Window {
                    kernel,
                    stride,
                    above,
                    left: above,
                    large,
                    small: (small(large.0), small(large.1)),
                });
            }
        }
    }
    all
}

/// Calls `pair(small place, window place, large place)` for all that meet.
fn pairs(window: &Window, mut pair: impl FnMut(usize, usize, usize)) {
    let Window {
        kernel,
        stride,
        above,
        left,
        large,
        small,
    } = *window;
    for y in 0..small.0 {
        for x in 0..small.1 {
            for i in 0..kernel {
                for j in 0..kernel {
                    let (from_y, from_x) = (y * stride + i, x * stride + j);
                    if from_y >= above
                        && from_x >= left
                        && from_y < large.0 + above
                        && from_x < large.1 + left
                    {
                        pair(
                            y * small.1 + x,
                            i * kernel + j,
                            (from_y - above) * large.1 + from_x - left,
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn gathering_spreading_and_weighing_are_the_scalar_ones() {
    let pool = Arc::new(Pool::default());
    let set = InstructionSet::best();
    let (inputs, outputs) = (3, 5);
    for window in windows() {
        let taps = window.kernel * window.kernel;
        let large = numbers(1, window.large.0 * window.large.1 * inputs);
        let small = numbers(2, window.small.0 * window.small.1 * outputs);
        let weight = numbers(3, outputs * taps * inputs);
        let mut gathered = vec![0.0f64; small.len()];
        let mut spread = vec![0.0f64; large.len()];
        let mut weighed = vec![0.0f64; weight.len()];
        pairs(&window, |at, tap, from| {
            for o in 0..outputs {
                for c in 0..inputs {
                    let w = (o * taps + tap) * inputs + c;
                    let (x, d) = (from * inputs + c, at * outputs + o);
                    gathered[d] += f64::from(weight[w]) * f64::from(large[x]);
                    spread[x] += f64::from(weight[w]) * f64::from(small[d]);
                    weighed[w] += f64::from(small[d]) * f64::from(large[x]);
                }
            }
        });

        let border = window.bordered_large();
        let mut grid = vec![f32::NAN; border.len(inputs)];
        border.copy(inputs, window.large.1, &large, &mut grid);
        let panels = window.gather_panels(&pool, set, &weight, outputs, None);
        let mut out = vec![f32::NAN; small.len()];
        window.gather(set, &grid, inputs, &panels, &mut out, End::Store);
        out.iter()
            .zip(&gathered)
            .for_each(|(out, expected)| close(*out, *expected, 1e-5));

        let mut out = vec![0.0; weight.len()];
        let line = window.small.1 * outputs;
        window.weigh(set, (&small, line, outputs), &grid, inputs, &mut out);
        out.iter()
            .zip(&weighed)
            .for_each(|(out, expected)| close(*out, *expected, 1e-5));

        let border = window.bordered_small();
        let mut grid = vec![f32::NAN; border.len(outputs)];
        border.copy(outputs, window.small.1, &small, &mut grid);
        let panels = window.spread_panels(&pool, set, outputs, inputs, |i, j, o| {
            let at = (o * taps + i * window.kernel + j) * inputs;
            &weight[at..at + inputs]
        });
        for add in [false, true] {
            let mut out = vec![if add { 1.0 } else { f32::NAN }; large.len()];
            let end = if add { End::Add } else { End::Store };
            window.spread(set, &grid, outputs, &panels, &mut out, end);
            let before = if add { 1.0 } else { 0.0 };
            out.iter()
                .zip(&spread)
                .for_each(|(out, expected)| close(*out, expected + before, 1e-5));
        }
    }
}
