//! Figures of all judged samples and of every slice of them, each with its bootstrap interval;
//! and how far the slices of a column are apart. Samples of one group alone have no interval: all
//! their draws are the same. Must not know what the figures are.

use std::collections::BTreeSet;

use dermflow_core::{StageContext, StageError};

use crate::attributes::{Attributes, Slices};
use crate::bootstrap::{Bootstrap, Resampling, in_parallel, interval};
use crate::metric_rows::MetricRow;

/// A figure, and what it is in each resample.
type Resampled = (Option<f64>, Vec<Option<f64>>);

/// Where a figure goes: its name, the class that it is about, over how many samples (or what else
/// it counts), and its value where it is defined.
pub type Take<'p, 't> = &'t mut dyn FnMut(&'p str, Option<&'p str>, u64, Option<f64>);

/// Some of the samples, ready to be measured again and again.
pub trait Part: Sync {
    /// Gives every figure where each group counts so often: always the same figures, in the same
    /// order.
    fn figures<'p>(&'p self, groups: &[u32], take: Take<'p, '_>);
}

/// How samples are measured.
pub struct Sliced<'a> {
    /// Groups and slices.
    pub attributes: &'a Attributes,
    /// A slice of fewer samples is told by its size only.
    pub min_samples: u64,
    /// How intervals are made.
    pub bootstrap: &'a Bootstrap,
    /// Figures whose largest difference between the slices of a column is told too.
    pub compared: &'a [&'a str],
}

/// The figures of some samples.
struct Measured {
    rows: Vec<MetricRow>,
    /// Each compared figure that there is: its value, and that of each resample.
    compared: Vec<Resampled>,
}

impl Sliced<'_> {
    /// The rows of all samples `all` and of their slices; `part` makes some of them ready.
    ///
    /// # Errors
    /// Where the run is interrupted.
    pub fn rows<P: Part>(
        &self,
        all: &[u32],
        part: impl Fn(&[u32]) -> P,
        context: &dyn StageContext,
    ) -> Result<Vec<MetricRow>, StageError> {
        let mut rows = vec![size(None, all.len() as u64)];
        if !all.is_empty() && self.resamples(all) < self.bootstrap.resamples {
            context.log("all samples are of one group, so no figure has an interval");
        }
        if !all.is_empty() {
            rows.extend(self.measure(&part(all), all, None, context)?.rows);
        }
        for slices in &self.attributes.slices {
            self.slices(slices, all, &part, &mut rows, context)?;
        }
        Ok(rows)
    }

    fn slices<P: Part>(
        &self,
        slices: &Slices,
        all: &[u32],
        part: &impl Fn(&[u32]) -> P,
        rows: &mut Vec<MetricRow>,
        context: &dyn StageContext,
    ) -> Result<(), StageError> {
        let column = &slices.by.column;
        let mut samples: Vec<Vec<u32>> = vec![Vec::new(); slices.names.names().len()];
        for sample in all {
            samples[slices.of[*sample as usize] as usize].push(*sample);
        }
        let mut of_slices = Vec::new();
        for (name, samples) in slices.names.names().iter().zip(&samples) {
            let slice = format!("{column}: {name}");
            if !samples.is_empty() {
                rows.push(size(Some(&slice), samples.len() as u64));
            }
            if samples.is_empty() || (samples.len() as u64) < self.min_samples {
                continue;
            }
            let measured = self.measure(&part(samples), samples, Some(&slice), context)?;
            rows.extend(measured.rows);
            of_slices.push(measured.compared);
        }
        if of_slices.len() > 1 {
            let gaps =
                (0..self.compared.len()).filter_map(|at| self.gap(at, &of_slices, column, all.len() as u64));
            rows.extend(gaps);
        }
        Ok(())
    }

    /// How often samples are drawn again.
    fn resamples(&self, samples: &[u32]) -> u64 {
        let group = |sample: &u32| self.attributes.group[*sample as usize];
        match samples.iter().map(group).collect::<BTreeSet<u32>>().len() {
            0 | 1 => 0,
            _ => self.bootstrap.resamples,
        }
    }

    fn measure(
        &self,
        part: &impl Part,
        samples: &[u32],
        slice: Option<&str>,
        context: &dyn StageContext,
    ) -> Result<Measured, StageError> {
        let groups = self.attributes.groups;
        let mut rows: Vec<(bool, MetricRow)> = Vec::new();
        let mut compared: Vec<Option<(usize, Option<f64>)>> = vec![None; self.compared.len()];
        part.figures(&vec![1; groups as usize], &mut |name, class, n, value| {
            if let Some(at) = self
                .compared
                .iter()
                .position(|other| *other == name && class.is_none())
            {
                compared[at] = Some((rows.len(), value));
            }
            let row = MetricRow {
                name: name.to_string(),
                class: class.map(str::to_string),
                slice: slice.map(str::to_string),
                value: value.unwrap_or(f64::NAN),
                interval: None,
                n,
            };
            rows.push((value.is_some(), row));
        });
        let resampling = Resampling::new(context.seed(), groups);
        let resamples = in_parallel(self.resamples(samples), context, |number| {
            let mut values = Vec::with_capacity(rows.len());
            part.figures(&resampling.counts(number), &mut |_, _, _, value| {
                values.push(value)
            });
            Ok(values)
        })?;
        let column = |at: usize| resamples.iter().map(move |values: &Vec<Option<f64>>| values[at]);
        for (at, (_, row)) in rows.iter_mut().enumerate() {
            row.interval = interval(column(at), self.bootstrap.level);
        }
        let compared = compared.into_iter().map(|found| match found {
            Some((at, value)) => (value, column(at).collect()),
            None => (None, Vec::new()),
        });
        Ok(Measured {
            compared: compared.collect(),
            rows: rows
                .into_iter()
                .filter(|(defined, _)| *defined)
                .map(|(_, row)| row)
                .collect(),
        })
    }

    /// The largest value of a slice less the smallest. The slices are drawn together.
    fn gap(&self, at: usize, of_slices: &[Vec<Resampled>], column: &str, n: u64) -> Option<MetricRow> {
        let value = spread(of_slices.iter().map(|figures| figures[at].0))?;
        let resamples = (0..self.bootstrap.resamples as usize)
            .map(|number| spread(of_slices.iter().map(|figures| *figures[at].1.get(number)?)));
        Some(MetricRow {
            name: format!("{}-gap", self.compared[at]),
            slice: Some(column.to_string()),
            value,
            interval: interval(resamples, self.bootstrap.level),
            n,
            ..MetricRow::default()
        })
    }
}

/// The largest value less the smallest, if all are defined.
fn spread(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        let value = value?;
        (low, high) = (low.min(value), high.max(value));
    }
    Some(high - low)
}

fn size(slice: Option<&str>, samples: u64) -> MetricRow {
    MetricRow {
        name: "samples".to_string(),
        slice: slice.map(str::to_string),
        value: samples as f64,
        n: samples,
        ..MetricRow::default()
    }
}

#[cfg(test)]
mod tests {
    use dermflow_core::memory::MemoryContext;

    use super::*;
    use crate::attributes::SliceBy;
    use crate::scores::weighted_mean;

    /// Values of some samples and their groups.
    struct Mean(Vec<f64>, Vec<u32>);

    impl Part for Mean {
        fn figures<'p>(&'p self, groups: &[u32], take: Take<'p, '_>) {
            let weights: Vec<u32> = self.1.iter().map(|group| groups[*group as usize]).collect();
            let n = weights.iter().map(|weight| u64::from(*weight)).sum();
            take("mean", None, n, weighted_mean(&self.0, &weights));
        }
    }

    /// The intervals of the mean of samples of these groups, and of their slices: the first two
    /// samples, and the others.
    fn intervals(group: Vec<u32>) -> Vec<(String, bool)> {
        let by: SliceBy = serde_yaml::from_str("side").unwrap();
        let mut names = crate::attributes::Numbered::default();
        let of = (0..group.len())
            .map(|at| names.number(if at < 2 { "left" } else { "right" }))
            .collect();
        let attributes = Attributes {
            groups: group.iter().max().map_or(0, |last| last + 1),
            group: group.clone(),
            slices: vec![Slices { by, names, of }],
            ..Attributes::default()
        };
        let sliced = Sliced {
            attributes: &attributes,
            min_samples: 1,
            bootstrap: &Bootstrap {
                resamples: 50,
                level: 0.95,
            },
            compared: &["mean"],
        };
        let all: Vec<u32> = (0..group.len() as u32).collect();
        let part = |samples: &[u32]| {
            let values = samples.iter().map(|sample| f64::from(*sample)).collect();
            Mean(
                values,
                samples.iter().map(|sample| group[*sample as usize]).collect(),
            )
        };
        let rows = sliced.rows(&all, part, &MemoryContext::default()).unwrap();
        rows.into_iter()
            .filter(|row| row.name != "samples")
            .map(|row| (row.slice.unwrap_or(row.name), row.interval.is_some()))
            .collect()
    }

    #[test]
    fn samples_of_one_group_have_figures_without_an_interval() {
        let of = |all, left, right, apart| {
            [
                ("mean", all),
                ("side: left", left),
                ("side: right", right),
                ("side", apart),
            ]
            .map(|(name, has)| (name.to_string(), has))
        };
        assert_eq!(intervals(vec![0, 0, 0, 0]), of(false, false, false, false));
        assert_eq!(intervals(vec![0, 0, 1, 2]), of(true, false, true, false));
        assert_eq!(intervals(vec![0, 1, 2, 3]), of(true, true, true, true));
    }
}
