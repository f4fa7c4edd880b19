//! The foreground prior as random weak supervision (`method.md` J3): for some samples in some
//! steps, the picture shows its foreground only, and the label stays.
//!
//! Must not know how the foreground was found, or of networks.

#[cfg(test)]
mod tests;

use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_vision::augment::{Augmented, Dice, MEAN_COLOUR, colour, warp};
use dermflow_vision::boxes::PixelBox;
use dermflow_vision::heatmap::{Heatmap, grid};
use dermflow_vision::picture::Picture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::order::Visit;
use super::pictures::Grids;

/// Pixels of the stored picture for each cell of a foreground map (`method.md` H5).
pub const STRIDE: usize = 8;

/// How the foreground map takes part in training. It never does at inference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForegroundPrior {
    /// How often a sample shows its foreground, drawn for each sample and step.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// How the foreground is shown.
    pub apply: Apply,
    /// The least that is left of the background: a map value below it counts as it. For
    /// `extra-channel`, which leaves the background as it is, it doesn't count.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub floor: f64,
    /// Whose map is used.
    pub map: MapChoice,
    /// What counts as wholly foreground.
    pub scale: MapScale,
}

/// What counts as wholly foreground.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MapScale {
    /// The highest value of each map: a regressor that is unsure of a lesion's class finds its
    /// place all the same, with lower values, and would else leave the whole picture dark.
    #[default]
    Peak,
    /// 1: maps count as they are stored.
    AsStored,
}

impl Default for ForegroundPrior {
    fn default() -> ForegroundPrior {
        ForegroundPrior {
            probability: 0.5,
            apply: Apply::default(),
            floor: 0.1,
            map: MapChoice::default(),
            scale: MapScale::default(),
        }
    }
}

/// How the foreground is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Apply {
    /// Pixels are multiplied by the map: the background grows dark.
    #[default]
    Multiply,
    /// The background is blurred.
    BlurBackground,
    /// The background becomes ImageNet's mean colour, which a normalised picture has as zero.
    MeanBackground,
    /// The picture is cropped to where the map is at least half of its highest value, and a
    /// tenth more on each side.
    Crop,
    /// The picture stays as it is, and the map is a fourth channel beside red, green and blue,
    /// zero where it is not shown. What the network's first convolution gives to it starts at
    /// zero, so that training goes on from where `init` left off, and is dropped from the model
    /// in the end: with a channel of zeros it adds nothing.
    ExtraChannel,
    /// The foreground is put before the background of another picture, whose own foreground is
    /// filled over with the mean colour of its background; `floor` doesn't count. Where the map is
    /// at least half of its highest value, the picture is wholly kept. Not in the patent: pictures
    /// whose background is dimmed tell a model nothing against backgrounds in those that it sees
    /// whole, and these do, as their backgrounds have nothing to do with their labels.
    AnotherBackground,
}

/// Whose map is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MapChoice {
    /// The picture's own.
    #[default]
    Own,
    /// That of another picture, drawn for each sample: the control that tells what the maps
    /// themselves are worth from what any masking is.
    Another,
}

/// The prior with its maps.
pub struct Prior {
    /// What is done.
    pub settings: ForegroundPrior,
    /// The maps of all samples that have one.
    pub maps: Grids,
    /// What is drawn is drawn from it.
    pub seed: u64,
}

impl Prior {
    /// Reads the maps of `samples`, in order of ids, whose pictures are among `pictures`, from the
    /// table `foreground`.
    ///
    /// # Errors
    /// Where maps are to be shown and no sample has one, or one doesn't fit its picture.
    pub fn gather(
        settings: &ForegroundPrior,
        samples: &[[u8; 32]],
        pictures: &Grids,
        context: &mut dyn StageContext,
    ) -> Result<Prior, StageError> {
        let known = |id: &[u8]| samples.binary_search_by(|own| own[..].cmp(id)).is_ok();
        let maps = Grids::gather(context, "foreground", "heat", 1, known, |_| {})?;
        same_cells(&maps, pictures)?;
        context.metric("training samples with a foreground map", maps.len() as f64);
        let (all, without) = (samples.len(), samples.len().saturating_sub(maps.len()));
        if settings.probability > 0.0 && maps.len() == 0 {
            let message = format!("none of the {all} training samples has a map in `foreground`");
            return Err(StageError::new(message).with_help(
                "wire what `regressor-infer` made of the same pictures, or set `foreground.probability` to 0",
            ));
        }
        if settings.probability > 0.0 && without > 0 {
            context.log(&format!(
                "{without} of {all} training samples have no map in `foreground`"
            ));
        }
        Ok(Prior {
            settings: settings.clone(),
            maps,
            seed: context.seed(),
        })
    }

    /// The map to show a sample with in this turn of it, if it is to be shown so.
    ///
    /// # Errors
    /// Where the map can't be read back.
    pub fn draw(&self, id: &[u8], epoch: u64, visit: Visit) -> Result<Option<Heatmap>, String> {
        let mut dice = visit.dice(self.seed, epoch, id, b"foreground");
        if !dice.chance(self.settings.probability) {
            return Ok(None);
        }
        let index = match self.settings.map {
            MapChoice::Own => self.maps.find(id),
            MapChoice::Another => self.another(id),
        };
        index.map(|index| self.maps.map(index)).transpose()
    }

    /// The place of some other picture's map, the same throughout the training; the own where
    /// there is no other.
    fn another(&self, id: &[u8]) -> Option<usize> {
        let own = self.maps.find(id);
        let others = self.maps.len() - usize::from(own.is_some());
        if others == 0 {
            return own;
        }
        let drawn = Dice::new(self.seed, 0, &[id, b"foreground"].concat()).below(others);
        Some(drawn + usize::from(own.is_some_and(|own| drawn >= own)))
    }

    /// Which of `count` pictures gives a sample its background in this turn.
    pub fn draw_background(&self, id: &[u8], epoch: u64, visit: Visit, count: usize) -> usize {
        visit.dice(self.seed, epoch, id, b"background").below(count)
    }

    /// A picture as a background; where it has no map, the whole of it.
    ///
    /// # Errors
    /// Where the map can't be read back.
    pub fn background(&self, id: &[u8], augmented: Augmented) -> Result<Picture, String> {
        let map = self.maps.find(id).map(|index| self.maps.map(index)).transpose()?;
        Ok(match map {
            Some(map) => self.settings.background(augmented, &map),
            None => augmented.picture,
        })
    }
}

/// Whether maps have the cells of their pictures at [`STRIDE`]: those of pictures of another size
/// would stand for other places. A map without a picture fits.
///
/// # Errors
/// Where one has not, with its sample.
pub fn same_cells(maps: &Grids, pictures: &Grids) -> Result<(), StageError> {
    for map in 0..maps.len() {
        let id = maps.id(map);
        let Some(picture) = pictures.find(id) else {
            continue;
        };
        let ([width, height], found) = (pictures.size(picture), maps.size(map));
        let wanted = grid(width, height, STRIDE);
        if found != wanted {
            let message = format!(
                "the foreground map of sample {} has {} × {} cells; its picture of {width} × {height} pixels has {} × {} \
                 at stride {STRIDE}",
                SampleId::from_bytes(*id),
                found[0],
                found[1],
                wanted[0],
                wanted[1]
            );
            return Err(StageError::new(message).with_help("wire the pictures that the maps were made of"));
        }
    }
    Ok(())
}

impl ForegroundPrior {
    /// Whether the network reads the map as a channel of its own.
    pub fn is_channel(&self) -> bool {
        self.apply == Apply::ExtraChannel
    }

    /// What is done before augmentation: the part of the stored picture that is left.
    pub fn crop(&self, picture: &Picture, map: &Heatmap) -> Option<Picture> {
        if self.apply != Apply::Crop {
            return None;
        }
        let part = bounds(map)?.clipped(picture.width(), picture.height())?;
        let side = |pixels: f64| (pixels.round() as usize).max(1);
        Some(warp::cropped(picture, &part, side(part.width), side(part.height)))
    }

    /// Whether a picture is shown before the background of another one.
    pub fn takes_a_background(&self) -> bool {
        self.apply == Apply::AnotherBackground
    }

    /// A picture as a background: its own foreground is filled over.
    pub fn background(&self, mut augmented: Augmented, map: &Heatmap) -> Picture {
        let size = [augmented.picture.width(), augmented.picture.height()];
        let kept = kept(&augmented.foreground(map, STRIDE), size, self.scale);
        let flat = mean_behind(&augmented.picture, &kept);
        let filled = Picture::filled(size[0], size[1], flat);
        let background = kept.iter().map(|share| 1.0 - share);
        put_before(&mut augmented.picture, &filled, background);
        augmented.picture
    }

    /// What is done after augmentation; `behind` is of the same size. Gives a number for each pixel
    /// where the map is a channel of its own.
    pub fn show(
        &self,
        augmented: &mut Augmented,
        map: &Heatmap,
        behind: Option<Picture>,
    ) -> Option<Vec<f32>> {
        let map = augmented.foreground(map, STRIDE);
        let picture = &mut augmented.picture;
        let (width, height) = (picture.width(), picture.height());
        let background = match self.apply {
            Apply::Crop => return None,
            Apply::ExtraChannel => return Some(shares(&map, [width, height], 0.0, self.scale)),
            Apply::AnotherBackground => {
                put_before(picture, &behind?, kept(&map, [width, height], self.scale));
                return None;
            }
            Apply::Multiply => Picture::filled(width, height, [0; 3]),
            Apply::MeanBackground => Picture::filled(width, height, MEAN_COLOUR),
            Apply::BlurBackground => {
                let mut blurred = picture.clone();
                colour::blur(&mut blurred, width.max(height) as f64 / 16.0);
                blurred
            }
        };
        let shares = shares(&map, [width, height], self.floor, self.scale);
        put_before(picture, &background, shares);
        None
    }
}

/// Leaves of each pixel its share, and takes the rest from a background of the same size.
fn put_before(picture: &mut Picture, background: &Picture, shares: impl IntoIterator<Item = f32>) {
    let pixels = picture.pixels_mut().chunks_exact_mut(3);
    for ((pixel, behind), share) in pixels.zip(background.pixels().chunks_exact(3)).zip(shares) {
        for (value, behind) in pixel.iter_mut().zip(behind) {
            let mixed = f32::from(*value) * share + f32::from(*behind) * (1.0 - share);
            *value = (mixed + 0.5) as u8;
        }
    }
}

/// How much of each pixel is kept before another background: all where the map is at least half of
/// what counts as wholly foreground, as a crop takes it, and less towards where it is zero.
fn kept(map: &Heatmap, size: [usize; 2], scale: MapScale) -> Vec<f32> {
    let mut kept = shares(map, size, 0.0, scale);
    kept.iter_mut().for_each(|share| *share = (*share * 2.0).min(1.0));
    kept
}

/// The mean colour of what is not kept of a picture, or of all of it where all is kept.
fn mean_behind(picture: &Picture, kept: &[f32]) -> [u8; 3] {
    let behind: f64 = kept.iter().map(|share| f64::from(1.0 - share)).sum();
    let weight = |share: f32| if behind > 0.0 { f64::from(1.0 - share) } else { 1.0 };
    let total = if behind > 0.0 { behind } else { kept.len() as f64 };
    let mut sums = [0.0; 3];
    for (pixel, share) in picture.pixels().chunks_exact(3).zip(kept) {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += f64::from(*value) * weight(*share);
        }
    }
    sums.map(|sum| (sum / total + 0.5) as u8)
}

/// The share of each pixel of a picture of `width` × `height` that is foreground: the map at
/// [`STRIDE`], bilinear between the middles of its cells, but no less than `floor`.
pub fn shares(map: &Heatmap, [width, height]: [usize; 2], floor: f64, scale: MapScale) -> Vec<f32> {
    let floor = floor as f32;
    let whole = match scale {
        MapScale::Peak => f32::from(map.codes().iter().copied().max().unwrap_or(0).max(1)),
        MapScale::AsStored => 255.0,
    };
    let mut shares = Vec::with_capacity(width * height);
    let last = |cells: usize| cells.saturating_sub(1) as f32;
    for row in 0..height {
        let y = ((row as f32 + 0.5) / STRIDE as f32 - 0.5).clamp(0.0, last(map.height()));
        for column in 0..width {
            let x = ((column as f32 + 0.5) / STRIDE as f32 - 0.5).clamp(0.0, last(map.width()));
            shares.push((bilinear(map, x, y) / whole).max(floor));
        }
    }
    shares
}

fn bilinear(map: &Heatmap, x: f32, y: f32) -> f32 {
    let (left, above) = (x as usize, y as usize);
    let (right, below) = ((left + 1).min(map.width() - 1), (above + 1).min(map.height() - 1));
    let (across, down) = (x - left as f32, y - above as f32);
    let code = |column, row| f32::from(map.code(column, row));
    let upper = code(left, above) * (1.0 - across) + code(right, above) * across;
    let lower = code(left, below) * (1.0 - across) + code(right, below) * across;
    upper * (1.0 - down) + lower * down
}

/// The box of the cells with at least half of the highest value, a tenth larger on each side;
/// none where the map is empty.
fn bounds(map: &Heatmap) -> Option<PixelBox> {
    let highest = map.codes().iter().copied().max().filter(|highest| *highest > 0)?;
    let cells = (0..map.height()).flat_map(|row| (0..map.width()).map(move |column| (column, row)));
    let high = cells.filter(|(column, row)| u16::from(map.code(*column, *row)) * 2 >= u16::from(highest));
    let (mut left, mut right, mut top, mut bottom) = (usize::MAX, 0, usize::MAX, 0);
    for (column, row) in high {
        (left, right) = (left.min(column), right.max(column + 1));
        (top, bottom) = (top.min(row), bottom.max(row + 1));
    }
    let stride = STRIDE as f64;
    let span = |from: usize, to: usize| {
        let margin = (to - from) as f64 * stride / 10.0;
        [from as f64 * stride - margin, to as f64 * stride + margin]
    };
    Some(PixelBox::between(span(left, right), span(top, bottom)))
}
