//! JSON rows: a file with one list of objects, or one object a line.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use dermflow_core::{StageContext, StageError};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::Value;

use super::assemble::{BATCH, Place};
use super::parameters::TextFormat;
use super::text_rows::{Cell, EachRow, report};

/// Takes a row as JSON, or the reason for which it can't be read.
type EachValue<'a> = &'a mut dyn FnMut(Place, Result<Value, String>) -> Result<(), StageError>;

/// Every name in any of the objects.
pub fn names(path: &Path, format: TextFormat, context: &dyn StageContext) -> Result<Vec<String>, StageError> {
    let (mut names, mut known) = (Vec::new(), HashSet::new());
    each_value(path, format, context, &mut |_, value| {
        if let Ok(Value::Object(object)) = value {
            for name in object.keys() {
                if known.insert(name.clone()) {
                    names.push(name.clone());
                }
            }
        }
        Ok(())
    })?;
    // Within an object the order is not the file's, so only the names decide.
    names.sort();
    Ok(names)
}

/// Calls `each` with every row.
pub fn each_row(
    path: &Path,
    format: TextFormat,
    wanted: &[String],
    context: &dyn StageContext,
    each: EachRow<'_>,
) -> Result<(), StageError> {
    each_value(path, format, context, &mut |place, value| {
        let object = match value {
            Ok(Value::Object(object)) => object,
            Ok(_) => return each(place, Err("it is no JSON object".to_string())),
            Err(reason) => return each(place, Err(reason)),
        };
        let cells: Result<Vec<Option<Cell<'_>>>, String> = wanted
            .iter()
            .map(|name| match object.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::String(text)) => Ok(Some(Cell {
                    text: Cow::Borrowed(text),
                    quoted: true,
                })),
                Some(value @ (Value::Bool(_) | Value::Number(_))) => Ok(Some(Cell {
                    text: Cow::Owned(value.to_string()),
                    quoted: false,
                })),
                Some(_) => Err(format!("`{name}` holds a list or an object")),
            })
            .collect();
        match cells {
            Ok(cells) => each(place, Ok(&cells)),
            Err(reason) => each(place, Err(reason)),
        }
    })
}

fn each_value(
    path: &Path,
    format: TextFormat,
    context: &dyn StageContext,
    each: EachValue<'_>,
) -> Result<(), StageError> {
    match format {
        TextFormat::Json => each_element(path, context, each),
        TextFormat::JsonLines | TextFormat::Delimited(_) => each_line(path, context, each),
    }
}

/// Calls `each` with every line that isn't blank.
fn each_line(path: &Path, context: &dyn StageContext, each: EachValue<'_>) -> Result<(), StageError> {
    let file = File::open(path).map_err(|error| StageError::io("reading", path, &error))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        if read.map_err(|error| StageError::io("reading", path, &error))? == 0 {
            return Ok(());
        }
        number += 1;
        if number % (BATCH as u64) == 0 {
            report(number, context)?;
        }
        let text = line.trim_ascii();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if !text.is_empty() {
            let value = serde_json::from_slice(text);
            let value = value.map_err(|error| format!("the line is no JSON: {error}"));
            each(Place::Line(number), value)?;
        }
    }
}

/// Calls `each` with every element of the list that the file is. Elements are read one at a
/// time; what is wrong with the list itself ends it.
fn each_element(path: &Path, context: &dyn StageContext, each: EachValue<'_>) -> Result<(), StageError> {
    let file = File::open(path).map_err(|error| StageError::io("reading", path, &error))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let start = reader
        .fill_buf()
        .map_err(|error| StageError::io("reading", path, &error))?;
    if start.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let mut stopped = None;
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let elements = Elements {
        each,
        context,
        stopped: &mut stopped,
    };
    let read = deserializer
        .deserialize_seq(elements)
        .and_then(|()| deserializer.end());
    match (stopped, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => {
            let message = format!("{} is no JSON list of objects: {error}", path.display());
            Err(StageError::new(message))
        }
    }
}

/// Hands the elements of a list on. What stops it is kept beside, as it is no error of JSON.
struct Elements<'a, 'b> {
    each: EachValue<'a>,
    context: &'a dyn StageContext,
    stopped: &'b mut Option<StageError>,
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut row = 0;
        while let Some(value) = list.next_element::<Value>()? {
            row += 1;
            let told = match row % (BATCH as u64) {
                0 => report(row, self.context),
                _ => Ok(()),
            };
            if let Err(error) = told.and_then(|()| (self.each)(Place::Row(row), Ok(value))) {
                *self.stopped = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
