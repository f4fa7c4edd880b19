//! [`Normalise`]: from bytes to the numbers that a network reads.
//!
//! Must not know of pictures' sizes or of networks.

use dermflow_core::Problem;
use dermflow_nn::model_file::Preprocessing;
use dermflow_vision::picture::Picture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What each channel is measured by, on the scale 0 to 1: (value - mean) / deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Channels {
    /// What is taken away of red, green and blue.
    pub mean: [f32; 3],
    /// What the rest is divided by; above 0.
    pub deviation: [f32; 3],
}

impl Default for Channels {
    fn default() -> Channels {
        let imagenet = Preprocessing::imagenet(1, 1);
        Channels {
            mean: imagenet.mean,
            deviation: imagenet.deviation,
        }
    }
}

impl Channels {
    /// What is wrong with its numbers.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            problems.push(Problem::new("channels.mean", "each must be a finite number"));
        }
        if !self.deviation.iter().all(|one| *one > 0.0 && one.is_finite()) {
            problems.push(Problem::new(
                "channels.deviation",
                "each must be a number above 0",
            ));
        }
        problems
    }
}

/// The number of each byte of each channel.
#[derive(Clone)]
pub struct Normalise([[f32; 256]; 3]);

impl Normalise {
    /// With a model's own mean and deviation.
    pub fn new(preprocessing: &Preprocessing) -> Normalise {
        Normalise(std::array::from_fn(|channel| {
            std::array::from_fn(|byte| {
                (byte as f32 / 255.0 - preprocessing.mean[channel]) / preprocessing.deviation[channel]
            })
        }))
    }

    /// Appends a picture's numbers: red, green, blue of every pixel, row by row.
    pub fn append(&self, picture: &Picture, numbers: &mut Vec<f32>) {
        numbers.reserve(picture.pixels().len());
        for pixel in picture.pixels().chunks_exact(3) {
            numbers.extend([
                self.0[0][usize::from(pixel[0])],
                self.0[1][usize::from(pixel[1])],
                self.0[2][usize::from(pixel[2])],
            ]);
        }
    }

    /// Appends red, green, blue of every pixel, and behind them its number of `channel`, which is
    /// taken as it is.
    pub fn append_with(&self, picture: &Picture, channel: &[f32], numbers: &mut Vec<f32>) {
        numbers.reserve(4 * channel.len());
        for (pixel, own) in picture.pixels().chunks_exact(3).zip(channel) {
            let colour = |channel: usize| self.0[channel][usize::from(pixel[channel])];
            numbers.extend([colour(0), colour(1), colour(2), *own]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fourth_channel_comes_behind_each_pixel_and_is_not_normalised() {
        let normalise = Normalise::new(&Preprocessing::imagenet(1, 2));
        let mut picture = Picture::filled(2, 1, [7, 8, 9]);
        picture.set(1, 0, [250, 0, 3]);
        let (mut three, mut four) = (Vec::new(), Vec::new());
        normalise.append(&picture, &mut three);
        normalise.append_with(&picture, &[0.0, 0.25], &mut four);
        assert_eq!(four, [&three[..3], &[0.0], &three[3..], &[0.25]].concat());
    }
}
