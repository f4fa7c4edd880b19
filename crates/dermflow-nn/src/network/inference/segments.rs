//! In which order a network's steps and a batch's images are run.
//!
//! Steps one after another, each over the whole batch, would send every activation through the far
//! memory; images one after another, each through the whole network, would do so with every
//! weight. So steps are cut into segments whose weights stay near, and a batch into groups of
//! images: few where their grids are large, more where they are small, for a matrix product of a
//! handful of rows waits for its weights. A group goes through a segment at once. None of this
//! changes a result.
//!
//! Must not know what steps compute.

use std::ops::Range;

/// Numbers of weights that stay in a second cache beside activations: 1 MiB.
const NEAR_WEIGHTS: usize = 1 << 18;

/// Rows of a matrix product that make up for reading its weights.
const ENOUGH_ROWS: usize = 72;

/// What a step takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Rows that one image has in the products that read the most weights: places of its result, or tiles.
    pub(crate) rows: usize,
    /// Numbers of its weights.
    pub(crate) weights: usize,
    /// Whether a later step asks for its result.
    pub(crate) kept: bool,
}

/// Steps that a group of images goes through at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) steps: Range<usize>,
    /// Into how many groups the batch is cut.
    pub(crate) groups: usize,
}

/// Cuts steps into segments, for a batch of `count` images on so many threads.
pub(crate) fn segments(steps: &[Extent], count: usize, threads: usize) -> Vec<Segment> {
    let mut all: Vec<Segment> = Vec::new();
    let mut weights = 0;
    for (index, step) in steps.iter().enumerate() {
        let groups = groups(step.rows, count, threads);
        let together = all.last_mut().filter(|segment| {
            segment.groups == groups && !steps[index - 1].kept && weights + step.weights <= NEAR_WEIGHTS
        });
        match together {
            Some(segment) => {
                segment.steps.end = index + 1;
                weights += step.weights;
            }
            None => {
                weights = step.weights;
                all.push(Segment {
                    steps: index..index + 1,
                    groups,
                });
            }
        }
    }
    all
}

/// Groups of a batch whose images have so many rows; at least two for each thread where there
/// are as many images.
pub(crate) fn groups(rows: usize, count: usize, threads: usize) -> usize {
    let most = count.div_ceil(2 * threads.max(1)).max(1);
    count.div_ceil((ENOUGH_ROWS / rows.max(1)).clamp(1, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rows: usize, weights: usize) -> Extent {
        Extent {
            rows,
            weights,
            kept: false,
        }
    }

    #[test]
    fn large_grids_go_image_by_image_and_small_ones_in_groups() {
        assert_eq!(groups(2304, 32, 2), 32);
        assert_eq!(groups(36, 32, 2), 16);
        assert_eq!(groups(9, 32, 2), 4);
        assert_eq!(groups(9, 32, 8), 16);
        assert_eq!(groups(1, 5, 1), 2);
        assert_eq!(groups(1, 1, 4), 1);
        assert_eq!(groups(0, 3, 0), 2);
    }

    #[test]
    fn segments_end_where_weights_are_many_groups_change_or_a_result_is_kept() {
        let mut steps = vec![step(400, 1000); 3];
        steps[1].kept = true;
        steps.push(step(400, NEAR_WEIGHTS));
        steps.push(step(100, 10));
        steps.push(step(4, 10));
        steps.push(step(4, 20));
        let cut: Vec<Range<usize>> = segments(&steps, 32, 1)
            .into_iter()
            .map(|segment| segment.steps)
            .collect();
        assert_eq!(cut, [0..2, 2..3, 3..4, 4..5, 5..7]);
        assert!(segments(&[], 3, 1).is_empty());
    }
}
