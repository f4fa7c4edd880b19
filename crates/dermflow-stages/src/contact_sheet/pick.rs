//! Picks the images of a sheet, and gathers their labels, boxes and maps. Must not know how a
//! sheet looks.

use arrow::array::{Array, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_vision::boxes::{self, PixelBox};
use dermflow_vision::heatmap::{Heatmap, PEAK};
use dermflow_vision::picture::Picture;
use dermflow_vision::placement::{Placement, Rectangle};

use super::ContactSheetParameters;
use super::labels::{Labels, Said};
use super::order::Shown;
use crate::columns::{ids_of, typed_column};

/// An image that is shown.
pub struct Picked {
    pub id: [u8; 32],
    /// Its own label.
    pub given: Option<String>,
    /// The label that the input `labels` has for it.
    pub wired: Option<String>,
    /// What it has in the column `second-label`.
    pub second: Option<String>,
    /// Where it stands, by the number that `order` asks for: the least comes first.
    pub place: f64,
    pub note: String,
    /// The image, no larger than it is shown.
    pub picture: Picture,
    /// Width and height of the stored image.
    stored: [usize; 2],
    placement: Placement,
}

/// What belongs to an image besides.
#[derive(Default)]
pub struct Extras {
    pub boxes: Vec<(PixelBox, String)>,
    /// Maps, each with the pixels of the shown image that its cells cover.
    pub maps: Vec<(Heatmap, f64)>,
}

impl Picked {
    /// The label that it stands under.
    pub fn label(&self) -> Option<&str> {
        self.given.as_deref().or(self.wired.as_deref())
    }
}

/// Picks the first images in order of their ids, or of the number that they are to stand by, as
/// many of each label as are asked for; in order of their ids. Gives how many there are in all,
/// too: with such a number, where they stand by one.
pub fn pick(
    parameters: &ContactSheetParameters,
    context: &dyn StageContext,
) -> Result<(Vec<Picked>, u64), StageError> {
    let samples = context.table("samples")?;
    let mut labels = Labels::open(parameters, context)?;
    let by_number = parameters.order.column().is_some();
    let mut total = if by_number { 0 } else { samples.rows() };
    let mut shown = Shown::new(parameters.images, parameters.per_label);
    for batch in samples {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let batch = batch?;
        let own: &StringArray = typed_column(&batch, "label")?;
        for row in 0..batch.num_rows() {
            if shown.full() && !by_number {
                return Ok((shown.into_order_of_arrival(), total));
            }
            let given = (!own.is_null(row)).then(|| own.value(row).to_string());
            let said = labels.of(ids_of(&batch)?.value(row))?;
            let place = match said.number {
                Some(number) => parameters.order.place(number),
                None if by_number => continue,
                None => 0.0,
            };
            total += u64::from(by_number);
            let label = given.clone().or_else(|| said.label.clone());
            shown.offer(place, label, || {
                read(&batch, row, given, said, place, parameters.side)
            })?;
        }
    }
    Ok((shown.into_order_of_arrival(), total))
}

fn read(
    batch: &RecordBatch,
    row: usize,
    given: Option<String>,
    said: Said,
    place: f64,
    side: usize,
) -> Result<Picked, StageError> {
    let mut id = [0; 32];
    id.copy_from_slice(ids_of(batch)?.value(row));
    let source = typed_column::<StringArray>(batch, "source")?.value(row);
    let size = |name| {
        let size = typed_column::<Int64Array>(batch, name)?.value(row);
        Ok::<usize, StageError>(usize::try_from(size).unwrap_or(0))
    };
    let (width, height) = (size("width")?, size("height")?);
    let pixels = typed_column::<BinaryArray>(batch, "pixels")?.value(row).to_vec();
    let length = pixels.len();
    let stored = Picture::of_pixels(width, height, pixels).ok_or_else(|| {
        StageError::new(format!(
            "the image {} ({source}) has {length} bytes of pixels; {width} × {height} × 3 were expected",
            SampleId::from_bytes(id)
        ))
    })?;
    let placed = |name| Ok::<f64, StageError>(typed_column::<Float64Array>(batch, name)?.value(row));
    let name = source.rsplit('/').next().unwrap_or(source);
    let hex: String = id[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Picked {
        id,
        given,
        wired: said.label,
        second: said.second,
        place,
        note: format!("{hex} {name}"),
        picture: shrunk(stored, side),
        stored: [width, height],
        placement: Placement {
            left: placed("placed_left")?,
            top: placed("placed_top")?,
            width: placed("placed_width")?,
            height: placed("placed_height")?,
        },
    })
}

/// No larger than it is shown, so that many can be held.
fn shrunk(picture: Picture, side: usize) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let longer = width.max(height);
    if longer <= side {
        return picture;
    }
    let scaled = |of: usize| (of * side / longer).max(1);
    let whole = PixelBox::between([0.0, width as f64], [0.0, height as f64]);
    dermflow_vision::augment::warp::cropped(&picture, &whole, scaled(width), scaled(height))
}

/// Adds the boxes and maps of each image.
pub fn join(picked: Vec<Picked>, context: &dyn StageContext) -> Result<Vec<(Picked, Extras)>, StageError> {
    let mut picked: Vec<(Picked, Extras)> = picked
        .into_iter()
        .map(|picked| (picked, Extras::default()))
        .collect();
    each_row(context, "boxes", &mut picked, |batch, row, picked, extras| {
        let side = |name| Ok::<f64, StageError>(typed_column::<Float64Array>(batch, name)?.value(row));
        let given = Rectangle {
            x: side("x")?,
            y: side("y")?,
            w: side("w")?,
            h: side("h")?,
        };
        if boxes::problem(&given).is_none() {
            let (width, height) = (picked.picture.width(), picked.picture.height());
            let pixels = PixelBox::of_original(given, &picked.placement, width, height);
            let class = typed_column::<StringArray>(batch, "label")?.value(row);
            extras.boxes.push((pixels, class.to_string()));
        }
        Ok(())
    })?;
    each_row(context, "heatmaps", &mut picked, |batch, row, picked, extras| {
        let map = map(batch, row, picked)?;
        extras.add_map(map, picked);
        Ok(())
    })?;
    each_row(
        context,
        "foreground",
        &mut picked,
        |batch, row, picked, extras| {
            let mut map = map(batch, row, picked)?;
            // Its codes are 255ths and none of them is blind.
            for code in map.codes_mut() {
                *code = ((u32::from(*code) * u32::from(PEAK) + 127) / 255) as u8;
            }
            extras.add_map(map, picked);
            Ok(())
        },
    )?;
    Ok(picked)
}

/// The grid of a row.
fn map(batch: &RecordBatch, row: usize, picked: &Picked) -> Result<Heatmap, StageError> {
    let size = |name| {
        let size = typed_column::<Int64Array>(batch, name)?.value(row);
        Ok::<usize, StageError>(usize::try_from(size).unwrap_or(0))
    };
    let codes = typed_column::<BinaryArray>(batch, "heat")?.value(row).to_vec();
    Heatmap::of_codes(size("width")?, size("height")?, codes).ok_or_else(|| {
        StageError::new(format!(
            "a map of the image {} has not the `height` × `width` bytes that it says",
            SampleId::from_bytes(picked.id)
        ))
    })
}

impl Extras {
    fn add_map(&mut self, map: Heatmap, picked: &Picked) {
        // The smallest stride that gives a grid of this size, in pixels of the shown image.
        let stride = |pixels: usize, cells: usize| pixels.div_ceil(cells.max(1));
        let stride = stride(picked.stored[0], map.width()).max(stride(picked.stored[1], map.height()));
        let stride = stride as f64 * picked.picture.width() as f64 / picked.stored[0] as f64;
        self.maps.push((map, stride));
    }
}

/// Calls `add` for each row of an optional table that belongs to a picked image. Both are in
/// order of their ids.
fn each_row(
    context: &dyn StageContext,
    port: &str,
    picked: &mut [(Picked, Extras)],
    add: impl Fn(&RecordBatch, usize, &Picked, &mut Extras) -> Result<(), StageError>,
) -> Result<(), StageError> {
    if !context.has_input(port) {
        return Ok(());
    }
    let mut at = 0;
    for batch in context.table(port)? {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let batch = batch?;
        let ids = ids_of(&batch)?;
        for row in 0..batch.num_rows() {
            while picked
                .get(at)
                .is_some_and(|(picked, _)| picked.id[..] < *ids.value(row))
            {
                at += 1;
            }
            // Images that stand twice each get it.
            let mut same = at;
            while let Some((picked, extras)) = picked.get_mut(same)
                && picked.id[..] == *ids.value(row)
            {
                add(&batch, row, picked, extras)?;
                same += 1;
            }
        }
        if at == picked.len() {
            break;
        }
    }
    Ok(())
}
