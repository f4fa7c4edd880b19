use super::super::activation::{sigmoid, silu};
use super::*;

/// Every operation once, over the given numbers.
struct Everything<'a> {
    a: &'a [f32; 16],
    b: &'a [f32; 16],
    count: usize,
}

impl Kernel for Everything<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> Vec<u32> {
        let mut out = vec![0.0f32; 16 * 14];
        // SAFETY: the arrays hold sixteen numbers, `count` is 1 to 16, `out` has room.
        unsafe {
            let a = L::load(self.a.as_ptr());
            let b = L::load(self.b.as_ptr());
            let results = [
                a + b,
                a - b,
                a * b,
                a.times_plus(b, a),
                a.times_from(b, a),
                a.at_least(b),
                a.at_most(b),
                a.where_above(b, b),
                L::splat(1.5).scaled_by_low_bits(L::splat(12_582_912.0) + L::splat(5.0)),
                L::load_first(self.b.as_ptr(), self.count),
                a / (b * b + L::splat(0.1)),
                sigmoid(a),
                silu(b),
            ];
            for (index, result) in results.into_iter().enumerate() {
                result.store(out.as_mut_ptr().add(16 * index));
            }
            a.store_first(out.as_mut_ptr().add(16 * 13), self.count);
        }
        out.into_iter().map(f32::to_bits).collect()
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let a = std::array::from_fn(|lane| (lane as f32 - 7.3) * 1.37);
    let b = std::array::from_fn(|lane| {
        if lane == 3 {
            f32::NAN
        } else {
            (lane as f32).sin() * 40.0
        }
    });
    for count in 1..=16 {
        let expected = InstructionSet(Kind::Portable).run(Everything { a: &a, b: &b, count });
        for set in InstructionSet::available() {
            let found = set.run(Everything { a: &a, b: &b, count });
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let (found, expected) = (f32::from_bits(*found), f32::from_bits(*expected));
                assert!(
                    found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                    "{} gives {found} and not {expected} at {place}",
                    set.name()
                );
            }
        }
    }
}

#[test]
fn the_portable_lanes_are_always_there_and_last() {
    let available = InstructionSet::available();
    assert_eq!(available.last().unwrap().name(), "portable");
    assert_eq!(InstructionSet::best(), available[0]);
}
