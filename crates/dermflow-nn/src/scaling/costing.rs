//! What every candidate costs, as fast as thousands of them ask for: many round to the same
//! network and image size, which is worked out once, and the memory of training, which takes by far
//! the longest, only where all else keeps to the limits. Must not know how one is chosen.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::grid::Point;
use super::{Candidate, Costs, Limits, ScalingError, Search};
use crate::architecture::{Architecture, Task};
use crate::cost::{BatchShape, multiply_adds, parameters, training_memory, training_memory_at_least};

/// How many networks are worked out before the search may be stopped again.
const AT_ONCE: usize = 64;

/// The search at work.
pub(super) struct Costing<'a> {
    pub(super) baseline: &'a Architecture,
    pub(super) search: &'a Search,
    pub(super) limits: &'a Limits,
}

/// All that scaling changes: two networks of one baseline with the same numbers are the same.
type Widths = Vec<u32>;

/// A distinct network of the search.
struct Distinct {
    architecture: Architecture,
    /// Every image size that it is asked for with.
    costs: BTreeMap<u32, Costs>,
}

impl Costing<'_> {
    /// Every point with its costs, in order; one that can't be built is left out.
    pub(super) fn candidates(
        &self,
        points: Vec<Point>,
        threads: usize,
        go_on: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Vec<Candidate>, ScalingError> {
        let mut places: BTreeMap<Widths, usize> = BTreeMap::new();
        let mut distinct: Vec<Distinct> = Vec::new();
        let mut placed: Vec<(Point, u32, usize)> = Vec::with_capacity(points.len());
        for point in points {
            let rule = self.search.rule();
            let Ok(architecture) = self.baseline.scaled_unchecked(point.width, point.depth, rule) else {
                continue;
            };
            let place = *places.entry(widths(&architecture)).or_insert_with(|| {
                distinct.push(Distinct {
                    architecture,
                    costs: BTreeMap::new(),
                });
                distinct.len() - 1
            });
            let size = self.search.rounded(point.size);
            // Worked out below; till then it only says that the size is asked for.
            distinct[place].costs.insert(size, Costs::default());
            placed.push((point, size, place));
        }
        self.work_out_all(&mut distinct, threads, go_on)?;
        let candidate = |(point, size, place): (Point, u32, usize)| {
            // A network that can't be built has no costs.
            let costs = *distinct[place].costs.get(&size)?;
            Some(Candidate {
                ratios: point.ratios,
                phi: point.phi,
                depth: point.depth,
                width: point.width,
                size,
                costs,
                fits: self.limits.allow(&costs),
            })
        };
        Ok(placed.into_iter().filter_map(candidate).collect())
    }

    fn work_out_all(
        &self,
        distinct: &mut [Distinct],
        threads: usize,
        go_on: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<(), ScalingError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .build();
        let pool = pool.map_err(|error| ScalingError::Threads(error.to_string()))?;
        let (mut done, all) = (0, distinct.len());
        for some in distinct.chunks_mut(AT_ONCE) {
            if !go_on(done, all) {
                return Err(ScalingError::Stopped);
            }
            pool.install(|| some.par_iter_mut().for_each(|one| self.work_out(one)));
            done += some.len();
        }
        match go_on(done, all) {
            true => Ok(()),
            false => Err(ScalingError::Stopped),
        }
    }

    fn work_out(&self, one: &mut Distinct) {
        if one.architecture.check().is_err() {
            return one.costs.clear();
        }
        let parameters = parameters(&one.architecture);
        for (size, costs) in &mut one.costs {
            *costs = Costs {
                multiply_adds: multiply_adds(&one.architecture, *size as usize, *size as usize),
                parameters,
                training_memory: None,
            };
            if self.limits.allow_cheap(costs) && self.may_fit_memory(&one.architecture, *size) {
                costs.training_memory = Some(self.memory(&one.architecture, *size));
            }
        }
    }

    fn may_fit_memory(&self, architecture: &Architecture, size: u32) -> bool {
        self.limits.training_memory.is_none_or(|limit| {
            let least = training_memory_at_least(architecture, self.batch(size), &self.search.training);
            least.total() <= limit
        })
    }

    fn memory(&self, architecture: &Architecture, size: u32) -> u64 {
        training_memory(architecture, self.batch(size), &self.search.training).total()
    }

    fn batch(&self, size: u32) -> BatchShape {
        BatchShape {
            images: self.search.batch,
            height: size,
            width: size,
        }
    }

    /// The same candidate with the costs that were not worked out.
    pub(super) fn in_full(&self, mut candidate: Candidate) -> Candidate {
        let Candidate { width, depth, .. } = candidate;
        if let Ok(architecture) = self.baseline.scaled(width, depth, self.search.rule()) {
            candidate.costs.training_memory = Some(self.memory(&architecture, candidate.size));
        }
        candidate
    }
}

fn widths(architecture: &Architecture) -> Widths {
    let stages = &architecture.backbone.stages;
    let of_stages = stages.iter().flat_map(|stage| [stage.channels, stage.layers]);
    let mut widths: Widths = std::iter::once(architecture.backbone.stem.channels)
        .chain(of_stages)
        .collect();
    match &architecture.task {
        Task::Classifier(classifier) => widths.push(classifier.head_channels),
        Task::Regressor(regressor) => {
            widths.push(regressor.head_channels);
            widths.extend(regressor.neck.iter().map(|step| step.channels));
        }
    }
    widths
}
