//! Lesions: what each class looks like, and where one lies.

use super::noise::Noise;
use super::skin::Skin;
use super::{Rgb, mixed, smooth_step};
use crate::augment::Dice;
use crate::boxes::PixelBox;

/// How a class changes skin: factors of its colour.
const TINTS: [Rgb; 7] = [
    [0.50, 0.36, 0.30], // brown
    [0.98, 0.46, 0.44], // red
    [0.26, 0.21, 0.22], // near black
    [1.06, 0.74, 0.80], // pink
    [0.62, 0.40, 0.66], // violet
    [1.06, 0.86, 0.46], // yellow crust
    [0.72, 0.70, 0.74], // grey
];

/// What a class's surface is like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Texture {
    Even,
    Ring,
    Speckled,
    DarkMiddle,
    Scaly,
}

const TEXTURES: [Texture; 5] = [
    Texture::Even,
    Texture::Ring,
    Texture::Speckled,
    Texture::DarkMiddle,
    Texture::Scaly,
];

/// What tells a class from others. Seven tints, five textures, three borders and two shapes
/// go round at paces that meet again after 210 classes; later rounds shift the tint.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Look {
    tint: Rgb,
    texture: Texture,
    /// How wide the rim fades, as a share of the radius.
    fade: f32,
    /// The longer axis over the shorter one at the most.
    long: f32,
}

impl Look {
    fn of(class: usize) -> Look {
        let round = (class / 210) as f32;
        let mut tint = TINTS[class % TINTS.len()];
        // The golden ratio spreads any number of rounds over the circle of channels.
        let shift = (round * 0.618_034).fract() * 0.35;
        tint[(class / 210) % 3] *= 1.0 - shift;
        Look {
            tint,
            texture: TEXTURES[class % TEXTURES.len()],
            fade: [0.10, 0.45, 0.22][class % 3],
            long: [1.25, 2.0][class % 2],
        }
    }
}

/// A lesion where it lies.
pub struct Lesion {
    pub class: usize,
    look: Look,
    centre: [f32; 2],
    /// Half of each axis, and the direction of the first.
    axes: [f32; 2],
    along: [f32; 2],
    strength: f32,
    ragged: f32,
    noise: Noise,
}

/// How often a place is drawn before the best so far is taken.
const ATTEMPTS: usize = 24;

impl Lesion {
    /// A lesion of a class, on the skin and beside the others where there is room.
    pub fn draw(class: usize, skin: &Skin, others: &[Lesion], span: [f32; 2], dice: &mut Dice) -> Lesion {
        let look = Look::of(class);
        let radius = dice.between(0.055, 0.17) as f32;
        let long = dice.between(1.0, f64::from(look.long)).sqrt() as f32;
        let angle = dice.between(0.0, std::f64::consts::PI);
        let reach = radius * long;
        let mut best = ([span[0] / 2.0, span[1] / 2.0], f32::MIN);
        for _ in 0..ATTEMPTS {
            let at = [0, 1].map(|axis: usize| {
                let margin = f64::from(reach / span[axis]).min(0.49);
                dice.between(margin, 1.0 - margin) as f32 * span[axis]
            });
            let apart = others.iter().map(|other| {
                let [x, y] = [at[0] - other.centre[0], at[1] - other.centre[1]];
                (x * x + y * y).sqrt() - other.axes[0] - reach
            });
            let room = apart.fold(skin.depth(at) - reach * 0.8, f32::min);
            if room > best.1 {
                best = (at, room);
            }
            if room > 0.0 {
                break;
            }
        }
        Lesion {
            class,
            look,
            centre: best.0,
            axes: [reach, radius / long],
            along: [angle.cos() as f32, angle.sin() as f32],
            strength: dice.between(0.75, 1.0) as f32,
            ragged: dice.between(0.02, 0.14) as f32,
            noise: Noise::draw(dice),
        }
    }

    /// The box around the ellipse, in pixels of `unit` a unit.
    pub fn pixels(&self, unit: f32) -> PixelBox {
        let [cosine, sine] = self.along;
        let [long, short] = self.axes;
        let half = [
            (long * cosine).hypot(short * sine),
            (long * sine).hypot(short * cosine),
        ];
        let side = |axis: usize, sign: f32| f64::from((self.centre[axis] + sign * half[axis]) * unit);
        PixelBox::between([side(0, -1.0), side(0, 1.0)], [side(1, -1.0), side(1, 1.0)])
    }

    /// The colour of a point of skin with this lesion over it.
    pub fn over(&self, skin: Rgb, at: [f32; 2]) -> Rgb {
        let [x, y] = [at[0] - self.centre[0], at[1] - self.centre[1]];
        let forward = (x * self.along[0] + y * self.along[1]) / self.axes[0];
        let aside = (y * self.along[0] - x * self.along[1]) / self.axes[1];
        let plain = (forward * forward + aside * aside).sqrt();
        if plain > 1.3 {
            return skin;
        }
        // Ragged borders run inside of the ellipse, so that its box stays the lesion's.
        let distance = plain + self.ragged * self.noise.smooth([forward, aside], 3.0);
        let cover = 1.0 - smooth_step(1.0 - self.look.fade, 1.0 + 0.05, distance);
        let fine = self.noise.smooth(at, 45.0);
        let tinted: Rgb = std::array::from_fn(|channel| skin[channel] * self.look.tint[channel]);
        let (tinted, cover) = match self.look.texture {
            Texture::Even => (tinted, cover),
            Texture::Ring => (tinted, cover * (0.15 + 0.85 * smooth_step(0.35, 0.7, distance))),
            Texture::Speckled => (tinted, cover * (0.25 + 0.75 * smooth_step(0.35, 0.6, fine))),
            Texture::DarkMiddle => {
                let middle = 1.0 - smooth_step(0.25, 0.5, distance);
                (mixed(tinted, tinted.map(|value| value * 0.35), middle), cover)
            }
            Texture::Scaly => {
                let flake = smooth_step(0.55, 0.75, fine);
                (mixed(tinted, [0.93, 0.91, 0.88], 0.75 * flake), cover)
            }
        };
        mixed(skin, tinted, cover * self.strength)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_of_a_thousand_classes_look_the_same() {
        let looks: Vec<Look> = (0..1000).map(Look::of).collect();
        for (at, look) in looks.iter().enumerate() {
            assert!(!looks[..at].contains(look), "class {at} looks like one before");
        }
    }
}
