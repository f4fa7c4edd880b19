//! Every sample that may be made, kept for random access, and how one is made: its lesion filled
//! over, and its background taken from a donor. Must not know of tables that are written.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_vision::boxes::PixelBox;
use dermflow_vision::inpaint::closed;
use dermflow_vision::picture::Picture;
use dermflow_vision::placement::{Placement, Rectangle};

use super::regions::{Region, feathered, of_boxes, of_map};
use super::{Donors, Fill, TrapSetsParameters};
use crate::boxes::BoxRows;
use crate::columns::ids_of;
use crate::draws::Draws;
use crate::learning::pictures::Grids;
use crate::learning::prior::same_cells;
use crate::regressor_infer::placement;

/// What is known of a sample beside its pixels.
struct About {
    /// None is a group of its own.
    group: Option<String>,
    placement: Placement,
}

/// A sample's lesions.
#[derive(Default)]
struct Lesions {
    /// The label of the first box.
    class: String,
    /// In fractions of the original.
    boxes: Vec<Rectangle>,
}

/// All samples that may be made or give their background.
pub struct Candidates {
    pictures: Grids,
    about: BTreeMap<[u8; 32], About>,
    lesions: BTreeMap<[u8; 32], Lesions>,
    maps: Option<Grids>,
    /// Places in `pictures` of those with a lesion and a background.
    donors: Vec<usize>,
    draws: Draws,
    /// The samples of the fold; none means all.
    of_fold: Option<Vec<[u8; 32]>>,
}

/// A sample made again.
pub struct Made {
    /// Without its lesions.
    pub masked: Picture,
    /// On the donor's background.
    pub swapped: Picture,
    /// Whose background.
    pub donor: SampleId,
    /// The share of the picture that is lesion.
    pub lesion_area: f64,
}

impl Candidates {
    /// Reads all inputs.
    ///
    /// # Errors
    /// Where a table is not what its contract says, a box has no area, a map doesn't fit its picture,
    /// or no sample is of the fold.
    pub fn gather(
        parameters: &TrapSetsParameters,
        context: &dyn StageContext,
    ) -> Result<Candidates, StageError> {
        let of_fold = match &parameters.fold {
            Some(fold) => Some(of_fold(fold, context)?),
            None => None,
        };
        let wanted = |id: &[u8]| is_of(of_fold.as_deref(), id);
        let mut about = BTreeMap::new();
        let mut wrong = None;
        let pictures = Grids::gather(context, "samples", "pixels", 3, wanted, |batch| {
            if let Err(error) = know(batch, &mut about) {
                wrong.get_or_insert(error);
            }
        })?;
        if let Some(error) = wrong {
            return Err(error);
        }
        let lesions = match context.has_input("boxes") {
            true => read_boxes(context)?,
            false => BTreeMap::new(),
        };
        let maps = match parameters.region {
            Region::Foreground => Some(Grids::gather(context, "foreground", "heat", 1, wanted, |_| {})?),
            Region::Box | Region::Ellipse => None,
        };
        if let Some(maps) = &maps {
            same_cells(maps, &pictures)?;
        }
        let mut candidates = Candidates {
            pictures,
            about,
            lesions,
            maps,
            donors: Vec::new(),
            draws: Draws::new("dermflow trap-sets donor v1", context.seed()),
            of_fold,
        };
        for place in 0..candidates.pictures.len() {
            let (id, size) = (*candidates.pictures.id(place), candidates.pictures.size(place));
            if candidates.lesion(&id, size, parameters)?.is_ok() {
                candidates.donors.push(place);
            }
        }
        Ok(candidates)
    }

    /// Whether a sample is of the fold.
    pub fn is_wanted(&self, id: &[u8]) -> bool {
        is_of(self.of_fold.as_deref(), id)
    }

    /// Makes a sample again, or says why it can't be.
    ///
    /// # Errors
    /// Where the donor can't be read back.
    pub fn make(
        &self,
        id: &[u8],
        picture: &Picture,
        parameters: &TrapSetsParameters,
    ) -> Result<Result<Made, String>, StageError> {
        let size = [picture.width(), picture.height()];
        let lesion = match self.lesion(id, size, parameters)? {
            Ok(lesion) => lesion,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(place) = self.donor(id, parameters.donors) else {
            let reason = match parameters.donors {
                Donors::Any => "there is no other group with a lesion to take a background from",
                Donors::OtherClass => {
                    "there is no other group with a lesion of another class to take a background from"
                }
            };
            return Ok(Err(reason.to_string()));
        };
        let donor = *self.pictures.id(place);
        let of_donor = self.pictures.picture(place).map_err(StageError::new)?;
        let Ok(its_lesion) = self.lesion(&donor, self.pictures.size(place), parameters)? else {
            // Donors are those that have one.
            return Ok(Err("its donor has no lesion".to_string()));
        };
        let background = filled(&of_donor, &its_lesion, parameters.fill);
        let radius = (parameters.feather * size[0].max(size[1]) as f64).round() as usize;
        let shares = feathered(&lesion, radius, size);
        let [own, its] = [id, &donor[..]].map(|id| self.about(id).map(|about| about.placement));
        let placements = [own?, its?];
        Ok(Ok(Made {
            masked: filled(picture, &lesion, parameters.fill),
            swapped: laid_over(picture, &shares, &background, placements),
            donor: SampleId::from_bytes(donor),
            lesion_area: area(&lesion),
        }))
    }

    fn about(&self, id: &[u8]) -> Result<&About, StageError> {
        let found = <[u8; 32]>::try_from(id).ok().and_then(|id| self.about.get(&id));
        found.ok_or_else(|| StageError::new("a sample changed while it was read"))
    }

    /// The lesion's pixels, or why there are none to go by.
    fn lesion(
        &self,
        id: &[u8],
        size: [usize; 2],
        parameters: &TrapSetsParameters,
    ) -> Result<Result<Vec<bool>, String>, StageError> {
        let lesion = match (parameters.region, &self.maps) {
            (Region::Foreground, Some(maps)) => {
                let Some(place) = maps.find(id) else {
                    return Ok(Err("it has no foreground map".to_string()));
                };
                of_map(
                    &maps.map(place).map_err(StageError::new)?,
                    parameters.threshold,
                    size,
                )
            }
            (region, _) => {
                let Some(lesions) = self.lesions_of(id) else {
                    return Ok(Err("it has no box".to_string()));
                };
                let placement = self.about(id)?.placement;
                let pixels: Vec<PixelBox> = lesions
                    .boxes
                    .iter()
                    .map(|one| PixelBox::of_original(*one, &placement, size[0], size[1]))
                    .collect();
                of_boxes(&pixels, region == Region::Ellipse, parameters.margin, size)
            }
        };
        let area = area(&lesion);
        Ok(if area == 0.0 {
            Err("no pixel of the stored picture is lesion".to_string())
        } else if area > parameters.most_area {
            Err(format!(
                "{:.0} % of it is lesion, more than `most-area`: there is no background",
                100.0 * area
            ))
        } else {
            Ok(lesion)
        })
    }

    fn lesions_of(&self, id: &[u8]) -> Option<&Lesions> {
        self.lesions.get(&<[u8; 32]>::try_from(id).ok()?)
    }

    /// The donor of a sample: drawn, then the next one on that may be.
    fn donor(&self, id: &[u8], donors: Donors) -> Option<usize> {
        let own = self.about(id).ok()?;
        let class = |id: &[u8]| self.lesions_of(id).map(|lesions| lesions.class.as_str());
        let may_be = |place: &usize| {
            let other = &self.pictures.id(*place)[..];
            let group = self.about(other).ok().map(|about| about.group.as_deref());
            let of_own_group = own.group.is_some() && group == Some(own.group.as_deref());
            other != id && !of_own_group && (donors == Donors::Any || class(other) != class(id))
        };
        let count = self.donors.len();
        let first = self.draws.of(id).checked_rem(count as u64)? as usize;
        (0..count)
            .map(|step| self.donors[(first + step) % count])
            .find(may_be)
    }
}

fn is_of(fold: Option<&[[u8; 32]]>, id: &[u8]) -> bool {
    fold.is_none_or(|fold| fold.binary_search_by(|own| own[..].cmp(id)).is_ok())
}

/// The samples of a fold, in order.
fn of_fold(fold: &str, context: &dyn StageContext) -> Result<Vec<[u8; 32]>, StageError> {
    let mut of_fold = Vec::new();
    let mut rows = 0;
    for batch in context.table("splits")? {
        let batch = batch?;
        let (ids, folds) = (ids_of(&batch)?, crate::class_list::text(&batch, "fold")?);
        rows += batch.num_rows();
        for row in (0..batch.num_rows()).filter(|row| folds.value(*row) == fold) {
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            of_fold.push(id);
        }
    }
    match of_fold.is_empty() && rows > 0 {
        true => Err(StageError::new(format!(
            "`fold`: no sample of `splits` is of the fold `{fold}`"
        ))),
        false => Ok(of_fold),
    }
}

/// Takes down groups and placements.
fn know(batch: &RecordBatch, about: &mut BTreeMap<[u8; 32], About>) -> Result<(), StageError> {
    let ids = ids_of(batch)?;
    let groups = batch
        .column_by_name("group")
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| StageError::new("`samples` came without its text column `group`"))?;
    for row in 0..batch.num_rows() {
        let mut id = [0; 32];
        id.copy_from_slice(ids.value(row));
        let group = (!groups.is_null(row)).then(|| groups.value(row).to_string());
        let placement = placement(batch, row)?;
        about.entry(id).or_insert(About { group, placement });
    }
    Ok(())
}

fn read_boxes(context: &dyn StageContext) -> Result<BTreeMap<[u8; 32], Lesions>, StageError> {
    let mut lesions: BTreeMap<[u8; 32], Lesions> = BTreeMap::new();
    for batch in context.table("boxes")? {
        let batch = batch?;
        let (ids, rows) = (ids_of(&batch)?, BoxRows::of(&batch)?);
        for row in 0..batch.num_rows() {
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            let one = rows.sound(row, "boxes", &SampleId::from_bytes(id))?;
            let own = lesions.entry(id).or_default();
            if own.boxes.is_empty() {
                own.class = rows.label(row).to_string();
            }
            own.boxes.push(one);
        }
    }
    Ok(lesions)
}

fn area(lesion: &[bool]) -> f64 {
    lesion.iter().filter(|lesion| **lesion).count() as f64 / lesion.len().max(1) as f64
}

/// The picture without its lesion.
fn filled(picture: &Picture, lesion: &[bool], fill: Fill) -> Picture {
    let colour = match fill {
        Fill::Smooth => return closed(picture, lesion),
        Fill::Mean => mean_of_rest(picture, lesion),
        Fill::Black => [0; 3],
    };
    let mut result = picture.clone();
    let pixels = result.pixels_mut().chunks_exact_mut(3);
    for (pixel, _) in pixels.zip(lesion).filter(|(_, lesion)| **lesion) {
        pixel.copy_from_slice(&colour);
    }
    result
}

fn mean_of_rest(picture: &Picture, lesion: &[bool]) -> [u8; 3] {
    let (mut sums, mut count) = ([0_u64; 3], 0_u64);
    let rest = picture.pixels().chunks_exact(3).zip(lesion);
    for (pixel, _) in rest.filter(|(_, lesion)| !**lesion) {
        count += 1;
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(*value);
        }
    }
    sums.map(|sum| (sum / count.max(1)) as u8)
}

/// The picture's own pixels by their shares, over the donor's at the same fraction of the
/// original; where the picture shows no original, such as the bars of a letterbox, it stays.
fn laid_over(picture: &Picture, shares: &[f32], background: &Picture, placements: [Placement; 2]) -> Picture {
    let [own, its] = placements;
    let (width, height) = (picture.width(), picture.height());
    let mut result = picture.clone();
    for row in 0..height {
        for column in 0..width {
            let share = shares[row * width + column];
            let at = own.original(Rectangle {
                x: (column as f64 + 0.5) / width as f64,
                y: (row as f64 + 0.5) / height as f64,
                w: 0.0,
                h: 0.0,
            });
            let shown = (0.0..=1.0).contains(&at.x) && (0.0..=1.0).contains(&at.y);
            if share >= 1.0 || !shown {
                continue;
            }
            let there = its.stored(at);
            let behind = between(background, there.x, there.y);
            let ahead = picture.at(column, row);
            let mixed = |channel: usize| {
                let value = f32::from(ahead[channel]) * share + behind[channel] * (1.0 - share);
                (value + 0.5) as u8
            };
            result.set(column, row, [mixed(0), mixed(1), mixed(2)]);
        }
    }
    result
}

/// The colour at fractions of a picture, linear between the middles of its pixels; beyond its
/// edge, that of the edge.
fn between(picture: &Picture, x: f64, y: f64) -> [f32; 3] {
    let along = |at: f64, pixels: usize| {
        let at = (at * pixels as f64 - 0.5).clamp(0.0, (pixels - 1) as f64);
        let first = at as usize;
        (first, (first + 1).min(pixels - 1), (at - first as f64) as f32)
    };
    let (left, right, across) = along(x, picture.width());
    let (above, below, down) = along(y, picture.height());
    std::array::from_fn(|channel| {
        let value = |column, row| f32::from(picture.at(column, row)[channel]);
        let upper = value(left, above) * (1.0 - across) + value(right, above) * across;
        let lower = value(left, below) * (1.0 - across) + value(right, below) * across;
        upper * (1.0 - down) + lower * down
    })
}
