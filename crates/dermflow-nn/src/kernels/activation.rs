//! Activations over [`Lanes`]: the logistic function, SiLU, ReLU and ReLU6, with slopes.
//!
//! The exponential is a polynomial of degree 6 after reduction by ln 2 (within 2e-8 before
//! rounding); it uses only exactly rounded operations, a division among them, so that every
//! instruction set gives the same bits. [`sigmoid`] is within 4 units in the last place for |x| below 20,
//! within 8 below 80, and saturates beyond 87.
//!
//! This module must not know of memory or layouts.

#![allow(unsafe_code)]

use super::lanes::Lanes;

/// What follows a norm inside a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonlinearity {
    /// Nothing.
    Identity,
    /// x · sigmoid(x).
    Silu,
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
}

/// An activation known when a kernel is compiled.
pub(crate) trait Activate: Copy + 'static {
    /// The value at `x`.
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn value<L: Lanes>(x: L) -> L;

    /// The value and the slope at `x`.
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn value_and_slope<L: Lanes>(x: L) -> (L, L);
}

/// See [`Nonlinearity::Identity`].
#[derive(Clone, Copy)]
pub(crate) struct Identity;

/// See [`Nonlinearity::Silu`].
#[derive(Clone, Copy)]
pub(crate) struct Silu;

/// See [`Nonlinearity::Relu`].
#[derive(Clone, Copy)]
pub(crate) struct Relu;

/// See [`Nonlinearity::Relu6`].
#[derive(Clone, Copy)]
pub(crate) struct Relu6;

/// 1 / (1 + exp(-x)).
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

/// Runs `$body` with `$name` bound to the type of the activation.
macro_rules! with_activation {
    ($nonlinearity:expr, $name:ident => $body:expr) => {
        match $nonlinearity {
            $crate::kernels::activation::Nonlinearity::Identity => {
                type $name = $crate::kernels::activation::Identity;
                $body
            }
            $crate::kernels::activation::Nonlinearity::Silu => {
                type $name = $crate::kernels::activation::Silu;
                $body
            }
            $crate::kernels::activation::Nonlinearity::Relu => {
                type $name = $crate::kernels::activation::Relu;
                $body
            }
            $crate::kernels::activation::Nonlinearity::Relu6 => {
                type $name = $crate::kernels::activation::Relu6;
                $body
            }
        }
    };
}
pub(crate) use with_activation;

/// exp(-x), of the nearest number in [-87, 87].
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn exponential_of_minus<L: Lanes>(x: L) -> L {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let one = L::splat(1.0);
        let x = x.at_least(L::splat(-87.0)).at_most(L::splat(87.0));
        // exp(-x) = 2^n · exp(r), n the nearest integer to -x / ln 2. Adding 1.5 · 2^23 leaves n
        // in the low bits.
        let shifted = x.times_plus(L::splat(-std::f32::consts::LOG2_E), L::splat(12_582_912.0));
        let n = shifted - L::splat(12_582_912.0);
        // -r. The float32 nearest to ln 2 is 2e-9 off, n times that is what r is off.
        let r = n.times_plus(L::splat(std::f32::consts::LN_2), x);
        let series = L::splat(1.392_621_4e-3)
            .times_from(r, L::splat(8.363_203e-3))
            .times_from(r, L::splat(4.166_655_4e-2))
            .times_from(r, L::splat(1.666_657_7e-1))
            .times_from(r, L::splat(0.5));
        (one - series.times_from(r * r, r)).scaled_by_low_bits(shifted)
    }
}

/// 1 / (1 + exp(-x)).
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn sigmoid<L: Lanes>(x: L) -> L {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let one = L::splat(1.0);
        one / (exponential_of_minus(x) + one)
    }
}

/// x · sigmoid(x).
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn silu<L: Lanes>(x: L) -> L {
    // SAFETY: the caller vouches for the instruction set.
    x * unsafe { sigmoid(x) }
}

impl Activate for Identity {
    #[inline(always)]
    unsafe fn value<L: Lanes>(x: L) -> L {
        x
    }

    #[inline(always)]
    unsafe fn value_and_slope<L: Lanes>(x: L) -> (L, L) {
        // SAFETY: the caller vouches for the instruction set.
        (x, unsafe { L::splat(1.0) })
    }
}

impl Activate for Silu {
    #[inline(always)]
    unsafe fn value<L: Lanes>(x: L) -> L {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { silu(x) }
    }

    #[inline(always)]
    unsafe fn value_and_slope<L: Lanes>(x: L) -> (L, L) {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let gate = sigmoid(x);
            let value = x * gate;
            (value, value.times_plus(L::splat(1.0) - gate, gate))
        }
    }
}

impl Activate for Relu {
    #[inline(always)]
    unsafe fn value<L: Lanes>(x: L) -> L {
        // SAFETY: the caller vouches for the instruction set. The order lets NaN through.
        unsafe { L::splat(0.0).at_least(x) }
    }

    #[inline(always)]
    unsafe fn value_and_slope<L: Lanes>(x: L) -> (L, L) {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let zero = L::splat(0.0);
            (zero.at_least(x), x.where_above(zero, L::splat(1.0)))
        }
    }
}

impl Activate for Relu6 {
    #[inline(always)]
    unsafe fn value<L: Lanes>(x: L) -> L {
        // SAFETY: the caller vouches for the instruction set. The order lets NaN through.
        unsafe { L::splat(6.0).at_most(L::splat(0.0).at_least(x)) }
    }

    #[inline(always)]
    unsafe fn value_and_slope<L: Lanes>(x: L) -> (L, L) {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let (zero, six) = (L::splat(0.0), L::splat(6.0));
            let slope = six.where_above(x, L::splat(1.0));
            (six.at_most(zero.at_least(x)), x.where_above(zero, slope))
        }
    }
}

impl Activate for Sigmoid {
    #[inline(always)]
    unsafe fn value<L: Lanes>(x: L) -> L {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { sigmoid(x) }
    }

    #[inline(always)]
    unsafe fn value_and_slope<L: Lanes>(x: L) -> (L, L) {
        // SAFETY: the caller vouches for the instruction set.
        unsafe {
            let value = sigmoid(x);
            (value, value * (L::splat(1.0) - value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::{InstructionSet, Kernel, Lanes};
    use super::*;

    struct Over<'a, A>(&'a [f32], std::marker::PhantomData<A>);

    impl<A: Activate> Kernel for Over<'_, A> {
        type Output = Vec<(f32, f32)>;

        #[inline(always)]
        unsafe fn run<L: Lanes>(self) -> Vec<(f32, f32)> {
            let one = |&x: &f32| {
                // SAFETY: the arrays hold one number each.
                unsafe {
                    let (value, slope) = A::value_and_slope(L::splat(x));
                    let (mut a, mut b, mut c) = (0.0, 0.0, 0.0);
                    value.store_first(&mut a, 1);
                    slope.store_first(&mut b, 1);
                    A::value(L::splat(x)).store_first(&mut c, 1);
                    assert!(a == c || (a.is_nan() && c.is_nan()));
                    (a, b)
                }
            };
            self.0.iter().map(one).collect()
        }
    }

    fn of<A: Activate>(values: &[f32]) -> Vec<(f32, f32)> {
        InstructionSet::best().run(Over::<A>(values, std::marker::PhantomData))
    }

    #[test]
    fn the_logistic_function_is_within_a_few_units_in_the_last_place() {
        let values: Vec<f32> = (-80_000..=80_000).map(|step| step as f32 / 1000.0).collect();
        let found = of::<Sigmoid>(&values);
        let worst = |reach: f32| {
            let near = values.iter().zip(&found).filter(|(x, _)| x.abs() <= reach);
            let errors = near.map(|(x, (found, _))| {
                let exact = 1.0 / (1.0 + f64::from(-x).exp());
                (f64::from(*found) - exact).abs() / exact
            });
            errors.fold(0.0, f64::max) / (f64::from(f32::EPSILON) / 2.0)
        };
        assert!(worst(20.0) < 4.0, "{}", worst(20.0));
        assert!(worst(80.0) < 8.0, "{}", worst(80.0));
        assert!(worst(20.0) > 0.0);
    }

    #[test]
    fn far_out_activations_are_finite_and_what_is_no_number_stays_so() {
        let values = [-1e30f32, -100.0, 100.0, 1e30];
        let silu = of::<Silu>(&values);
        assert!(silu[0].0.abs() < 1e-6 && silu[1].0.abs() < 1e-30);
        assert_eq!((silu[2].0, silu[3].0), (100.0, 1e30));
        assert!(silu[2].1 > 0.999 && silu[1].1.abs() < 1e-30);
        assert!(of::<Silu>(&[f32::NAN])[0].0.is_nan());
        assert!(of::<Relu>(&[f32::NAN])[0].0.is_nan());
        assert!(of::<Relu6>(&[f32::NAN])[0].0.is_nan());
    }

    #[test]
    fn slopes_are_those_of_the_values() {
        fn check<A: Activate>(value: impl Fn(f64) -> f64) {
            let values: Vec<f32> = (-300..=300).map(|step| step as f32 / 30.0 + 0.004).collect();
            for (x, (found, slope)) in values.iter().zip(of::<A>(&values)) {
                let x = f64::from(*x);
                let numeric = (value(x + 1e-5) - value(x - 1e-5)) / 2e-5;
                assert!(
                    (f64::from(found) - value(x)).abs() < 1e-6 * (1.0 + x.abs()),
                    "{x}"
                );
                assert!(
                    (f64::from(slope) - numeric).abs() < 2e-6,
                    "{x}: {slope} {numeric}"
                );
            }
        }
        check::<Silu>(|x| x / (1.0 + (-x).exp()));
        check::<Sigmoid>(|x| 1.0 / (1.0 + (-x).exp()));
        check::<Relu>(|x| x.max(0.0));
        check::<Relu6>(|x| x.clamp(0.0, 6.0));
        check::<Identity>(|x| x);
    }
}
