//! Skin: whose it is, which part of the body is seen, and how light falls on it.

use super::noise::Noise;
use super::{Rgb, mixed, scaled, smooth_step};
use crate::augment::Dice;

/// What pictures of one person share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Person {
    tone: Rgb,
    hair: f32,
    freckles: f32,
}

/// Skin from the lightest to the darkest.
const TONES: [Rgb; 6] = [
    [0.96, 0.80, 0.72],
    [0.91, 0.72, 0.61],
    [0.83, 0.63, 0.49],
    [0.71, 0.51, 0.37],
    [0.55, 0.38, 0.27],
    [0.38, 0.26, 0.19],
];

impl Person {
    /// Draws a person.
    pub fn draw(dice: &mut Dice) -> Person {
        let along = dice.between(0.0, (TONES.len() - 1) as f64);
        let lower = (along as usize).min(TONES.len() - 2);
        let tone = mixed(TONES[lower], TONES[lower + 1], along as f32 - lower as f32);
        let flush = dice.between(0.95, 1.05) as f32;
        Person {
            tone: [tone[0], tone[1] * flush, tone[2] * flush],
            hair: if dice.chance(0.4) { dice.unit() as f32 } else { 0.0 },
            freckles: if dice.chance(0.3) { dice.unit() as f32 } else { 0.0 },
        }
    }
}

/// Which part of the body is seen.
#[derive(Clone, Copy)]
enum Part {
    /// So close that there is nothing but skin.
    CloseUp,
    /// An arm or a leg across the picture: a point on its axis, the axis' direction, half its
    /// width, and how it bends.
    Limb {
        through: [f32; 2],
        along: [f32; 2],
        half: f32,
        bend: f32,
    },
    /// A trunk or a cheek: an ellipse that reaches beyond the picture.
    Trunk { centre: [f32; 2], reach: [f32; 2] },
}

/// A hair: where it starts, its direction, how long it is and how it curls.
struct Hair {
    from: [f32; 2],
    along: [f32; 2],
    length: f32,
    curl: f32,
}

/// The skin of one picture.
pub struct Skin {
    person: Person,
    part: Part,
    light: [f32; 2],
    shine: ([f32; 2], f32),
    blotches: Noise,
    pores: Noise,
    spots: Noise,
    hairs: Vec<Hair>,
}

fn direction(dice: &mut Dice) -> [f32; 2] {
    let angle = dice.between(0.0, std::f64::consts::TAU);
    [angle.cos() as f32, angle.sin() as f32]
}

impl Skin {
    pub fn draw(person: &Person, span: [f32; 2], dice: &mut Dice) -> Skin {
        let mut within = |from: f64, to: f64| -> [f32; 2] {
            [0, 1].map(|axis: usize| dice.between(from, to) as f32 * span[axis])
        };
        let (through, centre) = (within(0.35, 0.65), within(0.3, 0.7));
        let (shine, sort) = (within(0.1, 0.9), dice.unit());
        let part = if sort < 0.35 {
            Part::CloseUp
        } else if sort < 0.75 {
            Part::Limb {
                through,
                along: direction(dice),
                half: dice.between(0.24, 0.4) as f32,
                bend: dice.between(-0.25, 0.25) as f32,
            }
        } else {
            Part::Trunk {
                centre,
                reach: [0; 2].map(|_| dice.between(0.42, 0.75) as f32),
            }
        };
        let slant = dice.between(0.0, 0.35) as f32;
        let light = direction(dice).map(|part| part * slant);
        let hairs = (0..(person.hair * 26.0) as usize)
            .map(|_| Hair {
                from: [0, 1].map(|axis: usize| dice.unit() as f32 * span[axis]),
                along: direction(dice),
                length: dice.between(0.05, 0.16) as f32,
                curl: dice.between(-2.0, 2.0) as f32,
            })
            .collect();
        Skin {
            person: *person,
            part,
            light,
            shine: (shine, dice.between(0.0, 0.12) as f32),
            blotches: Noise::draw(dice),
            pores: Noise::draw(dice),
            spots: Noise::draw(dice),
            hairs,
        }
    }

    /// How far inside the skin a point lies, below 0 outside; about true near the edge.
    pub fn depth(&self, at: [f32; 2]) -> f32 {
        match self.part {
            Part::CloseUp => 1.0,
            Part::Limb {
                through,
                along,
                half,
                bend,
            } => {
                let [x, y] = [at[0] - through[0], at[1] - through[1]];
                let forward = x * along[0] + y * along[1];
                let aside = y * along[0] - x * along[1] - bend * forward * forward;
                half - aside.abs()
            }
            Part::Trunk { centre, reach } => {
                let [x, y] = [0, 1].map(|axis| (at[axis] - centre[axis]) / reach[axis]);
                (1.0 - (x * x + y * y).sqrt()) * reach[0].min(reach[1])
            }
        }
    }

    pub fn colour(&self, at: [f32; 2], depth: f32) -> Rgb {
        let slope = self.light[0] * (at[0] - 0.5) + self.light[1] * (at[1] - 0.5);
        // Round parts turn away from the light at their edge.
        let round = 0.62 + 0.38 * smooth_step(-0.02, 0.16, depth);
        let blotch = self.blotches.smooth(at, 5.0) - 0.5;
        let pore = self.pores.smooth(at, 60.0) - 0.5;
        let mut colour = scaled(self.person.tone, (1.0 + slope) * round * (1.0 + 0.08 * pore));
        // Blood shows in blotches: less green and blue.
        colour = [
            colour[0],
            colour[1] * (1.0 - 0.12 * blotch),
            colour[2] * (1.0 - 0.14 * blotch),
        ];
        let freckle = smooth_step(0.80, 0.92, self.spots.smooth(at, 26.0)) * self.person.freckles;
        colour = mixed(
            colour,
            [colour[0] * 0.72, colour[1] * 0.6, colour[2] * 0.5],
            freckle * 0.7,
        );
        let away = (0..2)
            .map(|axis| at[axis] - self.shine.0[axis])
            .map(|part| part * part)
            .sum::<f32>();
        let shine = self.shine.1 / (1.0 + 60.0 * away);
        let hair = self.hairs.iter().map(|hair| hair.cover(at)).fold(0.0, f32::max);
        mixed(colour.map(|value| value + shine), [0.10, 0.07, 0.06], hair * 0.75)
    }
}

impl Hair {
    /// How much of a point it covers.
    fn cover(&self, at: [f32; 2]) -> f32 {
        let [x, y] = [at[0] - self.from[0], at[1] - self.from[1]];
        let forward = x * self.along[0] + y * self.along[1];
        if forward < 0.0 || forward > self.length {
            return 0.0;
        }
        let aside = y * self.along[0] - x * self.along[1] - self.curl * forward * forward;
        1.0 - smooth_step(0.0025, 0.006, aside.abs())
    }
}
