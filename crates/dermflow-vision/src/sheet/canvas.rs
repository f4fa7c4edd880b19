//! A picture to draw on. Letters are the X11 bitmap fonts that `embedded-graphics` carries,
//! which are in the public domain. Must not know what is drawn.

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_5X8, FONT_6X12, FONT_7X13_BOLD, FONT_9X15_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::text::{Baseline, Text};

use crate::picture::Picture;

/// The fonts of a sheet.
#[derive(Clone, Copy)]
pub enum Font {
    Title,
    Caption,
    Note,
    Tag,
}

impl Font {
    fn mono(self) -> &'static MonoFont<'static> {
        match self {
            Font::Title => &FONT_9X15_BOLD,
            Font::Caption => &FONT_7X13_BOLD,
            Font::Note => &FONT_6X12,
            Font::Tag => &FONT_5X8,
        }
    }

    /// Pixels from letter to letter.
    fn advance(self) -> usize {
        let font = self.mono();
        (font.character_size.width + font.character_spacing) as usize
    }

    /// A text as long as there is room for, with two dots where something was left out.
    fn fitted(self, text: &str, room: usize) -> String {
        let letters = room / self.advance().max(1);
        match text.chars().count() <= letters {
            true => text.to_string(),
            false => {
                let kept: String = text.chars().take(letters.saturating_sub(2)).collect();
                kept + &".."[..letters.min(2)]
            }
        }
    }
}

/// The picture at work.
pub struct Canvas(Picture);

impl Canvas {
    pub fn new(width: usize, height: usize, paper: [u8; 3]) -> Canvas {
        Canvas(Picture::filled(width, height, paper))
    }

    pub fn width(&self) -> usize {
        self.0.width()
    }

    pub fn into_picture(self) -> Picture {
        self.0
    }

    fn dot(&mut self, column: usize, row: usize, colour: [u8; 3]) {
        if column < self.0.width() && row < self.0.height() {
            self.0.set(column, row, colour);
        }
    }

    pub fn fill(&mut self, [left, top]: [usize; 2], [width, height]: [usize; 2], colour: [u8; 3]) {
        for row in top..top + height {
            for column in left..left + width {
                self.dot(column, row, colour);
            }
        }
    }

    pub fn paste(&mut self, picture: &Picture, [left, top]: [usize; 2]) {
        for row in 0..picture.height() {
            for column in 0..picture.width() {
                self.dot(left + column, top + row, picture.at(column, row));
            }
        }
    }

    /// A frame of one pixel, with a dark one around it that sets it off from any picture.
    pub fn outline(&mut self, [left, top]: [usize; 2], [width, height]: [usize; 2], colour: [u8; 3]) {
        let frame = |canvas: &mut Canvas, inset: usize, colour: [u8; 3]| {
            if width <= 2 * inset || height <= 2 * inset {
                return;
            }
            let [left, top] = [left + inset, top + inset];
            let [width, height] = [width - 2 * inset, height - 2 * inset];
            canvas.fill([left, top], [width, 1], colour);
            canvas.fill([left, top + height - 1], [width, 1], colour);
            canvas.fill([left, top], [1, height], colour);
            canvas.fill([left + width - 1, top], [1, height], colour);
        };
        frame(self, 2, [0x18, 0x18, 0x1a]);
        frame(self, 0, colour);
        frame(self, 1, colour);
    }

    /// A word on a patch of colour.
    pub fn tag(&mut self, word: &str, [left, top]: [usize; 2], colour: [u8; 3], room: usize) {
        let word = Font::Tag.fitted(word, room.saturating_sub(4));
        if word.is_empty() {
            return;
        }
        let width = word.chars().count() * Font::Tag.advance() + 3;
        self.fill([left, top], [width, 10], colour);
        let light: u32 = colour
            .iter()
            .zip([3, 6, 1])
            .map(|(value, weight)| u32::from(*value) * weight)
            .sum();
        let ink = if light > 1400 { [0x10; 3] } else { [0xff; 3] };
        self.text(&word, [left + 2, top + 1], Font::Tag, ink, room);
    }

    /// A line of text below and right of a point.
    pub fn text(&mut self, text: &str, [left, top]: [usize; 2], font: Font, ink: [u8; 3], room: usize) {
        let fitted = font.fitted(text, room);
        let style = MonoTextStyle::new(font.mono(), Rgb888::new(ink[0], ink[1], ink[2]));
        let point = Point::new(left as i32, top as i32);
        // The target's error type has no value.
        let _ = Text::with_baseline(&fitted, point, style, Baseline::Top).draw(self);
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.0.width() as u32, self.0.height() as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Self::Error> {
        for Pixel(point, colour) in pixels {
            if let (Ok(column), Ok(row)) = (usize::try_from(point.x), usize::try_from(point.y)) {
                self.dot(column, row, [colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}
