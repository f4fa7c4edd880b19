//! The checklists CLAIM 2024, CLEAR Derm and TRIPOD+AI, each item filled from the records or
//! marked as the author's.
//!
//! Items are numbered as the guidelines number them and named in few words of our own; what an
//! item asks for in full stands in the guideline. An item is filled only where the records say
//! something about it, and then with what they say: whether that is enough is for the author and
//! the reviewer to judge.
//!
//! Each guideline has a file, which says how far it was compared with what was published.

mod claim;
mod clear_derm;
mod tripod_ai;

use serde::Serialize;

use super::facts::Topic;
use super::facts::{Fact, Facts};

/// Whether an item is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// From the records.
    Filled,
    /// Nothing on record says it.
    NeedsTheAuthor,
    /// What it asks about did not happen.
    NotApplicable,
}

/// One item of a checklist.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    /// Its number in the guideline, with the letter of the part where an item has several.
    pub number: &'static str,
    /// The guideline's section, and the topic in it where it has topics.
    pub section: &'static str,
    /// What it asks for, in few words.
    pub asks: &'static str,
    /// Whether it is filled.
    pub status: Status,
    /// What the records say.
    pub answer: String,
    /// Where they say it: a field of this card, or an action.
    pub found: String,
}

/// A checklist.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checklist {
    /// Its name.
    pub name: &'static str,
    /// Where the guideline stands.
    pub source: &'static str,
    /// How far the items here were compared with the guideline.
    pub checked: &'static str,
    /// Its items.
    pub items: Vec<Item>,
}

/// Section with topic, number, what it asks for, and the topics of the records that fill it.
type Row = (&'static str, &'static str, &'static str, &'static [Topic]);

/// A checklist as it was published.
struct Guideline {
    name: &'static str,
    source: &'static str,
    checked: &'static str,
    rows: &'static [Row],
}

/// All three.
pub(super) fn all(facts: &Facts) -> Vec<Checklist> {
    let guidelines = [claim::GUIDELINE, clear_derm::GUIDELINE, tripod_ai::GUIDELINE];
    guidelines
        .iter()
        .map(|guideline| checklist(guideline, facts))
        .collect()
}

fn checklist(guideline: &Guideline, facts: &Facts) -> Checklist {
    let items = guideline.rows.iter().map(|(section, number, asks, topics)| {
        let known: Vec<&Fact> = topics.iter().filter_map(|topic| facts.get(topic)).collect();
        let join = |of: &dyn Fn(&Fact) -> String| {
            let mut parts: Vec<String> = known.iter().map(|fact| of(fact)).collect();
            parts.dedup();
            parts.join("\n")
        };
        let (status, answer) = match known.is_empty() {
            false => (Status::Filled, join(&|fact| fact.told.clone())),
            true => without(guideline.name, number, facts),
        };
        Item {
            number,
            section,
            asks,
            status,
            answer,
            found: join(&|fact| fact.found.clone()),
        }
    });
    Checklist {
        name: guideline.name,
        source: guideline.source,
        checked: guideline.checked,
        items: items.collect(),
    }
}

/// An item about something that the records show did not happen.
fn without(name: &str, number: &str, facts: &Facts) -> (Status, String) {
    let not = |why: &str| (Status::NotApplicable, why.to_string());
    let continued = facts
        .get(&Topic::Initialisation)
        .is_some_and(|fact| fact.told.starts_with("the weights of"));
    match (name, number) {
        ("CLAIM 2024", "27") => not("one model, no ensemble"),
        ("CLEAR Derm", "5") => not("no stage before the training made pictures"),
        ("TRIPOD+AI", "12f" | "24") if !continued => not("the model was not trained on from another"),
        _ => (Status::NeedsTheAuthor, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checklists_have_the_items_of_their_guidelines_in_order() {
        let lists = all(&Facts::new());
        let parts: Vec<usize> = lists.iter().map(|list| list.items.len()).collect();
        assert_eq!(parts, [44, 25, 52]);
        for (list, items) in lists.iter().zip([44, 25, 27]) {
            let mut last = (0, None);
            for item in &list.items {
                assert_ne!(item.status, Status::Filled, "{}: nothing is on record", list.name);
                let digits = item
                    .number
                    .trim_end_matches(|letter: char| letter.is_ascii_lowercase());
                let part = item.number[digits.len()..].chars().next();
                let number: u32 = digits.parse().unwrap();
                // The next item, its part `a` where it has parts; or the next part of the same item.
                let follows = match (last, part) {
                    ((before, _), None | Some('a')) => number == before + 1,
                    ((before, Some(earlier)), Some(part)) => {
                        number == before && part as u32 == earlier as u32 + 1
                    }
                    _ => false,
                };
                assert!(follows, "{}: {} after {last:?}", list.name, item.number);
                last = (number, part);
            }
            assert_eq!(last.0, items, "{}", list.name);
        }
    }

    #[test]
    fn no_two_items_ask_in_the_same_words() {
        for list in all(&Facts::new()) {
            let mut words: Vec<&str> = list.items.iter().map(|item| item.asks).collect();
            words.sort_unstable();
            let all = words.len();
            words.dedup();
            assert_eq!(words.len(), all, "{}", list.name);
            assert!(
                list.checked.ends_with('.') && list.source.starts_with("doi:"),
                "{}",
                list.name
            );
        }
    }
}
