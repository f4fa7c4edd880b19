//! The figures with their intervals, and the table of matches.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Column, ColumnType, OutputPort, PortType, SampleId, StageContext, StageError, TableType, sample_ids,
};

use super::EvaluateDetectionsParameters;
use super::judged::{Detection, Judged};
use crate::metric_rows::write_metrics;
use crate::scores::ranking::Ranking;
use crate::scores::{mean, share, weighted_mean};
use crate::sliced::{Part, Sliced, Take};

/// Detections of some images, of one class or of any, ranked once.
struct Detections {
    class: Option<String>,
    ranking: Ranking,
    /// The image of each detection that is ranked, and of each true box.
    images: Vec<u32>,
    lesions: Vec<u32>,
}

impl Detections {
    /// Recall and the average precision at all points: precision is the best at the same or a
    /// higher recall (as PASCAL VOC has it since 2010).
    fn figures(&self, weights: &[u32]) -> (u64, Option<f64>, Option<f64>) {
        let of_detection: Vec<u32> = self.images.iter().map(|image| weights[*image as usize]).collect();
        let lesions: u64 = self
            .lesions
            .iter()
            .map(|image| u64::from(weights[*image as usize]))
            .sum();
        let (mut right, mut wrong) = (0_u64, 0_u64);
        let mut points: Vec<(u64, f64)> = Vec::new();
        self.ranking.walk(&of_detection, |met, missed| {
            right += met;
            wrong += missed;
            points.push((met, right as f64 / (right + wrong) as f64));
        });
        let (mut best, mut area) = (0.0_f64, 0.0);
        for (risen, precision) in points.iter().rev() {
            best = best.max(*precision);
            area += *risen as f64 * best;
        }
        let precision = (lesions > 0).then(|| area / lesions as f64);
        (lesions, precision, share(right, lesions))
    }
}

/// Everything about some images.
struct Images<'a> {
    judged: &'a Judged,
    /// Whether each image counts.
    inside: Vec<bool>,
    any: Detections,
    by_class: Vec<Detections>,
    /// Overlap and centre error of each detection that meets a box, and its image.
    met: Vec<(u32, f64, f64)>,
}

impl<'a> Images<'a> {
    fn new(judged: &'a Judged, images: &[u32]) -> Images<'a> {
        let mut inside = vec![false; judged.images.len()];
        images.iter().for_each(|image| inside[*image as usize] = true);
        let detections = |class: Option<(&str, u32)>| {
            let of_class = |other: u32| class.is_none_or(|(_, class)| class == other);
            let taken: Vec<_> = judged
                .detections
                .iter()
                .filter(|found| inside[found.image as usize] && of_class(found.class))
                .collect();
            let scores: Vec<f64> = taken.iter().map(|found| f64::from(found.probability)).collect();
            let meets = |at: usize| match class {
                Some(_) => taken[at].meets_class,
                None => taken[at].overlap.is_some(),
            };
            let lesions = judged
                .lesions
                .iter()
                .filter(|lesion| inside[lesion.image as usize] && of_class(lesion.class));
            Detections {
                class: class.map(|(name, _)| name.to_string()),
                ranking: Ranking::new(&scores, meets),
                images: taken.iter().map(|found| found.image).collect(),
                lesions: lesions.map(|lesion| lesion.image).collect(),
            }
        };
        let met = judged
            .detections
            .iter()
            .filter(|found| inside[found.image as usize]);
        Images {
            any: detections(None),
            by_class: judged
                .true_classes()
                .into_iter()
                .map(|class| detections(Some(class)))
                .collect(),
            met: met
                .filter_map(|found| Some((found.image, found.overlap?, found.centre_error?)))
                .collect(),
            judged,
            inside,
        }
    }
}

impl Part for Images<'_> {
    fn figures<'p>(&'p self, groups: &[u32], take: Take<'p, '_>) {
        let weights: Vec<u32> = self
            .inside
            .iter()
            .zip(&self.judged.attributes.group)
            .map(|(inside, group)| u32::from(*inside) * groups[*group as usize])
            .collect();
        let (lesions, precision, recall) = self.any.figures(&weights);
        take("average-precision", None, lesions, precision);
        take("recall", None, lesions, recall);
        let of_classes: Vec<_> = self
            .by_class
            .iter()
            .map(|class| (class, class.figures(&weights)))
            .collect();
        let precisions = of_classes.iter().filter_map(|(_, (_, precision, _))| *precision);
        take("mean-average-precision", None, lesions, mean(precisions));
        for (class, (lesions, precision, recall)) in &of_classes {
            take("average-precision", class.class.as_deref(), *lesions, *precision);
            take("recall", class.class.as_deref(), *lesions, *recall);
        }
        let of_met: Vec<u32> = self
            .met
            .iter()
            .map(|(image, ..)| weights[*image as usize])
            .collect();
        let n = of_met.iter().map(|weight| u64::from(*weight)).sum();
        let [overlaps, errors]: [Vec<f64>; 2] =
            [|met: &(u32, f64, f64)| met.1, |met: &(u32, f64, f64)| met.2]
                .map(|of| self.met.iter().map(of).collect());
        take("mean-overlap", None, n, weighted_mean(&overlaps, &of_met));
        take("centre-error", None, n, weighted_mean(&errors, &of_met));
        let detections = self
            .any
            .images
            .iter()
            .map(|image| u64::from(weights[*image as usize]))
            .sum();
        let images = weights.iter().map(|weight| u64::from(*weight)).sum();
        take("detections-per-image", None, images, share(detections, images));
    }
}

/// Computes and writes all figures of the images `all`.
///
/// # Errors
/// Where the run is interrupted, or the output can't be written.
pub fn metrics(
    parameters: &EvaluateDetectionsParameters,
    judged: &Judged,
    all: &[u32],
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let sliced = Sliced {
        attributes: &judged.attributes,
        min_samples: parameters.min_samples,
        bootstrap: &parameters.bootstrap,
        compared: &["average-precision", "recall"],
    };
    let rows = sliced.rows(all, |images| Images::new(judged, images), context)?;
    write_metrics(context, &rows)
}

fn matches_type() -> TableType {
    TableType::exactly([
        Column::new("label", ColumnType::Text),
        Column::new("probability", ColumnType::Float32),
        Column::new("x", ColumnType::Float64),
        Column::new("y", ColumnType::Float64),
        Column::new("w", ColumnType::Float64),
        Column::new("h", ColumnType::Float64),
        Column::new("rank", ColumnType::Integer),
        Column::nullable("overlap", ColumnType::Float64),
        Column::nullable("centre_error", ColumnType::Float64),
    ])
}

/// The output port `matches`.
pub fn matches_port() -> OutputPort {
    let about = "every detection of a judged image, the surest first, with its overlap with the true box that it meets";
    OutputPort::new("matches", PortType::Table(matches_type()), about)
}

/// Writes every detection of the images `all` with what it met.
///
/// # Errors
/// Where the output can't be written.
pub fn write_matches(judged: &Judged, all: &[u32], context: &mut dyn StageContext) -> Result<(), StageError> {
    let all: BTreeSet<u32> = all.iter().copied().collect();
    let found: Vec<&Detection> = judged
        .detections
        .iter()
        .filter(|one| all.contains(&one.image))
        .collect();
    let names = judged.classes.names();
    let ids: Vec<SampleId> = found
        .iter()
        .map(|one| judged.images[one.image as usize])
        .collect();
    let labels: StringArray = found.iter().map(|one| Some(&names[one.class as usize])).collect();
    let probabilities: Float32Array = found.iter().map(|one| Some(one.probability)).collect();
    let mut ranks: Vec<i64> = Vec::with_capacity(found.len());
    for (at, one) in found.iter().enumerate() {
        let goes_on = at > 0 && found[at - 1].image == one.image;
        ranks.push(if goes_on { ranks[at - 1] + 1 } else { 1 });
    }
    let floats = |of: &dyn Fn(usize) -> Option<f64>| -> ArrayRef {
        Arc::new((0..found.len()).map(of).collect::<Float64Array>())
    };
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids),
        Arc::new(labels),
        Arc::new(probabilities),
        floats(&|at| Some(found[at].place.x)),
        floats(&|at| Some(found[at].place.y)),
        floats(&|at| Some(found[at].place.w)),
        floats(&|at| Some(found[at].place.h)),
        Arc::new(Int64Array::from(ranks)),
        floats(&|at| found[at].overlap),
        floats(&|at| found[at].centre_error),
    ];
    let schema = matches_type().schema();
    let mut out = context.write_table("matches", schema.clone())?;
    out.write(&RecordBatch::try_new(schema, columns)?)?;
    out.finish()
}
