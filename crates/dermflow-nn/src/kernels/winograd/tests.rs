use super::super::activation::Nonlinearity;
use super::super::testing::{close, numbers};
use super::super::window::Window;
use super::*;

/// The result by Winograd's way, and by plain sums of products.
fn both(set: InstructionSet, size: (usize, usize), inputs: usize, outputs: usize) -> [Vec<f32>; 2] {
    let pool = Arc::new(Pool::default());
    let window = Window {
        kernel: 3,
        stride: 1,
        above: 1,
        left: 1,
        large: size,
        small: size,
    };
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
    for (size, inputs, outputs) in [
        ((1, 1), 3, 2),
        ((2, 2), 16, 16),
        ((5, 3), 24, 40),
        ((8, 7), 33, 70),
        ((13, 16), 17, 112),
        ((3, 130), 4, 5),
    ] {
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
    assert_eq!(band(12, 12), 4);
    assert_eq!(band(1, 100), 1);
    assert_eq!(band(40, 100), 1);
    assert_eq!(band(3, 3), 3);
    assert_eq!(band(0, 0), 0);
}
