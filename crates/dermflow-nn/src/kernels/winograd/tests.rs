use super::super::activation::Nonlinearity;
use super::super::testing::{close, numbers};
use super::super::window::Window;
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

/// The result by Winograd's way, and by plain sums of products.
fn both(set: InstructionSet, size: (usize, usize), inputs: usize, outputs: usize) -> [Vec<f32>; 2] {
    let pool = Arc::new(Pool::default());
    let window = window(size);
    let places = size.0 * size.1;
    let image = numbers(1, places * inputs);
    let weight = numbers(2, 9 * inputs * outputs);
    let (gain, bias) = (numbers(3, outputs), numbers(4, outputs));
    let shortcut = numbers(5, places * outputs);
    let finishing = Finishing {
        gain: None,
        bias: &bias,
        nonlinearity: Nonlinearity::Silu,
        shortcut: Some(&shortcut),
    };

    let filters = Filters::new(&pool, set, &weight, &gain);
    assert_eq!(filters.numbers(), super::numbers(inputs, outputs));
    let border = Filters::bordered(size, (1, 1));
    let mut grid = vec![f32::NAN; border.len(inputs)];
    border.copy(inputs, size.1, &image, &mut grid);
    let mut found = vec![f32::NAN; places * outputs];
    filters.run(&pool, set, &grid, size, &mut found, finishing);

    let border = window.bordered_large();
    let mut grid = vec![f32::NAN; border.len(inputs)];
    border.copy(inputs, size.1, &image, &mut grid);
    let panels = window.gather_panels(&pool, set, &weight, outputs, Some(&gain));
    let mut plain = vec![f32::NAN; places * outputs];
    window.gather(set, &grid, inputs, &panels, &mut plain, End::Finish(finishing));
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
fn bands_cover_all_lines() {
    assert_eq!(band(12, 12, 48), 4);
    assert_eq!(band(1, 100, 48), 1);
    assert_eq!(band(40, 100, 48), 1);
    assert_eq!(band(3, 3, 48), 3);
    assert_eq!(band(0, 0, 48), 0);
}

#[test]
fn windows_in_float32_give_what_those_in_float64_give() {
    let pool = Arc::new(Pool::default());
    for (size, inputs, outputs) in SHAPES {
        let weight = numbers(2, 9 * inputs * outputs);
        let border = Filters::bordered(size, (1, 1));
        let mut grid = vec![0.0; border.len(inputs)];
        border.copy(inputs, size.1, &numbers(1, size.0 * size.1 * inputs), &mut grid);
        let (ones, zeros) = (vec![1.0; outputs], vec![0.0; outputs]);
        let mut results = InstructionSet::available().into_iter().flat_map(|set| {
            [
                Filters::new(&pool, set, &weight, &ones),
                Filters::of_weights(&pool, set, &weight, outputs),
            ]
            .map(|filters| {
                let mut out = vec![f32::NAN; size.0 * size.1 * outputs];
                filters.run(&pool, set, &grid, size, &mut out, Finishing::nothing(&zeros));
                out
            })
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

/// Gradients of what was read (added to ones) and of the weights (added to ones), by the way back.
fn back(set: InstructionSet, size: (usize, usize), inputs: usize, outputs: usize) -> [Vec<f32>; 2] {
    let pool = Arc::new(Pool::default());
    let places = size.0 * size.1;
    let weight = numbers(2, 9 * inputs * outputs);
    let adjoint = Adjoint::new(&pool, set, &weight, outputs, true);
    let border = Filters::bordered(size, (1, 1));
    let mut read = vec![f32::NAN; border.len(inputs)];
    border.copy(inputs, size.1, &numbers(1, places * inputs), &mut read);
    let of_up = Adjoint::bordered(size);
    let mut up = vec![f32::NAN; of_up.len(outputs)];
    of_up.copy(outputs, size.1, &numbers(3, places * outputs), &mut up);
    let mut grid = vec![0.0; border.len(inputs)];
    let mut scratch = adjoint.scratch(&pool, size);
    let image = Image {
        size,
        up: &up,
        read: &read,
        back: &mut grid,
    };
    adjoint.run(set, image, &mut scratch);
    let mut weights = vec![1.0; weight.len()];
    adjoint.weigh(set, &scratch, &mut weights);
    let mut below = vec![1.0; places * inputs];
    border.take_out(inputs, size.1, &grid, &mut below, true);
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
        let mut read = vec![f32::NAN; large.len(inputs)];
        large.copy(inputs, size.1, &numbers(1, places * inputs), &mut read);
        let mut up = vec![f32::NAN; small.len(outputs)];
        small.copy(outputs, size.1, &numbers(3, places * outputs), &mut up);
        let panels = window.spread_panels(&pool, set, outputs, inputs, |i, j, output| {
            let at = (output * 9 + i * 3 + j) * inputs;
            &weight[at..at + inputs]
        });
        let mut below = vec![1.0; places * inputs];
        window.spread(set, &up, outputs, &panels, &mut below, End::Add);
        let mut weights = vec![1.0; weight.len()];
        let from = (&up[small.start(outputs)..], small.pitch(outputs), outputs);
        window.weigh(set, from, &read, inputs, &mut weights);

        let mut first: Option<[Vec<f32>; 2]> = None;
        for set in InstructionSet::available() {
            let found = back(set, size, inputs, outputs);
            for (found, plain) in found.iter().zip([&below, &weights]) {
                assert_eq!(found.len(), plain.len());
                for (found, plain) in found.iter().zip(plain) {
                    close(*found, f64::from(*plain), 6e-5);
                }
            }
            assert_eq!(*first.get_or_insert_with(|| found.clone()), found);
        }
    }
}
