//! Which sample an annotation means: the samples' sources, looked up by what a file calls them.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use dermflow_core::{SampleId, StageContext, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rectangle::Size;
use crate::columns::ids_of;

/// How the images that a file names are found among the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MatchBy {
    /// A sample id, where the file gives one or the name is one; else the file name, with the
    /// folders as far as both name them; a name without the extension of a picture, or one that
    /// comes from another file's name (YOLO, masks), by its stem.
    #[default]
    Auto,
    /// The whole source, as the samples have it.
    Source,
    /// The file name, whatever the folders.
    FileName,
    /// The file name without its extension, whatever the folders.
    Stem,
    /// The sample id, as 64 hexadecimal digits.
    SampleId,
}

/// What a file calls an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// The name or path.
    pub text: String,
    /// The sample id, where the file tells it.
    pub id: Option<SampleId>,
    /// Whether the name comes from that of another file, such as a mask: only the stem counts.
    pub is_stem: bool,
}

impl ImageName {
    /// As the file writes it.
    pub fn new(text: impl Into<String>) -> ImageName {
        ImageName {
            text: text.into(),
            id: None,
            is_stem: false,
        }
    }

    /// From the name of a file beside the image.
    pub fn of_stem(text: impl Into<String>) -> ImageName {
        ImageName {
            is_stem: true,
            ..ImageName::new(text)
        }
    }
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Image {
    /// Its id.
    pub id: SampleId,
    /// The size of the oriented original.
    pub size: Option<Size>,
}

/// All samples. Memory: about 100 bytes each.
#[derive(Debug, Default)]
pub struct Images {
    /// In order of their ids.
    images: Vec<Image>,
    sources: Vec<Box<str>>,
    /// Numbers of images in order of their file names, and of their stems.
    by_name: Vec<u32>,
    by_stem: Vec<u32>,
}

const SOURCE: &str = "source";
const WIDTH: &str = "original_width";
const HEIGHT: &str = "original_height";
const IMAGE_EXTENSIONS: [&str; 10] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "bmp", "tif", "tiff", "webp", "gif",
];

impl Images {
    /// The columns of the samples that are looked at.
    pub const COLUMNS: [&'static str; 3] = [SOURCE, WIDTH, HEIGHT];

    /// Reads the table wired to `port`.
    ///
    /// # Errors
    /// Where it can't be read, or the run is interrupted.
    pub fn read(context: &dyn StageContext, port: &str) -> Result<Images, StageError> {
        let mut images = Images::default();
        for batch in context.table(port)? {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            images.add(&batch?)?;
        }
        images.sort();
        Ok(images)
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        let ids = ids_of(batch)?;
        let missing = || StageError::new("the samples came without a column that was declared");
        let column = |name: &str| batch.column_by_name(name).ok_or_else(missing);
        let sources = column(SOURCE)?.as_string_opt::<i32>().ok_or_else(missing)?;
        let sides = |name: &str| {
            column(name)?
                .as_primitive_opt::<Int64Type>()
                .cloned()
                .ok_or_else(missing)
        };
        let (widths, heights) = (sides(WIDTH)?, sides(HEIGHT)?);
        for row in 0..batch.num_rows() {
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            self.images.push(Image {
                id: SampleId::from_bytes(id),
                size: Size::new(widths.value(row) as f64, heights.value(row) as f64),
            });
            self.sources.push(tidy(sources.value(row)).into());
        }
        Ok(())
    }

    fn sort(&mut self) {
        let sources = &self.sources;
        let numbers = || (0..sources.len() as u32).collect::<Vec<u32>>();
        self.by_name = numbers();
        self.by_name.sort_by_key(|at| file_name(&sources[*at as usize]));
        self.by_stem = numbers();
        self.by_stem
            .sort_by_key(|at| stem(file_name(&sources[*at as usize])));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// All of them with their sources, in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&Image, &str)> {
        self.images
            .iter()
            .zip(self.sources.iter().map(|source| &**source))
    }

    /// The sample that is meant.
    ///
    /// # Errors
    /// The reason for which none or no single one is.
    pub fn find(&self, name: &ImageName, by: MatchBy) -> Result<&Image, String> {
        let text = tidy(&name.text);
        match by {
            MatchBy::SampleId => {
                let id = match name.id {
                    Some(id) => id,
                    None => text.parse().map_err(|_| {
                        format!(
                            "`{}` is no sample id, which has 64 hexadecimal digits",
                            shown(&text)
                        )
                    })?,
                };
                self.of_id(id)
                    .ok_or_else(|| format!("no sample has the id `{id}`"))
            }
            MatchBy::Source => {
                let named = self.named(file_name(&text));
                self.only(named.filter(|at| *self.sources[*at] == *text), &text, by)
            }
            MatchBy::FileName => self.only(self.named(file_name(&text)), &text, by),
            MatchBy::Stem => self.only(self.of_stem(stem(file_name(&text))), &text, by),
            MatchBy::Auto => self.guessed(name, &text),
        }
    }

    /// As [`MatchBy::Auto`] says.
    fn guessed(&self, name: &ImageName, text: &str) -> Result<&Image, String> {
        let file = file_name(text);
        let as_id = |file: &str| stem(file).parse::<SampleId>().ok();
        let plain = without_upload_prefix(file);
        let id = name.id.or_else(|| as_id(file)).or_else(|| plain.and_then(as_id));
        if let Some(image) = id.and_then(|id| self.of_id(id)) {
            return Ok(image);
        }
        if name.is_stem {
            return self.only(self.of_stem(stem(file)), text, MatchBy::Stem);
        }
        let agreeing = |file: &str| {
            let folders = &text[..text.len() - file_name(text).len()];
            let path = format!("{folders}{file}");
            let named = self
                .named(file)
                .filter(move |at| agree(&self.sources[*at], &path));
            named.collect::<Vec<usize>>()
        };
        let mut candidates = agreeing(file);
        if candidates.is_empty()
            && let Some(plain) = plain
        {
            // The tool put it into a folder of its own, so the folders tell nothing.
            candidates = self.named(plain).collect();
        }
        if candidates.is_empty() && !has_image_extension(file) {
            candidates = self.of_stem(file).collect();
        }
        self.only(candidates.into_iter(), text, MatchBy::Auto)
    }

    fn of_id(&self, id: SampleId) -> Option<&Image> {
        let at = self.images.binary_search_by(|image| image.id.cmp(&id)).ok()?;
        self.images.get(at)
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + use<'a> {
        equal(&self.by_name, move |at| file_name(&self.sources[at]).cmp(name))
    }

    fn of_stem<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = usize> + use<'a> {
        equal(&self.by_stem, move |at| {
            stem(file_name(&self.sources[at])).cmp(wanted)
        })
    }

    /// The one candidate; of several, the one with more of the last folders in common than any
    /// other. Rows of one sample are one candidate.
    fn only(
        &self,
        candidates: impl Iterator<Item = usize>,
        text: &str,
        by: MatchBy,
    ) -> Result<&Image, String> {
        let mut best: Vec<usize> = Vec::new();
        let mut most = 0;
        for at in candidates {
            let common = common_folders(&self.sources[at], text);
            if best.is_empty() || common > most {
                (best, most) = (vec![at], common);
            } else if common == most && self.images[best[0]].id != self.images[at].id {
                best.push(at);
            }
        }
        match best[..] {
            [at] => Ok(&self.images[at]),
            [] => Err(format!("no sample is called `{}`", shown(text))),
            _ => {
                best.sort_by_key(|at| &self.sources[*at]);
                let (first, second) = (&self.sources[best[0]], &self.sources[best[1]]);
                let advice = match by {
                    MatchBy::Source => "",
                    _ => "; name the folders, too",
                };
                Err(format!(
                    "`{}` may be {} samples, such as `{}` and `{}`{advice}",
                    shown(text),
                    best.len(),
                    shown(first),
                    shown(second)
                ))
            }
        }
    }
}

/// The numbers in `order` for which `compare` says equal.
fn equal<'a>(order: &'a [u32], compare: impl Fn(usize) -> Ordering + 'a) -> impl Iterator<Item = usize> + 'a {
    let first = order.partition_point(|at| compare(*at as usize) == Ordering::Less);
    let rest = order[first..].iter().map(|at| *at as usize);
    rest.take_while(move |at| compare(*at) == Ordering::Equal)
}

/// A path with `/` between its parts and nothing useless before.
fn tidy(path: &str) -> String {
    let path = path.trim().replace('\\', "/");
    path.strip_prefix("./").unwrap_or(&path).to_string()
}

/// At most 120 characters of a name, for a message.
fn shown(name: &str) -> String {
    name.chars().take(120).collect()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A file name without the extension of a picture.
fn stem(file: &str) -> &str {
    match file.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && is_image_extension(extension) => stem,
        _ => file,
    }
}

fn is_image_extension(extension: &str) -> bool {
    IMAGE_EXTENSIONS
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

fn has_image_extension(file: &str) -> bool {
    stem(file).len() < file.len()
}

/// Label Studio puts eight hexadecimal digits and a dash before the names of uploaded files.
fn without_upload_prefix(file: &str) -> Option<&str> {
    let (prefix, rest) = file.split_at_checked(9)?;
    let digits = prefix.strip_suffix('-')?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.bytes().all(hex) && !rest.is_empty()).then_some(rest)
}

/// Whether two paths name the same file as far as both name folders.
fn agree(a: &str, b: &str) -> bool {
    a.rsplit('/').zip(b.rsplit('/')).all(|(a, b)| a == b)
}

/// How many of the folders before the file name are the same, counted from the end.
fn common_folders(a: &str, b: &str) -> usize {
    let pairs = a.rsplit('/').skip(1).zip(b.rsplit('/').skip(1));
    pairs.take_while(|(a, b)| a == b).count()
}
