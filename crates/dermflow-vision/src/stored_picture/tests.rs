use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb as Pixel, RgbImage, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;

fn size(width: u32, height: u32) -> PixelSize {
    PixelSize::new(width, height).unwrap()
}

fn settings(side: u32, mode: ResizeMode) -> Settings {
    Settings {
        size: PixelSize::new(side, side),
        mode,
        filter: ResizeFilter::Bicubic,
        background: [255; 3],
        bars: [9, 8, 7],
    }
}

/// Red grows to the right, green downwards.
fn gradient(width: u32, height: u32) -> RgbImage {
    let value = |at: u32, all: u32| (at * 255 / all.max(2)) as u8;
    RgbImage::from_fn(width, height, |x, y| {
        Pixel([value(x, width), value(y, height), 60])
    })
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn stored(bytes: &[u8], settings: &Settings) -> Result<StoredPicture, Refusal> {
    Found::new(bytes, &Limits::default())?.store(settings, &mut Workbench::default())
}

/// A JPEG with an Exif block that holds this orientation.
fn oriented_jpeg(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let jpeg = encoded(&DynamicImage::ImageRgb8(image.clone()), ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1, 0, exif.len() as u8 + 2]);
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Png,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Jpeg,
];

#[test]
fn every_format_gives_the_same_picture() {
    let image = DynamicImage::ImageRgb8(gradient(40, 30));
    let plain = Settings {
        size: None,
        ..settings(1, ResizeMode::Stretch)
    };
    for format in FORMATS {
        let picture = stored(&encoded(&image, format), &plain).unwrap();
        assert_eq!((picture.size, picture.original), (size(40, 30), size(40, 30)));
        assert_eq!(picture.placement, Placement::WHOLE);
        // GIF has 256 colours, and JPEG loses some.
        let allowed = match format {
            ImageFormat::Gif | ImageFormat::Jpeg => 40,
            _ => 0,
        };
        let worst = picture
            .pixels
            .iter()
            .zip(image.as_bytes())
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(worst.unwrap() <= allowed, "{format:?}: {worst:?}");
    }
}

#[test]
fn a_photo_is_turned_upright_in_every_mode() {
    // Upright it is 60 wide and 120 high, red at the left and green at the bottom.
    let upright = gradient(60, 120);
    for orientation in 1..=8u8 {
        // The picture as a camera held that way would store it.
        let lying = match orientation {
            2 => image::imageops::flip_horizontal(&upright),
            3 => image::imageops::rotate180(&upright),
            4 => image::imageops::flip_vertical(&upright),
            5 => image::imageops::flip_horizontal(&image::imageops::rotate90(&upright)),
            6 => image::imageops::rotate270(&upright),
            7 => image::imageops::flip_vertical(&image::imageops::rotate90(&upright)),
            8 => image::imageops::rotate90(&upright),
            _ => upright.clone(),
        };
        let bytes = oriented_jpeg(&lying, orientation);
        for mode in [ResizeMode::Stretch, ResizeMode::Letterbox, ResizeMode::Crop] {
            let picture = stored(&bytes, &settings(30, mode)).unwrap();
            assert_eq!(picture.original, size(60, 120), "{orientation}");
            assert_eq!(
                picture.placement,
                Placement::new(size(60, 120), size(30, 30), mode)
            );
            let at = |x: usize, y: usize| &picture.pixels[(y * 30 + x) * 3..][..3];
            match mode {
                ResizeMode::Letterbox => {
                    assert_eq!(at(2, 15), [9, 8, 7], "a bar");
                    assert!(at(20, 15)[0] > at(9, 15)[0] + 100, "{orientation}");
                    assert!(at(15, 28)[1] > at(15, 1)[1] + 150, "{orientation}");
                }
                _ => {
                    assert!(at(28, 15)[0] > at(1, 15)[0] + 150, "{orientation} {mode:?}");
                    assert!(at(15, 28)[1] > at(15, 1)[1] + 70, "{orientation} {mode:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_transparent_shows_the_background_before_pixels_are_mixed() {
    // Transparent green must not bleed into the red beside it.
    let image = RgbaImage::from_fn(64, 64, |x, _| match x < 32 {
        true => Rgba([0, 255, 0, 0]),
        false => Rgba([255, 0, 0, 255]),
    });
    let bytes = encoded(&DynamicImage::ImageRgba8(image), ImageFormat::Png);
    let with = Settings {
        background: [0, 0, 0],
        filter: ResizeFilter::Bilinear,
        ..settings(16, ResizeMode::Stretch)
    };
    let picture = stored(&bytes, &with).unwrap();
    assert!(picture.pixels.chunks(3).all(|pixel| pixel[1] == 0));
    assert_eq!(picture.pixels[..3], [0, 0, 0]);
    assert_eq!(picture.pixels[45..48], [255, 0, 0]);
}

#[test]
fn sixteen_bits_are_rounded_and_grey_has_three_equal_channels() {
    let values = [0u16, 127, 128, 129, 385, 386, 32768, 65535];
    let grey = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(8, 1, values.to_vec()).unwrap();
    let bytes = encoded(&DynamicImage::ImageLuma16(grey), ImageFormat::Png);
    let picture = stored(
        &bytes,
        &Settings {
            size: None,
            ..settings(1, ResizeMode::Stretch)
        },
    );
    let shown: Vec<u8> = picture.unwrap().pixels;
    assert_eq!(
        shown.chunks(3).map(|pixel| pixel[0]).collect::<Vec<_>>(),
        [0, 0, 0, 1, 1, 2, 128, 255]
    );
    assert!(
        shown
            .chunks(3)
            .all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
    );
}

#[test]
fn a_jpeg_decoded_at_a_fraction_looks_like_one_decoded_whole() {
    let image = gradient(700, 500);
    let jpeg = encoded(&DynamicImage::ImageRgb8(image.clone()), ImageFormat::Jpeg);
    let png = encoded(&DynamicImage::ImageRgb8(image), ImageFormat::Png);
    for mode in [ResizeMode::Stretch, ResizeMode::Letterbox, ResizeMode::Crop] {
        let of = |bytes: &[u8]| stored(bytes, &settings(40, mode)).unwrap();
        let (jpeg, png) = (of(&jpeg), of(&png));
        assert_eq!(jpeg.placement, png.placement);
        let worst = jpeg
            .pixels
            .iter()
            .zip(&png.pixels)
            .map(|(a, b)| a.abs_diff(*b))
            .max()
            .unwrap();
        assert!(worst <= 6, "{mode:?}: {worst}");
    }
}

#[test]
fn a_cut_file_is_refused_as_cut_and_never_half_shown() {
    let image = DynamicImage::ImageRgb8(gradient(90, 70));
    for format in [
        ImageFormat::Png,
        ImageFormat::Tiff,
        ImageFormat::Gif,
        ImageFormat::Jpeg,
        ImageFormat::Bmp,
    ] {
        let bytes = encoded(&image, format);
        for share in [30, 60, 90] {
            let cut = &bytes[..bytes.len() * share / 100];
            let refusal = stored(cut, &settings(8, ResizeMode::Crop)).unwrap_err();
            let fine = matches!(refusal, Refusal::Truncated | Refusal::Damaged(_));
            assert!(fine, "{format:?} cut to {share} %: {refusal}");
        }
    }
}

#[test]
fn nothing_depends_on_what_was_decoded_before() {
    let mut used = Workbench::default();
    let wide = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    used.colours.opaque(Channels::Rgb, vec![1, 2, 3], Some(&wide));
    let with = settings(24, ResizeMode::Letterbox);
    for (width, height) in [(300, 200), (20, 90), (25, 25)] {
        let bytes = oriented_jpeg(&gradient(width, height), 6);
        let found = Found::new(&bytes, &Limits::default()).unwrap();
        assert_eq!(found.store(&with, &mut used), stored(&bytes, &with));
    }
}

#[test]
fn low_and_narrow_pictures_are_read_whatever_is_wanted_of_them() {
    let sides = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 72, 129, 300];
    for (width, height) in sides
        .iter()
        .flat_map(|width| sides.iter().map(move |height| (*width, *height)))
    {
        let bytes = oriented_jpeg(&gradient(width, height), 1);
        for (wanted, mode) in [
            ((19, 9), ResizeMode::Crop),
            ((1, 1), ResizeMode::Stretch),
            ((9, 33), ResizeMode::Letterbox),
        ] {
            let with = Settings {
                size: PixelSize::new(wanted.0, wanted.1),
                ..settings(1, mode)
            };
            let read = stored(&bytes, &with);
            assert!(read.is_ok(), "{width} × {height} to {wanted:?}: {:?}", read.err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_size_ends_in_the_wanted_one(
        width in 1u32..300, height in 1u32..300, wanted_width in 1u32..70, wanted_height in 1u32..70, turn in 1u8..9,
        mode in prop_oneof![Just(ResizeMode::Stretch), Just(ResizeMode::Letterbox), Just(ResizeMode::Crop)],
    ) {
        let bytes = oriented_jpeg(&gradient(width, height), turn);
        let with = Settings { size: PixelSize::new(wanted_width, wanted_height), ..settings(1, mode) };
        let picture = stored(&bytes, &with).unwrap();
        prop_assert_eq!(picture.pixels.len() as u64, picture.size.pixels() * 3);
        prop_assert_eq!(picture.size, size(wanted_width, wanted_height));
        let seen = if turn >= 5 { size(height, width) } else { size(width, height) };
        prop_assert_eq!(picture.original, seen);
        prop_assert_eq!(picture.placement, Placement::new(seen, picture.size, mode));
    }
}
