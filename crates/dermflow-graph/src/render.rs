//! A diagnostic as text, laid out as compilers do. Knows nothing of what diagnostics say.

use crate::diagnostic::{Diagnostic, Severity};
use crate::place::Place;

/// Longer source lines are shown around the place only.
const WIDTH: usize = 100;

struct Palette {
    strong: &'static str,
    severity: &'static str,
    frame: &'static str,
    end: &'static str,
}

fn palette(colour: bool, severity: Severity) -> Palette {
    match (colour, severity) {
        (false, _) => Palette {
            strong: "",
            severity: "",
            frame: "",
            end: "",
        },
        (true, severity) => Palette {
            strong: "\x1b[1m",
            severity: if severity == Severity::Error {
                "\x1b[1;31m"
            } else {
                "\x1b[1;33m"
            },
            frame: "\x1b[1;34m",
            end: "\x1b[0m",
        },
    }
}

/// One diagnostic, ending in a line end.
pub(crate) fn render(diagnostic: &Diagnostic, colour: bool) -> String {
    let paint = palette(colour, diagnostic.severity);
    let Palette {
        strong,
        severity,
        frame,
        end,
    } = paint;
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let lines = diagnostic.notes.iter().map(|note| note.place.line);
    let gutter = lines
        .chain([diagnostic.place.line])
        .max()
        .unwrap_or(1)
        .to_string()
        .len();
    let mut out = format!(
        "{severity}{word}[{}]{end}{strong}: {}{end}\n",
        diagnostic.code,
        clean(&diagnostic.message)
    );
    excerpt(
        &mut out,
        gutter,
        &diagnostic.place,
        diagnostic.length,
        &diagnostic.source_line,
        '^',
        &paint,
    );
    for note in &diagnostic.notes {
        out.push_str(&format!("{strong}note{end}: {}\n", clean(&note.message)));
        excerpt(
            &mut out,
            gutter,
            &note.place,
            note.length,
            &note.source_line,
            '-',
            &paint,
        );
    }
    if let Some(help) = &diagnostic.help {
        out.push_str(&format!(
            "{:gutter$} {frame}={end} {strong}help{end}: {}\n",
            "",
            clean(help)
        ));
    }
    if !diagnostic.cells.is_empty() {
        out.push_str(&format!(
            "{:gutter$} {frame}={end} in: {}\n",
            "",
            clean(&cells(&diagnostic.cells))
        ));
    }
    out
}

/// The cells by name, and how many more where they are many.
fn cells(cells: &[String]) -> String {
    const SHOWN: usize = 4;
    let named: Vec<String> = cells.iter().take(SHOWN).map(|cell| format!("`{cell}`")).collect();
    match cells.len().saturating_sub(SHOWN) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// The place, the line that it is on and a mark below it.
fn excerpt(
    out: &mut String,
    gutter: usize,
    place: &Place,
    length: usize,
    line: &str,
    mark: char,
    paint: &Palette,
) {
    let Palette {
        severity, frame, end, ..
    } = paint;
    out.push_str(&format!(
        "{:gutter$}{frame}-->{end} {}\n",
        "",
        clean(&place.to_string())
    ));
    if line.trim().is_empty() {
        return;
    }
    let (shown, before, marked) = window(line, place.column.saturating_sub(1), length.max(1));
    let marks = mark.to_string().repeat(marked);
    out.push_str(&format!("{:gutter$} {frame}|{end}\n", ""));
    out.push_str(&format!(
        "{frame}{:>gutter$} |{end} {}\n",
        place.line,
        shown.trim_end()
    ));
    out.push_str(&format!(
        "{:gutter$} {frame}|{end} {:before$}{severity}{marks}{end}\n",
        "", ""
    ));
}

/// The part of a line to show, how far the mark is indented in it and how long it is.
fn window(line: &str, column: usize, length: usize) -> (String, usize, usize) {
    let letters: Vec<char> = line
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let column = column.min(letters.len());
    let start = if column + length > WIDTH {
        column.saturating_sub(WIDTH / 4)
    } else {
        0
    };
    let stop = letters.len().min(start + WIDTH);
    let mut shown: String = letters[start..stop].iter().collect();
    if start > 0 {
        shown.insert(0, '…');
    }
    if stop < letters.len() {
        shown.push('…');
    }
    let width = |letters: &[char]| letters.iter().map(|letter| columns(*letter)).sum::<usize>();
    let marked_to = (column + length)
        .min(stop.max(column + 1))
        .min(letters.len().max(column));
    let marked = width(&letters[column..marked_to]).max(1);
    (
        shown,
        width(&letters[start..column]) + usize::from(start > 0),
        marked,
    )
}

/// How many columns a terminal gives to a letter; wide for the East Asian blocks and emoji.
fn columns(letter: char) -> usize {
    match u32::from(letter) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Names from a file can't move the terminal's cursor.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => clean.push('\n'),
            letter if letter.is_control() => clean.extend(letter.escape_default()),
            letter => clean.push(letter),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let line = format!("{}here{}", "x".repeat(500), "y".repeat(500));
        let (shown, before, marked) = window(&line, 500, 4);
        let at: String = shown.chars().skip(before).take(marked).collect();
        assert_eq!(at, "here");
        assert!(shown.chars().count() <= WIDTH + 2);
    }

    #[test]
    fn the_mark_stays_below_wide_letters() {
        let (_, before, marked) = window("鼻: 皮膚", 3, 2);
        assert_eq!((before, marked), (4, 4));
    }

    #[test]
    fn a_place_past_the_end_of_its_line_is_no_panic() {
        assert_eq!(window("ab", 7, 3), ("ab".to_string(), 2, 1));
    }
}
