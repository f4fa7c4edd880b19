//! CLEAR Derm: Daneshjou, Barata, Betz-Stablein and others: *Checklist for Evaluation of
//! Image-Based Artificial Intelligence Reports in Dermatology: CLEAR Derm Consensus Guidelines From
//! the International Skin Imaging Collaboration Artificial Intelligence Working Group*, JAMA
//! Dermatology 2022;158(1):90–96, doi:10.1001/jamadermatol.2021.4915.
//!
//! The original could not be had when this was written. Of it, only its four groups (data,
//! technique, technical assessment, application) and part of what they recommend were compared
//! with a report about it; the number of items, 25, their order and the words are not. Whoever
//! has the paper at hand should compare them, and correct the sentence in `GUIDELINE`.

use super::super::facts::Topic::*;
use super::{Guideline, Row};

pub(super) const GUIDELINE: Guideline = Guideline {
    name: "CLEAR Derm",
    source: "doi:10.1001/jamadermatol.2021.4915",
    checked: "The published checklist could not be had when this was written: its four groups were compared with a \
              report about it; the numbers and topics of the 25 items were not. Compare them before you hand this in.",
    rows: ROWS,
};

// One row a line, as in the published table.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("data", "1", "types of images", &[DataSources]),
    ("data", "2", "artefacts in images", &[]),
    ("data", "3", "technical details of acquisition", &[ImageSizes]),
    ("data", "4", "preprocessing", &[Preprocessing]),
    ("data", "5", "synthetic images, where used", &[Synthetic]),
    ("data", "6", "references to public images", &[DataSources]),
    ("data", "7", "metadata of patients", &[Demographics]),
    ("data", "8", "skin tone, and how it was assessed", &[SkinTone]),
    ("data", "9", "biases that data of patients may bring", &[Missing]),
    ("data", "10", "partitions, and what keeps them apart", &[Partitions, Disjoint, Leakage]),
    ("data", "11", "sizes of training, validation and test set", &[SampleSizes]),
    ("data", "12", "external test set", &[]),
    ("data", "13", "images of several vendors", &[]),
    ("data", "14", "distribution and balance of classes", &[ClassBalance]),
    ("data", "15", "images unlike those of the training", &[]),
    ("technique", "16", "how labels were made, and by whom", &[LabelProvenance]),
    ("technique", "17", "common, accepted diagnostic labels", &[ClassBalance]),
    ("technique", "18", "histopathology for malignant lesions", &[]),
    ("technique", "19", "development of the algorithm in detail", &[Network, Training, Hyperparameters]),
    ("technical assessment", "20", "how others can evaluate the algorithm", &[Availability]),
    ("technical assessment", "21", "measures of performance", &[Metrics, Uncertainty]),
    ("technical assessment", "22", "comparison with others, and what is new", &[]),
    ("technical assessment", "23", "assessment of bias", &[Subgroups]),
    ("application", "24", "use cases and target conditions", &[Output]),
    ("application", "25", "possible effects on care and patients", &[]),
];
