//! Pictures made up so that the truth is known: lesions on skin before some background, as a
//! patient's phone would show them.
//!
//! What a class looks like hangs on its number alone, so classes can be told apart by colour,
//! texture, border and shape, but not by size or place, and each person's skin and light
//! differ. The background says nothing of the lesion, unless the caller makes it. Must not
//! know of tables, frequencies or noise: who is shown with what is decided elsewhere.
//!
//! ```
//! use dermflow_vision::augment::Dice;
//! use dermflow_vision::synthetic::{Person, SceneRequest, draw};
//!
//! let person = Person::draw(&mut Dice::new(20, 0, b"patient 7"));
//! let request = SceneRequest { width: 64, height: 64, person, background: 2, lesions: vec![0, 0] };
//! let scene = draw(&request, &mut Dice::new(20, 0, b"photo 31"));
//! assert_eq!(scene.lesions.len(), 2);
//! ```

mod background;
mod lesion;
mod noise;
mod skin;
#[cfg(test)]
mod tests;

use crate::augment::{Dice, colour};
use crate::boxes::PixelBox;
use crate::picture::Picture;

pub use background::BACKGROUNDS;
pub use skin::Person;

use background::Background;
use lesion::Lesion;
use noise::Noise;
use skin::Skin;

/// What is to be seen.
#[derive(Clone, Debug)]
pub struct SceneRequest {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Whose skin it is.
    pub person: Person,
    /// Which background, one of [`BACKGROUNDS`]; higher numbers begin again.
    pub background: usize,
    /// The class of each lesion; none for healthy skin.
    pub lesions: Vec<usize>,
}

/// A picture and what is on it.
#[derive(Clone, Debug)]
pub struct Scene {
    /// What the phone took.
    pub picture: Picture,
    /// Class and box of each lesion, in the order that was asked for: the box touches the
    /// lesion's rim.
    pub lesions: Vec<(usize, PixelBox)>,
}

/// A colour as shares of red, green and blue, 0 to 1.
type Rgb = [f32; 3];

fn mixed(a: Rgb, b: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|channel| a[channel] + (b[channel] - a[channel]) * share)
}

fn scaled(colour: Rgb, by: f32) -> Rgb {
    colour.map(|value| value * by)
}

/// 0 below `from`, 1 above `to`, smooth between.
fn smooth_step(from: f32, to: f32, at: f32) -> f32 {
    let along = ((at - from) / (to - from)).clamp(0.0, 1.0);
    along * along * (3.0 - 2.0 * along)
}

/// Draws a scene. The same request and dice give the same picture.
pub fn draw(request: &SceneRequest, dice: &mut Dice) -> Scene {
    let (width, height) = (request.width.max(1), request.height.max(1));
    // All is laid out in units of the shorter side.
    let unit = width.min(height) as f32;
    let span = [width as f32 / unit, height as f32 / unit];
    let skin = Skin::draw(&request.person, span, dice);
    let background = Background::draw(request.background, dice);
    let camera = Camera::draw(dice);
    // Last, so that the same dice show the same skin with and without lesions.
    let mut lesions: Vec<Lesion> = Vec::with_capacity(request.lesions.len());
    for class in &request.lesions {
        let lesion = Lesion::draw(*class, &skin, &lesions, span, dice);
        lesions.push(lesion);
    }
    let mut picture = Picture::filled(width, height, [0; 3]);
    for row in 0..height {
        for column in 0..width {
            let at = [(column as f32 + 0.5) / unit, (row as f32 + 0.5) / unit];
            let depth = skin.depth(at);
            // A pixel's width of both where skin ends.
            let cover = smooth_step(-1.0 / unit, 1.0 / unit, depth);
            let mut seen = [0.0; 3];
            if cover < 1.0 {
                seen = background.colour(at);
            }
            if cover > 0.0 {
                let mut here = skin.colour(at, depth);
                for lesion in &lesions {
                    here = lesion.over(here, at);
                }
                seen = mixed(seen, here, cover);
            }
            picture.set(column, row, camera.develop(seen, at, span, [column, row]));
        }
    }
    colour::blur(&mut picture, f64::from(camera.defocus * unit));
    let boxes = lesions.iter().map(|lesion| (lesion.class, lesion.pixels(unit)));
    Scene {
        lesions: boxes.collect(),
        picture,
    }
}

/// What a phone does to a picture: exposure, white balance, fall-off, noise, focus.
struct Camera {
    gain: Rgb,
    fall_off: f32,
    grain: f32,
    defocus: f32,
    noise: Noise,
}

impl Camera {
    fn draw(dice: &mut Dice) -> Camera {
        let exposure = dice.between(0.8, 1.15);
        let warmth = dice.between(-0.06, 0.06);
        Camera {
            gain: [
                (exposure * (1.0 + warmth)) as f32,
                exposure as f32,
                (exposure * (1.0 - warmth)) as f32,
            ],
            fall_off: dice.between(0.0, 0.35) as f32,
            grain: dice.between(0.005, 0.025) as f32,
            defocus: dice.between(0.0, 0.006) as f32,
            noise: Noise::draw(dice),
        }
    }

    fn develop(&self, seen: Rgb, at: [f32; 2], span: [f32; 2], [column, row]: [usize; 2]) -> [u8; 3] {
        let from_middle = (0..2).map(|axis| at[axis] / span[axis] - 0.5);
        let away: f32 = from_middle.map(|part| part * part).sum();
        let light = 1.0 - self.fall_off * away;
        std::array::from_fn(|channel| {
            let grain = self.noise.cell((column * 3 + channel) as i64, row as i64) - 0.5;
            let value = seen[channel] * self.gain[channel] * light + grain * 2.0 * self.grain;
            (value * 255.0 + 0.5).clamp(0.0, 255.0) as u8
        })
    }
}
