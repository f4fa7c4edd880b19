//! Which file or folder holds annotations, in which format, and how it is read.

use std::path::Path;

use dermflow_core::{NamedFile, Problem, Source, StageContext, StageError, Take};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EachFound, coco, cvat, label_studio, masks, pascal_voc, yolo};
use crate::import_table::file_name;

/// A format of annotations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnnotationFormat {
    /// A table, by its extension: csv, tsv, json (one list of objects), jsonl or ndjson, parquet.
    #[default]
    Auto,
    /// A table: values between commas, quoted with `"` where needed.
    Csv,
    /// A table: values between tabs.
    Tsv,
    /// A table: one JSON list of objects.
    Json,
    /// A table: one JSON object a line.
    JsonLines,
    /// A table: Parquet.
    Parquet,
    /// COCO JSON.
    Coco,
    /// A folder of Pascal VOC XML files.
    PascalVoc,
    /// The annotations.xml of CVAT for images 1.1.
    Cvat,
    /// A folder of YOLO text files, one an image.
    Yolo,
    /// Label Studio's JSON export.
    LabelStudio,
    /// A folder of masks, one picture an image: boxes only.
    Masks,
    /// No file: the folder of each sample's source is its label. Labels only.
    FolderNames,
}

impl AnnotationFormat {
    /// Whether it is a table, with columns to be named.
    pub fn is_table(self) -> bool {
        use AnnotationFormat::{Auto, Csv, Json, JsonLines, Parquet, Tsv};
        matches!(self, Auto | Csv | Tsv | Json | JsonLines | Parquet)
    }

    /// What is taken of the path.
    fn take(self, matching: &[String]) -> Take {
        let usual = match self {
            AnnotationFormat::PascalVoc => "**/*.xml",
            AnnotationFormat::Yolo => "**/*.txt",
            AnnotationFormat::Masks => "**/*.{png,jpg,jpeg,bmp,tif,tiff,webp,gif,PNG,JPG,JPEG,BMP,TIF,TIFF}",
            _ => return Take::File,
        };
        let matching = match matching.is_empty() {
            true => vec![usual.to_string()],
            false => matching.to_vec(),
        };
        Take::Folder { matching }
    }

    fn is_folder(self) -> bool {
        self.take(&[]) != Take::File
    }
}

/// How masks become boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MaskParameters {
    /// Whether a mask is one box, or each component of it (pixels that touch at a side or a
    /// corner).
    #[serde(default)]
    pub per: MasksPer,
    /// What the names of masks have more than those of their images, before the extension, such
    /// as `_segmentation`.
    #[serde(default)]
    pub suffix: String,
    /// From which grey value, 0 to 255, a pixel is marked.
    #[serde(default = "half")]
    pub threshold: u8,
    /// Which share of the mask's pixels a box's pixels must have at least; smaller ones are left
    /// out.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_area: f64,
}

fn half() -> u8 {
    128
}

impl MaskParameters {
    /// What holds where nothing is said.
    pub const NONE: MaskParameters = MaskParameters {
        per: MasksPer::Whole,
        suffix: String::new(),
        threshold: 128,
        min_area: 0.0,
    };
}

impl Default for MaskParameters {
    fn default() -> MaskParameters {
        MaskParameters::NONE
    }
}

/// What of a mask is one box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MasksPer {
    /// All that is marked.
    #[default]
    Whole,
    /// Each component.
    Component,
}

/// How YOLO files name classes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct YoloParameters {
    /// A file with the class names: one a line, or YAML with `names`. Left out: `classes`, or the
    /// file classes.txt of the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_file: Option<String>,
}

/// A file or folder of annotations, as a kind was told.
#[derive(Clone, Copy, Debug)]
pub struct AnnotationFile<'a> {
    /// The path as written.
    pub path: &'a str,
    /// Its format.
    pub format: AnnotationFormat,
    /// Which files of a folder; none: those of the format.
    pub matching: &'a [String],
    /// The known classes; for YOLO, by number.
    pub classes: &'a [String],
    /// For Pascal VOC: whether pixels are counted from 1.
    pub one_based: bool,
    /// For YOLO.
    pub yolo: &'a YoloParameters,
    /// For masks.
    pub masks: &'a MaskParameters,
}

/// Where YOLO class names may lie in the folder, as LabelImg writes them.
const CLASSES_FILE: &str = "classes.txt";

impl AnnotationFile<'_> {
    /// The sources of the kind.
    pub fn sources(&self) -> Vec<Source> {
        if self.format == AnnotationFormat::FolderNames {
            return Vec::new();
        }
        let mut sources = vec![Source {
            parameter: "path".to_string(),
            path: self.path.to_string(),
            take: self.format.take(self.matching),
        }];
        if let Some(path) = self.class_file() {
            sources.push(Source {
                parameter: "yolo.class-file".to_string(),
                path: path.to_string(),
                take: Take::File,
            });
        }
        sources
    }

    fn class_file(&self) -> Option<&str> {
        let yolo = self.format == AnnotationFormat::Yolo;
        self.yolo.class_file.as_deref().filter(|_| yolo)
    }

    /// Parameters that the format has no use for.
    pub fn problems(&self) -> Vec<Problem> {
        use AnnotationFormat::{FolderNames, Masks, PascalVoc, Yolo};
        let mut problems = Vec::new();
        let mut only = |given: bool, parameter: &str, fits: bool, what: &str| {
            if given && !fits {
                problems.push(Problem::new(parameter, format!("only {what} use it")));
            }
        };
        only(
            !self.matching.is_empty(),
            "matching",
            self.format.is_folder(),
            "folders of files",
        );
        only(
            self.one_based,
            "one-based",
            self.format == PascalVoc,
            "Pascal VOC files",
        );
        only(
            *self.yolo != YoloParameters::default(),
            "yolo",
            self.format == Yolo,
            "YOLO files",
        );
        only(
            *self.masks != MaskParameters::default(),
            "masks",
            self.format == Masks,
            "masks",
        );
        if self.path.is_empty() != (self.format == FolderNames) {
            let message = match self.path.is_empty() {
                true => "it is missing: which file or folder holds the annotations?",
                false => "with `format: folder-names` there is no file",
            };
            problems.push(Problem::new("path", message));
        }
        if !(0.0..=1.0).contains(&self.masks.min_area) {
            problems.push(Problem::new("masks.min-area", "must lie between 0 and 1"));
        }
        problems
    }

    /// What messages call the file.
    pub fn name(&self, path: &Path) -> String {
        file_name(self.path, path)
    }

    /// Reads all of it, where it is no table.
    ///
    /// # Errors
    /// Where a file can't be read, is of another format altogether, or `each` fails.
    pub fn read(&self, context: &dyn StageContext, each: EachFound<'_>) -> Result<(), StageError> {
        if self.format.is_folder() {
            return self.read_folder(context, each);
        }
        let path = context.source("path")?;
        let (bytes, file) = (bytes_of(&path)?, self.name(&path));
        match self.format {
            AnnotationFormat::Coco => coco::read(&bytes, &file, each),
            AnnotationFormat::Cvat => cvat::read(&bytes, &file, each),
            AnnotationFormat::LabelStudio => label_studio::read(&bytes, &file, each),
            other => Err(StageError::new(format!("{file}: {other:?} is read elsewhere"))),
        }
    }

    fn read_folder(&self, context: &dyn StageContext, each: EachFound<'_>) -> Result<(), StageError> {
        let files = context.source_files("path")?;
        let classes = match self.format {
            AnnotationFormat::Yolo => self.yolo_classes(&files, context)?,
            _ => Vec::new(),
        };
        for (done, NamedFile { name, path }) in files.iter().enumerate() {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            if done.is_multiple_of(64) {
                context.progress(done as u64, Some(files.len() as u64));
            }
            let is_classes = name.rsplit('/').next() == Some(CLASSES_FILE);
            match self.format {
                AnnotationFormat::Yolo if is_classes => {}
                AnnotationFormat::Yolo => yolo::read(&bytes_of(path)?, name, &classes, each)?,
                AnnotationFormat::Masks => masks::read(&bytes_of(path)?, name, self.masks, each)?,
                _ => pascal_voc::read(&bytes_of(path)?, name, self.one_based, each)?,
            }
        }
        Ok(())
    }

    /// The class names of YOLO files: from `classes`, from the class file, or from the folder.
    fn yolo_classes(
        &self,
        files: &[NamedFile],
        context: &dyn StageContext,
    ) -> Result<Vec<String>, StageError> {
        let path = match (self.class_file(), self.classes) {
            (Some(_), _) => context.source("yolo.class-file")?,
            (None, []) => match files.iter().find(|file| file.name == CLASSES_FILE) {
                Some(file) => file.path.clone(),
                None if files.is_empty() => return Ok(Vec::new()),
                None => {
                    let message = "the names of the classes are not told";
                    let help = "name them in order under `classes`, or give a `yolo: {class-file: …}`";
                    return Err(StageError::new(message).with_help(help));
                }
            },
            (None, classes) => return Ok(classes.to_vec()),
        };
        let names = yolo::class_names(&bytes_of(&path)?);
        names.map_err(|reason| StageError::new(format!("{}: {reason}", path.display())))
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, StageError> {
    std::fs::read(path).map_err(|error| StageError::io("reading", path, &error))
}
