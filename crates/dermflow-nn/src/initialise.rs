//! Fresh weights, drawn from a seed.
//!
//! The rules are those of the code released with EfficientNet (and of timm): convolutions
//! normal with standard deviation sqrt(2 / fan-out), where a depthwise convolution's fan-out is
//! its window alone; biases 0; norms 1 and 0. But the classifier is uniform in
//! ±1/sqrt(features), not ±1/sqrt(classes): for ImageNet's thousand classes that is nearly the
//! same, while for three it would begin with outputs of some tens and a loss far above chance.
//! A regressor follows CenterNet: its maps begin near 0.1 everywhere (`method.md` H4).
//!
//! Each tensor draws from the seed and its own name, so that networks which share a part start
//! with it the same. Logarithm and cosine come from `libm`, not from the machine's C library, so
//! that the same seed gives the same bytes everywhere. Must not know what the network is for.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::layout::{Layout, Role, TensorSpec, Unit, Weights};

/// The bias of the heat head's last layer, at which its sigmoid is 0.1: -ln((1 - 0.1) / 0.1),
/// rounded as CenterNet has it.
pub const HEAT_BIAS: f32 = -2.19;

/// The standard deviation of the last convolution of both of a regressor's heads.
const OUTPUT_DEVIATION: f64 = 0.001;

impl Weights {
    /// Fresh weights. The same seed gives the same bytes.
    pub fn initialise(layout: Arc<Layout>, seed: u64) -> Weights {
        let mut weights = Weights::neutral(Arc::clone(&layout));
        for spec in layout.tensors() {
            draw(weights.of_mut(spec), spec, seed);
        }
        weights
    }

    /// Draws the tensors of one unit anew: the same as [`Weights::initialise`] gives them.
    pub fn initialise_unit(&mut self, unit: Unit, seed: u64) {
        let layout = Arc::clone(self.layout());
        for spec in layout.tensors().iter().filter(|spec| spec.unit == unit) {
            draw(self.of_mut(spec), spec, seed);
        }
    }
}

fn draw(values: &mut [f32], spec: &TensorSpec, seed: u64) {
    match spec.role {
        Role::Bias if spec.unit == Unit::HeatOutput => values.fill(HEAT_BIAS),
        Role::Bias | Role::NormShift | Role::RunningMean => values.fill(0.0),
        Role::NormScale | Role::RunningVariance => values.fill(1.0),
        Role::Linear => {
            let bound = 1.0 / (spec.shape[1] as f64).sqrt();
            let mut draws = Draws::of(spec, seed);
            values.fill_with(|| (bound * (2.0 * draws.uniform() - 1.0)) as f32);
        }
        Role::Convolution | Role::Depthwise | Role::TransposedConvolution => {
            let deviation = match spec.unit {
                Unit::HeatOutput | Unit::SizeOutput => OUTPUT_DEVIATION,
                _ => (2.0 / fan_out(spec) as f64).sqrt(),
            };
            let mut draws = Draws::of(spec, seed);
            values.fill_with(|| (deviation * draws.normal()) as f32);
        }
    }
}

/// How many outputs one input of a convolution adds to (but for strides, which the rule leaves
/// out).
fn fan_out(spec: &TensorSpec) -> usize {
    match (spec.role, spec.shape.as_slice()) {
        (Role::Convolution, &[out, height, width, _]) => out * height * width,
        (Role::TransposedConvolution, &[height, width, out, _]) => out * height * width,
        (_, &[height, width, _]) => height * width,
        _ => spec.len(),
    }
}

/// Random numbers of one tensor.
struct Draws {
    random: ChaCha8Rng,
    spare: Option<f64>,
}

impl Draws {
    fn of(spec: &TensorSpec, seed: u64) -> Draws {
        let mut hasher = blake3::Hasher::new_derive_key("dermflow-nn fresh weights v1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(spec.name.as_bytes());
        let random = ChaCha8Rng::from_seed(*hasher.finalize().as_bytes());
        Draws { random, spare: None }
    }

    /// Uniform in [0, 1), with 53 random bits.
    fn uniform(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller's transform.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - uniform lies in (0, 1], so that its logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }
}
