//! A stage's *definition*: all that a file says of it and of the stages behind it. Stages with one
//! definition are the same action, as long as their sources and programs are what they were.

use std::path::{Path, PathBuf};

use dermflow_core::Digest;
use dermflow_core::canonical::Value;
use dermflow_graph::{Pipeline, Stage};

use crate::seeds::seeds;

/// One for each stage, in order.
pub(super) fn definitions(pipeline: &Pipeline) -> Vec<Digest> {
    let seeds = seeds(pipeline);
    let mut all: Vec<Digest> = Vec::with_capacity(pipeline.stages.len());
    for (stage, seed) in pipeline.stages.iter().zip(seeds) {
        let said = definition(stage, seed, &all);
        all.push(Digest::derive("dermflow stage definition v1", &said.encode()));
    }
    all
}

/// `before` has those of the stages before it.
fn definition(stage: &Stage, seed: u64, before: &[Digest]) -> Value {
    let text = |text: &str| Value::Text(text.to_string());
    let path = |path: &Path| Value::Bytes(path.as_os_str().as_encoded_bytes().to_vec());
    let wires = stage.inputs.iter().map(|wire| {
        let from = Value::Bytes(before[wire.from].as_bytes().to_vec());
        Value::List(vec![text(&wire.port), from, text(&wire.output)])
    });
    let sources = stage.sources.iter().map(|source| {
        let take = text(&format!("{:?}", source.source.take));
        Value::List(vec![text(&source.source.parameter), path(&source.path), take])
    });
    Value::List(vec![
        text(stage.kind.name()),
        Value::Integer(stage.kind.version().into()),
        Value::Bytes(stage.parameters.value().encode()),
        Value::Integer(seed.into()),
        stage.salt.as_deref().map_or(Value::Null, text),
        Value::List(wires.collect()),
        Value::List(sources.collect()),
        path(&folder_of(stage)),
    ])
}

/// What a program's relative path starts from.
pub(super) fn folder_of(stage: &Stage) -> PathBuf {
    let folder = stage.place.file.parent();
    folder.map(Path::to_path_buf).unwrap_or_default()
}
