use super::super::activation::Nonlinearity;
use super::super::lanes::InstructionSet;
use super::super::testing::{close, numbers};
use super::*;

const ALL: [Nonlinearity; 4] = [
    Nonlinearity::Identity,
    Nonlinearity::Silu,
    Nonlinearity::Relu,
    Nonlinearity::Relu6,
];

fn act(nonlinearity: Nonlinearity, x: f64) -> f64 {
    match nonlinearity {
        Nonlinearity::Identity => x,
        Nonlinearity::Silu => x / (1.0 + (-x).exp()),
        Nonlinearity::Relu => x.max(0.0),
        Nonlinearity::Relu6 => x.clamp(0.0, 6.0),
    }
}

fn slope(nonlinearity: Nonlinearity, x: f64) -> f64 {
    (act(nonlinearity, x + 1e-6) - act(nonlinearity, x - 1e-6)) / 2e-6
}

struct Case {
    places: usize,
    channels: usize,
    y: Vec<f32>,
    mean: Vec<f32>,
    gain: Vec<f32>,
    shift: Vec<f32>,
    gradient: Vec<f32>,
}

impl Case {
    fn new(places: usize, channels: usize) -> Case {
        Case {
            places,
            channels,
            y: numbers(1, places * channels).iter().map(|y| y * 5.0).collect(),
            mean: numbers(2, channels),
            gain: numbers(3, channels).iter().map(|gain| gain + 1.5).collect(),
            shift: numbers(4, channels),
            gradient: numbers(5, places * channels),
        }
    }

    fn affine(&self) -> Affine<'_> {
        Affine {
            mean: &self.mean,
            gain: &self.gain,
            shift: &self.shift,
        }
    }

    fn z(&self, at: usize) -> f64 {
        let channel = at % self.channels;
        (f64::from(self.y[at]) - f64::from(self.mean[channel])) * f64::from(self.gain[channel])
            + f64::from(self.shift[channel])
    }
}

fn cases() -> Vec<Case> {
    [(1, 1), (3, 16), (7, 24), (530, 40), (600, 3), (19, 300)]
        .map(|(places, channels)| Case::new(places, channels))
        .into()
}

/// Runs for every instruction set, and fails where results differ; gives the first.
fn same<T: PartialEq + std::fmt::Debug>(run: impl Fn(InstructionSet) -> T) -> T {
    let mut results = InstructionSet::available().into_iter().map(run);
    let first = results.next().unwrap();
    for other in results {
        assert_eq!(first, other);
    }
    first
}

#[test]
fn norm_and_activation_are_the_scalar_ones() {
    for case in cases() {
        for nonlinearity in ALL {
            let out = same(|set| {
                let mut to = vec![f32::NAN; case.y.len()];
                set.run(NormActivate {
                    extent: Extent::flat(case.places, case.channels),
                    from: &case.y,
                    from_line: 0,
                    affine: case.affine(),
                    nonlinearity,
                    to: &mut to,
                    to_line: 0,
                });
                to
            });
            for (at, out) in out.iter().enumerate() {
                close(*out, act(nonlinearity, case.z(at)), 4e-6);
            }
        }
    }
}

#[test]
fn merging_scales_and_adds_the_shortcut() {
    for case in cases() {
        for shortcut in [None, Some(&case.gradient[..])] {
            let out = same(|set| {
                let mut to = vec![f32::NAN; case.y.len()];
                set.run(Merge {
                    channels: case.channels,
                    from: &case.y,
                    affine: case.affine(),
                    nonlinearity: Nonlinearity::Silu,
                    keep: 1.25,
                    shortcut,
                    to: &mut to,
                });
                to
            });
            for (at, out) in out.iter().enumerate() {
                let added = shortcut.map_or(0.0, |shortcut| f64::from(shortcut[at]));
                close(*out, act(Nonlinearity::Silu, case.z(at)) * 1.25 + added, 4e-6);
            }
        }
    }
}

#[test]
fn finishing_adds_bias_then_activates_then_adds_the_shortcut() {
    for case in cases() {
        let out = same(|set| {
            let mut values = case.y.clone();
            set.run(Finish {
                extent: Extent::flat(case.places, case.channels),
                values: &mut values,
                values_line: 0,
                bias: &case.shift,
                nonlinearity: Nonlinearity::Relu6,
                shortcut: Some(&case.gradient),
            });
            values
        });
        for (at, out) in out.iter().enumerate() {
            let z = f64::from(case.y[at]) + f64::from(case.shift[at % case.channels]);
            close(*out, z.clamp(0.0, 6.0) + f64::from(case.gradient[at]), 2e-6);
        }
    }
}

#[test]
fn gradients_before_an_activation_and_their_sums_are_the_scalar_ones() {
    for case in cases() {
        for nonlinearity in ALL {
            let (dz, value, sums) = same(|set| {
                let (mut gradient, mut value) = (case.gradient.clone(), vec![f32::NAN; case.y.len()]);
                let mut sums = vec![0.0; 2 * case.channels];
                set.run(ActivationBack {
                    extent: Extent::flat(case.places, case.channels),
                    y: &case.y,
                    affine: case.affine(),
                    nonlinearity,
                    factor: 0.5,
                    gradient: &mut gradient,
                    value: Some((&mut value, 0)),
                    sums: &mut sums,
                });
                (gradient, value, sums)
            });
            let mut expected = vec![0.0; 2 * case.channels];
            for at in 0..case.y.len() {
                let own = f64::from(case.gradient[at]) * 0.5 * slope(nonlinearity, case.z(at));
                close(dz[at], own, 1e-5);
                close(value[at], act(nonlinearity, case.z(at)), 4e-6);
                let channel = at % case.channels;
                expected[channel] += own;
                expected[case.channels + channel] +=
                    own * (f64::from(case.y[at]) - f64::from(case.mean[channel]));
            }
            for (sum, expected) in sums.iter().zip(&expected) {
                close(*sum as f32, *expected, 2e-4);
            }
        }
    }
}

#[test]
fn the_gradient_behind_a_gate_is_the_scalar_one() {
    for case in cases() {
        let gate: Vec<f32> = numbers(6, case.channels)
            .iter()
            .map(|gate| gate * 0.4 + 0.5)
            .collect();
        let pooled = numbers(7, case.channels);
        let (value, dz, gate_gradient, sums) = same(|set| {
            let (mut value, mut slope) = (vec![f32::NAN; case.y.len()], vec![f32::NAN; case.y.len()]);
            let mut gate_gradient = vec![f32::NAN; case.channels];
            let mut gradient = case.gradient.clone();
            set.run(SqueezeSums {
                y: &case.y,
                affine: case.affine(),
                nonlinearity: Nonlinearity::Silu,
                gradient: &gradient,
                value: &mut value,
                slope: &mut slope,
                gate_gradient: &mut gate_gradient,
            });
            let mut sums = vec![0.0; 2 * case.channels];
            set.run(SqueezeBack {
                y: &case.y,
                mean: &case.mean,
                slope: &slope,
                gate: &gate,
                pooled: &pooled,
                value: &mut value,
                gradient: &mut gradient,
                sums: &mut sums,
            });
            (value, gradient, gate_gradient, sums)
        });
        let mut expected = vec![0.0; 3 * case.channels];
        for at in 0..case.y.len() {
            let channel = at % case.channels;
            let (z, own_gate) = (case.z(at), f64::from(gate[channel]));
            let activated = act(Nonlinearity::Silu, z);
            close(value[at], activated * own_gate, 4e-6);
            let gradient = f64::from(case.gradient[at]);
            let own = (gradient * own_gate + f64::from(pooled[channel])) * slope(Nonlinearity::Silu, z);
            close(dz[at], own, 1e-5);
            expected[channel] += gradient * activated;
            expected[case.channels + channel] += own;
            expected[2 * case.channels + channel] +=
                own * (f64::from(case.y[at]) - f64::from(case.mean[channel]));
        }
        for (found, expected) in gate_gradient.iter().zip(&expected) {
            close(*found, *expected, 1e-4);
        }
        for (found, expected) in sums.iter().zip(&expected[case.channels..]) {
            close(*found as f32, *expected, 2e-4);
        }
    }
}

#[test]
fn moments_lose_nothing_where_the_mean_is_far_greater_than_the_spread() {
    for (rows, channels) in [(1, 5), (3, 16), (700, 24), (1500, 17)] {
        let values: Vec<f32> = numbers(8, rows * channels)
            .iter()
            .map(|value| value + 3000.0)
            .collect();
        let (mean, squares) = same(|set| {
            let (mut mean, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
            let cut = rows / 3 * channels;
            for (before, rows) in [(0, &values[..cut]), (rows / 3, &values[cut..])] {
                set.run(Moments {
                    rows,
                    before,
                    mean: &mut mean,
                    squares: &mut squares,
                });
            }
            (mean, squares)
        });
        for channel in 0..channels {
            let own = || (0..rows).map(|row| f64::from(values[row * channels + channel]));
            let exact = own().sum::<f64>() / rows as f64;
            let spread: f64 = own().map(|value| (value - exact).powi(2)).sum();
            assert!((mean[channel] - exact).abs() < 1e-5, "{} {exact}", mean[channel]);
            assert!(
                (squares[channel] - spread).abs() <= 1e-5 * spread,
                "{} {spread}",
                squares[channel]
            );
        }
    }
}

#[test]
fn column_sums_and_gates_act_by_channel() {
    for case in cases() {
        let sums = same(|set| {
            let mut sums = vec![1.0; case.channels];
            set.run(ColumnSums {
                rows: &case.y,
                factor: 0.5,
                sums: &mut sums,
            });
            sums
        });
        let scaled = same(|set| {
            let mut values = case.y.clone();
            set.run(ScaleChannels {
                values: &mut values,
                gate: &case.shift,
            });
            values
        });
        for (channel, sum) in sums.iter().enumerate() {
            let own = (0..case.places).map(|place| f64::from(case.y[place * case.channels + channel]));
            close(*sum, 1.0 + own.sum::<f64>() * 0.5, 1e-4);
        }
        for (at, scaled) in scaled.iter().enumerate() {
            assert_eq!(*scaled, case.y[at] * case.shift[at % case.channels]);
        }
    }
}

#[test]
fn the_gradient_before_a_norm_is_written_at_any_distance() {
    let case = Case::new(12, 19);
    let (lines, steps) = (3, 4);
    for (to_step, to_line) in [(19, 100), (38, 200)] {
        let out = same(|set| {
            let mut to = vec![7.0; 3 * to_line];
            set.run(NormBack {
                extent: Extent {
                    lines,
                    steps,
                    channels: 19,
                },
                dz: &case.gradient,
                y: &case.y,
                from_line: steps * 19,
                mean: &case.mean,
                gain: &case.gain,
                slant: &case.shift,
                offset: &case.mean,
                to: &mut to,
                to_line,
                to_step,
            });
            to
        });
        let mut untouched = out.len();
        for at in 0..12 * 19 {
            let (place, channel) = (at / 19, at % 19);
            let expected = f64::from(case.gain[channel]) * f64::from(case.gradient[at])
                + (f64::from(case.y[at]) - f64::from(case.mean[channel])) * f64::from(case.shift[channel])
                + f64::from(case.mean[channel]);
            close(
                out[place / steps * to_line + place % steps * to_step + channel],
                expected,
                2e-6,
            );
            untouched -= 1;
        }
        assert_eq!(out.iter().filter(|value| **value == 7.0).count(), untouched);
    }
}
