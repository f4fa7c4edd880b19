//! For tests: what timm and torchvision say of every published network, as
//! `benches/peers/network_table.py` writes it.

use crate::architecture::{Flavour, Published};
use crate::weights::Convention;

/// One network of one of the two libraries, with 1000 classes.
pub(crate) struct PublishedRow {
    pub(crate) library: Convention,
    /// What the library calls it.
    pub(crate) model: &'static str,
    pub(crate) published: Published,
    pub(crate) flavour: Flavour,
    pub(crate) parameters: u64,
    pub(crate) with_statistics: u64,
    pub(crate) epsilon: f64,
    pub(crate) momentum: f64,
    /// Height and width of the image for `multiply_adds`.
    pub(crate) size: usize,
    /// Of convolutions and linear layers.
    pub(crate) multiply_adds: u64,
    pub(crate) tensors: usize,
    /// Of all names and shapes.
    pub(crate) names: &'static str,
}

pub(crate) fn published_table() -> impl Iterator<Item = PublishedRow> {
    let lines = include_str!("../testdata/published.tsv").lines();
    lines.filter(|line| !line.starts_with('#')).map(row)
}

fn row(line: &'static str) -> PublishedRow {
    let fields: Vec<&str> = line.split('\t').collect();
    let flavour = match fields[3] {
        "timm" => Flavour::Timm,
        "tensorflow" => Flavour::Tensorflow,
        _ => Flavour::Torchvision,
    };
    let published = Published::ALL
        .into_iter()
        .find(|published| published.name() == fields[2]);
    PublishedRow {
        library: if fields[0] == "timm" {
            Convention::Timm
        } else {
            Convention::Torchvision
        },
        model: fields[1],
        published: published.unwrap(),
        flavour,
        parameters: fields[4].parse().unwrap(),
        with_statistics: fields[5].parse().unwrap(),
        epsilon: fields[6].parse().unwrap(),
        momentum: fields[7].parse().unwrap(),
        size: fields[8].parse().unwrap(),
        multiply_adds: fields[9].parse().unwrap(),
        tensors: fields[10].parse().unwrap(),
        names: fields[11],
    }
}
