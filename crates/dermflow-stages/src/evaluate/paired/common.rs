//! [`Common`]: the samples that sides can be held against each other on. Must not know of figures.

use std::collections::BTreeSet;

use dermflow_core::StageError;

use super::Ready;

/// The samples that sides are compared on.
pub(super) struct Common {
    /// Their ids, of which there is one at least that every side's model can be right about.
    pub(super) samples: BTreeSet<[u8; 32]>,
    /// How many others there are.
    pub(super) left_out: LeftOut,
}

/// How many samples that some side judges are not compared on, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Another side doesn't judge them: it has no prediction or true label of them, or they are
    /// outside of its fold.
    judged_by_some: u64,
    /// The sides hold other labels for true.
    of_other_truth: u64,
    /// Some models know their class, and others don't: these could not be right.
    known_to_some: u64,
}

impl Common {
    /// Of sides as their own stages judge them.
    ///
    /// # Errors
    /// Where no sample is left, with what was left out.
    pub(super) fn of(sides: &[Ready]) -> Result<Common, StageError> {
        let judged: Vec<_> = sides.iter().map(Ready::truths).collect();
        let all: BTreeSet<[u8; 32]> = judged.iter().flat_map(|side| side.keys().copied()).collect();
        let mut common = Common {
            samples: BTreeSet::new(),
            left_out: LeftOut::default(),
        };
        let mut any_known = false;
        for id in all {
            let truths: Option<Vec<&str>> = judged.iter().map(|side| side.get(&id).copied()).collect();
            let Some(truths) = truths else {
                common.left_out.judged_by_some += 1;
                continue;
            };
            let knows = |(side, truth): (&Ready, &&str)| side.cases.classes.index(truth).is_some();
            let knowing = sides.iter().zip(&truths).filter(|both| knows(*both)).count();
            if truths.iter().any(|truth| *truth != truths[0]) {
                common.left_out.of_other_truth += 1;
            } else if knowing != 0 && knowing != sides.len() {
                common.left_out.known_to_some += 1;
            } else {
                any_known |= knowing != 0;
                common.samples.insert(id);
            }
        }
        match any_known {
            true => Ok(common),
            false => Err(common.nothing_left()),
        }
    }

    fn nothing_left(&self) -> StageError {
        let why = match (self.left_out.remarks(), self.samples.is_empty()) {
            (_, false) => "their models know the class of none that all of them judge".to_string(),
            (remarks, true) if remarks.is_empty() => "none is judged".to_string(),
            (remarks, true) => remarks.join("; "),
        };
        StageError::new(format!("no sample is left to compare on: {why}"))
            .with_help("compare sides that judge the same samples, by models of the same classes")
    }
}

impl LeftOut {
    /// Both together.
    pub(super) fn and(self, other: LeftOut) -> LeftOut {
        LeftOut {
            judged_by_some: self.judged_by_some + other.judged_by_some,
            of_other_truth: self.of_other_truth + other.of_other_truth,
            known_to_some: self.known_to_some + other.known_to_some,
        }
    }

    /// A remark for each reason that there is.
    pub(super) fn remarks(self) -> Vec<String> {
        let reasons = [
            (
                self.judged_by_some,
                "not all of them judge (their predictions, true labels or folds differ)",
            ),
            (
                self.of_other_truth,
                "don't have the same true label in all of them",
            ),
            (
                self.known_to_some,
                "are of a class that not all of their models know (their class lists differ)",
            ),
        ];
        reasons
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, reason)| format!("left out: {count} samples that {reason}"))
            .collect()
    }
}
