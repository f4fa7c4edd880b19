//! What holds of an image where several things were said of it. Knows no file.

use std::collections::BTreeMap;

use dermflow_core::{SampleId, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of an image with several labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Several {
    /// The same label again counts once; where they differ, all labels of the image are refused.
    #[default]
    Agree,
    /// The label that most rows give; where two are given equally often, all are refused.
    Majority,
    /// The first in the file; later ones that differ are refused.
    First,
    /// All of them, a row each: an image may have several labels.
    All,
}

/// A label that was given to a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The sample.
    pub id: SampleId,
    /// Its label.
    pub label: String,
    /// Where it stands.
    pub place: String,
    /// Batch and row of what comes along.
    pub at: (usize, usize),
}

/// Takes a refused label and the reason.
pub type EachRefused<'a> = &'a mut dyn FnMut(Said, String) -> Result<(), StageError>;

/// The labels that hold, in order of sample ids. Of labels that agree the first one stays.
///
/// # Errors
/// Where `refuse` fails.
pub fn decide(
    mut said: Vec<Said>,
    several: Several,
    refuse: EachRefused<'_>,
) -> Result<Vec<Said>, StageError> {
    // The sort is stable, so what is said of one sample keeps the order of the file.
    said.sort_by_key(|said| said.id);
    let mut decided = Vec::with_capacity(said.len());
    let mut rest = said.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut of_one = vec![first];
        while let Some(next) = rest.next_if(|next| next.id == of_one[0].id) {
            of_one.push(next);
        }
        match (of_one.len(), several) {
            (1, _) | (_, Several::All) => decided.append(&mut of_one),
            _ => decided.extend(one_of(of_one, several, refuse)?),
        }
    }
    Ok(decided)
}

fn one_of(of_one: Vec<Said>, several: Several, refuse: EachRefused<'_>) -> Result<Option<Said>, StageError> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for said in &of_one {
        *counts.entry(&said.label).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let mut leading = counts.iter().filter(|(_, count)| **count == most);
    let leader = leading.next().map(|(label, _)| (*label).to_string());
    let chosen = match several {
        Several::First => Some(of_one[0].label.clone()),
        Several::Majority if leading.next().is_none() => leader,
        _ if counts.len() == 1 => leader,
        _ => None,
    };
    let listed: Vec<String> = counts
        .iter()
        .map(|(label, count)| format!("`{label}` {count}x"))
        .collect();
    let listed: String = listed.join(", ").chars().take(200).collect();
    let mut kept = None;
    for said in of_one {
        match &chosen {
            Some(label) if said.label == *label => {
                kept.get_or_insert(said);
            }
            Some(label) => {
                let reason = format!("`{label}` holds for its image, which has the labels {listed}");
                refuse(said, reason)?;
            }
            None => refuse(said, format!("the labels of its image don't agree: {listed}"))?,
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decided labels, and how many were refused.
    fn decided(labels: &[(&str, &str)], several: Several) -> (Vec<String>, usize) {
        let said = labels.iter().enumerate().map(|(row, (key, label))| Said {
            id: SampleId::of_key(key),
            label: (*label).to_string(),
            place: String::new(),
            at: (0, row),
        });
        let mut refused = 0;
        let kept = decide(said.collect(), several, &mut |_, _| {
            refused += 1;
            Ok(())
        });
        let mut kept: Vec<String> = kept
            .unwrap()
            .into_iter()
            .map(|said| format!("{} {}", said.label, said.at.1))
            .collect();
        kept.sort();
        (kept, refused)
    }

    #[test]
    fn what_agrees_counts_once_and_what_does_not_is_decided_as_asked() {
        let labels = [
            ("a", "x"),
            ("b", "x"),
            ("a", "x"),
            ("b", "y"),
            ("b", "y"),
            ("c", "x"),
            ("c", "y"),
        ];
        assert_eq!(decided(&labels, Several::Agree), (vec!["x 0".to_string()], 5));
        let (majority, refused) = decided(&labels, Several::Majority);
        assert_eq!(
            (majority, refused),
            (vec!["x 0".to_string(), "y 3".to_string()], 3)
        );
        let (first, refused) = decided(&labels, Several::First);
        let expected = ["x 0", "x 1", "x 5"].map(str::to_string).to_vec();
        assert_eq!((first, refused), (expected, 3));
        assert_eq!(decided(&labels, Several::All).0.len(), 7);
    }
}
