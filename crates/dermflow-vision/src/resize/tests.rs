use super::*;

fn size(width: u32, height: u32) -> PixelSize {
    PixelSize::new(width, height).unwrap()
}

fn all(size: PixelSize) -> Rectangle {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    Rectangle { x: 0.0, y: 0.0, w, h }
}

const FILTERS: [ResizeFilter; 4] = [
    ResizeFilter::Box,
    ResizeFilter::Bilinear,
    ResizeFilter::Bicubic,
    ResizeFilter::Lanczos,
];

#[test]
fn shrinking_averages_fine_stripes_instead_of_picking_some() {
    let from = size(256, 256);
    let stripes: Vec<u8> = (0..256 * 256)
        .flat_map(|at| [if at % 2 == 0 { 0 } else { 255 }; 3])
        .collect();
    for filter in FILTERS {
        let small = Resampler::default()
            .resize(&stripes, from, 3, all(from), size(32, 32), filter)
            .unwrap();
        let inner: Vec<u8> = small
            .chunks(96)
            .skip(2)
            .take(28)
            .flat_map(|row| row[6..90].to_vec())
            .collect();
        assert!(
            inner.iter().all(|value| (125..=130).contains(value)),
            "{filter:?}: {inner:?}"
        );
    }
}

#[test]
fn a_picture_of_the_wanted_size_is_left_as_it_is_and_plain_colour_stays_plain() {
    let from = size(5, 4);
    let pixels: Vec<u8> = (0..60).collect();
    let plain = vec![77; 60];
    for filter in FILTERS {
        let mut resampler = Resampler::default();
        assert_eq!(
            resampler
                .resize(&pixels, from, 3, all(from), from, filter)
                .unwrap(),
            pixels
        );
        for to in [size(1, 1), size(3, 9), size(50, 2)] {
            let resized = resampler.resize(&plain, from, 3, all(from), to, filter).unwrap();
            assert!(resized.iter().all(|value| *value == 77), "{filter:?} {to:?}");
        }
    }
}

#[test]
fn only_the_taken_part_counts() {
    let from = size(4, 2);
    let pixels = [0, 0, 200, 200, 0, 0, 200, 200];
    let right = Rectangle {
        x: 2.0,
        y: 0.0,
        w: 2.0,
        h: 2.0,
    };
    let box_of =
        |pixels: &[u8], taken, to| Resampler::default().resize(pixels, from, 1, taken, to, ResizeFilter::Box);
    assert_eq!(box_of(&pixels, right, size(2, 3)).unwrap(), [200; 6]);
    let outside = Rectangle {
        x: 3.0,
        y: 0.0,
        w: 2.0,
        h: 2.0,
    };
    assert!(box_of(&pixels, outside, size(3, 3)).is_err());
    assert!(box_of(&pixels[1..], right, size(3, 3)).is_err());
}

/// Pixels of every sort: noise, and runs of black and white, where sums leave 0 to 255.
#[cfg(target_arch = "x86_64")]
fn noise(bytes: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match at / 97 % 3 {
            0 => (state >> 24) as u8,
            _ => ((state >> 30) as u8 & 1) * 255,
        }
    };
    (0..bytes).map(next).collect()
}

/// Both ways; none of vectors where the processor has none.
#[cfg(target_arch = "x86_64")]
fn both(
    plans: &mut plans::Plans,
    from: PixelSize,
    channels: usize,
    taken: Rectangle,
    to: PixelSize,
    filter: ResizeFilter,
) -> (Option<Vec<u8>>, Vec<u8>) {
    let pixels = noise(from.pixels() as usize * channels, from.width * 31 + to.height);
    let wanted = Wanted {
        pixels: &pixels,
        from,
        channels,
        taken: within(taken, from),
        to,
        filter,
    };
    let plain = by_library(&mut Resizer::new(), &wanted);
    (plans.resize(&wanted), plain.unwrap())
}

#[cfg(target_arch = "x86_64")]
#[test]
fn vectors_are_used_for_photos_where_the_processor_has_them() {
    let mut plans = plans::Plans::default();
    let has = pulp::x86::V4::try_new().is_some();
    for (from, to) in [
        (size(256, 256), size(224, 224)),
        (size(512, 384), size(224, 224)),
        (size(96, 64), size(224, 200)),
    ] {
        // The second time with what was kept.
        for _ in 0..2 {
            for filter in FILTERS {
                let (fast, plain) = both(&mut plans, from, 3, all(from), to, filter);
                assert_eq!(fast.is_some(), has);
                assert!(
                    fast.is_none_or(|fast| fast == plain),
                    "{filter:?} {from:?} {to:?}"
                );
            }
        }
    }
    assert!(plans.remembered.len() <= plans::REMEMBERED);
}

#[cfg(target_arch = "x86_64")]
proptest::proptest! {
    #[test]
    fn vectors_give_the_pixels_of_the_library(
        from in (16u32..200, 1u32..120), to in (1u32..150, 1u32..90),
        channels in 0usize..3, filter in 0usize..4,
        part in (0.0f64..0.5, 0.0f64..0.5, 0.3f64..1.0, 0.3f64..1.0), whole: bool,
    ) {
        let (from, to) = (size(from.0, from.1), size(to.0, to.1));
        let (x, y) = (part.0 * f64::from(from.width), part.1 * f64::from(from.height));
        let part = Rectangle {
            x,
            y,
            w: (f64::from(from.width) - x) * part.2,
            h: (f64::from(from.height) - y) * part.3,
        };
        let taken = if whole { all(from) } else { part };
        let (channels, filter) = ([1, 3, 4][channels], FILTERS[filter]);
        let (fast, plain) = both(&mut plans::Plans::default(), from, channels, taken, to, filter);
        if let Some(fast) = fast {
            proptest::prop_assert_eq!(fast, plain);
        }
    }
}
