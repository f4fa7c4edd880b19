//! Colours as a viewer shows them: any profile, ink, grey or opacity to sRGB.
//!
//! Profiles that say nothing usable are passed over, as viewers do. Must not know of files.

use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformOptions};

use crate::decode::Channels;

/// Red, green and blue.
pub type Rgb = [u8; 3];

/// Turns pixels to sRGB, remembering the profiles that it met: photos of one camera carry the
/// same.
#[derive(Default)]
pub struct Colours {
    known: Vec<Known>,
}

struct Known {
    profile: Vec<u8>,
    channels: Channels,
    /// None where the profile changes nothing, or can't be used.
    transform: Option<Arc<Transform8BitExecutor>>,
}

/// How many profiles are remembered.
const REMEMBERED: usize = 8;

impl Colours {
    /// Pixels without opacity (grey, RGB, ink) as sRGB.
    pub fn opaque(&mut self, channels: Channels, pixels: Vec<u8>, profile: Option<&[u8]>) -> Vec<u8> {
        if let Some(changed) = self.transformed(channels, &pixels, profile) {
            return changed;
        }
        match channels {
            Channels::Grey => pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
            Channels::Cmyk => pixels
                .as_chunks::<4>()
                .0
                .iter()
                .flat_map(|inks| printed(*inks))
                .collect(),
            _ => pixels,
        }
    }

    /// Pixels with opacity over a background, as sRGB.
    pub fn over(
        &mut self,
        background: Rgb,
        channels: Channels,
        pixels: &[u8],
        profile: Option<&[u8]>,
    ) -> Vec<u8> {
        let (colours, channels, opacity): (Vec<u8>, Channels, Vec<u8>) = match channels {
            Channels::GreyAlpha => {
                let pairs = pixels.as_chunks::<2>().0;
                let grey = pairs.iter().map(|[grey, _]| *grey);
                (
                    grey.collect(),
                    Channels::Grey,
                    pairs.iter().map(|[_, alpha]| *alpha).collect(),
                )
            }
            _ => {
                let all = pixels.as_chunks::<4>().0;
                let colours = all.iter().flat_map(|[red, green, blue, _]| [*red, *green, *blue]);
                (
                    colours.collect(),
                    Channels::Rgb,
                    all.iter().map(|[_, _, _, alpha]| *alpha).collect(),
                )
            }
        };
        let mut shown = self.opaque(channels, colours, profile);
        for (pixel, alpha) in shown.as_chunks_mut::<3>().0.iter_mut().zip(opacity) {
            for (value, behind) in pixel.iter_mut().zip(background) {
                let mixed = u32::from(*value) * u32::from(alpha) + u32::from(behind) * u32::from(255 - alpha);
                *value = ((mixed + 127) / 255) as u8;
            }
        }
        shown
    }

    fn transformed(&mut self, channels: Channels, pixels: &[u8], profile: Option<&[u8]>) -> Option<Vec<u8>> {
        let profile = profile?;
        let same = |known: &Known| known.channels == channels && known.profile == profile;
        let transform = match self.known.iter().position(same) {
            Some(at) => self.known[at].transform.clone(),
            None => {
                let transform = transform(channels, profile);
                if self.known.len() == REMEMBERED {
                    self.known.remove(0);
                }
                self.known.push(Known {
                    profile: profile.to_vec(),
                    channels,
                    transform: transform.clone(),
                });
                transform
            }
        }?;
        let mut shown = vec![0; pixels.len() / channels.count() * 3];
        transform.transform(pixels, &mut shown).ok()?;
        Some(shown)
    }
}

/// Ink without a profile, the way every viewer does it.
fn printed(inks: [u8; 4]) -> Rgb {
    let [cyan, magenta, yellow, black] = inks.map(|ink| 255 - u32::from(ink));
    [cyan, magenta, yellow].map(|ink| ((ink * black + 127) / 255) as u8)
}

/// The way to sRGB; `None` where the profile is broken, is of other colours than the picture,
/// or changes nothing.
fn transform(channels: Channels, profile: &[u8]) -> Option<Arc<Transform8BitExecutor>> {
    let (space, layout) = match channels {
        Channels::Grey => (DataColorSpace::Gray, Layout::Gray),
        Channels::Rgb => (DataColorSpace::Rgb, Layout::Rgb),
        // Four inks are four channels, and the library has one layout for those.
        Channels::Cmyk => (DataColorSpace::Cmyk, Layout::Rgba),
        Channels::GreyAlpha | Channels::Rgba => return None,
    };
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    if profile.color_space != space {
        return None;
    }
    let options = TransformOptions::default();
    let transform = profile
        .create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options)
        .ok()?;
    (!changes_nothing(channels, transform.as_ref())).then_some(transform)
}

/// Whether a profile is sRGB but for rounding; most are. Tried on a grid of colours.
fn changes_nothing(channels: Channels, transform: &Transform8BitExecutor) -> bool {
    let steps: Vec<u8> = (0..=15).map(|step| step * 17).collect();
    let (given, expected): (Vec<u8>, Vec<u8>) = match channels {
        Channels::Rgb => {
            let mut grid = Vec::with_capacity(16 * 16 * 16 * 3);
            for red in &steps {
                for green in &steps {
                    grid.extend(steps.iter().flat_map(|blue| [*red, *green, *blue]));
                }
            }
            (grid.clone(), grid)
        }
        Channels::Grey => (steps.clone(), steps.iter().flat_map(|grey| [*grey; 3]).collect()),
        _ => return false,
    };
    let mut shown = vec![0; expected.len()];
    let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 1;
    transform.transform(&given, &mut shown).is_ok() && shown.iter().zip(&expected).all(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_and_grey_without_a_profile_are_shown_plainly() {
        let mut colours = Colours::default();
        assert_eq!(
            colours.opaque(Channels::Grey, vec![7, 200], None),
            [7, 7, 7, 200, 200, 200]
        );
        let inks = vec![0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 0, 0, 255, 128];
        let shown = colours.opaque(Channels::Cmyk, inks, None);
        assert_eq!(shown, [255, 255, 255, 0, 255, 255, 0, 0, 0, 127, 127, 0]);
    }

    #[test]
    fn what_is_transparent_shows_the_background() {
        let mut colours = Colours::default();
        let pixels = [10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128];
        let shown = colours.over([255, 0, 100], Channels::Rgba, &pixels, None);
        assert_eq!(shown, [10, 20, 30, 255, 0, 100, 127, 0, 50]);
        let shown = colours.over([255; 3], Channels::GreyAlpha, &[40, 255, 40, 0], None);
        assert_eq!(shown, [40, 40, 40, 255, 255, 255]);
    }

    #[test]
    fn an_srgb_profile_changes_nothing_and_a_wider_one_does() {
        let srgb = ColorProfile::new_srgb().encode().unwrap();
        assert!(transform(Channels::Rgb, &srgb).is_none());
        let wide = ColorProfile::new_display_p3().encode().unwrap();
        let mut colours = Colours::default();
        let red = colours.opaque(Channels::Rgb, vec![200, 40, 40], Some(&wide));
        assert!(red[0] > 205 && red[1] < 40, "{red:?}");
        assert_eq!(colours.opaque(Channels::Rgb, vec![90; 3], Some(&wide)), [90; 3]);
        // A profile of other colours than the picture's is passed over, as is a broken one.
        assert_eq!(colours.opaque(Channels::Grey, vec![90], Some(&wide)), [90; 3]);
        assert_eq!(
            colours.opaque(Channels::Rgb, vec![1, 2, 3], Some(&wide[..100])),
            [1, 2, 3]
        );
    }

    #[test]
    fn a_grey_profile_of_another_gamma_is_followed() {
        let grey = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let shown = Colours::default().opaque(Channels::Grey, vec![0, 55, 255], Some(&grey));
        assert_eq!((shown[0], shown[6]), (0, 255));
        assert!(
            (126..=130).contains(&shown[3]),
            "{shown:?}: 0.2157 in linear light is 128 in sRGB"
        );
        assert_eq!(shown[3], shown[4]);
    }

    #[test]
    fn no_more_profiles_are_remembered_than_stated() {
        let mut colours = Colours::default();
        for gamma in 0..20 {
            let profile = ColorProfile::new_gray_with_gamma(1.0 + gamma as f32 / 10.0)
                .encode()
                .unwrap();
            colours.opaque(Channels::Grey, vec![9], Some(&profile));
        }
        assert_eq!(colours.known.len(), REMEMBERED);
    }
}
