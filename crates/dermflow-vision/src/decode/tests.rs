use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::placement::ResizeMode;
use crate::resize::ResizeFilter;
use crate::stored_picture::{Found, Settings, Workbench};

const FORMATS: [ImageFormat; 6] = [
    ImageFormat::Png,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Jpeg,
];

fn file(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(23, 17, |x, y| {
        image::Rgb([(x * 11) as u8, (y * 15) as u8, (x * y) as u8])
    });
    let mut bytes = Vec::new();
    DynamicImage::ImageRgb8(image)
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

fn refused(bytes: &[u8]) -> Refusal {
    match Opened::new(bytes, &Limits::default()) {
        Ok(opened) => opened.decode(None, Vec::new()).unwrap_err(),
        Err(refusal) => refusal,
    }
}

#[test]
fn formats_are_told_by_content() {
    for format in FORMATS {
        let found = Format::of(&file(format)).unwrap();
        assert_eq!(format!("{found:?}"), format!("{format:?}"));
    }
}

#[test]
fn what_is_no_picture_is_refused_with_what_it_is() {
    let expectations: [(&[u8], &str); 9] = [
        (b"", "the file is empty"),
        (b"hello", "no JPEG, PNG, WebP, BMP, TIFF or GIF"),
        (b"BMW is a word", "no JPEG, PNG"),
        (b"%PDF-1.7", "a PDF document"),
        (b"  <html><body>404", "a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC picture (convert it"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a film"),
        (&[0; 600], "nothing but zeros"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
    ];
    for (bytes, words) in expectations {
        let refusal = refused(bytes).to_string();
        assert!(refusal.contains(words), "{refusal}");
    }
}

/// A file of each format that declares 50000 × 50000 pixels or more and holds next to none.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let side = 50_000u32;
    let mut png = file(ImageFormat::Png);
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let checksum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let mut gif = file(ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0x50, 0xc3, 0x50, 0xc3]);
    let mut bmp = file(ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&side.to_le_bytes());
    bmp[22..26].copy_from_slice(&side.to_le_bytes());
    let mut jpeg = file(ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xc3, 0x50, 0xc3, 0x50]);
    let mut webp = b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0".to_vec();
    webp.extend([0x4f, 0xc3, 0, 0x4f, 0xc3, 0]);
    webp.extend(b"VP8L\0\0\0\0");
    let mut tiff = file(ImageFormat::Tiff);
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let entries = u16::from_le_bytes(tiff[directory..directory + 2].try_into().unwrap()) as usize;
    for entry in 0..entries {
        let at = directory + 2 + entry * 12;
        let tag = u16::from_le_bytes(tiff[at..at + 2].try_into().unwrap());
        if tag == 256 || tag == 257 {
            tiff[at + 2] = 4;
            tiff[at + 8..at + 12].copy_from_slice(&side.to_le_bytes());
        }
    }
    vec![
        ("PNG", png),
        ("GIF", gif),
        ("BMP", bmp),
        ("JPEG", jpeg),
        ("WebP", webp),
        ("TIFF", tiff),
    ]
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[test]
fn a_bomb_is_refused_by_its_declared_size_at_once() {
    for (name, bytes) in bombs() {
        let started = std::time::Instant::now();
        let refusal = refused(&bytes);
        assert!(
            matches!(refusal, Refusal::TooManyPixels { .. } | Refusal::Damaged(_)),
            "{name}: {refusal}"
        );
        assert!(started.elapsed().as_millis() < 500, "{name}");
    }
}

#[test]
fn limits_hold_on_bytes_pixels_and_memory() {
    let bytes = file(ImageFormat::Png);
    let limits = Limits::default();
    let with = |limits: Limits| {
        Opened::new(&bytes, &limits)
            .err()
            .map(|refusal| refusal.to_string())
    };
    assert_eq!(
        with(Limits {
            pixels: 391,
            ..limits
        }),
        None
    );
    let refusal = with(Limits {
        pixels: 390,
        ..limits
    })
    .unwrap();
    assert_eq!(refusal, "it has 23 × 17 = 391 pixels, and the limit is 390");
    let refusal = with(Limits { bytes: 10, ..limits }).unwrap();
    assert!(refusal.contains("and the limit is 10"), "{refusal}");
    let refusal = with(Limits {
        memory: 3000,
        ..limits
    })
    .unwrap();
    assert!(refusal.contains("memory"), "{refusal}");
}

#[test]
fn a_jpeg_of_many_scans_is_refused() {
    // One scan of a progressive file, again and again.
    let image = RgbImage::from_pixel(64, 64, image::Rgb([90, 20, 30]));
    let encoder = libjpeg_turbo_rs::Encoder::new(image.as_raw(), 64, 64, libjpeg_turbo_rs::PixelFormat::Rgb);
    let progressive = encoder.progressive(true).encode().unwrap();
    assert!(
        Opened::new(&progressive, &Limits::default())
            .unwrap()
            .decode(None, Vec::new())
            .is_ok()
    );
    let starts: Vec<usize> = (0..progressive.len() - 1)
        .filter(|at| progressive[*at..*at + 2] == [0xff, 0xda])
        .collect();
    let last = *starts.last().unwrap();
    let scan = &progressive[last..progressive.len() - 2];
    let mut bomb = progressive[..last].to_vec();
    (0..5000).for_each(|_| bomb.extend_from_slice(scan));
    bomb.extend([0xff, 0xd9]);
    let refusal = refused(&bomb).to_string();
    assert!(refusal.contains("scan"), "{refusal}");
}

fn store(bytes: &[u8]) -> Result<(), Refusal> {
    let limits = Limits {
        pixels: 1 << 20,
        memory: 64 << 20,
        ..Limits::default()
    };
    let settings = Settings {
        size: crate::placement::PixelSize::new(16, 16),
        mode: ResizeMode::Letterbox,
        filter: ResizeFilter::Bilinear,
        background: [255; 3],
        bars: [0; 3],
    };
    Found::new(bytes, &limits)?
        .store(&settings, &mut Workbench::default())
        .map(drop)
}

/// A file of each format, and of the sorts that take other ways through the decoders.
fn seeds() -> Vec<Vec<u8>> {
    let image = RgbImage::from_fn(23, 17, |x, y| {
        image::Rgb([(x * 11) as u8, (y * 15) as u8, (x * y) as u8])
    });
    let encoder =
        || libjpeg_turbo_rs::Encoder::new(image.as_raw(), 23, 17, libjpeg_turbo_rs::PixelFormat::Rgb);
    let written = |image: DynamicImage, format| {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    };
    let coloured = DynamicImage::ImageRgb8(image.clone());
    let mut gamma = file(ImageFormat::Png);
    // Its length, name, value (0.7) and checksum, behind the header.
    gamma.splice(
        33..33,
        [0, 0, 0, 4, b'g', b'A', b'M', b'A', 0, 1, 0x11, 0x70, 0, 0, 0, 0],
    );
    let mut seeds: Vec<Vec<u8>> = FORMATS.map(file).to_vec();
    seeds.extend([
        encoder().progressive(true).encode().unwrap(),
        written(coloured.to_luma8().into(), ImageFormat::Jpeg),
        written(coloured.to_rgba16().into(), ImageFormat::Png),
        written(coloured.to_luma_alpha8().into(), ImageFormat::Png),
        with_checksums(gamma),
        written(coloured.to_rgba8().into(), ImageFormat::WebP),
        written(coloured.to_luma16().into(), ImageFormat::Tiff),
        written(coloured.to_rgba8().into(), ImageFormat::Bmp),
    ]);
    seeds.extend([1, 4, 8].map(|bits| super::palette_tiff::tests::file(bits, bits == 4, false)));
    seeds
}

/// A PNG file whose chunks have the checksums of what they hold now, so that a decoder looks
/// further; others as they are.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while bytes.starts_with(b"\x89PNG") && at + 12 <= bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let Some(end) = (at + 8).checked_add(length).filter(|end| end + 4 <= bytes.len()) else {
            break;
        };
        let checksum = crc(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&checksum.to_be_bytes());
        at = end + 4;
    }
    bytes
}

#[test]
fn every_seed_of_the_tests_below_is_a_picture() {
    for (number, bytes) in seeds().into_iter().enumerate() {
        assert_eq!(store(&bytes), Ok(()), "seed {number}");
    }
}

/// How often each of the tests below tries; `PROPTEST_CASES` tries more often.
fn tries() -> ProptestConfig {
    let usual = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => usual,
        None => ProptestConfig::with_cases(400),
    }
}

proptest! {
    #![proptest_config(tries())]
    #[test]
    fn damage_gives_a_picture_or_a_refusal(
        seed in prop::sample::select(seeds()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        extra in prop::collection::vec(any::<u8>(), 0..20),
        sound in any::<bool>(),
    ) {
        let mut bytes = seed;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(extra);
        if sound {
            bytes = with_checksums(bytes);
        }
        let _ = store(&bytes);
    }

    #[test]
    fn noise_behind_a_magic_number_gives_a_picture_or_a_refusal(
        seed in prop::sample::select(seeds()),
        kept in 2usize..60,
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = seed;
        bytes.truncate(kept);
        bytes.extend(noise);
        let _ = store(&bytes);
    }
}
