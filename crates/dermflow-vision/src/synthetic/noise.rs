//! Noise over the plane: the same numbers at the same place, on every machine.

use crate::augment::Dice;

/// A field of numbers from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Noise(u64);

impl Noise {
    pub fn draw(dice: &mut Dice) -> Noise {
        // 53 random bits are plenty to tell fields apart.
        Noise((dice.unit() * (1_u64 << 53) as f64) as u64)
    }

    /// The number of a cell, independent of its neighbours'.
    pub fn cell(&self, column: i64, row: i64) -> f32 {
        let mut bits = self.0 ^ (column as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits ^= (row as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // 24 bits are what an f32 holds exactly.
        (bits >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// Smooth between the cells of a grid with so many cells a unit.
    pub fn smooth(&self, [x, y]: [f32; 2], cells: f32) -> f32 {
        let [x, y] = [x * cells, y * cells];
        let [column, row] = [x.floor(), y.floor()];
        let ease = |along: f32| along * along * (3.0 - 2.0 * along);
        let [across, down] = [ease(x - column), ease(y - row)];
        let at = |right: i64, below: i64| self.cell(column as i64 + right, row as i64 + below);
        let above = at(0, 0) + (at(1, 0) - at(0, 0)) * across;
        let below = at(0, 1) + (at(1, 1) - at(0, 1)) * across;
        above + (below - above) * down
    }
}
