//! What a key costs: a manifest's canonical encoding and its hash.

use std::hint::black_box;

use dermflow_benches::{manifest, median, tell, wanted};
use dermflow_core::Manifest;
use dermflow_core::canonical::Value;

const COUNT: usize = 10_000;

fn main() {
    if !wanted() {
        return;
    }
    let manifests: Vec<Manifest> = (0..COUNT as u32).map(manifest).collect();
    let taken = median(
        7,
        || (),
        |()| {
            manifests.iter().for_each(|manifest| {
                black_box(manifest.key().expect("a manifest of plain values"));
            });
        },
    );
    tell(
        "keys of manifests with two tables and three parameters",
        taken,
        COUNT,
    );

    let parameters: Vec<&Value> = manifests.iter().map(|manifest| &manifest.parameters).collect();
    let taken = median(
        7,
        || (),
        |()| {
            parameters.iter().for_each(|value| {
                black_box(value.encode());
            });
        },
    );
    tell("canonical encoding of their parameters", taken, COUNT);
}
