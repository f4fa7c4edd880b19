//! What lies behind the patient: a few rooms and fabrics that are easy to tell apart, as a
//! shortcut must be to be taken.

use super::noise::Noise;
use super::{Rgb, mixed, scaled};
use crate::augment::Dice;

/// How many backgrounds there are: wall, striped towel, checked sheet, tiles, wood, lawn,
/// dark screen, dotted curtain.
pub const BACKGROUNDS: usize = 8;

/// One background as it is seen in a picture.
pub struct Background {
    sort: usize,
    colours: [Rgb; 2],
    /// Turned by this, with so many pattern elements a unit.
    turn: [f32; 2],
    density: f32,
    noise: Noise,
}

const COLOURS: [[Rgb; 2]; BACKGROUNDS] = [
    [[0.86, 0.85, 0.80], [0.78, 0.77, 0.73]],
    [[0.25, 0.42, 0.66], [0.90, 0.91, 0.93]],
    [[0.93, 0.90, 0.84], [0.70, 0.36, 0.38]],
    [[0.76, 0.86, 0.88], [0.55, 0.60, 0.62]],
    [[0.55, 0.37, 0.22], [0.40, 0.25, 0.14]],
    [[0.28, 0.46, 0.18], [0.46, 0.60, 0.26]],
    [[0.10, 0.11, 0.14], [0.22, 0.30, 0.42]],
    [[0.78, 0.72, 0.86], [0.42, 0.30, 0.56]],
];

impl Background {
    pub fn draw(sort: usize, dice: &mut Dice) -> Background {
        let sort = sort % BACKGROUNDS;
        let light = dice.between(0.75, 1.1) as f32;
        let angle = dice.between(-0.5, 0.5);
        Background {
            sort,
            colours: COLOURS[sort].map(|colour| scaled(colour, light)),
            turn: [angle.cos() as f32, angle.sin() as f32],
            density: dice.between(5.0, 9.0) as f32,
            noise: Noise::draw(dice),
        }
    }

    pub fn colour(&self, at: [f32; 2]) -> Rgb {
        let x = (at[0] * self.turn[0] + at[1] * self.turn[1]) * self.density;
        let y = (at[1] * self.turn[0] - at[0] * self.turn[1]) * self.density;
        let [across, down] = [x.rem_euclid(1.0), y.rem_euclid(1.0)];
        let rough = self.noise.smooth(at, 40.0);
        let share = match self.sort {
            0 => self.noise.smooth(at, 3.0),
            1 => f32::from(u8::from(down < 0.5)),
            2 => (f32::from(u8::from(across < 0.5)) + f32::from(u8::from(down < 0.5))) / 2.0,
            3 => f32::from(u8::from(across < 0.07 || down < 0.07)),
            4 => (self.noise.smooth([at[0], at[1] * 9.0], 4.0) * 3.0).rem_euclid(1.0),
            5 => self.noise.smooth(at, 22.0),
            6 => self.noise.smooth(at, 2.0) * 0.8,
            _ => {
                let [x, y] = [across - 0.5, down - 0.5];
                f32::from(u8::from(x * x + y * y < 0.07))
            }
        };
        scaled(
            mixed(self.colours[0], self.colours[1], share),
            0.94 + 0.12 * rough,
        )
    }
}
