//! What the kinds that use a model share: the model made ready, pictures in parts, and views.
//!
//! Must not know what is inferred.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use dermflow_core::{SAMPLE_ID, StageContext, StageError, TableReader};
use dermflow_nn::layout::Group;
use dermflow_nn::model_file::{Description, Model};
use dermflow_nn::network::{Inference, Network};
use dermflow_vision::augment::{Affine, Augmentation, warp};
use dermflow_vision::picture::Picture;

use super::network::{model, snapshot};
use super::normalise::Normalise;

/// How many pictures go through a network at once.
const AT_ONCE: usize = 32;

/// A model ready to infer.
pub struct Loaded {
    /// What its file says beside the weights.
    pub description: Description,
    /// From bytes to its numbers.
    pub normalise: Normalise,
    /// The network with its weights.
    pub network: Inference,
    /// The linear layer of a classifier, `classes · features`; empty for a regressor.
    pub linear: Vec<f32>,
}

impl Loaded {
    /// The model wired to `port`.
    ///
    /// # Errors
    /// Where it can't be read, or is damaged.
    pub fn read(context: &dyn StageContext, port: &str) -> Result<Loaded, StageError> {
        Loaded::of(model(context, port)?)
    }

    /// A model.
    ///
    /// # Errors
    /// Where its network can't be built.
    pub fn of(model: Model) -> Result<Loaded, StageError> {
        let Model { description, weights } = model;
        let network =
            Network::new(&description.architecture).map_err(|error| StageError::new(error.to_string()))?;
        let linear = weights.view("classifier.weight").unwrap_or_default().to_vec();
        debug_assert_eq!(
            weights.buffer(Group::Plain).len(),
            network.layout().length(Group::Plain)
        );
        let weights = snapshot(weights);
        let inference = network
            .inference_of(weights.parameters, &weights.statistics)
            .map_err(|error| StageError::new(error.to_string()))?;
        Ok(Loaded {
            normalise: Normalise::new(&description.preprocessing),
            description,
            network: inference,
            linear,
        })
    }

    /// A stored picture in the network's size.
    pub fn resized(&self, picture: &Picture) -> Picture {
        let size = [
            self.description.preprocessing.width as usize,
            self.description.preprocessing.height as usize,
        ];
        Augmentation::resized(picture, size).picture
    }

    /// Does something with the network within a pool of so many threads.
    ///
    /// # Errors
    /// Where threads can't be started.
    pub fn within_threads<T: Send>(
        &self,
        threads: usize,
        work: impl FnOnce(&Inference) -> Result<T, StageError> + Send,
    ) -> Result<T, StageError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .build();
        let pool = pool.map_err(|error| StageError::new(format!("starting {threads} threads: {error}")))?;
        pool.install(|| work(&self.network))
    }
}

/// A table's pictures, some at a time.
pub struct Pictures {
    table: Box<dyn TableReader>,
    port: String,
    held: Option<(arrow::array::RecordBatch, usize)>,
}

/// Some pictures.
pub struct Part {
    /// Their sample ids.
    pub ids: ArrayRef,
    /// The pictures.
    pub pictures: Vec<Picture>,
    /// The rows that they stand in, for further columns.
    pub rows: arrow::array::RecordBatch,
}

impl Pictures {
    /// Those of the table wired to `port`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of(context: &dyn StageContext, port: &str) -> Result<Pictures, StageError> {
        Ok(Pictures {
            table: context.table(port)?,
            port: port.to_string(),
            held: None,
        })
    }

    /// How many rows there are in all.
    pub fn rows(&self) -> u64 {
        self.table.rows()
    }

    /// The next pictures, none at the end.
    ///
    /// # Errors
    /// Where a picture's bytes don't fit its size, with its row.
    pub fn next_part(&mut self) -> Result<Option<Part>, StageError> {
        let (batch, from) = match self.held.take() {
            Some(held) => held,
            None => match self.table.next() {
                Some(batch) => (batch?, 0),
                None => return Ok(None),
            },
        };
        let length = AT_ONCE.min(batch.num_rows() - from);
        let rows = batch.slice(from, length);
        if from + length < batch.num_rows() {
            self.held = Some((batch, from + length));
        }
        if length == 0 {
            return self.next_part();
        }
        let missing =
            |name: &str| StageError::new(format!("`{}` came without a proper column `{name}`", self.port));
        let column = |name: &str| rows.column_by_name(name).ok_or_else(|| missing(name));
        let side = |name: &'static str| {
            let sides = column(name)?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(|| missing(name))?;
            Ok::<Vec<usize>, StageError>(
                sides
                    .values()
                    .iter()
                    .map(|side| usize::try_from(*side).unwrap_or(0))
                    .collect(),
            )
        };
        let (widths, heights) = (side("width")?, side("height")?);
        let pixels = column("pixels")?
            .as_binary_opt::<i32>()
            .ok_or_else(|| missing("pixels"))?;
        let pictures = (0..length).map(|row| {
            let picture = Picture::of_pixels(widths[row], heights[row], pixels.value(row).to_vec());
            picture.ok_or_else(|| {
                StageError::new(format!(
                    "`{}`: a picture of {} × {} pixels has {} bytes",
                    self.port,
                    widths[row],
                    heights[row],
                    pixels.value(row).len()
                ))
            })
        });
        let pictures = pictures.collect::<Result<Vec<Picture>, StageError>>()?;
        let ids = column(SAMPLE_ID)?.clone();
        Ok(Some(Part { ids, pictures, rows }))
    }
}

/// View `number` of a picture: bit 0 swaps left and right, bit 1 above and below, bit 2 turns a
/// square one by 90 degrees.
pub fn views(picture: &Picture, number: usize) -> Picture {
    let (width, height) = (picture.width() as f64, picture.height() as f64);
    let mut moved = Affine::IDENTITY;
    if number & 1 != 0 {
        moved = moved.then(&Affine::mirror_across(width));
    }
    if number & 2 != 0 {
        moved = moved.then(&Affine::mirror_down(height));
    }
    if number & 4 != 0 && width == height {
        moved = moved.then(&Affine::quarter_turns(1, width));
    }
    match moved == Affine::IDENTITY {
        true => picture.clone(),
        false => warp::warped(picture, &moved, [0; 3]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_views_of_a_square_are_eight_pictures_with_the_same_pixels() {
        let mut picture = Picture::filled(4, 4, [0; 3]);
        picture.set(0, 1, [9, 9, 9]);
        let all: Vec<Picture> = (0..8).map(|number| views(&picture, number)).collect();
        for (place, one) in all.iter().enumerate() {
            let marked = one.pixels().iter().filter(|byte| **byte == 9).count();
            assert_eq!(marked, 3, "view {place}");
            assert!(all[..place].iter().all(|other| other != one), "view {place}");
        }
    }
}
