//! The format of a file, told by its first bytes. Names mean nothing: phones and web sites
//! write them wrong.

use crate::limits::Refusal;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JPEG, baseline or progressive.
    Jpeg,
    /// PNG.
    Png,
    /// WebP, lossy or not.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// TIFF.
    Tiff,
    /// GIF.
    Gif,
}

impl Format {
    /// The format of a file with this content.
    ///
    /// # Errors
    /// Where it is none of them: [`Refusal::NotAPicture`], or [`Refusal::Unsupported`] for a
    /// picture in another format, with what to do.
    pub fn of(bytes: &[u8]) -> Result<Format, Refusal> {
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        let holds = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
        if starts(b"\xff\xd8\xff") {
            return Ok(Format::Jpeg);
        }
        if starts(b"\x89PNG\r\n\x1a\n") {
            return Ok(Format::Png);
        }
        if starts(b"RIFF") && holds(8, b"WEBP") {
            return Ok(Format::WebP);
        }
        if starts(b"GIF87a") || starts(b"GIF89a") {
            return Ok(Format::Gif);
        }
        if starts(b"II*\0") || starts(b"MM\0*") || starts(b"II+\0") || starts(b"MM\0+") {
            return Ok(Format::Tiff);
        }
        // Two letters are little, so the size of the header behind them has to fit too.
        if starts(b"BM")
            && bytes
                .get(14)
                .is_some_and(|size| [12, 16, 40, 52, 56, 64, 108, 124].contains(size))
        {
            return Ok(Format::Bmp);
        }
        Err(other(bytes))
    }
}

/// What else it is, as far as the first bytes tell.
fn other(bytes: &[u8]) -> Refusal {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let holds = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let picture =
        |name: &str| Refusal::Unsupported(format!("it is a {name} picture (convert it to JPEG or PNG)"));
    let brand = bytes.get(8..12).filter(|_| holds(4, b"ftyp"));
    match brand {
        Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"mif1" | b"msf1") => return picture("HEIC"),
        Some(b"avif" | b"avis") => return picture("AVIF"),
        Some(b"crx ") => return picture("raw camera"),
        Some(_) => return Refusal::NotAPicture(Some("a film")),
        None => {}
    }
    if starts(b"\0\0\0\x0cjP  ") || starts(b"\xff\x4f\xff\x51") {
        return picture("JPEG 2000");
    }
    if starts(b"\xff\x0a") || starts(b"\0\0\0\x0cJXL ") {
        return picture("JPEG XL");
    }
    if starts(b"8BPS") {
        return picture("Photoshop");
    }
    if holds(128, b"DICM") {
        return picture("DICOM");
    }
    let text = bytes.trim_ascii_start();
    let text = text.get(..text.len().min(256)).unwrap_or_default();
    let says = |word: &[u8]| {
        text.windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    };
    let found = match () {
        () if starts(b"%PDF") => Some("a PDF document"),
        () if starts(b"PK\x03\x04") => Some("a ZIP archive"),
        () if starts(b"\x1f\x8b") => Some("a gzip archive"),
        () if holds(257, b"ustar") => Some("a tar archive"),
        () if says(b"<svg") => Some("an SVG drawing"),
        () if says(b"<!doctype html") || says(b"<html") => Some("a web page"),
        () if bytes.iter().all(|byte| *byte == 0) => Some("nothing but zeros"),
        () => None,
    };
    Refusal::NotAPicture(found)
}
