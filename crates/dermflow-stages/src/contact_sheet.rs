//! `contact-sheet`: images as a PNG grid, with labels, boxes and heat maps drawn over.
//!
//! How a sheet looks stands in [`dermflow_vision::sheet`]; this kind picks the images and
//! brings together what belongs to each. Must not know what labels mean.

mod labels;
mod order;
mod pick;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, InputTypes, Inputs, NamedFile, OutputPort, PortType,
    Problem, Resources, StageContext, StageError, StageKind, TableType,
};
use dermflow_vision::heatmap::PEAK;
use dermflow_vision::sheet::{self, Layout, Tile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use order::Order;
use pick::{Extras, Picked};

/// See the module.
pub struct ContactSheet;

/// What `contact-sheet` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ContactSheet")]
pub struct ContactSheetParameters {
    /// The heading of every sheet.
    #[serde(default = "title")]
    title: String,
    /// Images side by side.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 64))]
    columns: usize,
    /// Rows of images on a sheet; more images make more sheets.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 64))]
    rows: usize,
    /// Pixels of an image's longer side on the sheet.
    #[serde(default = "side")]
    #[schemars(range(min = 32, max = 1024))]
    side: usize,
    /// The most images shown: the first in order of their sample ids, which is as good as
    /// drawn by lot, or of the number that they stand by.
    #[serde(default = "most")]
    #[schemars(range(min = 1, max = 4096))]
    images: usize,
    /// The most images shown of each label (an image's own, or that of the input `labels` where it
    /// has none); left out, as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    per_label: Option<usize>,
    /// In which order they stand.
    #[serde(default)]
    order: Order,
    /// The column of the input `labels` whose text is shown below its label, such as the class that
    /// `label-audit` suggests; left out, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    second_label: Option<String>,
    /// Whether each heat or foreground map is drawn by its own highest value, so that a faint one is
    /// seen too; the heading says so, and below each image stands its peak. `false` draws all by one scale, on which they can be compared.
    #[serde(default = "yes")]
    own_peak: bool,
}

fn title() -> String {
    "contact sheet".to_string()
}
fn eight() -> usize {
    8
}
fn side() -> usize {
    144
}
fn most() -> usize {
    64
}
fn yes() -> bool {
    true
}

impl StageKind for ContactSheet {
    type Parameters = ContactSheetParameters;
    const NAME: &'static str = "contact-sheet";
    const VERSION: u32 = 3;
    const ABOUT: &'static str =
        "Draws images as a PNG grid with their labels, boxes, heat maps or foreground maps.";
    const EXAMPLE: &'static str = "\
name: contact-sheet-example
seed: 20
stages:
  photos:
    kind: synthesize
    with: {images: 200, label-noise: 0.2}
  heat:
    kind: box-to-heatmap
    in: {samples: photos.samples, boxes: photos.boxes}
  look:
    kind: contact-sheet
    in: {samples: photos.samples, labels: photos.truth, boxes: photos.boxes, heatmaps: heat.heatmaps}
    with: {title: made-up lesions, columns: 6, rows: 4, side: 160, images: 48, per-label: 6, order: label, own-peak: true}
  suspects:
    kind: import-table
    with: {path: suspects.csv, key: image, columns: {label: text, suggested: text, rank: integer}}
  doubtful:
    kind: contact-sheet
    in: {samples: photos.samples, labels: suspects.table}
    with: {title: likely wrong labels, order: {lowest: rank}, second-label: suggested}
outputs:
  sheets: look.sheets
  doubtful: doubtful.sheets
";

    fn inputs(parameters: &ContactSheetParameters) -> Inputs {
        let table =
            |contract| PortType::Table(Contract::named(contract).map_or_else(TableType::any, TableType::of));
        let samples = TableType {
            open: true,
            ..TableType::exactly([
                Column::new("source", ColumnType::Text),
                Column::nullable("label", ColumnType::Text),
                Column::new("width", ColumnType::Integer),
                Column::new("height", ColumnType::Integer),
                Column::new("placed_left", ColumnType::Float64),
                Column::new("placed_top", ColumnType::Float64),
                Column::new("placed_width", ColumnType::Float64),
                Column::new("placed_height", ColumnType::Float64),
                Column::new("pixels", ColumnType::Binary),
            ])
        };
        let read: Vec<String> = samples.columns[1..]
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let optional = |name: &str, contract, about, columns: &[&str]| {
            InputPort::one(name, table(contract), about)
                .with_arity(Arity::Optional)
                .reading(columns.iter().copied())
        };
        let about = "other labels, such as clean or predicted ones, shown beside those of the images, or alone \
                     where they have none";
        let read_of_labels: Vec<&str> = ["label"].into_iter().chain(labels::columns(parameters)).collect();
        Inputs {
            ports: vec![
                InputPort::one("samples", PortType::Table(samples), "the images").reading(read),
                optional("labels", "Labels", about, &read_of_labels[..]),
                optional(
                    "boxes",
                    "Boxes",
                    "lesions to be framed",
                    &["label", "x", "y", "w", "h"],
                ),
                optional(
                    "heatmaps",
                    "Heatmaps",
                    "heat maps to be laid over the images",
                    &["class", "height", "width", "heat"],
                ),
                optional(
                    "foreground",
                    "Foreground",
                    "an annotator's foreground maps to be laid over the images",
                    &["height", "width", "heat"],
                ),
            ],
            open: false,
        }
    }

    fn outputs(parameters: &ContactSheetParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        labels::check(parameters, wired)?;
        let about = "sheet-001.png and so on";
        Ok(vec![OutputPort::new("sheets", PortType::Files, about)])
    }

    fn resources(parameters: &ContactSheetParameters, _: &dermflow_core::InputSizes) -> Resources {
        let pictures = parameters.images * parameters.side * parameters.side * 3;
        Resources {
            memory: (256 << 20) + (pictures * 2) as u64,
            threads: 1,
        }
    }

    fn run(parameters: &ContactSheetParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let (picked, total) = pick::pick(parameters, context)?;
        let mut picked = pick::join(picked, context)?;
        arrange(&mut picked, &parameters.order);
        let colours = colours(&picked);
        let shown = picked.len();
        let stretched = parameters.own_peak && picked.iter().any(|(_, extras)| !extras.maps.is_empty());
        let tiles: Vec<Tile> = picked
            .into_iter()
            .map(|(picked, extras)| tile(picked, extras, &colours, stretched))
            .collect();
        let layout = Layout {
            columns: parameters.columns,
            side: parameters.side,
        };
        let pages: Vec<&[Tile]> = match tiles.is_empty() {
            true => vec![&[]],
            false => tiles.chunks(parameters.columns * parameters.rows).collect(),
        };
        let mut files = Vec::with_capacity(pages.len());
        for (number, page) in pages.iter().enumerate() {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            let mut title = format!("{}   {shown} of {total} images", parameters.title);
            if stretched {
                title += "   maps by their own peak";
            }
            if pages.len() > 1 {
                title += &format!("   {} / {}", number + 1, pages.len());
            }
            let picture = sheet::sheet(&title, page, layout);
            let png = sheet::png(&picture).map_err(StageError::new)?;
            let name = format!("sheet-{:03}.png", number + 1);
            let path = context.scratch().join(&name);
            std::fs::write(&path, png).map_err(|error| StageError::io("writing", &path, &error))?;
            files.push(NamedFile { name, path });
            context.progress(number as u64 + 1, Some(pages.len() as u64));
        }
        context.write_files("sheets", &files)
    }
}

/// Brings images that are in order of their ids into this one; those that it says nothing of stay as
/// they are.
fn arrange(picked: &mut [(Picked, Extras)], order: &Order) {
    match order {
        Order::Label => picked.sort_by(|(one, _), (other, _)| one.label().cmp(&other.label())),
        Order::Sample => {}
        Order::Lowest(_) | Order::Highest(_) => {
            picked.sort_by(|(one, _), (other, _)| one.place.total_cmp(&other.place));
        }
    }
}

/// A colour number for each label and class that is shown, in order of their names.
fn colours(picked: &[(Picked, Extras)]) -> BTreeMap<String, usize> {
    let mut colours: BTreeMap<String, usize> = BTreeMap::new();
    for (picked, extras) in picked {
        let labels = picked.given.iter().chain(&picked.wired);
        for name in labels.chain(extras.boxes.iter().map(|(_, class)| class)) {
            if !colours.contains_key(name) {
                colours.insert(name.clone(), 0);
            }
        }
    }
    for (number, colour) in colours.values_mut().enumerate() {
        *colour = number;
    }
    colours
}

fn tile(picked: Picked, extras: Extras, colours: &BTreeMap<String, usize>, stretched: bool) -> Tile {
    let number = |name: &str| colours.get(name).copied().unwrap_or(0);
    let (given, wired) = (picked.given.as_deref(), picked.wired.as_deref());
    let caption = match (given, wired) {
        (None, None) => "no label".to_string(),
        (Some(given), Some(wired)) if given != wired => format!("{given} / {wired}"),
        (Some(label), _) | (None, Some(label)) => label.to_string(),
    };
    let label = wired.or(given).unwrap_or("no label");
    let second = picked.second.filter(|second| second != label).unwrap_or_default();
    let boxes = extras.boxes.iter().map(|(pixels, class)| {
        // What the caption says already is not said again.
        let word = if class == label {
            String::new()
        } else {
            class.clone()
        };
        (*pixels, number(class), word)
    });
    let (mut maps, mut note) = (extras.maps, picked.note);
    if let Some(peak) = maps.iter().map(|(map, _)| map.peak()).max().filter(|_| stretched) {
        // What is drawn no longer tells how strong it is.
        note = format!("peak {:.2}  {note}", f32::from(peak) / f32::from(PEAK));
        maps.iter_mut().for_each(|(map, _)| map.stretch());
    }
    Tile {
        boxes: boxes.collect(),
        caption,
        second,
        mark: number(label),
        note,
        maps,
        picture: picked.picture,
    }
}
