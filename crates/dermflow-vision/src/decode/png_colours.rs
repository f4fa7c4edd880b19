//! The colours that a PNG file declares without a profile: its chunks gAMA (brightness) and cHRM
//! (primaries), made into a profile, so that they are followed as one is.
//!
//! A profile or the chunk sRGB wins over them. A gAMA of 1/2.2 or nearly so is what programs write
//! for sRGB, and means it; primaries next to those of sRGB do as well.

use std::io::Cursor;

use moxcms::{Chromaticity, ColorPrimaries, ColorProfile, ToneReprCurve};
use png::SourceChromaticities;

/// The gamma that programs write for sRGB.
const USUAL: f64 = 1.0 / 2.2;
/// How far from it a gamma may be, as a share, and still mean it: what libpng takes for no difference.
const NEARLY: f64 = 0.05;
/// Gammas beyond these are mistakes.
const SOUND: std::ops::RangeInclusive<f64> = 0.05..=5.0;
/// How far a coordinate of a primary may be off and still mean that of sRGB.
const NEXT_TO: f32 = 0.005;

/// White, red, green and blue of sRGB (x, y).
const SRGB: [[f32; 2]; 4] = [[0.3127, 0.3290], [0.64, 0.33], [0.30, 0.60], [0.15, 0.06]];

/// An ICC profile of what the file declares; `None` where it declares nothing, sRGB, or what
/// can't be.
pub(super) fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let reader = png::Decoder::new(Cursor::new(bytes)).read_info().ok()?;
    let info = reader.info();
    if info.srgb.is_some() || info.icc_profile.is_some() {
        return None;
    }
    let gamma = info
        .gama_chunk
        .map(|gamma| f64::from(gamma.into_scaled()) / 100_000.0);
    let gamma = gamma.filter(|gamma| SOUND.contains(gamma) && (gamma / USUAL - 1.0).abs() > NEARLY);
    let curve = gamma.map(|gamma| ToneReprCurve::Parametric(vec![(1.0 / gamma) as f32]));
    let is_grey = matches!(
        info.color_type,
        png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha
    );
    if is_grey {
        // Without colours there are no primaries.
        let mut profile = ColorProfile::new_gray_with_gamma(1.0);
        profile.gray_trc = Some(curve?);
        return profile.encode().ok();
    }
    let primaries = info.chrm_chunk.as_ref().and_then(primaries);
    if curve.is_none() && primaries.is_none() {
        return None;
    }
    let mut profile = ColorProfile::new_srgb();
    profile.cicp = None;
    if let Some([white, red, green, blue]) = primaries {
        let at = |[x, y]: [f32; 2]| Chromaticity::new(x, y);
        let primaries = ColorPrimaries {
            red: at(red),
            green: at(green),
            blue: at(blue),
        };
        profile.update_rgb_colorimetry(at(white).to_xyyb(), primaries);
    }
    if let Some(curve) = curve {
        profile.red_trc = Some(curve.clone());
        profile.green_trc = Some(curve.clone());
        profile.blue_trc = Some(curve);
    }
    profile.encode().ok()
}

/// Primaries that can be and are not those of sRGB.
fn primaries(declared: &SourceChromaticities) -> Option<[[f32; 2]; 4]> {
    let points = [declared.white, declared.red, declared.green, declared.blue];
    let points = points.map(|(x, y)| [x.into_value(), y.into_value()]);
    let can_be = |[x, y]: &[f32; 2]| *x >= 0.0 && *y > 0.01 && x + y <= 1.0;
    let [_, red, green, blue] = points;
    let side = |to: [f32; 2]| [to[0] - red[0], to[1] - red[1]];
    let (one, other) = (side(green), side(blue));
    let area = one[0] * other[1] - one[1] * other[0];
    let distances = points.iter().flatten().zip(SRGB.iter().flatten());
    let is_srgb = distances.into_iter().all(|(a, b)| (a - b).abs() <= NEXT_TO);
    (points.iter().all(can_be) && area.abs() > 0.001 && !is_srgb).then_some(points)
}

#[cfg(test)]
mod tests {
    use png::ScaledFloat;

    use super::*;
    use crate::limits::Limits;
    use crate::placement::ResizeMode;
    use crate::resize::ResizeFilter;
    use crate::stored_picture::{Found, Settings, Workbench};

    /// A PNG file of one pixel.
    fn file(
        colours: png::ColorType,
        pixel: &[u8],
        declare: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(colours);
        declare(&mut encoder);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(pixel).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn shown(bytes: &[u8]) -> Vec<u8> {
        let settings = Settings {
            size: None,
            mode: ResizeMode::Stretch,
            filter: ResizeFilter::Box,
            background: [255; 3],
            bars: [0; 3],
        };
        let found = Found::new(bytes, &Limits::default()).unwrap();
        found.store(&settings, &mut Workbench::default()).unwrap().pixels
    }

    fn with_gamma(colours: png::ColorType, pixel: &[u8], gamma: f32) -> Vec<u8> {
        shown(&file(colours, pixel, |encoder| {
            encoder.set_source_gamma(ScaledFloat::new(gamma));
        }))
    }

    #[test]
    fn a_gamma_that_means_srgb_and_one_that_cannot_be_change_nothing() {
        for gamma in [0.45455, 0.45, 0.46, 0.0, 20.0] {
            assert_eq!(
                with_gamma(png::ColorType::Rgb, &[10, 100, 200], gamma),
                [10, 100, 200]
            );
            assert_eq!(with_gamma(png::ColorType::Grayscale, &[55], gamma), [55; 3]);
        }
    }

    #[test]
    fn another_gamma_is_followed_in_colours_in_grey_and_under_opacity() {
        // 0.2157 in linear light is 128 in sRGB.
        let near = |shown: &[u8]| shown.iter().all(|value| value.abs_diff(128) <= 2);
        let shown = with_gamma(png::ColorType::Rgb, &[55; 3], 1.0);
        assert!(near(&shown), "{shown:?}");
        let shown = with_gamma(png::ColorType::Grayscale, &[55], 1.0);
        assert!(near(&shown), "{shown:?}");
        let shown = with_gamma(png::ColorType::GrayscaleAlpha, &[55, 255], 1.0);
        assert!(near(&shown), "{shown:?}");
        let shown = with_gamma(png::ColorType::Rgba, &[55, 55, 55, 255], 1.0);
        assert!(near(&shown), "{shown:?}");
    }

    fn wide() -> SourceChromaticities {
        // Display P3.
        SourceChromaticities::new((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
    }

    #[test]
    fn other_primaries_are_followed_and_impossible_ones_are_not() {
        let with = |primaries: SourceChromaticities| {
            shown(&file(png::ColorType::Rgb, &[200, 40, 40], |encoder| {
                encoder.set_source_chromaticities(primaries);
            }))
        };
        let shown = with(wide());
        assert!(shown[0] > 205 && shown[1] < 40, "{shown:?}");
        let flat = SourceChromaticities::new((0.3, 0.3), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4));
        assert_eq!(with(flat), [200, 40, 40]);
        let srgb = SourceChromaticities::new((0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06));
        assert_eq!(with(srgb), [200, 40, 40]);
    }

    #[test]
    fn the_chunk_srgb_wins() {
        let mut bytes = file(png::ColorType::Rgb, &[55; 3], |encoder| {
            encoder.set_source_gamma(ScaledFloat::new(1.0));
            encoder.set_source_chromaticities(wide());
        });
        assert_ne!(shown(&bytes), [55; 3]);
        // Its length, name, intent and checksum, behind the header.
        let chunk = [0, 0, 0, 1, b's', b'R', b'G', b'B', 0, 0xae, 0xce, 0x1c, 0xe9];
        bytes.splice(33..33, chunk);
        assert_eq!(shown(&bytes), [55; 3]);
    }
}
