//! What `import-boxes` is told, and what that means for a row of a table.

use std::collections::BTreeMap;

use dermflow_core::{Contract, Problem, TableType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::annotations::{
    AnnotationFile, AnnotationFormat, ForeignRow, Mark, MaskParameters, MatchBy, Outside, Rules, Size,
    TableLayout, Turned, Unit, YoloParameters,
};
use crate::import_table::ImportedColumn;

/// What `import-boxes` is told under `with:`.
///
/// A box is refused where its image is unknown or ambiguous, its class unknown, its corners
/// reversed, a side 0 or no number, or where it reaches out of the picture. Boxes are
/// kept in fractions of the *oriented* original. A file that states the size of its pictures
/// may have been drawn on scaled copies; where the stated sides are those of the sample the other
/// way round, the tool showed the file as stored, and `turned` decides. A quarter turn of a
/// square picture, and half turns, can't be seen.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ImportBoxes")]
pub struct ImportBoxesParameters {
    /// The file or folder, relative to the pipeline file.
    pub path: String,
    /// Its format. `auto` is a table, by its extension.
    #[serde(default)]
    pub format: AnnotationFormat,
    /// Of a folder, only files whose path matches one of these patterns: `*` within a name, `**`
    /// across folders, `?`, `{a,b}`. None: those with the format's usual extensions.
    #[serde(default)]
    pub matching: Vec<String>,
    /// Tables: the column that names the image.
    #[serde(default = "image")]
    pub image: String,
    /// Tables: the column of the class. Left out, as in masks: the sample's label from the input
    /// `labels`, or `class`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Tables: the columns of the box.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub bounds: Option<BoxColumns>,
    /// Tables: what the coordinates count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Tables: the columns with the width and height of the picture that was drawn on, where the
    /// table has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[String; 2]>,
    /// Tables: further columns that come along, as in `import-table`.
    #[serde(default)]
    pub columns: BTreeMap<String, ImportedColumn>,
    /// Tables: spellings of a missing value. Left out: the empty text in CSV and TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<Vec<String>>,
    /// Tables: what stands between the values. Left out: a comma in CSV, a tab in TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The class of boxes that have none, neither in the file nor from `labels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The known classes; boxes of others are refused. None: all are taken. For YOLO these are
    /// the names by number.
    #[serde(default)]
    pub classes: Vec<String>,
    /// How images are found among the samples.
    #[serde(default, rename = "match")]
    pub match_by: MatchBy,
    /// What becomes of a box that reaches out of its picture by more than `tolerance`.
    #[serde(default)]
    pub outside: Outside,
    /// By which fraction of the picture's side a box may reach out; that much is cut off.
    #[serde(default = "tolerance")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tolerance: f64,
    /// Boxes drawn on the file as stored, before its EXIF orientation is applied.
    #[serde(default)]
    pub turned: Turned,
    /// Pascal VOC: whether pixels are counted from 1, as the VOC data sets do. Most tools that
    /// write the format count from 0.
    #[serde(default)]
    pub one_based: bool,
    /// YOLO: how classes are named.
    #[serde(default)]
    pub yolo: YoloParameters,
    /// Masks: how they become boxes.
    #[serde(default)]
    pub masks: MaskParameters,
}

fn image() -> String {
    "image".to_string()
}

fn tolerance() -> f64 {
    0.01
}

/// Which four columns make a box, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BoxColumns {
    /// x and y of the corner at the top left, then of the one at the bottom right.
    Corners([String; 4]),
    /// x and y of the corner at the top left, then width and height.
    CornerAndSize([String; 4]),
    /// x and y of the centre, then width and height.
    CentreAndSize([String; 4]),
}

impl BoxColumns {
    fn names(&self) -> &[String; 4] {
        match self {
            BoxColumns::Corners(names)
            | BoxColumns::CornerAndSize(names)
            | BoxColumns::CentreAndSize(names) => names,
        }
    }
}

impl ImportBoxesParameters {
    /// The file as the readers take it.
    pub fn file(&self) -> AnnotationFile<'_> {
        AnnotationFile {
            path: &self.path,
            format: self.format,
            matching: &self.matching,
            classes: &self.classes,
            one_based: self.one_based,
            yolo: &self.yolo,
            masks: &self.masks,
        }
    }

    /// Which boxes are sound.
    pub fn rules(&self) -> Rules {
        Rules {
            outside: self.outside,
            tolerance: self.tolerance,
            turned: self.turned,
        }
    }

    /// The output's type.
    pub fn boxes(&self) -> TableType {
        let mut columns = Contract::named("Boxes")
            .map(Contract::columns)
            .unwrap_or_default();
        let more = self.columns.iter().map(|(name, declared)| declared.named(name));
        columns.extend(more);
        TableType {
            contract: "Boxes".to_string(),
            columns,
            open: false,
        }
    }

    /// The table's columns as the readers take them.
    pub fn layout(&self) -> TableLayout<'_> {
        let coordinates = self.bounds.iter().flat_map(|bounds| bounds.names());
        let numbers = coordinates.chain(self.size.iter().flatten());
        TableLayout {
            image: &self.image,
            texts: self.label.iter().map(String::as_str).collect(),
            numbers: numbers.map(String::as_str).collect(),
            columns: &self.columns,
            null: &self.null,
            delimiter: self.delimiter,
        }
    }

    /// The class in a row, where it has one.
    pub fn label_of(&self, row: &ForeignRow<'_>) -> Option<String> {
        row.text(self.label.as_deref()?).map(str::to_string)
    }

    /// The box in a row.
    ///
    /// # Errors
    /// The reason for which it is refused.
    pub fn mark(&self, row: &ForeignRow<'_>) -> Result<Mark, String> {
        let (Some(bounds), Some(unit)) = (&self.bounds, self.unit) else {
            return Err("`box` and `unit` don't say where its box is".to_string());
        };
        let mut numbers = [0.0; 4];
        for (number, name) in numbers.iter_mut().zip(bounds.names()) {
            *number = row.number(name).ok_or_else(|| format!("`{name}` is missing"))?;
        }
        let stated = match &self.size {
            None => None,
            Some([width, height]) => {
                let sides = row.number(width).zip(row.number(height));
                let size = sides.and_then(|(width, height)| Size::new(width, height));
                Some(size.ok_or_else(|| format!("`{width}` and `{height}` give no size of a picture"))?)
            }
        };
        Ok(match bounds {
            BoxColumns::Corners(_) => Mark {
                corners: numbers,
                unit,
                stated,
            },
            BoxColumns::CornerAndSize(_) => Mark::of_corner_and_size(numbers, unit, stated),
            BoxColumns::CentreAndSize(_) => Mark::of_centre_and_size(numbers, unit, stated),
        })
    }

    /// What ranges and types don't say.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.file().problems();
        let table = self.format.is_table();
        if self.format == AnnotationFormat::FolderNames {
            problems.push(Problem::new(
                "format",
                "names of folders give labels, and no boxes",
            ));
        }
        if table && self.bounds.is_none() {
            let help = "write `box: {corners: [x0, y0, x1, y1]}`, `{corner-and-size: […]}` or \
                        `{centre-and-size: […]}` with the names of the columns";
            problems.push(Problem::new("box", "it is missing: which columns make the box?").with_help(help));
        }
        if table && self.unit.is_none() {
            let help = "write `unit: pixels`, `fractions` or `percent`";
            problems
                .push(Problem::new("unit", "it is missing: what do the coordinates count?").with_help(help));
        }
        let only_tables = [
            (self.label.is_some(), "label"),
            (self.bounds.is_some(), "box"),
            (self.unit.is_some(), "unit"),
            (self.size.is_some(), "size"),
            (!self.columns.is_empty(), "columns"),
        ];
        problems.extend(tables_only(table, only_tables));
        if !(0.0..=1.0).contains(&self.tolerance) {
            problems.push(Problem::new("tolerance", "must lie between 0 and 1"));
        }
        let taken = ["label", "x", "y", "w", "h"];
        problems.extend(reserved(&self.columns, &taken));
        if table {
            problems.extend(self.layout().parameters(self.file()).problems());
        }
        problems
    }
}

/// Parameters that only tables use, given for another format.
pub fn tables_only<'a>(
    table: bool,
    given: impl IntoIterator<Item = (bool, &'a str)>,
) -> impl Iterator<Item = Problem> {
    let useless = given.into_iter().filter(move |(given, _)| *given && !table);
    useless.map(|(_, name)| Problem::new(name, "only tables use it"))
}

/// Columns that come along under a name that the output gives to one of its own.
pub fn reserved(columns: &BTreeMap<String, ImportedColumn>, taken: &[&str]) -> Vec<Problem> {
    let clashes = columns.keys().filter(|name| taken.contains(&name.as_str()));
    clashes
        .map(|name| {
            let message = format!("the output has a column `{name}` of its own");
            Problem::new(format!("columns.{name}"), message).with_help("give it another name, with `from`")
        })
        .collect()
}
