//! What `import-labels` is told, and what that means for a row of a table.

use std::collections::BTreeMap;

use dermflow_core::{Contract, Problem, TableType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deciding::Several;
use crate::annotations::{
    Annotation, AnnotationFile, AnnotationFormat, ForeignRow, MaskParameters, MatchBy, TableLayout,
    YoloParameters,
};
use crate::import_boxes::{reserved, tables_only};
use crate::import_table::ImportedColumn;

/// What `import-labels` is told under `with:`.
///
/// From COCO, Pascal VOC and YOLO files the classes of the boxes are taken as labels of their
/// images; from Label Studio and CVAT the choices and tags, and with `from-boxes` the classes of
/// regions as well.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ImportLabels")]
pub struct ImportLabelsParameters {
    /// The file or folder, relative to the pipeline file. None with `format: folder-names`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// Tables: the column of the label.
    #[serde(default = "label")]
    pub label: String,
    /// Tables: further columns that come along, as in `import-table`.
    #[serde(default)]
    pub columns: BTreeMap<String, ImportedColumn>,
    /// CSV, TSV and JSON: spellings of a missing value, in every column that is read; a row whose
    /// label is missing is refused. Left out, they are those of pandas' `read_csv`: the empty text,
    /// `NaN`, `nan`, `-NaN`, `-nan`, `NA`, `N/A`, `n/a`, `<NA>`, `#NA`, `#N/A`, `#N/A N/A`, `NULL`,
    /// `null`, `None`, `1.#IND`, `-1.#IND`, `1.#QNAN`, `-1.#QNAN`. Others, such as `none`, are
    /// values, and so is what `classes` names. `['']` is the empty text alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<Vec<String>>,
    /// Tables: what stands between the values. Left out: a comma in CSV, a tab in TSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The known classes; other labels are refused. None: all are taken. For YOLO these are the
    /// names by number.
    #[serde(default)]
    pub classes: Vec<String>,
    /// How images are found among the samples.
    #[serde(default, rename = "match")]
    pub match_by: MatchBy,
    /// What becomes of an image with several labels.
    #[serde(default)]
    pub several: Several,
    /// Label Studio and CVAT: whether the classes of regions count as labels of their images,
    /// besides choices and tags.
    #[serde(default)]
    pub from_boxes: bool,
    /// YOLO: how classes are named.
    #[serde(default)]
    pub yolo: YoloParameters,
}

fn image() -> String {
    "image".to_string()
}

fn label() -> String {
    "label".to_string()
}

/// What stands for a missing value where `null` doesn't say: the spellings that pandas' `read_csv`
/// takes for one, to the letter, so that what is missing there is missing here.
pub const MISSING: [&str; 19] = [
    "", "NaN", "nan", "-NaN", "-nan", "NA", "N/A", "n/a", "<NA>", "#NA", "#N/A", "#N/A N/A", "NULL", "null",
    "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
];

/// Labels are of no masks.
static NO_MASKS: MaskParameters = MaskParameters::NONE;

impl ImportLabelsParameters {
    /// The file as the readers take it.
    pub fn file(&self) -> AnnotationFile<'_> {
        AnnotationFile {
            path: &self.path,
            format: self.format,
            matching: &self.matching,
            classes: &self.classes,
            one_based: false,
            yolo: &self.yolo,
            masks: &NO_MASKS,
        }
    }

    /// The output's type.
    pub fn labels(&self) -> TableType {
        let mut columns = Contract::named("Labels")
            .map(Contract::columns)
            .unwrap_or_default();
        let more = self.columns.iter().map(|(name, declared)| declared.named(name));
        columns.extend(more);
        TableType {
            contract: "Labels".to_string(),
            columns,
            open: false,
        }
    }

    /// The spellings of a missing value: those of `null`, or the usual ones. A usual one that is a
    /// known class is none.
    pub fn missing(&self) -> Vec<String> {
        let is_class = |spelling: &str| self.classes.iter().any(|class| class == spelling);
        match &self.null {
            Some(spellings) => spellings.clone(),
            None => MISSING
                .into_iter()
                .filter(|spelling| !is_class(spelling))
                .map(str::to_string)
                .collect(),
        }
    }

    /// The table's columns as the readers take them, with these spellings of a missing value.
    pub fn layout<'a>(&'a self, null: &'a Option<Vec<String>>) -> TableLayout<'a> {
        TableLayout {
            image: &self.image,
            texts: vec![&self.label],
            numbers: Vec::new(),
            columns: &self.columns,
            null,
            delimiter: self.delimiter,
        }
    }

    /// The label in a row, where it has one.
    pub fn label_of(&self, row: &ForeignRow<'_>) -> Option<String> {
        row.text(&self.label).map(str::to_string)
    }

    /// Whether an annotation tells a label of its image.
    pub fn counts(&self, annotation: &Annotation) -> bool {
        let only_boxes = !self.has_choices();
        annotation.mark.is_none() || only_boxes || self.from_boxes
    }

    /// Whether the format tells labels of images apart from classes of boxes.
    fn has_choices(&self) -> bool {
        matches!(
            self.format,
            AnnotationFormat::LabelStudio | AnnotationFormat::Cvat
        )
    }

    /// What ranges and types don't say.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = self.file().problems();
        let table = self.format.is_table();
        if self.format == AnnotationFormat::Masks {
            problems.push(Problem::new("format", "masks give boxes, and no labels"));
        }
        if self.from_boxes && !self.has_choices() {
            let message = "only Label Studio and CVAT tell labels apart from classes of boxes";
            problems.push(Problem::new("from-boxes", message));
        }
        problems.extend(tables_only(table, [(!self.columns.is_empty(), "columns")]));
        problems.extend(reserved(&self.columns, &["label"]));
        if table && !self.path.is_empty() {
            // As it was written: Parquet, which marks missing values itself, allows no spellings.
            let layout = self.layout(&self.null);
            problems.extend(layout.parameters(self.file()).problems());
        }
        problems
    }
}
