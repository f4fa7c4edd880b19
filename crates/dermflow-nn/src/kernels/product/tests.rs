use std::sync::Arc;

use super::super::activation::Nonlinearity;
use super::super::buffer::Pool;
use super::super::lanes::InstructionSet;
use super::super::panels::Panels;
use super::super::testing::{close, numbers};
use super::*;

/// A product over places with gaps between them, on both sides.
struct Case {
    places: Places,
    runs: usize,
    run: usize,
    columns: usize,
    nonlinearity: Option<Nonlinearity>,
    add: bool,
}

/// Distances with a gap behind every place, line and image.
fn apart(places: Places, step: usize) -> Distances {
    let line = places.steps * (step + 1) + 2;
    Distances {
        image: places.lines * line + 5,
        line,
        step: step + 1,
    }
}

impl Case {
    fn at(&self, row: usize, of: Distances) -> usize {
        let Places { lines, steps, .. } = self.places;
        row / (lines * steps) * of.image + row / steps % lines * of.line + row % steps * of.step
    }

    /// Runs it, compares it with float64, and gives the result.
    fn product(&self, set: InstructionSet) -> Vec<f32> {
        let pool = Arc::new(Pool::default());
        let (depth, columns) = (self.runs * self.run, self.columns);
        let (from, to) = (apart(self.places, self.run), apart(self.places, columns));
        let length = |of: Distances, image: usize| self.places.images * of.image + image;
        let run_pitch = length(from, 3);
        let left = numbers(1, run_pitch * self.runs.max(1));
        let right = numbers(2, depth * columns);
        let panels = Panels::from_rows(&pool, set, depth, columns, |k| {
            &right[k * columns..(k + 1) * columns]
        });
        let before = numbers(3, length(to, 0));
        let (bias, gain) = (numbers(4, columns), numbers(5, columns));
        let shortcut = numbers(6, before.len());
        let mut out = before.clone();
        let end = match self.nonlinearity {
            Some(nonlinearity) => End::Finish(Finishing {
                gain: self.add.then_some(&gain[..]),
                bias: &bias,
                nonlinearity,
                shortcut: self.add.then_some(&shortcut[..]),
            }),
            None if self.add => End::Add,
            None => End::Store,
        };
        set.run(Product {
            left: &left,
            places: self.places,
            left_distances: from,
            runs: self.runs,
            run_pitch,
            run_length: self.run,
            right: panels.all(),
            out: &mut out,
            out_distances: to,
            end,
        });
        let mut untouched = vec![true; out.len()];
        for row in 0..self.places.count() {
            for column in 0..columns {
                let at = self.at(row, to) + column;
                let sum = (0..depth).map(|k| {
                    let at = self.at(row, from) + k / self.run * run_pitch + k % self.run;
                    f64::from(left[at]) * f64::from(right[k * columns + column])
                });
                let sum = sum.sum::<f64>();
                let own = |values: &[f32], at: usize, other: f64| match self.add {
                    true => f64::from(values[at]),
                    false => other,
                };
                let expected = match self.nonlinearity {
                    None => sum + own(&before, at, 0.0),
                    Some(nonlinearity) => {
                        let z = sum * own(&gain, column, 1.0) + f64::from(bias[column]);
                        let value = match nonlinearity {
                            Nonlinearity::Silu => z / (1.0 + (-z).exp()),
                            Nonlinearity::Relu => z.max(0.0),
                            Nonlinearity::Relu6 => z.clamp(0.0, 6.0),
                            Nonlinearity::Identity => z,
                        };
                        value + own(&shortcut, at, 0.0)
                    }
                };
                close(out[at], expected, 1e-5 * (depth as f64).sqrt().max(1.0));
                untouched[at] = false;
            }
        }
        for at in (0..out.len()).filter(|at| untouched[*at]) {
            assert_eq!(out[at], before[at], "between rows");
        }
        out
    }
}

#[test]
fn a_product_is_the_scalar_one_and_the_same_on_every_instruction_set() {
    let ends = [
        None,
        Some(Nonlinearity::Identity),
        Some(Nonlinearity::Silu),
        Some(Nonlinearity::Relu),
        Some(Nonlinearity::Relu6),
    ];
    for ((images, lines, steps), runs, run, columns) in [
        ((1, 1, 1), 1, 1, 1),
        ((1, 1, 7), 1, 5, 3),
        ((1, 13, 1), 3, 6, 17),
        ((3, 3, 5), 3, 9, 48),
        ((2, 25, 5), 1, 19, 65),
        ((5, 3, 3), 5, 4, 112),
        ((31, 1, 1), 1, 33, 80),
        ((2, 2, 2), 0, 0, 20),
        ((1, 3, 5), 1, 101, 33),
        ((1, 1, 9), 3, 40, 70),
        ((2, 1, 4), 8, 10, 20),
    ] {
        for nonlinearity in ends {
            for add in [false, true] {
                let places = Places { images, lines, steps };
                let case = Case {
                    places,
                    runs,
                    run,
                    columns,
                    nonlinearity,
                    add,
                };
                let mut results = InstructionSet::available().into_iter();
                let first = results.next().map(|set| case.product(set));
                for set in results {
                    assert_eq!(first, Some(case.product(set)));
                }
            }
        }
    }
}

#[test]
fn the_error_of_a_long_sum_is_that_of_short_chains() {
    let pool = Arc::new(Pool::default());
    let (rows, depth) = (40, 4096);
    // All of a sign, so that the sum grows all the way and every step rounds more.
    let positive = |seed, count| -> Vec<f32> { numbers(seed, count).iter().map(|x| x.abs()).collect() };
    let (left, right) = (positive(1, rows * depth), positive(2, depth));
    let (mut plain, mut exact) = (Vec::new(), Vec::new());
    for row in left.chunks_exact(depth) {
        let pairs = || row.iter().zip(&right);
        plain.push(pairs().fold(0.0f32, |sum, (a, b)| a.mul_add(*b, sum)));
        exact.push(pairs().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>());
    }
    let error = |found: &[f32]| -> f64 {
        let squares = found.iter().zip(&exact).map(|(a, b)| (f64::from(*a) - b).powi(2));
        squares.sum::<f64>().sqrt()
    };
    for set in InstructionSet::available() {
        let panels = Panels::from_rows(&pool, set, depth, 1, |k| &right[k..=k]);
        let mut out = vec![f32::NAN; rows];
        set.run(Product::plain(&left, panels.all(), &mut out, End::Store));
        assert!(
            error(&out) < error(&plain) / 3.0,
            "{} and {}",
            error(&out),
            error(&plain)
        );
    }
}

#[test]
fn panels_one_at_a_time_give_the_columns_of_the_whole() {
    let pool = Arc::new(Pool::default());
    let (rows, depth, columns) = (11, 9, 100);
    let (left, right) = (numbers(1, rows * depth), numbers(2, depth * columns));
    let bias = numbers(3, columns);
    let end = End::Finish(Finishing {
        gain: None,
        bias: &bias,
        nonlinearity: Nonlinearity::Silu,
        shortcut: None,
    });
    for set in InstructionSet::available() {
        let panels = Panels::from_rows(&pool, set, depth, columns, |k| {
            &right[k * columns..(k + 1) * columns]
        });
        let mut whole = vec![f32::NAN; rows * columns];
        set.run(Product::plain(&left, panels.all(), &mut whole, end));
        for part in panels.each() {
            let wide = part.columns();
            let mut out = vec![f32::NAN; rows * wide.len()];
            set.run(Product::plain(&left, part, &mut out, end));
            for (row, out) in out.chunks_exact(wide.len()).enumerate() {
                assert_eq!(out, &whole[row * columns..][wide.clone()]);
            }
        }
    }
}

#[test]
fn an_outer_sum_is_the_scalar_one_and_the_same_on_every_instruction_set() {
    for (lines, steps, rows, columns) in [
        (1, 1, 1, 1),
        (3, 5, 7, 17),
        (2, 9, 30, 96),
        (4, 4, 13, 70),
        (1, 40, 9, 24),
    ] {
        let (left_step, right_step) = (rows + 1, columns * 2);
        let (left_line, right_line) = (steps * left_step + 2, steps * right_step + 7);
        let left = numbers(4, lines * left_line);
        let right = numbers(5, lines * right_line);
        let before = numbers(6, rows * columns);
        let mut first: Option<Vec<f32>> = None;
        for set in InstructionSet::available() {
            let mut out = before.clone();
            set.run(OuterSum {
                left: &left,
                left_line,
                left_step,
                right: &right,
                right_line,
                right_step,
                lines,
                steps,
                rows,
                columns,
                out: &mut out,
                out_stride: columns,
            });
            for row in 0..rows {
                for column in 0..columns {
                    let mut sum = f64::from(before[row * columns + column]);
                    for line in 0..lines {
                        for step in 0..steps {
                            sum += f64::from(left[line * left_line + step * left_step + row])
                                * f64::from(right[line * right_line + step * right_step + column]);
                        }
                    }
                    close(out[row * columns + column], sum, 1e-5);
                }
            }
            assert_eq!(*first.get_or_insert_with(|| out.clone()), out);
        }
    }
}
