//! CLAIM 2024: Tejani, Klontzas, Gatti and others: *Checklist for Artificial Intelligence in Medical
//! Imaging (CLAIM): 2024 Update*, Radiology: Artificial Intelligence 2024;6(4):e240300,
//! doi:10.1148/ryai.240300.
//!
//! Sections, numbers and topics were compared, all 44, with a copy of the published table that
//! others keep. The words here are ours and shorter.

use super::super::facts::Topic::*;
use super::{Guideline, Row};

pub(super) const GUIDELINE: Guideline = Guideline {
    name: "CLAIM 2024",
    source: "doi:10.1148/ryai.240300",
    checked: "Numbers, sections and topics of its 44 items were compared with a copy of the published table.",
    rows: ROWS,
};

// One row a line, as in the published table.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("title, abstract", "1", "that it is a study of AI, and of which technology", &[Technology]),
    ("abstract", "2", "design, methods, results and conclusions in short", &[]),
    ("introduction", "3", "background, and what the AI is meant for", &[]),
    ("introduction", "4", "aims and hypotheses", &[]),
    ("methods: study design", "5", "prospective or retrospective", &[]),
    ("methods: study design", "6", "the study's goal", &[]),
    ("methods: data", "7", "sources of the data", &[DataSources]),
    ("methods: data", "8", "what was included and excluded, by which rules", &[Subsets, Flow]),
    ("methods: data", "9", "preprocessing", &[Preprocessing]),
    ("methods: data", "10", "choice of parts of the data", &[Subsets]),
    ("methods: data", "11", "how people were made unrecognisable", &[]),
    ("methods: data", "12", "what was done about missing data", &[Missing]),
    ("methods: data", "13", "how the images were acquired", &[ImageSizes]),
    ("methods: reference standard", "14", "how the reference standard was obtained", &[LabelProvenance]),
    ("methods: reference standard", "15", "why this reference standard", &[]),
    ("methods: reference standard", "16", "where its annotations come from", &[LabelProvenance]),
    ("methods: reference standard", "17", "how the test set was annotated", &[]),
    ("methods: reference standard", "18", "how far annotators differ, from others and from themselves", &[]),
    ("methods: data partitions", "19", "how data were shared out to partitions", &[Partitions]),
    ("methods: data partitions", "20", "at which level (image, patient, …) partitions are apart", &[Disjoint]),
    ("methods: testing data", "21", "the size of sample that was intended", &[]),
    ("methods: model", "22", "the model in detail", &[Network, Output]),
    ("methods: model", "23", "software, libraries and packages", &[Software]),
    ("methods: model", "24", "how the weights were initialised", &[Initialisation]),
    ("methods: training", "25", "how it was trained", &[Training, Hyperparameters]),
    ("methods: training", "26", "how the final model was selected", &[Selection]),
    ("methods: training", "27", "ensembling", &[]),
    ("methods: evaluation", "28", "measures of performance", &[Metrics]),
    ("methods: evaluation", "29", "statistics of significance and uncertainty", &[Uncertainty]),
    ("methods: evaluation", "30", "analysis of robustness or sensitivity", &[Subgroups]),
    ("methods: evaluation", "31", "methods that explain or interpret", &[Explanation]),
    ("methods: evaluation", "32", "evaluation on internal data", &[InternalTest]),
    ("methods: evaluation", "33", "testing on external data", &[]),
    ("methods: evaluation", "34", "registration of a clinical trial", &[]),
    ("results: data", "35", "how many patients or examinations were included and excluded", &[Flow, SampleSizes]),
    ("results: data", "36", "who and what the cases of each partition are", &[Demographics, SampleSizes]),
    ("results: model performance", "37", "figures of performance with their uncertainty", &[Metrics, Uncertainty]),
    ("results: model performance", "38", "diagnostic performance and how precisely it is known", &[Metrics]),
    ("results: model performance", "39", "analysis of wrong results", &[]),
    ("discussion", "40", "limitations", &[]),
    ("discussion", "41", "what follows for practice, with intended use or clinical role", &[]),
    ("other information", "42", "where the full protocol or technical details are", &[Availability]),
    ("other information", "43", "whether software, trained model and data can be had", &[Availability]),
    ("other information", "44", "funding and other support, and the funders' role", &[]),
];
