//! Changes colours of a picture for `benches/peers/recolour.py`, which compares the results
//! with Pillow's.
//!
//! Reads `WIDTH HEIGHT` raw RGB bytes from standard input and writes the picture changed by
//! `OPERATION FACTOR` (a factor of Pillow's `ImageEnhance`, or ignored) in the same form.

use std::io::{Read, Write};

use dermflow_vision::augment::{Affine, colour, warp};
use dermflow_vision::picture::Picture;

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [width, height, operation, factor] = words.as_slice() else {
        return Err("usage: recolour WIDTH HEIGHT OPERATION FACTOR < pixels > pixels".to_string());
    };
    let number = |text: &str| text.parse::<f64>().map_err(|error| format!("{text}: {error}"));
    let (width, height) = (number(width)? as usize, number(height)? as usize);
    let factor = number(factor)?;
    let mut pixels = Vec::new();
    let read = std::io::stdin().read_to_end(&mut pixels);
    read.map_err(|error| format!("reading standard input: {error}"))?;
    let length = pixels.len();
    let mut picture = Picture::of_pixels(width, height, pixels)
        .ok_or_else(|| format!("{length} bytes came; {width} × {height} × 3 were expected"))?;
    match operation.as_str() {
        "brightness" => colour::brightness(&mut picture, factor),
        "contrast" => colour::contrast(&mut picture, factor),
        "saturation" => colour::saturation(&mut picture, factor),
        "sharpness" => colour::sharpness(&mut picture, factor),
        "blur" => colour::blur(&mut picture, factor),
        "auto-contrast" => colour::auto_contrast(&mut picture),
        "equalize" => colour::equalize(&mut picture),
        "rotate" => {
            let moved = Affine::rotate(factor, [width as f64 / 2.0, height as f64 / 2.0]);
            picture = warp::warped(&picture, &moved, [128; 3]);
        }
        other => return Err(format!("no operation `{other}`")),
    }
    let written = std::io::stdout().write_all(picture.pixels());
    written.map_err(|error| format!("writing standard output: {error}"))
}
