//! What is told from the rest by its probability: each class that the model knows, and each group
//! of classes that counts as one, such as the malignant ones.

use std::collections::BTreeSet;

use dermflow_core::StageError;

use super::cases::Cases;
use super::parameters::EvaluateParameters;
use crate::class_list::ClassList;

/// One of them.
pub struct Target {
    /// The class, or what the group is called.
    pub name: String,
    /// The places of its classes in `probabilities`.
    places: Vec<usize>,
    /// The classes of a group; none for a class.
    members: Option<BTreeSet<String>>,
}

impl Target {
    /// The classes in the model's order, then the groups by name.
    ///
    /// # Errors
    /// Where a group is called like a class, or the model knows none of its classes.
    pub fn all(parameters: &EvaluateParameters, classes: &ClassList) -> Result<Vec<Target>, StageError> {
        let one = |(place, name): (usize, &String)| Target {
            name: name.clone(),
            places: vec![place],
            members: None,
        };
        let mut targets: Vec<Target> = classes.names().iter().enumerate().map(one).collect();
        for (name, members) in &parameters.class_groups {
            let here = format!("class-groups.{name}");
            if classes.index(name).is_some() {
                let message = format!("`{here}`: a class of the model is called `{name}` already");
                return Err(StageError::new(message).with_help("give the group another name"));
            }
            let places = members.iter().filter_map(|member| classes.index(member));
            let places: BTreeSet<usize> = places.map(|place| place as usize).collect();
            if places.is_empty() {
                let known = classes.names().join("`, `");
                return Err(
                    StageError::new(format!("`{here}`: the model knows none of its classes"))
                        .with_help(format!("it knows `{known}`")),
                );
            }
            targets.push(Target {
                name: name.clone(),
                places: places.into_iter().collect(),
                members: Some(members.iter().cloned().collect()),
            });
        }
        Ok(targets)
    }

    /// Whether it is a group of classes.
    pub fn is_group(&self) -> bool {
        self.members.is_some()
    }

    /// The probability that a sample is of it.
    pub fn score(&self, cases: &Cases, sample: usize) -> f64 {
        let classes = cases.classes.len();
        let row = &cases.probabilities[sample * classes..][..classes];
        self.places.iter().map(|place| f64::from(row[*place])).sum()
    }

    /// Whether a sample is of it. None where it doesn't count: its class is one that neither the
    /// model knows nor the group names.
    pub fn holds(&self, cases: &Cases, sample: usize) -> Option<bool> {
        let truth = cases.truth[sample];
        let inside = match &self.members {
            Some(members) => members.contains(cases.truth_name(truth)),
            None => self.places.contains(&(truth as usize)),
        };
        (inside || cases.is_seen(sample)).then_some(inside)
    }
}
