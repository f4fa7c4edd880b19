//! In which order images stand, and which of them are shown where there is no room for all. Must
//! not know what an image looks like.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use dermflow_core::StageError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In which order images stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Those of one label together, labels by name.
    #[default]
    Label,
    /// By sample id, labels mixed.
    Sample,
    /// By a number, this column of the input `labels`: the lowest first. An image that has none
    /// there is not shown.
    Lowest(String),
    /// The same, but the highest first.
    Highest(String),
}

impl Order {
    /// The column of numbers that images stand by, if there is one.
    pub fn column(&self) -> Option<&str> {
        match self {
            Order::Label | Order::Sample => None,
            Order::Lowest(column) | Order::Highest(column) => Some(column),
        }
    }

    /// Where an image with this number stands: the least comes first.
    pub fn place(&self, number: f64) -> f64 {
        match self {
            Order::Highest(_) => -number,
            _ => number,
        }
    }
}

/// Where an image stands; of equal ones that which came first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    place: f64,
    came: usize,
}

impl Eq for Place {}
impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        self.place
            .total_cmp(&other.place)
            .then(self.came.cmp(&other.came))
    }
}
impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The first images in an order, as many of each label and in all as there is room for. No more
/// are ever held.
pub struct Shown<I> {
    most: usize,
    per_label: usize,
    images: BTreeMap<Place, (Option<String>, I)>,
    of_label: BTreeMap<Option<String>, BTreeSet<Place>>,
    came: usize,
}

impl<I> Shown<I> {
    /// None so far.
    pub fn new(most: usize, per_label: Option<usize>) -> Shown<I> {
        Shown {
            most,
            per_label: per_label.unwrap_or(usize::MAX),
            images: BTreeMap::new(),
            of_label: BTreeMap::new(),
            came: 0,
        }
    }

    /// Whether another image can only take the place of one that stands behind it.
    pub fn full(&self) -> bool {
        self.images.len() >= self.most
    }

    /// Takes an image that stands at `place` where there is room, or where there is none in the place
    /// of the last of its label or of all. Only then is it made.
    ///
    /// # Errors
    /// As `image`.
    pub fn offer(
        &mut self,
        place: f64,
        label: Option<String>,
        image: impl FnOnce() -> Result<I, StageError>,
    ) -> Result<(), StageError> {
        let place = Place {
            place,
            came: self.came,
        };
        self.came += 1;
        let own = self.of_label.get(&label);
        let last = match own.filter(|own| own.len() >= self.per_label) {
            Some(own) => own.last(),
            None => self.images.keys().next_back().filter(|_| self.full()),
        };
        if let Some(last) = last.copied() {
            if last < place {
                return Ok(());
            }
            self.remove(last);
        }
        self.images.insert(place, (label.clone(), image()?));
        self.of_label.entry(label).or_default().insert(place);
        Ok(())
    }

    fn remove(&mut self, place: Place) {
        let removed = self.images.remove(&place);
        if let Some(own) = removed.and_then(|(label, _)| self.of_label.get_mut(&label)) {
            own.remove(&place);
        }
    }

    /// Those that are shown, as they came.
    pub fn into_order_of_arrival(self) -> Vec<I> {
        let came = self.images.into_iter();
        let images: BTreeMap<usize, I> = came.map(|(place, (_, image))| (place.came, image)).collect();
        images.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shown_are_the_first_of_all_in_order_and_of_each_label(
            given in proptest::collection::vec((0_u8..6, 0_u8..3), 0..40),
            most in 1_usize..12,
            per_label in proptest::option::of(1_usize..5),
        ) {
            let mut shown = Shown::new(most, per_label);
            for (came, (place, label)) in given.iter().enumerate() {
                let label = Some(label.to_string());
                shown.offer(f64::from(*place), label, || Ok(came)).unwrap();
            }
            // The same by sorting everything first.
            let mut sorted: Vec<usize> = (0..given.len()).collect();
            sorted.sort_by_key(|came| given[*came].0);
            let mut counts = [0_usize; 3];
            let mut expected = Vec::new();
            for came in sorted {
                let count = &mut counts[usize::from(given[came].1)];
                if expected.len() < most && *count < per_label.unwrap_or(usize::MAX) {
                    *count += 1;
                    expected.push(came);
                }
            }
            expected.sort_unstable();
            prop_assert_eq!(shown.into_order_of_arrival(), expected);
        }
    }
}
