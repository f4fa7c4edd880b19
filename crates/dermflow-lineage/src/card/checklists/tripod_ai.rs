//! TRIPOD+AI: Collins, Moons, Dhiman and others: *TRIPOD+AI statement: updated guidance for
//! reporting clinical prediction models that use regression or machine learning methods*, BMJ
//! 2024;385:e078378, doi:10.1136/bmj-2023-078378.
//!
//! Sections, topics, numbers and what each part is for (development, evaluation or both) were
//! compared, all 52 parts of the 27 items, with a copy of the published checklist (version of
//! 11 January 2024). The words here are ours and shorter. `(development)` and `(evaluation)` mark
//! the parts that the checklist asks for of one sort of study only.

use super::super::facts::Topic::{self, *};
use super::{Guideline, Row};

pub(super) const GUIDELINE: Guideline = Guideline {
    name: "TRIPOD+AI",
    source: "doi:10.1136/bmj-2023-078378",
    checked: "Numbers, sections and topics of its 27 items in 52 parts were compared with a copy of the published \
              checklist.",
    rows: ROWS,
};

/// What the records know of how a model was built.
const MODEL_BUILDING: &[Topic] = &[Network, Initialisation, Hyperparameters, Selection];

// One row a line, as in the published table.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("title", "1", "development or evaluation, of which model, for whom, of which outcome", &[Technology]),
    ("abstract", "2", "as TRIPOD+AI for abstracts asks", &[]),
    ("introduction: background", "3a", "context of care, why the model, which models there are", &[]),
    ("introduction: background", "3b", "for whom it is meant, for what, and who uses it", &[]),
    ("introduction: background", "3c", "known inequalities of health between groups", &[]),
    ("introduction: objectives", "4", "objectives, and whether of development or validation", &[]),
    ("methods: data", "5a", "sources of the data to develop and to evaluate with, and why these", &[DataSources]),
    ("methods: data", "5b", "dates of the data", &[]),
    ("methods: participants", "6a", "setting and centres", &[]),
    ("methods: participants", "6b", "who was eligible", &[Subsets, Flow]),
    ("methods: participants", "6c", "treatments, and how they were handled", &[]),
    ("methods: data preparation", "7", "preprocessing and checks of quality", &[Preprocessing]),
    ("methods: outcome", "8a", "the outcome, how and when it was assessed, and why this one", &[LabelProvenance]),
    ("methods: outcome", "8b", "who judged it, where judging it needs a person", &[]),
    ("methods: outcome", "8c", "blinding of those who assessed it", &[]),
    ("methods: predictors", "9a", "how predictors were chosen to begin with (development)", &[]),
    ("methods: predictors", "9b", "all predictors, how and when they were measured", &[ImageSizes, Preprocessing]),
    ("methods: predictors", "9c", "who measured them, where measuring needs a person", &[]),
    ("methods: sample size", "10", "how the study's size was arrived at, and whether it is enough", &[]),
    ("methods: missing data", "11", "what was done about missing data", &[Missing]),
    ("methods: analytical methods", "12a", "how the data were used and partitioned (development)", &[Partitions, Disjoint]),
    ("methods: analytical methods", "12b", "how predictors enter the model (development)", &[Preprocessing]),
    ("methods: analytical methods", "12c", "type of model, how it was built, tuned and validated (development)", MODEL_BUILDING),
    ("methods: analytical methods", "12d", "differences between clusters, such as hospitals", &[]),
    ("methods: analytical methods", "12e", "measures and plots of performance", &[Metrics, Uncertainty]),
    ("methods: analytical methods", "12f", "updating of the model after evaluation (evaluation)", &[]),
    ("methods: analytical methods", "12g", "how predictions were calculated (evaluation)", &[InternalTest]),
    ("methods: class imbalance", "13", "methods against class imbalance, and recalibration after them", &[Balancing]),
    ("methods: fairness", "14", "what was done to make the model fair, and why", &[]),
    ("methods: model output", "15", "the output, and how thresholds were chosen (development)", &[Output]),
    ("methods: training versus evaluation", "16", "how development and evaluation data differ", &[Partitions]),
    ("methods: ethical approval", "17", "ethical approval and consent, or their waiver", &[]),
    ("open science: funding", "18a", "funding, and the funders' role", &[]),
    ("open science: conflicts of interest", "18b", "conflicts of interest of all authors", &[]),
    ("open science: protocol", "18c", "where the protocol is, or that there is none", &[]),
    ("open science: registration", "18d", "registration, or that there is none", &[]),
    ("open science: data sharing", "18e", "whether the data can be had", &[]),
    ("open science: code sharing", "18f", "whether the code of the analysis can be had", &[]),
    ("patient and public involvement", "19", "what part patients and the public had, or that they had none", &[]),
    ("results: participants", "20a", "flow of participants, with and without the outcome", &[Flow, SampleSizes]),
    ("results: participants", "20b", "who they are, overall and by source; missing data", &[Demographics, Missing]),
    ("results: participants", "20c", "predictors and outcome beside the development data's (evaluation)", &[ClassBalance]),
    ("results: model development", "21", "participants and outcomes in each analysis", &[SampleSizes]),
    ("results: model specification", "22", "the whole model, for others to predict with (development)", &[Network, Availability]),
    ("results: model performance", "23a", "performance with confidence intervals, subgroups too", &[Metrics, Uncertainty, Subgroups]),
    ("results: model performance", "23b", "differences of performance between clusters, where examined", &[]),
    ("results: model updating", "24", "what updating gave (evaluation)", &[]),
    ("discussion: interpretation", "25", "what the results mean, fairness among it, beside earlier studies", &[]),
    ("discussion: limitations", "26", "limitations and their effects", &[]),
    ("discussion: usability", "27a", "what to do about poor or missing input in use (development)", &[]),
    ("discussion: usability", "27b", "what users must do and must know (development)", &[]),
    ("discussion: usability", "27c", "next steps, for use elsewhere above all", &[]),
];
