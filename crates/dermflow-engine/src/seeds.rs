//! The seed of each random stage. All come from the pipeline's (or the stage's own), but a
//! random stage behind another of the same kind must not repeat its draws: a sample of half
//! of a sample of half would take all of it.

use std::collections::BTreeMap;

use dermflow_core::Digest;
use dermflow_graph::Pipeline;

/// One seed a stage, in order. The first random stage of a kind on a path has the seed as it
/// is written; those behind it have seeds that are derived from it and from how many came
/// before. Names and stages elsewhere don't count, so renaming and adding reruns nothing.
pub(crate) fn seeds(pipeline: &Pipeline) -> Vec<u64> {
    let mut before: Vec<BTreeMap<&'static str, u64>> = Vec::with_capacity(pipeline.stages.len());
    let mut seeds = Vec::with_capacity(pipeline.stages.len());
    for stage in &pipeline.stages {
        let mut random: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (kind, count) in stage.inputs.iter().flat_map(|wire| &before[wire.from]) {
            let known = random.entry(kind).or_default();
            *known = (*known).max(*count);
        }
        if stage.kind.random() {
            let count = random.entry(stage.kind.name()).or_default();
            seeds.push(derived(stage.seed, *count));
            *count += 1;
        } else {
            seeds.push(stage.seed);
        }
        before.push(random);
    }
    seeds
}

fn derived(seed: u64, before: u64) -> u64 {
    if before == 0 {
        return seed;
    }
    let material = [seed.to_le_bytes(), before.to_le_bytes()].concat();
    let digest = Digest::derive("dermflow seed of a later stage v1", &material);
    // The first 8 of 32 bytes, so the conversion can't fail.
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use dermflow_graph::{CellSelection, Request, load};

    #[test]
    fn a_random_stage_behind_another_has_its_own_seed_and_siblings_share_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "a").unwrap();
        let file = folder.path().join("p.yaml");
        let yaml = "name: p\nseed: 5\nstages:\n  all: {kind: list-files, with: {path: a.txt}}\n";
        let sample = |name: &str, of: &str| {
            format!("  {name}: {{kind: sample, in: {{table: {of}}}, with: {{share: 0.5}}}}\n")
        };
        let yaml = yaml.replace("a.txt", ".")
            + &sample("one", "all")
            + &sample("two", "one")
            + &sample("sibling", "all");
        std::fs::write(&file, yaml).unwrap();
        let registry = dermflow_stages::registry();
        let request = Request {
            file: &file,
            registry: &registry,
            overrides: &[],
            cells: CellSelection::Base,
        };
        let pipeline = load(&request)
            .unwrap_or_else(|problems| panic!("{problems}"))
            .pipelines
            .remove(0);
        let seeds = super::seeds(&pipeline);
        let of = |name: &str| {
            seeds[pipeline
                .stages
                .iter()
                .position(|stage| stage.name == name)
                .unwrap()]
        };
        assert_eq!((of("one"), of("sibling")), (5, 5));
        assert_ne!(of("two"), 5);
    }
}
