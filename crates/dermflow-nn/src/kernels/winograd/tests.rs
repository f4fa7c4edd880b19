use super::super::activation::Nonlinearity;
use super::super::testing::{close, numbers};
use super::super::window::{Phase, Window};
use super::*;

const SHAPES: [((usize, usize), usize, usize); 7] = [
    ((1, 1), 3, 2),
    ((2, 2), 16, 16),
    ((5, 3), 24, 40),
    ((8, 7), 33, 70),
    ((13, 16), 17, 112),
    ((3, 130), 4, 5),
    // 80 tiles: two bands, both ways.
    ((37, 29), 24, 40),
];

fn window(size: (usize, usize)) -> Window {
    Window {
        kernel: 3,
        stride: 1,
        above: 1,
        left: 1,
        large: size,
        small: size,
    }
}

/// Images of a batch: two bands where an image has few tiles.
const IMAGES: usize = 3;

/// Weights `[outputs, 3, 3, inputs]` transformed, times their gains.
fn filters(set: InstructionSet, weight: &[f32], inputs: usize, gain: &[f32]) -> Filters3 {
    let tap = |output: usize, (i, j): (usize, usize)| &weight[(output * 9 + i * 3 + j) * inputs..][..inputs];
    Filters3::new(&Arc::new(Pool::default()), set, inputs, gain, tap)
}

/// All images through a 3×3 convolution, from line `first` on.
fn run(
    filters: &Filters3,
    set: InstructionSet,
    size: (usize, usize),
    read: &[f32],
    finishing: Finishing<'_>,
    first: usize,
) -> Vec<f32> {
    let places = Places {
        images: IMAGES,
        lines: size.0 - first,
        steps: size.1,
    };
    let outputs = filters.products.columns();
    let mut out = vec![f32::NAN; IMAGES * places.lines * size.1 * outputs];
    let images = Images {
        frame: Frame::of(&window(size)).moved_down(first),
        read,
        places,
        distances: Distances::adjacent(places, outputs),
        out: &mut out,
        finishing,
    };
    filters.run(&Arc::new(Pool::default()), set, images);
    out
}

/// The result by Winograd's way, and by plain sums of products.
fn both(set: InstructionSet, size: (usize, usize), inputs: usize, outputs: usize) -> [Vec<f32>; 2] {
    let pool = Arc::new(Pool::default());
    let window = window(size);
    let places = size.0 * size.1;
    let read = numbers(1, IMAGES * places * inputs);
    let weight = numbers(2, 9 * inputs * outputs);
    let (gain, bias) = (numbers(3, outputs), numbers(4, outputs));
    let shortcut = numbers(5, IMAGES * places * outputs);
    let finishing = Finishing {
        gain: None,
        bias: &bias,
        nonlinearity: Nonlinearity::Silu,
        shortcut: Some(&shortcut),
    };

    let filters = filters(set, &weight, inputs, &gain);
    assert_eq!(filters.numbers(), super::numbers(3, inputs, outputs));
    let found = run(&filters, set, size, &read, finishing, 0);

    let border = window.bordered_large();
    let panels = window.gather_panels(&pool, set, &weight, outputs, Some(&gain));
    let mut plain = vec![f32::NAN; IMAGES * places * outputs];
    for (image, out) in plain.chunks_exact_mut(places * outputs).enumerate() {
        let mut grid = vec![f32::NAN; border.len(inputs)];
        border.copy(inputs, size.1, &read[image * places * inputs..], &mut grid);
        let end = End::Finish(finishing.behind(image * places * outputs));
        window.gather(set, &grid, inputs, &panels, out, end);
    }
    [found, plain]
}

#[test]
fn tiles_give_what_plain_sums_give_on_every_instruction_set() {
    for (size, inputs, outputs) in SHAPES {
        let mut first: Option<Vec<f32>> = None;
        for set in InstructionSet::available() {
            let [found, plain] = both(set, size, inputs, outputs);
            for (found, plain) in found.iter().zip(&plain) {
                close(*found, f64::from(*plain), 2e-5);
            }
            assert_eq!(*first.get_or_insert_with(|| found.clone()), found);
        }
    }
}

#[test]
fn lines_further_down_are_those_of_the_whole_result() {
    let (size, inputs, outputs) = ((13, 9), 24, 16);
    let set = InstructionSet::best();
    let filters = filters(
        set,
        &numbers(2, 9 * inputs * outputs),
        inputs,
        &vec![1.0; outputs],
    );
    let read = numbers(1, IMAGES * 13 * 9 * inputs);
    let zeros = vec![0.0; outputs];
    let whole = run(&filters, set, size, &read, Finishing::nothing(&zeros), 0);
    let below = run(&filters, set, size, &read, Finishing::nothing(&zeros), 8);
    let line = 9 * outputs;
    for (whole, below) in whole.chunks_exact(13 * line).zip(below.chunks_exact(5 * line)) {
        assert_eq!(whole[8 * line..], *below);
    }
}

#[test]
fn phases_give_what_a_convolution_that_doubles_the_grid_gives() {
    let pool = Arc::new(Pool::default());
    for (small, large) in [
        ((1, 1), (1, 1)),
        ((1, 1), (2, 2)),
        ((4, 4), (8, 8)),
        ((9, 6), (17, 12)),
        ((17, 33), (34, 65)),
    ] {
        let (inputs, outputs) = (33, 70);
        let window = Window {
            kernel: 4,
            stride: 2,
            above: 1,
            left: 1,
            large,
            small,
        };
        let read = numbers(1, IMAGES * small.0 * small.1 * inputs);
        // [4, 4, outputs, inputs], as a network has them.
        let weight = numbers(2, 16 * inputs * outputs);
        let (gain, bias) = (numbers(3, outputs), numbers(4, outputs));
        let of_image = large.0 * large.1 * outputs;
        let shortcut = numbers(5, IMAGES * of_image);
        let finishing = Finishing {
            gain: None,
            bias: &bias,
            nonlinearity: Nonlinearity::Silu,
            shortcut: Some(&shortcut),
        };
        let by_phases = |set: InstructionSet| {
            let mut out = vec![f32::NAN; IMAGES * of_image];
            for phase in window.phases().filter(Phase::is_there) {
                let tap = |output: usize, (i, j): (usize, usize)| {
                    let tap = phase.lines[i] * 4 + phase.columns[j];
                    &weight[(tap * outputs + output) * inputs..][..inputs]
                };
                let filters = Filters2::new(&pool, set, inputs, &gain, tap);
                assert_eq!(filters.numbers(), super::numbers(2, inputs, outputs));
                let start = phase.start(large, outputs);
                let images = Images {
                    frame: Frame::of_phase(&window, &phase),
                    read: &read,
                    places: Places {
                        images: IMAGES,
                        ..Places::of_image(phase.size)
                    },
                    distances: window.distances_of_phase(outputs),
                    out: &mut out[start..],
                    finishing: finishing.behind(start),
                };
                filters.run(&pool, set, images);
            }
            out
        };
        let set = InstructionSet::best();
        let found = by_phases(set);
        for other in InstructionSet::available() {
            assert_eq!(found, by_phases(other));
        }

        let mut turned = vec![0.0; weight.len()];
        for (at, turned) in turned.iter_mut().enumerate() {
            let (tap, input, output) = (at / (inputs * outputs), at / outputs % inputs, at % outputs);
            *turned = weight[(tap * outputs + output) * inputs + input];
        }
        let panels = window.spread_panels(&pool, set, inputs, outputs, |i, j, input| {
            &turned[((i * 4 + j) * inputs + input) * outputs..][..outputs]
        });
        let border = window.bordered_small();
        let finishing = Finishing {
            gain: Some(&gain),
            ..finishing
        };
        for (image, found) in found.chunks_exact(of_image).enumerate() {
            let mut grid = vec![f32::NAN; border.len(inputs)];
            border.copy(
                inputs,
                small.1,
                &read[image * small.0 * small.1 * inputs..],
                &mut grid,
            );
            let mut plain = vec![f32::NAN; of_image];
            let end = End::Finish(finishing.behind(image * of_image));
            window.spread(set, &grid, inputs, &panels, &mut plain, end);
            for (found, plain) in found.iter().zip(&plain) {
                close(*found, f64::from(*plain), 2e-5);
            }
        }
    }
}

#[test]
fn windows_in_float32_give_what_those_in_float64_give() {
    let pool = Arc::new(Pool::default());
    for (size, inputs, outputs) in SHAPES {
        let weight = numbers(2, 9 * inputs * outputs);
        let read = numbers(1, IMAGES * size.0 * size.1 * inputs);
        let (ones, zeros) = (vec![1.0; outputs], vec![0.0; outputs]);
        let mut results = InstructionSet::available().into_iter().flat_map(|set| {
            [
                filters(set, &weight, inputs, &ones),
                Filters3::of_weights(&pool, set, &weight, outputs),
            ]
            .map(|filters| run(&filters, set, size, &read, Finishing::nothing(&zeros), 0))
        });
        let (exact, found) = (results.next().unwrap(), results.next().unwrap());
        for (found, exact) in found.iter().zip(&exact) {
            close(*found, f64::from(*exact), 2e-5);
        }
        for (at, other) in results.enumerate() {
            assert_eq!(other, if at.is_multiple_of(2) { &*exact } else { &found });
        }
    }
}

/// Gradients of what was read (added to ones) and of the weights (added to ones), by the way back, so many
/// images at a time.
fn back(
    set: InstructionSet,
    size: (usize, usize),
    inputs: usize,
    outputs: usize,
    together: usize,
) -> [Vec<f32>; 2] {
    let pool = Arc::new(Pool::default());
    let places = size.0 * size.1;
    let weight = numbers(2, 9 * inputs * outputs);
    let adjoint = Adjoint::new(&pool, set, &weight, outputs, true);
    let read = numbers(1, IMAGES * places * inputs);
    let up = numbers(3, IMAGES * places * outputs);
    let mut below = vec![1.0; IMAGES * places * inputs];
    let mut scratch = adjoint.scratch(&pool, together, size);
    for ((read, up), back) in read
        .chunks(together * places * inputs)
        .zip(up.chunks(together * places * outputs))
        .zip(below.chunks_mut(together * places * inputs))
    {
        let images = Gradients {
            images: read.len() / (places * inputs),
            size,
            up,
            frame: Frame::of(&window(size)),
            read,
            back: Some(back),
        };
        adjoint.run(set, images, &mut scratch);
    }
    let mut weights = vec![1.0; weight.len()];
    adjoint.weigh(set, &scratch, &mut weights);
    [below, weights]
}

#[test]
fn the_way_back_gives_what_plain_sums_give_on_every_instruction_set() {
    let pool = Arc::new(Pool::default());
    for (size, inputs, outputs) in SHAPES {
        let (window, set) = (window(size), InstructionSet::best());
        let places = size.0 * size.1;
        let (large, small) = (window.bordered_large(), window.bordered_small());
        let weight = numbers(2, 9 * inputs * outputs);
        let (all_read, all_up) = (
            numbers(1, IMAGES * places * inputs),
            numbers(3, IMAGES * places * outputs),
        );
        let panels = window.spread_panels(&pool, set, outputs, inputs, |i, j, output| {
            let at = (output * 9 + i * 3 + j) * inputs;
            &weight[at..at + inputs]
        });
        let mut below = vec![1.0; IMAGES * places * inputs];
        let mut weights = vec![1.0; weight.len()];
        for (image, below) in below.chunks_exact_mut(places * inputs).enumerate() {
            let mut read = vec![f32::NAN; large.len(inputs)];
            large.copy(inputs, size.1, &all_read[image * places * inputs..], &mut read);
            let mut up = vec![f32::NAN; small.len(outputs)];
            small.copy(outputs, size.1, &all_up[image * places * outputs..], &mut up);
            window.spread(set, &up, outputs, &panels, below, End::Add);
            let from = (&up[small.start(outputs)..], small.pitch(outputs), outputs);
            window.weigh(set, from, &read, inputs, &mut weights);
        }

        let mut first: Option<[Vec<f32>; 2]> = None;
        for set in InstructionSet::available() {
            let found = back(set, size, inputs, outputs, IMAGES);
            for (found, plain) in found.iter().zip([&below, &weights]) {
                assert_eq!(found.len(), plain.len());
                for (found, plain) in found.iter().zip(plain) {
                    close(*found, f64::from(*plain), 1.2e-4);
                }
            }
            assert_eq!(back(set, size, inputs, outputs, 2), found);
            assert_eq!(*first.get_or_insert_with(|| found.clone()), found);
        }
    }
}
