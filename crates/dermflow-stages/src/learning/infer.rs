//! What the kinds that use a model share: the model made ready, pictures in parts, and views.
//!
//! Must not know what is inferred.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Int64Type;
use dermflow_core::{Resources, SAMPLE_ID, StageContext, StageError, TableReader};
use dermflow_nn::cost::{BatchShape, inference_memory};
use dermflow_nn::layout::Group;
use dermflow_nn::model_file::{Description, Model};
use dermflow_nn::network::{Inference, Network};
use dermflow_vision::augment::{Affine, Augmentation, warp};
use dermflow_vision::picture::Picture;

use super::network::{model, snapshot};
use super::normalise::Normalise;

/// The most pictures that go through a network at once.
const AT_ONCE: usize = 32;

/// The most bytes that a network takes with the pictures that go through it at once, unless a single
/// picture takes more.
const NETWORK_MEMORY: u64 = 768 << 20;

/// Bytes for what there is beside it: stored pictures, which are read some at a time, and rows that are
/// written.
const ROOM: u64 = 256 << 20;

/// What putting pictures through a network takes. The network isn't known when this is asked, so the work
/// is made to fit: see [`Loaded::at_once`].
pub fn resources() -> Resources {
    Resources {
        memory: NETWORK_MEMORY + ROOM,
        threads: 1,
    }
}

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

    /// How many pictures may go through the network at once with so many threads: fewer where pictures
    /// are large, so that it keeps to what [`resources`] tells. At least one.
    pub fn at_once(&self, threads: usize) -> usize {
        let fits = |images: usize| self.memory(images, threads) <= NETWORK_MEMORY;
        let mut images = AT_ONCE;
        while images > 1 && !fits(images) {
            images /= 2;
        }
        images
    }

    /// Bytes that so many pictures take on their way through the network, its weights with them.
    fn memory(&self, images: usize, threads: usize) -> u64 {
        let batch = BatchShape {
            images: images as u32,
            height: self.description.preprocessing.height,
            width: self.description.preprocessing.width,
        };
        let memory = inference_memory(&self.description.architecture, batch, threads.max(1) as u32);
        // Beside the network's input, the pictures that it is made of.
        memory.total().saturating_add(memory.images)
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
    at_once: usize,
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
            at_once: AT_ONCE,
        })
    }

    /// The same, at most so many at a time.
    pub fn at_once(self, pictures: usize) -> Pictures {
        Pictures {
            at_once: pictures.max(1),
            ..self
        }
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
        let length = self.at_once.min(batch.num_rows() - from);
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
    use dermflow_core::memory::MemoryContext;
    use dermflow_nn::architecture::{Named, Published};
    use dermflow_nn::layout::{Layout, Weights};
    use dermflow_nn::model_file::Preprocessing;

    use super::*;

    fn loaded(side: u32) -> Loaded {
        let named = Named {
            width: 0.15,
            depth: 0.2,
            ..Named::plain(Published::EfficientNetV2B0)
        };
        let architecture = named.classifier(2).unwrap();
        let weights = Weights::initialise(Layout::of(&architecture).unwrap().into(), 7);
        let description = Description::new(architecture, ["a", "b"], Preprocessing::imagenet(side, side));
        Loaded::of(Model::new(description, weights).unwrap()).unwrap()
    }

    #[test]
    fn large_pictures_go_through_a_network_few_at_a_time_within_what_is_told() {
        assert_eq!(loaded(32).at_once(2), AT_ONCE);
        let large = loaded(1536);
        let images = large.at_once(2);
        assert!((2..AT_ONCE).contains(&images), "{images}");
        assert!(large.memory(images, 2) + ROOM <= resources().memory);
        assert!(large.memory(2 * images, 2) > NETWORK_MEMORY);
        // However large, one at a time.
        assert_eq!(loaded(8192).at_once(2), 1);
    }

    #[test]
    fn pictures_come_so_many_at_a_time_and_all_of_them() {
        let mut made = MemoryContext::default();
        let kind = crate::registry().get("synthesize").unwrap().clone();
        let with = serde_yaml::from_str("{images: 5, width: 16, height: 16, classes: 2}").unwrap();
        kind.run(&kind.parse(&with).unwrap(), &mut made).unwrap();
        made.add_table("samples", made.output("samples"));
        let mut pictures = Pictures::of(&made, "samples").unwrap().at_once(2);
        let mut lengths = Vec::new();
        while let Some(part) = pictures.next_part().unwrap() {
            lengths.push(part.pictures.len());
        }
        assert_eq!(lengths, [2, 2, 1]);
    }

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
