//! Pictures as rows of the outputs. Must not know how they were drawn.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{SampleId, StageContext, StageError, TableWriter, sample_ids};
use dermflow_vision::placement::Placement;

use super::choose::Photo;
use super::{SynthesizeParameters, exactly, truth_type};

/// How many pictures are drawn before they are written.
pub const CHUNK: usize = 256;

/// The outputs at work.
pub struct Emit {
    samples: Box<dyn TableWriter>,
    truth: Box<dyn TableWriter>,
    dirty: Box<dyn TableWriter>,
    boxes: Box<dyn TableWriter>,
}

impl Emit {
    pub fn new(context: &mut dyn StageContext) -> Result<Emit, StageError> {
        Ok(Emit {
            samples: context.write_table("samples", exactly("Samples").schema())?,
            truth: context.write_table("truth", truth_type().schema())?,
            dirty: context.write_table("dirty", exactly("Labels").schema())?,
            boxes: context.write_table("boxes", exactly("Boxes").schema())?,
        })
    }

    pub fn write(&mut self, parameters: &SynthesizeParameters, photos: &[Photo]) -> Result<(), StageError> {
        let ids = sample_ids(&photos.iter().map(|photo| photo.id).collect::<Vec<SampleId>>());
        let given: ArrayRef = text(photos.iter().map(|photo| photo.given.clone()));
        let count = photos.len();
        let whole = Placement::WHOLE;
        let [width, height] = [parameters.width, parameters.height]
            .map(|side| -> ArrayRef { Arc::new(Int64Array::from(vec![side as i64; count])) });
        let placed = [whole.left, whole.top, whole.width, whole.height]
            .map(|place| -> ArrayRef { Arc::new(Float64Array::from(vec![place; count])) });
        let pixels = BinaryArray::from_iter_values(photos.iter().map(|photo| photo.scene.picture.pixels()));
        let mut columns = vec![
            ids.clone(),
            text(photos.iter().map(|photo| format!("synthetic/{}", photo.index))),
            text(photos.iter().map(|photo| format!("patient-{}", photo.patient))),
            given.clone(),
            width.clone(),
            height.clone(),
            width,
            height,
        ];
        columns.extend(placed);
        columns.push(Arc::new(pixels));
        self.samples
            .write(&RecordBatch::try_new(exactly("Samples").schema(), columns)?)?;
        self.dirty.write(&RecordBatch::try_new(
            exactly("Labels").schema(),
            vec![ids.clone(), given.clone()],
        )?)?;
        let truth: Vec<ArrayRef> = vec![
            ids,
            text(photos.iter().map(|photo| photo.truth.clone())),
            Arc::new(BooleanArray::from_iter(
                photos.iter().map(|photo| Some(photo.held_out)),
            )),
            given,
            Arc::new(Int64Array::from_iter_values(
                photos.iter().map(|photo| photo.background as i64),
            )),
        ];
        self.truth
            .write(&RecordBatch::try_new(truth_type().schema(), truth)?)?;
        self.write_boxes(parameters, photos)
    }

    fn write_boxes(&mut self, parameters: &SynthesizeParameters, photos: &[Photo]) -> Result<(), StageError> {
        let (mut ids, mut labels, mut sides) = (Vec::new(), Vec::new(), [const { Vec::new() }; 4]);
        for photo in photos {
            for (class, pixels) in &photo.scene.lesions {
                let given = pixels.in_original(&Placement::WHOLE, parameters.width, parameters.height);
                ids.push(photo.id);
                labels.push(parameters.class(*class));
                for (side, value) in sides.iter_mut().zip([given.x, given.y, given.w, given.h]) {
                    side.push(value);
                }
            }
        }
        let mut columns = vec![sample_ids(&ids), text(labels.into_iter())];
        columns.extend(sides.map(|side| -> ArrayRef { Arc::new(Float64Array::from(side)) }));
        self.boxes
            .write(&RecordBatch::try_new(exactly("Boxes").schema(), columns)?)
    }

    pub fn finish(self) -> Result<(), StageError> {
        self.samples.finish()?;
        self.truth.finish()?;
        self.dirty.finish()?;
        self.boxes.finish()
    }
}

fn text(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}
