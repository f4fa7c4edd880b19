//! What a picture may cost, and how a picture is refused.

use std::fmt;

use crate::placement::PixelSize;

/// What one picture may cost at most. Sizes are checked as a file declares them, before
/// anything of that size is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a file.
    pub bytes: u64,
    /// Most pixels, width times height.
    pub pixels: u64,
    /// Most bytes of memory while it is decoded, the file itself not counted.
    pub memory: u64,
}

impl Default for Limits {
    /// 128 MiB, 100 million pixels, 1 GiB.
    fn default() -> Limits {
        Limits {
            bytes: 128 << 20,
            pixels: 100_000_000,
            memory: 1 << 30,
        }
    }
}

impl Limits {
    /// Whether a file of this many bytes may be read.
    ///
    /// # Errors
    /// Where it is empty or too large.
    pub fn check_bytes(&self, bytes: u64) -> Result<(), Refusal> {
        match bytes {
            0 => Err(Refusal::Empty),
            bytes if bytes > self.bytes => Err(Refusal::TooManyBytes {
                bytes,
                most: self.bytes,
            }),
            _ => Ok(()),
        }
    }

    /// The declared size, if it is a size and within the limit.
    ///
    /// # Errors
    /// Where a side is zero, or there are too many pixels.
    pub(crate) fn check_size(&self, width: u32, height: u32) -> Result<PixelSize, Refusal> {
        let size = PixelSize::new(width, height)
            .ok_or_else(|| Refusal::Damaged(format!("it says that it is {width} × {height} pixels")))?;
        match size.pixels() > self.pixels {
            true => Err(Refusal::TooManyPixels {
                size,
                most: self.pixels,
            }),
            false => Ok(size),
        }
    }

    /// Whether decoding may take this many bytes.
    ///
    /// # Errors
    /// Where it may not.
    pub(crate) fn check_memory(&self, memory: u64) -> Result<(), Refusal> {
        match memory > self.memory {
            true => Err(Refusal::TooMuchMemory {
                memory,
                most: self.memory,
            }),
            false => Ok(()),
        }
    }
}

/// Why a file gives no picture: the `reason` of a row of rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no bytes.
    Empty,
    /// It is larger than the limit.
    TooManyBytes {
        /// Its size.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// Its content is no picture in a known format; says what it looks like, where that is known.
    NotAPicture(Option<&'static str>),
    /// A picture in a format or of a sort that can't be read.
    Unsupported(String),
    /// It declares more pixels than the limit.
    TooManyPixels {
        /// The declared size.
        size: PixelSize,
        /// The limit.
        most: u64,
    },
    /// Decoding it would take more memory than the limit.
    TooMuchMemory {
        /// How much it would take.
        memory: u64,
        /// The limit.
        most: u64,
    },
    /// Its data end too early.
    Truncated,
    /// Its data are wrong.
    Damaged(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Empty => f.write_str("the file is empty"),
            Refusal::TooManyBytes { bytes, most } => {
                write!(f, "the file has {bytes} bytes, and the limit is {most}")
            }
            Refusal::NotAPicture(None) => {
                f.write_str("its content is no JPEG, PNG, WebP, BMP, TIFF or GIF picture")
            }
            Refusal::NotAPicture(Some(found)) => {
                write!(f, "its content is {found}, not a picture that is read")
            }
            Refusal::Unsupported(what) => write!(f, "{what}, which is not supported"),
            Refusal::TooManyPixels { size, most } => write!(
                f,
                "it has {} × {} = {} pixels, and the limit is {most}",
                size.width,
                size.height,
                size.pixels()
            ),
            Refusal::TooMuchMemory { memory, most } => {
                write!(
                    f,
                    "decoding it takes {memory} bytes of memory, and the limit is {most}"
                )
            }
            Refusal::Truncated => f.write_str("the picture is cut off: its data end too early"),
            Refusal::Damaged(how) => write!(f, "the picture is damaged: {how}"),
        }
    }
}

impl std::error::Error for Refusal {}
