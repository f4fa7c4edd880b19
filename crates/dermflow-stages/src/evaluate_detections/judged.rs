//! Reads detections beside true boxes, image by image, and matches them.

use std::collections::BTreeMap;

use arrow::array::Float32Array;
use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_vision::placement::Rectangle;

use super::EvaluateDetectionsParameters;
use super::matching::{centre_error, greedy};
use crate::attributes::{Attributes, AttributesReader, Numbered};
use crate::boxes::BoxRows;
use crate::columns::typed_column;
use crate::whole_samples::Cursor;

/// A detection.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The number of its image.
    pub image: u32,
    /// Its class.
    pub class: u32,
    /// How sure it is.
    pub probability: f32,
    /// The box itself.
    pub place: Rectangle,
    /// The intersection over union with the true box that it meets, whatever the class.
    pub overlap: Option<f64>,
    /// How far its centre is from that of the true box that it meets.
    pub centre_error: Option<f64>,
    /// Whether it meets a true box of its own class, where only such may be met.
    pub meets_class: bool,
}

/// A true box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lesion {
    /// The number of its image.
    pub image: u32,
    /// Its class.
    pub class: u32,
}

/// All images that could be judged, of every fold.
pub struct Judged {
    /// Their sample ids.
    pub images: Vec<SampleId>,
    /// Groups, folds and slices of the images.
    pub attributes: Attributes,
    /// The classes of all boxes.
    pub classes: Numbered,
    /// All detections, image by image, the surest of each first.
    pub detections: Vec<Detection>,
    /// All true boxes.
    pub lesions: Vec<Lesion>,
}

/// The boxes of one image.
#[derive(Default)]
struct OfImage {
    /// Class, box and probability; that of a true box is 1.
    boxes: Vec<(u32, Rectangle, f32)>,
}

impl Judged {
    /// Reads and matches everything.
    ///
    /// # Errors
    /// Where a box is none.
    pub fn read(
        parameters: &EvaluateDetectionsParameters,
        context: &dyn StageContext,
    ) -> Result<Judged, StageError> {
        let mut attributes = AttributesReader::new(parameters.group.as_deref(), &parameters.slices, context)?;
        let mut judged = Judged {
            images: Vec::new(),
            attributes: Attributes::default(),
            classes: Numbered::default(),
            detections: Vec::new(),
            lesions: Vec::new(),
        };
        let port = if context.has_input("samples") {
            "samples"
        } else {
            "boxes"
        };
        let images = context.table(port)?;
        let total = images.rows();
        let mut images = Cursor::new(images)?;
        let mut detections = Cursor::new(context.table("detections")?)?;
        let mut boxes = Cursor::new(context.table("boxes")?)?;
        let mut done = 0;
        while images.batch().is_some() {
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            while let Some(id) = images.id().and_then(|id| <[u8; 32]>::try_from(id).ok()) {
                done += images.pass().len() as u64;
                attributes.take(&id)?;
                let id = SampleId::from_bytes(id);
                let found = judged.of_image("detections", &mut detections, &id)?;
                let truths = judged.of_image("boxes", &mut boxes, &id)?;
                judged.take(parameters.overlap, id, found, &truths);
            }
            context.progress(done, Some(total));
            images.next_batch()?;
        }
        judged.attributes = attributes.finish();
        Ok(judged)
    }

    /// The numbers of the images that are judged.
    ///
    /// # Errors
    /// Where the fold has no image.
    pub fn images_of_fold(&self, parameters: &EvaluateDetectionsParameters) -> Result<Vec<u32>, StageError> {
        match &parameters.fold {
            Some(fold) => self.attributes.of_fold("fold", fold),
            None => Ok((0..self.images.len() as u32).collect()),
        }
    }

    fn of_image(
        &mut self,
        port: &'static str,
        cursor: &mut Cursor,
        id: &SampleId,
    ) -> Result<OfImage, StageError> {
        let rows = cursor.rows_of(id.as_bytes())?;
        let mut found = OfImage::default();
        if let (Some(rows), Some(batch)) = (rows, cursor.batch()) {
            let columns = BoxRows::of(batch)?;
            let probabilities = match port {
                "detections" => Some(typed_column::<Float32Array>(batch, "probability")?),
                _ => None,
            };
            for row in rows {
                let probability = probabilities.map_or(1.0, |column| column.value(row));
                if probability.is_nan() {
                    let message = format!("the `probability` of a detection of sample {id} is not a number");
                    return Err(StageError::new(message));
                }
                let class = self.classes.number(columns.label(row));
                found
                    .boxes
                    .push((class, columns.sound(row, port, id)?, probability));
            }
        }
        Ok(found)
    }

    fn take(&mut self, enough: f64, id: SampleId, mut found: OfImage, truths: &OfImage) {
        let image = self.images.len() as u32;
        self.images.push(id);
        // Stable: equal ones stay in the order of the table.
        found.boxes.sort_by(|left, right| right.2.total_cmp(&left.2));
        let [places, true_places] =
            [&found, truths].map(|all| all.boxes.iter().map(|one| one.1).collect::<Vec<_>>());
        let met = greedy(&places, &true_places, enough, |_, _| true);
        let met_class = greedy(&places, &true_places, enough, |detection, truth| {
            found.boxes[detection].0 == truths.boxes[truth].0
        });
        for (at, (class, place, probability)) in found.boxes.iter().enumerate() {
            self.detections.push(Detection {
                image,
                class: *class,
                probability: *probability,
                place: *place,
                overlap: met[at].map(|met| met.overlap),
                centre_error: met[at].map(|met| centre_error(place, &true_places[met.truth])),
                meets_class: met_class[at].is_some(),
            });
        }
        let lesions = truths
            .boxes
            .iter()
            .map(|(class, _, _)| Lesion { image, class: *class });
        self.lesions.extend(lesions);
    }

    /// The classes that some true box has, by name.
    pub fn true_classes(&self) -> BTreeMap<&str, u32> {
        let names = self.classes.names();
        self.lesions
            .iter()
            .map(|lesion| (names[lesion.class as usize].as_str(), lesion.class))
            .collect()
    }
}
