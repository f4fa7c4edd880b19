//! Who is shown with what: the draws behind each picture. Must not know of tables.

use std::ops::Range;

use dermflow_core::{SampleId, StageError};
use dermflow_vision::augment::Dice;
use dermflow_vision::synthetic::{self, BACKGROUNDS, Person, Scene, SceneRequest};

use super::SynthesizeParameters;

/// The label of pictures without a lesion.
const HEALTHY: &str = "healthy";

/// The draws of one stage.
pub struct Choices<'a> {
    parameters: &'a SynthesizeParameters,
    seed: u64,
    /// The summed frequencies of the classes up to each.
    frequencies: Vec<f64>,
}

/// A picture with all that is known of it.
pub struct Photo {
    pub id: SampleId,
    pub index: u64,
    pub patient: u64,
    pub scene: Scene,
    pub truth: String,
    pub held_out: bool,
    pub given: String,
    pub background: usize,
}

impl<'a> Choices<'a> {
    pub fn new(parameters: &'a SynthesizeParameters, seed: u64) -> Choices<'a> {
        let mut sum = 0.0;
        let frequency = |class: usize| {
            sum += (class as f64 + 1.0).powf(-parameters.tail);
            sum
        };
        Choices {
            parameters,
            seed,
            frequencies: (0..parameters.classes).map(frequency).collect(),
        }
    }

    /// Draws these pictures on so many threads.
    pub fn draw_all(&self, pictures: Range<u64>, threads: usize) -> Result<Vec<Photo>, StageError> {
        let indices: Vec<u64> = pictures.collect();
        let share = indices.len().div_ceil(threads).max(1);
        let drawn = std::thread::scope(|scope| {
            let parts: Vec<_> = indices
                .chunks(share)
                .map(|part| {
                    scope.spawn(move || part.iter().map(|index| self.photo(*index)).collect::<Vec<_>>())
                })
                .collect();
            parts
                .into_iter()
                .map(|part| part.join())
                .collect::<Result<Vec<_>, _>>()
        });
        match drawn {
            Ok(photos) => Ok(photos.into_iter().flatten().collect()),
            Err(_) => Err(StageError::new(
                "a thread that drew pictures broke down; this is a bug",
            )),
        }
    }

    /// Draws one picture: first the patient, whose draws all of their pictures share, then
    /// the picture's own.
    pub fn photo(&self, index: u64) -> Photo {
        let with = self.parameters;
        let patient = index / with.pictures_per_patient;
        let dice = |what: &str, number: u64| {
            Dice::new(self.seed, 0, format!("synthesize {what} {number}").as_bytes())
        };
        let mut theirs = dice("patient", patient);
        let person = Person::draw(&mut theirs);
        let class = self.frequent(&mut theirs);
        let mut own = dice("picture", index);
        let healthy = own.chance(with.healthy);
        let lesions = self.lesions(class, healthy, &mut own);
        let (taken, any) = (own.chance(with.shortcut), own.below(BACKGROUNDS));
        let background = if taken { class % BACKGROUNDS } else { any };
        let held_out = !healthy && class >= with.classes - with.held_out;
        let given = self.dirty(class, healthy || held_out, &mut own);
        let request = SceneRequest {
            width: with.width,
            height: with.height,
            person,
            background,
            lesions,
        };
        Photo {
            id: SampleId::of_key(&format!("synthesize {}/{index}", self.seed)),
            index,
            patient,
            scene: synthetic::draw(&request, &mut own),
            truth: if healthy {
                HEALTHY.to_string()
            } else {
                with.class(class)
            },
            held_out,
            given: with.class(given),
            background,
        }
    }

    /// A class, as frequent as the tail says.
    fn frequent(&self, dice: &mut Dice) -> usize {
        let total = self.frequencies.last().copied().unwrap_or(1.0);
        let drawn = dice.unit() * total;
        let class = self.frequencies.partition_point(|sum| *sum <= drawn);
        class.min(self.parameters.classes - 1)
    }

    fn lesions(&self, class: usize, healthy: bool, dice: &mut Dice) -> Vec<usize> {
        let count = 1 + dice.below(self.parameters.lesions as usize);
        let further = (1..count).map(|_| match dice.chance(self.parameters.mixed) {
            true => dice.below(self.parameters.classes),
            false => class,
        });
        let lesions: Vec<usize> = std::iter::once(class).chain(further).collect();
        if healthy { Vec::new() } else { lesions }
    }

    /// The dirty label: where the truth is no seen disease, or by noise, any other one.
    fn dirty(&self, class: usize, unknown: bool, dice: &mut Dice) -> usize {
        let seen = self.parameters.classes - self.parameters.held_out;
        let (wrong, any) = (dice.chance(self.parameters.label_noise), dice.unit());
        if unknown {
            return ((any * seen as f64) as usize).min(seen - 1);
        }
        if !wrong || seen < 2 {
            return class;
        }
        let other = ((any * (seen - 1) as f64) as usize).min(seen - 2);
        other + usize::from(other >= class)
    }
}
