//! What `ingest` is told.

use dermflow_core::Problem;
use dermflow_vision::limits::Limits;
use dermflow_vision::placement::{PixelSize, ResizeMode};
use dermflow_vision::resize::ResizeFilter;
use dermflow_vision::stored_picture::Settings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;

/// What `ingest` is told under `with:`.
///
/// The format of a file is told by its content. Exif orientation is applied; colour profiles,
/// gamma and primaries that a PNG declares (unless it says that it is sRGB), palettes, ink (CMYK),
/// 16 bits, grey and opacity end as sRGB of 8 bits; animations give their first
/// frame. A file that is cut off or damaged is refused, even where a part of it could be
/// shown. Nothing of a file's metadata (place, time, camera, thumbnail) is stored. Files of
/// the same bytes are one sample; the first by name is kept, the others are `duplicates`.
/// Results are the same whatever the number of threads.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Ingest")]
pub struct IngestParameters {
    /// The folder with the pictures, relative to the pipeline file. Everything below it
    /// counts, or, with the input `files` wired, those files of it that the input lists. Left
    /// out: the pictures are in the input `files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<String>,
    /// Only files whose path below `root` matches one of these patterns: `*` within a name,
    /// `**` across folders, `?`, `{a,b}`. None: all files, so that whatever is no picture
    /// becomes a reject.
    #[serde(default)]
    pub(super) matching: Vec<String>,
    /// The stored size in pixels: the side of a square, or `{width: 320, height: 240}`. Left
    /// out: each picture keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<StoredSize>,
    /// How a picture of another shape gets there.
    #[serde(default)]
    pub(super) mode: ResizeMode,
    /// The resampling filter. Shrinking averages with every filter.
    #[serde(default)]
    pub(super) filter: ResizeFilter,
    /// Red, green and blue (0 to 255) of what shows through where a picture is transparent.
    #[serde(default = "white")]
    pub(super) background: [u8; 3],
    /// Red, green and blue of a letterbox's bars.
    #[serde(default)]
    pub(super) bars: [u8; 3],
    /// Reads columns from a file's path below `root`: `{label}/{group}_*.jpg` makes `label` of
    /// the folder and `group` (the patient) of the name up to the first `_`. `{name}` takes
    /// one or more characters, as few as fit, but no `/`; `*` any number of characters but
    /// `/`; `**/` any folders or none; other characters stand for themselves. Names other than
    /// `label` and `group` become text columns. A file whose path doesn't fit is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<String>,
    /// Adds a column `perceptual_hash` (integer): 64 bits of which copies of one picture
    /// share nearly all. Near-duplicates differ in few bits.
    #[serde(default)]
    pub(super) perceptual_hash: bool,
    /// What one picture may cost; what costs more is refused.
    #[serde(default)]
    pub(super) limits: LimitParameters,
}

fn white() -> [u8; 3] {
    [255; 3]
}

/// A stored size. Both spellings of a square become one value, so that a spelling doesn't move
/// the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "WrittenSize")]
pub(super) struct StoredSize {
    width: u32,
    height: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number of pixels (1 to 16384), or {width: PIXELS, height: PIXELS}"
)]
enum WrittenSize {
    /// The side of a square, in pixels.
    Side(#[schemars(range(min = 1, max = 16384))] u32),
    /// Two sides.
    Sides(Sides),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sides {
    /// In pixels.
    #[schemars(range(min = 1, max = 16384))]
    width: u32,
    /// In pixels.
    #[schemars(range(min = 1, max = 16384))]
    height: u32,
}

impl From<WrittenSize> for StoredSize {
    fn from(written: WrittenSize) -> StoredSize {
        match written {
            WrittenSize::Side(side) => StoredSize {
                width: side,
                height: side,
            },
            WrittenSize::Sides(Sides { width, height }) => StoredSize { width, height },
        }
    }
}

/// What one picture may cost. All of it is checked as a file declares it, before anything of
/// that size is made: a small file can declare billions of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitParameters {
    /// Most bytes of a file.
    #[schemars(range(min = 1))]
    pub(super) bytes: u64,
    /// Most pixels, width times height.
    #[schemars(range(min = 1))]
    pub(super) pixels: u64,
    /// Most bytes of memory that decoding takes, of one picture and of all that are decoded at
    /// one time by one thread of the run; a picture that would need more is refused.
    #[schemars(range(min = 1_000_000))]
    pub(super) memory: u64,
}

impl Default for LimitParameters {
    fn default() -> LimitParameters {
        let Limits {
            bytes,
            pixels,
            memory,
        } = Limits::default();
        LimitParameters {
            bytes,
            pixels,
            memory,
        }
    }
}

impl IngestParameters {
    pub(super) fn limits(&self) -> Limits {
        let LimitParameters {
            bytes,
            pixels,
            memory,
        } = self.limits;
        Limits {
            bytes,
            pixels,
            memory,
        }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            size: self.size.and_then(|size| PixelSize::new(size.width, size.height)),
            mode: self.mode,
            filter: self.filter,
            background: self.background,
            bars: self.bars,
        }
    }

    pub(super) fn compiled_pattern(&self) -> Result<Option<Pattern>, Problem> {
        let compiled = self.pattern.as_deref().map(Pattern::new).transpose();
        compiled.map_err(|message| Problem::new("pattern", message))
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.root.is_none() && !self.matching.is_empty() {
            problems.push(Problem::new(
                "matching",
                "without `root` there is no folder whose files could match",
            ));
        }
        let side = |side: u32| (1..=16384).contains(&side);
        if self
            .size
            .is_some_and(|size| !side(size.width) || !side(size.height))
        {
            problems.push(Problem::new("size", "a side has 1 to 16384 pixels"));
        }
        problems.extend(self.compiled_pattern().err());
        problems
    }
}
