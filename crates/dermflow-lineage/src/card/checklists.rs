//! The checklists CLAIM 2024, CLEAR Derm and TRIPOD+AI, each item filled from the records or
//! marked as the author's.
//!
//! Items are numbered as the guidelines number them and named in few words of our own; what an
//! item asks for in full stands in the guideline. An item is filled only where the records say
//! something about it, and then with what they say: whether that is enough is for the author and
//! the reviewer to judge.

use serde::Serialize;

use super::facts::Topic::{self, *};
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
    /// Its number in the guideline.
    pub number: &'static str,
    /// The guideline's section.
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
    /// Its items.
    pub items: Vec<Item>,
}

/// Section, number, what it asks for, and the topics that fill it.
type Row = (&'static str, &'static str, &'static str, &'static [Topic]);

const CLAIM: &[Row] = &[
    (
        "title and abstract",
        "1",
        "named as a study of AI, with the category of technology",
        &[Technology],
    ),
    ("title and abstract", "2", "structured summary of the study", &[]),
    (
        "introduction",
        "3",
        "background, intended use and clinical role",
        &[],
    ),
    ("introduction", "4", "aims, objectives and hypotheses", &[]),
    ("study design", "5", "prospective or retrospective", &[]),
    ("study design", "6", "the study's goal", &[]),
    ("data", "7", "data sources", &[DataSources]),
    ("data", "8", "inclusion and exclusion criteria", &[Subsets, Flow]),
    ("data", "9", "preprocessing", &[Preprocessing]),
    ("data", "10", "selection of subsets", &[Subsets]),
    ("data", "11", "de-identification", &[]),
    ("data", "12", "how missing data were handled", &[Missing]),
    ("data", "13", "how images were acquired", &[ImageSizes]),
    (
        "reference standard",
        "14",
        "how the reference standard was obtained",
        &[LabelProvenance],
    ),
    ("reference standard", "15", "why that reference standard", &[]),
    ("reference standard", "16", "who annotated", &[LabelProvenance]),
    ("reference standard", "17", "how the test set was annotated", &[]),
    (
        "reference standard",
        "18",
        "agreement between and within raters",
        &[],
    ),
    (
        "data partitions",
        "19",
        "how data were assigned to partitions",
        &[Partitions],
    ),
    (
        "data partitions",
        "20",
        "the level at which partitions are disjoint",
        &[Disjoint],
    ),
    ("testing data", "21", "intended sample size", &[]),
    ("model", "22", "the model in detail", &[Network, Output]),
    ("model", "23", "software, frameworks and versions", &[Software]),
    ("model", "24", "how weights were initialised", &[Initialisation]),
    (
        "training",
        "25",
        "how it was trained",
        &[Training, Hyperparameters],
    ),
    ("training", "26", "how the final model was selected", &[Selection]),
    ("training", "27", "ensembling", &[]),
    ("evaluation", "28", "measures of performance", &[Metrics]),
    ("evaluation", "29", "significance and uncertainty", &[Uncertainty]),
    ("evaluation", "30", "robustness or sensitivity", &[Subgroups]),
    ("evaluation", "31", "explainability", &[Explanation]),
    ("evaluation", "32", "evaluation on internal data", &[InternalTest]),
    ("evaluation", "33", "testing on external data", &[]),
    ("evaluation", "34", "registration of a clinical trial", &[]),
    (
        "results: data",
        "35",
        "numbers included and excluded",
        &[Flow, SampleSizes],
    ),
    (
        "results: data",
        "36",
        "characteristics of cases in each partition",
        &[Demographics, SampleSizes],
    ),
    (
        "results: performance",
        "37",
        "performance with its uncertainty",
        &[Metrics, Uncertainty],
    ),
    (
        "results: performance",
        "38",
        "diagnostic performance and its precision",
        &[Metrics],
    ),
    ("results: performance", "39", "analysis of failures", &[]),
    ("discussion", "40", "limitations", &[]),
    ("discussion", "41", "implications for practice", &[]),
    (
        "other",
        "42",
        "protocol and further technical details",
        &[Availability],
    ),
    (
        "other",
        "43",
        "availability of software, model and data",
        &[Availability],
    ),
    ("other", "44", "funding", &[]),
];

const CLEAR_DERM: &[Row] = &[
    ("data", "1", "types of images", &[DataSources]),
    ("data", "2", "artefacts in images", &[]),
    ("data", "3", "technical details of acquisition", &[ImageSizes]),
    ("data", "4", "preprocessing", &[Preprocessing]),
    ("data", "5", "synthetic images, where used", &[Synthetic]),
    ("data", "6", "public images referenced", &[DataSources]),
    ("data", "7", "metadata of patients", &[Demographics]),
    ("data", "8", "skin tone, and how it was assessed", &[SkinTone]),
    ("data", "9", "biases that patient data may bring", &[Missing]),
    (
        "data",
        "10",
        "partitions, and what keeps them apart",
        &[Partitions, Disjoint, Leakage],
    ),
    (
        "data",
        "11",
        "sizes of training, validation and test set",
        &[SampleSizes],
    ),
    ("data", "12", "external test set", &[]),
    ("data", "13", "images of several vendors", &[]),
    ("data", "14", "class distribution and balance", &[ClassBalance]),
    ("data", "15", "images outside of the training's distribution", &[]),
    (
        "technique",
        "16",
        "how labels were made, and by whom",
        &[LabelProvenance],
    ),
    (
        "technique",
        "17",
        "common, accepted diagnostic labels",
        &[ClassBalance],
    ),
    ("technique", "18", "histopathology for malignant lesions", &[]),
    (
        "technique",
        "19",
        "development of the algorithm in detail",
        &[Network, Training, Hyperparameters],
    ),
    (
        "technical assessment",
        "20",
        "how the algorithm can be evaluated by others",
        &[Availability],
    ),
    (
        "technical assessment",
        "21",
        "measures of performance",
        &[Metrics, Uncertainty],
    ),
    (
        "technical assessment",
        "22",
        "comparison with others, and what is new",
        &[],
    ),
    ("technical assessment", "23", "assessment of bias", &[Subgroups]),
    ("application", "24", "use cases and target conditions", &[Output]),
    ("application", "25", "possible effects on care and patients", &[]),
];

const TRIPOD_AI: &[Row] = &[
    (
        "title",
        "1",
        "named as development or evaluation of a prediction model",
        &[Technology],
    ),
    ("abstract", "2", "summary as TRIPOD+AI for abstracts asks", &[]),
    (
        "introduction",
        "3",
        "healthcare context, target population, known inequalities",
        &[],
    ),
    ("introduction", "4", "objectives", &[]),
    ("methods", "5", "sources and dates of the data", &[DataSources]),
    (
        "methods",
        "6",
        "setting, eligibility and treatments of participants",
        &[Subsets, Flow],
    ),
    (
        "methods",
        "7",
        "preparation and quality of data",
        &[Preprocessing],
    ),
    (
        "methods",
        "8",
        "outcome, how and by whom it was assessed",
        &[LabelProvenance],
    ),
    (
        "methods",
        "9",
        "predictors, and how they were measured",
        &[Preprocessing],
    ),
    (
        "methods",
        "10",
        "sample size and its justification",
        &[SampleSizes],
    ),
    ("methods", "11", "missing data", &[Missing]),
    (
        "methods",
        "12",
        "analysis: partitions, model, tuning, measures",
        &[Partitions, Network, Hyperparameters, Selection],
    ),
    ("methods", "13", "class imbalance", &[ClassBalance]),
    ("methods", "14", "fairness", &[Subgroups]),
    ("methods", "15", "the model's output", &[Output]),
    (
        "methods",
        "16",
        "differences between training and evaluation data",
        &[SampleSizes, Leakage],
    ),
    ("methods", "17", "ethical approval", &[]),
    (
        "open science",
        "18",
        "funding, interests, protocol, registration, data, code",
        &[Availability],
    ),
    (
        "patient involvement",
        "19",
        "involvement of patients and the public",
        &[],
    ),
    (
        "results",
        "20",
        "flow and characteristics of participants",
        &[Flow, Demographics],
    ),
    (
        "results",
        "21",
        "participants and events in each analysis",
        &[SampleSizes],
    ),
    (
        "results",
        "22",
        "the full model, to allow predictions by others",
        &[Availability, Network],
    ),
    (
        "results",
        "23",
        "performance, with subgroups and uncertainty",
        &[Metrics, Uncertainty, Subgroups],
    ),
    ("results", "24", "updating of a model", &[]),
    ("discussion", "25", "interpretation", &[]),
    ("discussion", "26", "limitations", &[]),
    ("discussion", "27", "usability in care", &[]),
];

/// All three.
pub(super) fn all(facts: &Facts) -> Vec<Checklist> {
    vec![
        checklist("CLAIM 2024", "doi:10.1148/ryai.240300", CLAIM, facts),
        checklist(
            "CLEAR Derm",
            "doi:10.1001/jamadermatol.2021.4915",
            CLEAR_DERM,
            facts,
        ),
        checklist("TRIPOD+AI", "doi:10.1136/bmj-2023-078378", TRIPOD_AI, facts),
    ]
}

fn checklist(name: &'static str, source: &'static str, rows: &[Row], facts: &Facts) -> Checklist {
    let items = rows.iter().map(|(section, number, asks, topics)| {
        let known: Vec<&Fact> = topics.iter().filter_map(|topic| facts.get(topic)).collect();
        let join = |of: &dyn Fn(&Fact) -> String| {
            let mut parts: Vec<String> = known.iter().map(|fact| of(fact)).collect();
            parts.dedup();
            parts.join("\n")
        };
        let (status, answer) = match known.is_empty() {
            false => (Status::Filled, join(&|fact| fact.told.clone())),
            true => without(name, number, facts),
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
        name,
        source,
        items: items.collect(),
    }
}

/// An item about something that the records show did not happen.
fn without(name: &str, number: &str, facts: &Facts) -> (Status, String) {
    let not = |why: &str| (Status::NotApplicable, why.to_string());
    let continued = facts
        .get(&Initialisation)
        .is_some_and(|fact| fact.told.starts_with("the weights of"));
    match (name, number) {
        ("CLAIM 2024", "27") => not("one model, no ensemble"),
        ("CLEAR Derm", "5") => not("no stage before the training made pictures"),
        ("TRIPOD+AI", "24") if !continued => not("the model was not trained on from another"),
        _ => (Status::NeedsTheAuthor, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checklists_have_the_items_of_their_guidelines_in_order() {
        let lists = all(&Facts::new());
        let counts: Vec<usize> = lists.iter().map(|list| list.items.len()).collect();
        assert_eq!(counts, [44, 25, 27]);
        for list in &lists {
            for (at, item) in list.items.iter().enumerate() {
                assert_eq!(item.number, (at + 1).to_string(), "{}", list.name);
                assert_ne!(item.status, Status::Filled, "{}: nothing is on record", list.name);
            }
        }
    }
}
