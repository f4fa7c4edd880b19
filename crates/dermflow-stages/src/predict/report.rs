//! What became of files, for people (a table, pictures) and for programs (JSON lines, CSV,
//! Parquet). Everything is written as it comes. Must not know how files are judged.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float32Builder, ListBuilder, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dermflow_core::StageError;
use dermflow_vision::sheet::{Layout, Tile, png, sheet};
use parquet::arrow::ArrowWriter;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Judged, Outcome};

/// How outcomes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people; files that were refused are left out.
    Table,
    /// One JSON object a line.
    Json,
    /// A line of names, then one a file.
    Csv,
    /// One row a file.
    Parquet,
    /// A PNG for each picture, with the activation map beside it.
    Pictures,
}

/// Rows that are held before a part of a Parquet file is written.
const HELD: usize = 4096;
/// Pixels of the longer side of a picture that is painted.
const SIDE: usize = 320;

/// Outcomes while they are written.
pub struct Report {
    classes: Vec<String>,
    sink: Sink,
}

enum Sink {
    Table(Box<dyn Write + Send>),
    Json(Box<dyn Write + Send>),
    Csv(Box<csv::Writer<Box<dyn Write + Send>>>),
    Parquet(Box<Parquet>),
    Pictures(PathBuf),
}

struct Parquet {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    held: Vec<Outcome>,
}

fn failed(error: std::io::Error) -> StageError {
    StageError::new(format!("writing what was found: {error}"))
}

impl Report {
    /// Lines of a format for people or programs, to wherever `out` leads.
    ///
    /// # Errors
    /// Where the format is not one of lines, or the first can't be written.
    pub fn lines(
        format: Format,
        classes: &[String],
        mut out: Box<dyn Write + Send>,
    ) -> Result<Report, StageError> {
        let sink = match format {
            Format::Table => {
                let line = heading(classes);
                out.write_all(line.as_bytes()).map_err(failed)?;
                Sink::Table(out)
            }
            Format::Json => Sink::Json(out),
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                let names = [
                    "path",
                    "sample",
                    "class",
                    "probability",
                    "energy",
                    "rejected",
                    "error",
                ];
                let of_classes = classes.iter().map(|class| format!("probability of {class}"));
                let names = names.into_iter().map(str::to_string).chain(of_classes);
                writer.write_record(names).map_err(of_csv)?;
                Sink::Csv(Box::new(writer))
            }
            Format::Parquet | Format::Pictures => {
                return Err(StageError::new("this format is written to a path"));
            }
        };
        Ok(Report {
            classes: classes.to_vec(),
            sink,
        })
    }

    /// A Parquet file at this path.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn parquet(classes: &[String], path: &Path) -> Result<Report, StageError> {
        let file = File::create(path).map_err(|error| StageError::io("writing", path, &error))?;
        let schema = schema();
        let writer = ArrowWriter::try_new(file, schema.clone(), None);
        Ok(Report {
            classes: classes.to_vec(),
            sink: Sink::Parquet(Box::new(Parquet {
                writer: writer.map_err(of_parquet)?,
                schema,
                held: Vec::new(),
            })),
        })
    }

    /// A folder of pictures, made where it is not there.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn pictures(classes: &[String], folder: &Path) -> Result<Report, StageError> {
        std::fs::create_dir_all(folder).map_err(|error| StageError::io("making", folder, &error))?;
        Ok(Report {
            classes: classes.to_vec(),
            sink: Sink::Pictures(folder.to_owned()),
        })
    }

    /// Writes an outcome.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn take(&mut self, outcome: Outcome) -> Result<(), StageError> {
        let classes = &self.classes;
        match &mut self.sink {
            Sink::Table(out) => match &outcome {
                Outcome::Judged(judged) => out.write_all(line(classes, judged).as_bytes()).map_err(failed),
                Outcome::Refused { .. } => Ok(()),
            },
            Sink::Json(out) => {
                let mut line = serde_json::to_vec(&Told {
                    classes,
                    outcome: &outcome,
                })
                .map_err(|error| StageError::new(error.to_string()))?;
                line.push(b'\n');
                out.write_all(&line).map_err(failed)
            }
            Sink::Csv(writer) => writer.write_record(cells(classes, &outcome)).map_err(of_csv),
            Sink::Parquet(parquet) => {
                parquet.held.push(outcome);
                match parquet.held.len() < HELD {
                    true => Ok(()),
                    false => parquet.write(),
                }
            }
            Sink::Pictures(folder) => match &outcome {
                Outcome::Judged(judged) => paint(folder, judged),
                Outcome::Refused { .. } => Ok(()),
            },
        }
    }

    /// Completes what was written.
    ///
    /// # Errors
    /// Where the last of it can't be written.
    pub fn finish(self) -> Result<(), StageError> {
        match self.sink {
            Sink::Table(mut out) | Sink::Json(mut out) => out.flush().map_err(failed),
            Sink::Csv(mut writer) => writer.flush().map_err(failed),
            Sink::Parquet(mut parquet) => {
                parquet.write()?;
                parquet.writer.close().map(|_| ()).map_err(of_parquet)
            }
            Sink::Pictures(_) => Ok(()),
        }
    }
}

fn of_csv(error: csv::Error) -> StageError {
    StageError::new(format!("writing what was found: {error}"))
}

fn of_parquet(error: parquet::errors::ParquetError) -> StageError {
    StageError::new(format!("writing what was found: {error}"))
}

/// How wide the classes' column is.
fn width(classes: &[String]) -> usize {
    let widest = classes.iter().map(|class| class.chars().count()).max();
    widest.unwrap_or(0).max("class".len())
}

fn heading(classes: &[String]) -> String {
    let width = width(classes);
    format!(
        "{:width$}  {:>11}  {:>8}  {:8}  path\n",
        "class", "probability", "energy", ""
    )
}

fn line(classes: &[String], judged: &Judged) -> String {
    let width = width(classes);
    let rejected = match judged.rejected {
        Some(true) => "rejected",
        _ => "",
    };
    format!(
        "{:width$}  {:>11.4}  {:>8.3}  {:8}  {}\n",
        judged.class,
        judged.probability,
        judged.energy,
        rejected,
        judged.path.display()
    )
}

fn cells(classes: &[String], outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Judged(judged) => {
            let rejected = judged.rejected.map(|rejected| rejected.to_string());
            let mut cells = vec![
                judged.path.display().to_string(),
                judged.sample.to_string(),
                judged.class.clone(),
                judged.probability.to_string(),
                judged.energy.to_string(),
                rejected.unwrap_or_default(),
                String::new(),
            ];
            cells.extend(judged.probabilities.iter().map(f32::to_string));
            cells
        }
        Outcome::Refused { path, reason } => {
            let mut cells = vec![String::new(); 7 + classes.len()];
            cells[0] = path.display().to_string();
            cells[6].clone_from(reason);
            cells
        }
    }
}

/// An outcome as a JSON object.
struct Told<'a> {
    classes: &'a [String],
    outcome: &'a Outcome,
}

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.outcome {
            Outcome::Refused { path, reason } => {
                map.serialize_entry("path", &path.display().to_string())?;
                map.serialize_entry("error", reason)?;
            }
            Outcome::Judged(judged) => {
                map.serialize_entry("path", &judged.path.display().to_string())?;
                map.serialize_entry("sample", &judged.sample.to_string())?;
                map.serialize_entry("class", &judged.class)?;
                map.serialize_entry("probability", &judged.probability)?;
                let probabilities = Probabilities(self.classes, &judged.probabilities);
                map.serialize_entry("probabilities", &probabilities)?;
                map.serialize_entry("energy", &judged.energy)?;
                if let Some(rejected) = judged.rejected {
                    map.serialize_entry("rejected", &rejected)?;
                }
            }
        }
        map.end()
    }
}

/// Probabilities by class, in the model's order.
struct Probabilities<'a>(&'a [String], &'a [f32]);

impl Serialize for Probabilities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

fn schema() -> SchemaRef {
    let probabilities = DataType::List(Arc::new(Field::new("item", DataType::Float32, false)));
    Arc::new(Schema::new(vec![
        Field::new("path", DataType::Utf8, false),
        Field::new("sample", DataType::Utf8, true),
        Field::new("class", DataType::Utf8, true),
        Field::new("probability", DataType::Float32, true),
        Field::new("probabilities", probabilities, true),
        Field::new("energy", DataType::Float32, true),
        Field::new("rejected", DataType::Boolean, true),
        Field::new("error", DataType::Utf8, true),
    ]))
}

impl Parquet {
    fn write(&mut self) -> Result<(), StageError> {
        let held = std::mem::take(&mut self.held);
        let judged = |outcome: &Outcome| match outcome {
            Outcome::Judged(judged) => Some(judged.clone()),
            Outcome::Refused { .. } => None,
        };
        let all: Vec<Option<Judged>> = held.iter().map(judged).collect();
        let texts = |of: &dyn Fn(&Judged) -> String| -> ArrayRef {
            let texts = all.iter().map(|judged| judged.as_ref().map(of));
            Arc::new(texts.collect::<StringArray>())
        };
        let numbers = |of: &dyn Fn(&Judged) -> f32| -> ArrayRef {
            let numbers = all.iter().map(|judged| judged.as_ref().map(of));
            Arc::new(numbers.collect::<Float32Array>())
        };
        let (mut paths, mut errors) = (Vec::new(), Vec::new());
        for outcome in &held {
            let (path, error) = match outcome {
                Outcome::Judged(judged) => (&judged.path, None),
                Outcome::Refused { path, reason } => (path, Some(reason.clone())),
            };
            paths.push(path.display().to_string());
            errors.push(error);
        }
        let item = Field::new("item", DataType::Float32, false);
        let mut lists = ListBuilder::new(Float32Builder::new()).with_field(item);
        for judged in &all {
            if let Some(judged) = judged {
                lists.values().append_slice(&judged.probabilities);
            }
            lists.append(judged.is_some());
        }
        let rejected: BooleanArray = all
            .iter()
            .map(|judged| judged.as_ref().and_then(|judged| judged.rejected))
            .collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(paths)),
            texts(&|judged| judged.sample.to_string()),
            texts(&|judged| judged.class.clone()),
            numbers(&|judged| judged.probability),
            Arc::new(lists.finish()),
            numbers(&|judged| judged.energy),
            Arc::new(rejected),
            Arc::new(StringArray::from(errors)),
        ];
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.writer.write(&batch).map_err(of_parquet)
    }
}

/// The picture and its map side by side, under the file's name.
fn paint(folder: &Path, judged: &Judged) -> Result<(), StageError> {
    let Some([picture, map]) = &judged.painted else {
        return Ok(());
    };
    let note = match judged.rejected {
        Some(true) => "rejected: the model doesn't know".to_string(),
        _ => format!("energy {:.3}", judged.energy),
    };
    let tile = |picture: &dermflow_vision::picture::Picture, caption: String, note: String| Tile {
        picture: picture.clone(),
        caption,
        second: String::new(),
        mark: usize::from(judged.rejected == Some(true)) * 3,
        note,
        boxes: Vec::new(),
        maps: Vec::new(),
    };
    let said = format!("{} {:.3}", judged.class, judged.probability);
    let tiles = [
        tile(picture, said, note),
        tile(map, "where the model looks".to_string(), String::new()),
    ];
    let name = judged
        .path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let layout = Layout {
        columns: 2,
        side: SIDE,
    };
    let drawn = sheet(&name.clone().unwrap_or_default(), &tiles, layout);
    let bytes = png(&drawn).map_err(StageError::new)?;
    // Files of one name in two folders have other bytes, or else they are the same picture.
    let stem = judged
        .path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let sample = judged.sample.to_string();
    let name = format!(
        "{}-{}.png",
        stem.unwrap_or_default(),
        sample.get(..12).unwrap_or_default()
    );
    let path = folder.join(name);
    std::fs::write(&path, bytes).map_err(|error| StageError::io("writing", &path, &error))
}
