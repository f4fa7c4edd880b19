//! Compound scaling under limits that are set beforehand (`method.md` C2; Tan & Le,
//! "EfficientNet").
//!
//! Depth grows by α^φ, width by β^φ, image size by γ^φ, with α·β²·γ² ≈ 2, so that computation
//! about doubles with each φ. A search goes through a grid of α, β, γ and φ (or a given table of
//! factors), works out every candidate's exact cost, and chooses one by a rule that looks at costs
//! alone. It must not know how well a network learns: who wants to compare trained candidates takes
//! them from the list, and searches again with the ratios that did best.
//!
//! ```
//! use dermflow_nn::architecture::{Named, Published};
//! use dermflow_nn::scaling::{Growth, Limits, Range, RatioGrid, Search, search};
//!
//! let baseline = Named::plain(Published::EfficientNetB0).classifier(5)?;
//! let limits = Limits { multiply_adds: Some(800_000_000), ..Limits::default() };
//! let phi = Range { from: 0.0, to: 2.0, step: 0.25 };
//! let growth = Growth::Grid(RatioGrid { phi, ..RatioGrid::default() });
//! let found = search(&baseline, &Search { growth, ..Search::default() }, &limits)?;
//! let best = found.best();
//! assert!(best.costs.multiply_adds <= 800_000_000 && best.costs.multiply_adds > 700_000_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod choice;
mod costing;
mod grid;
#[cfg(test)]
mod tests;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::architecture::{Architecture, MAX_NAME, ScalingRule};
use crate::cost::TrainingSetup;
use choice::choose;
use costing::Costing;
pub use grid::{Growth, Range, RatioGrid, Row};

/// No candidate has smaller pictures, since nothing trains on them.
const LEAST_SIZE: u32 = 8;

/// No candidate has larger pictures, since nothing trains on them.
const MOST_SIZE: u32 = 4096;

/// No search has more candidates.
pub const MAX_CANDIDATES: usize = 1_000_000;

/// What the chosen network may cost at most. At least one limit must be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Multiply-adds for one image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub multiply_adds: Option<u64>,
    /// Parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub parameters: Option<u64>,
    /// Bytes that training takes at its peak.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub training_memory: Option<u64>,
}

/// What is searched, and how costs are counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Search {
    /// Height and width of the baseline's images.
    #[schemars(range(min = 8, max = 4096))]
    pub size: u32,
    /// Image sizes are rounded to multiples of this.
    #[schemars(range(min = 1, max = 256))]
    pub size_multiple: u32,
    /// Where candidates come from.
    pub growth: Growth,
    /// How the baseline's family rounds channels and layers. Left out, as EfficientNet does;
    /// who knows the baseline's family says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<ScalingRule>,
    /// Images in a batch, for the memory of training.
    #[schemars(range(min = 1, max = 65536))]
    pub batch: u32,
    /// What else counts for the memory of training.
    pub training: TrainingSetup,
    /// Each candidate within the limits uses some share of the limit that it comes nearest to. Those
    /// count as equal that use at least this much of the largest such share; the most balanced of them
    /// is chosen, in which depth, width and size grow together.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share_of_most: f64,
}

impl Default for Search {
    fn default() -> Search {
        Search {
            size: 224,
            size_multiple: 8,
            growth: Growth::default(),
            rule: None,
            batch: 16,
            training: TrainingSetup::default(),
            share_of_most: 0.95,
        }
    }
}

/// What a candidate costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Costs {
    /// For one image.
    pub multiply_adds: u64,
    /// Trained numbers.
    pub parameters: u64,
    /// Bytes that training takes at its peak; none where the candidate was ruled out before this
    /// was worked out, which takes longest: by another limit, or because what a step keeps is
    /// over the limit already.
    pub training_memory: Option<u64>,
}

/// One network that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Candidate {
    /// Growth of depth, width and image size for φ = 1; none for a row of a table.
    pub ratios: Option<[f64; 3]>,
    /// The exponent; none for a row of a table.
    pub phi: Option<f64>,
    /// Factor of the layers.
    pub depth: f64,
    /// Factor of the channels.
    pub width: f64,
    /// Height and width of the images.
    pub size: u32,
    /// What it costs.
    pub costs: Costs,
    /// Whether it keeps to all limits.
    pub fits: bool,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaled {
    /// All candidates, in the order of the grid (or table).
    pub candidates: Vec<Candidate>,
    /// Which of them was chosen.
    pub chosen: usize,
    /// The chosen network.
    pub architecture: Architecture,
}

impl Scaled {
    /// The chosen candidate.
    pub fn best(&self) -> &Candidate {
        // `chosen` is an index into the list by construction; the list is never empty.
        &self.candidates[self.chosen]
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq)]
pub enum ScalingError {
    /// A setting is out of range: its place, and what is wrong.
    Setting(&'static str, String),
    /// The baseline can't be built.
    Baseline(String),
    /// Nothing keeps to the limits; the cheapest candidate and its costs.
    NothingFits(Box<Candidate>, Limits),
    /// Whoever watches didn't want to go on.
    Stopped,
    /// Threads can't be started.
    Threads(String),
}

impl fmt::Display for ScalingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScalingError::Setting(place, why) => write!(f, "{place}: {why}"),
            ScalingError::Baseline(why) => write!(f, "the baseline: {why}"),
            ScalingError::Stopped => f.write_str("the search was stopped"),
            ScalingError::Threads(why) => write!(f, "starting threads: {why}"),
            ScalingError::NothingFits(cheapest, limits) => {
                write!(f, "no candidate keeps to the limits; the cheapest has")?;
                let costs = [
                    (
                        "multiply-adds",
                        Some(cheapest.costs.multiply_adds),
                        limits.multiply_adds,
                    ),
                    ("parameters", Some(cheapest.costs.parameters), limits.parameters),
                    (
                        "bytes of training memory",
                        cheapest.costs.training_memory,
                        limits.training_memory,
                    ),
                ];
                for (name, cost, limit) in costs {
                    if let (Some(cost), Some(limit)) = (cost, limit) {
                        write!(f, " {cost} {name} (limit {limit})")?;
                    }
                }
                f.write_str("; raise a limit, or start from a smaller baseline or a phi below 0")
            }
        }
    }
}

impl std::error::Error for ScalingError {}

/// Goes through all candidates and chooses one.
///
/// The rule: each of those that keep to all limits uses some share of the limit that it comes
/// nearest to, whether that is one on multiply-adds, parameters or memory. The ones that use at least
/// `share_of_most` of the largest such share count as equal; of these the most balanced is chosen, in
/// which the smallest of the three shares of growth in computation (ln depth, 2·ln width, 2·ln size)
/// is largest; then the one with more multiply-adds, with fewer parameters, the earlier one.
///
/// # Errors
/// Where a setting or the baseline is wrong, or nothing keeps to the limits.
pub fn search(baseline: &Architecture, search: &Search, limits: &Limits) -> Result<Scaled, ScalingError> {
    search_watched(baseline, search, limits, 1, &mut |_, _| true)
}

/// As [`search`], on so many threads: the result is the same for any number. Now and then `go_on`
/// is told how many of how many distinct networks are worked out, and says whether to go on.
///
/// # Errors
/// As [`search`]; and where `go_on` said no, or threads can't be started.
pub fn search_watched(
    baseline: &Architecture,
    search: &Search,
    limits: &Limits,
    threads: usize,
    go_on: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Scaled, ScalingError> {
    baseline
        .check()
        .map_err(|error| ScalingError::Baseline(error.to_string()))?;
    search.check_numbers(limits)?;
    let costing = Costing {
        baseline,
        search,
        limits,
    };
    let mut candidates = costing.candidates(search.growth.points()?, threads, go_on)?;
    let Some(chosen) = choose(&candidates, search, limits) else {
        let cheapest = candidates
            .drain(..)
            .min_by_key(|candidate| candidate.costs.multiply_adds);
        let nothing = || ScalingError::Setting("growth", "no candidate can be built".to_owned());
        let cheapest = costing.in_full(cheapest.ok_or_else(nothing)?);
        return Err(ScalingError::NothingFits(Box::new(cheapest), *limits));
    };
    let Candidate { width, depth, .. } = candidates[chosen];
    let architecture = baseline.scaled(width, depth, search.rule());
    let mut architecture = architecture.map_err(|error| ScalingError::Baseline(error.to_string()))?;
    if (width, depth) != (1.0, 1.0) {
        architecture.name = renamed(&baseline.name, width, depth);
    }
    Ok(Scaled {
        candidates,
        chosen,
        architecture,
    })
}

/// The baseline's name and the factors; of a name that leaves no room for them, its beginning.
fn renamed(baseline: &str, width: f64, depth: f64) -> String {
    let factors = format!(" width {width:.4} depth {depth:.4}");
    let room = MAX_NAME.saturating_sub(factors.len());
    let ends = baseline.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let end = ends.take_while(|end| *end <= room).last().unwrap_or(0);
    format!("{}{factors}", &baseline[..end])
}

impl Limits {
    /// Whether the costs keep to them; costs that were not worked out in full never do.
    pub fn allow(&self, costs: &Costs) -> bool {
        let memory = costs.training_memory;
        self.allow_cheap(costs)
            && memory.is_some_and(|memory| self.training_memory.is_none_or(|limit| memory <= limit))
    }

    /// Whether the costs that are quickly worked out keep to them.
    fn allow_cheap(&self, costs: &Costs) -> bool {
        let within = |cost: u64, limit: Option<u64>| limit.is_none_or(|limit| cost <= limit);
        within(costs.multiply_adds, self.multiply_adds) && within(costs.parameters, self.parameters)
    }
}

impl Search {
    /// What is wrong with the settings and limits, whatever the baseline.
    ///
    /// # Errors
    /// The first setting that is out of range.
    pub fn check(&self, limits: &Limits) -> Result<(), ScalingError> {
        self.check_numbers(limits)?;
        self.growth.points().map(|_| ())
    }

    fn check_numbers(&self, limits: &Limits) -> Result<(), ScalingError> {
        let fault = |place, why: &str| Err(ScalingError::Setting(place, why.to_owned()));
        if *limits == Limits::default() {
            return fault(
                "limits",
                "at least one must be set, or the largest candidate always wins",
            );
        }
        if !(LEAST_SIZE..=MOST_SIZE).contains(&self.size) {
            return fault("size", &format!("must lie between {LEAST_SIZE} and {MOST_SIZE}"));
        }
        if !(1..=256).contains(&self.size_multiple) {
            return fault("size-multiple", "must lie between 1 and 256");
        }
        if !(1..=65_536).contains(&self.batch) {
            return fault("batch", "must lie between 1 and 65536");
        }
        if !(1..=1024).contains(&self.training.threads) || !(1..=64).contains(&self.training.batches) {
            return fault(
                "training",
                "threads must lie between 1 and 1024, batches between 1 and 64",
            );
        }
        match (0.0..=1.0).contains(&self.share_of_most) {
            true => Ok(()),
            false => fault("share-of-most", "must lie between 0 and 1"),
        }
    }

    fn rule(&self) -> ScalingRule {
        self.rule.unwrap_or_default()
    }

    /// A factor of the baseline's image size, or a table's size as it is.
    fn rounded(&self, size: grid::Size) -> u32 {
        match size {
            grid::Size::Pixels(size) => size,
            grid::Size::Factor(factor) => {
                let multiple = f64::from(self.size_multiple);
                let asked = f64::from(self.size) * factor;
                let rounded = (asked / multiple).round().max(1.0) * multiple;
                rounded.clamp(LEAST_SIZE.into(), MOST_SIZE.into()) as u32
            }
        }
    }
}
