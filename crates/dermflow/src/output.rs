//! Printing where a reader may have left.
//!
//! Whoever has seen enough, such as `head`, closes the pipe, and the standard library's `print!`
//! panics then. The macros of this module have the names of the standard library's and take their
//! place in all of this crate. A verb whose reader left does all that it was asked to do, quietly,
//! and ends with the code that it would have ended with: a clean-up that nobody reads of is still
//! one that was asked for.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use crate::exit::{Done, Failure};

/// As the standard library's, and never panics.
macro_rules! print {
    ($($text:tt)*) => { $crate::output::to_stdout(format_args!($($text)*)) };
}

/// As the standard library's, and never panics.
macro_rules! println {
    ($($text:tt)*) => { $crate::output::to_stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// As the standard library's, and never panics.
macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::to_stderr(format_args!($($text)*)) };
}

/// As the standard library's, and never panics.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::output::to_stderr(format_args!("{}\n", format_args!($($text)*))) };
}

/// The first thing that stood in the way of standard output, other than that nobody reads it.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// What [`print!`] calls.
pub fn to_stdout(text: Arguments<'_>) {
    keep(io::stdout().write_fmt(text));
}

/// What [`eprint!`] calls. Where standard error can't be written, there is nowhere to say so.
pub fn to_stderr(text: Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// Writes out what was printed.
///
/// # Errors
/// Where some of it could not be written, though somebody reads: a disk that is full.
pub fn finish() -> Done {
    keep(io::stdout().flush());
    match FAILED.get() {
        None => Ok(()),
        Some(error) => Err(Failure::new(format!("writing to standard output: {error}"))),
    }
}

fn keep(done: io::Result<()>) {
    if let Err(error) = done
        && error.kind() != ErrorKind::BrokenPipe
    {
        // The first one says the most.
        let _ = FAILED.set(error);
    }
}
