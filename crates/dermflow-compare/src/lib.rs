//! Runs, variants and matrix cells side by side: which parameters differ, what came out, how far
//! the figures are apart on the same samples and over seeds, how much of the gap between two of them
//! another closes, how soon a training has what the baseline's has in the end, and what it took.
//!
//! Everything is read from a store's journals and records; nothing is computed again but the
//! differences and the shares of a gap. Cells that differ in nothing but the seed are one group. The first group is the
//! baseline that the others are held against. Must not know of YAML files, of terminals, or how
//! stages are run.
//!
//! ```no_run
//! use dermflow_compare::{Asked, compare, markdown, sections};
//! use dermflow_store::Store;
//!
//! let store = Store::open_existing(".dermflow").unwrap();
//! let asked = Asked { names: vec!["base".to_string(), "no-prior".to_string()], ..Asked::default() };
//! let comparison = compare(&store, &asked).unwrap();
//! println!("{}", markdown(&sections(&comparison)));
//! ```

mod figures;
mod gap;
mod groups;
mod paired;
mod pairs;
mod parameters;
mod render;
mod sides;
mod steps;

use dermflow_core::StageError;
use dermflow_stages::Bootstrap;
use dermflow_store::Store;
use serde::Serialize;

pub use figures::{Figure, Of};
pub use gap::{Closed, Gap, GapShares, Share};
pub use groups::{Group, Member};
pub use paired::{Apart, PairedDifferences};
pub use parameters::{Differing, Setting};
pub use render::{Section, markdown, sections};
pub use sides::Side;
pub use steps::{Reached, ReachedAt, StepsToScore};

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Runs, variants, matrices and cells by name, the baseline first; see [`Side`].
    pub names: Vec<String>,
    /// Figures of single classes and slices too, not only those of all samples together, and those
    /// that stages report of their work though they are the same everywhere.
    pub all_figures: bool,
    /// Two of the groups with a colon between them, such as `clean-only:all-true`: how much of the gap
    /// between their scores the others close is told too.
    pub gap: Option<String>,
    /// How intervals of differences, and of shares of a gap, are made.
    pub bootstrap: Bootstrap,
    /// What draws are made from.
    pub seed: u64,
    /// Threads for the draws.
    pub threads: usize,
}

impl Default for Asked {
    fn default() -> Asked {
        Asked {
            names: Vec::new(),
            all_figures: false,
            gap: None,
            bootstrap: Bootstrap::default(),
            seed: 0,
            threads: 1,
        }
    }
}

/// Everything side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The groups in the order that they were asked for; the first is the baseline.
    pub groups: Vec<Group>,
    /// Parameters, kinds, versions and sources that are not the same in all groups.
    pub parameters: Vec<Differing>,
    /// Figures of every group.
    pub figures: Vec<Figure>,
    /// How much of the gap between two groups' scores the others close, where that was asked.
    pub gap: Option<Gap>,
    /// The other groups against the first, for each stage that evaluates predictions.
    pub paired: Vec<PairedDifferences>,
    /// When each group's training first has the baseline's last score, for each stage that trains.
    pub steps: Vec<StepsToScore>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
}

/// Reads the sides, and compares them.
///
/// # Errors
/// Where a name means nothing in the store, fewer than two cells are found, or the gap is not between
/// two of the groups.
pub fn compare(store: &Store, asked: &Asked) -> Result<Comparison, StageError> {
    let sides = sides::find(store, &asked.names)?;
    if sides.len() < 2 {
        let found: Vec<&str> = sides.iter().map(|side| side.label.as_str()).collect();
        return Err(StageError::new(format!(
            "at least two cells are needed to compare; found was only {}",
            found.join(", ")
        ))
        .with_help("name another run, variant or cell, or a run of several cells"));
    }
    let mut notes = Vec::new();
    let groups = groups::of(&sides);
    let ends = asked.gap.as_ref().map(|text| gap::ends(text, &sides, &groups));
    let ends = ends.transpose()?;
    let figures = figures::gather(store, &sides, &groups, asked.all_figures)?;
    let gap = ends.map(|ends| gap::gather(store, &sides, &groups, ends, asked, &mut notes));
    if gap.as_ref().is_some_and(|gap| gap.stages.is_empty()) {
        notes.push("no group besides the two ends of the gap has a score that both of them have".to_string());
    }
    let paired = match groups.len() {
        1 => Vec::new(),
        _ => paired::gather(store, &sides, &groups, asked, &mut notes)?,
    };
    if groups.len() == 1 {
        notes.push(
            "all of them differ only in their seed: there is one group, and nothing to hold it against"
                .to_string(),
        );
    }
    Ok(Comparison {
        parameters: parameters::differing(&sides, &groups),
        steps: steps::gather(store, &sides, &groups, &mut notes),
        figures,
        gap,
        paired,
        groups,
        notes,
    })
}
