//! The language from outside: files in, pipelines or diagnostics out.

mod diagnostics;
mod drawing;
mod kinds;
mod meaning;
mod properties;
mod schema;

use std::path::Path;

use dermflow_graph::{CellSelection, Diagnostics, Loaded, Pipeline, Request, load};

/// Loads a text as a file in a folder that has `data/` and `labels.csv`.
fn load_as(text: &str, cells: CellSelection, overrides: &[&str]) -> Result<Loaded, Diagnostics> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join("labels.csv"), "").unwrap();
    let file = folder.path().join("pipeline.yaml");
    std::fs::write(&file, text).unwrap();
    load_file(&file, cells, overrides)
}

fn load_file(file: &Path, cells: CellSelection, overrides: &[&str]) -> Result<Loaded, Diagnostics> {
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    let registry = kinds::registry();
    load(&Request {
        file,
        registry: &registry,
        overrides: &overrides,
        cells,
    })
}

/// The pipeline of a text that is right.
fn pipeline(text: &str) -> Pipeline {
    changed(text, &[])
}

fn changed(text: &str, overrides: &[&str]) -> Pipeline {
    match load_as(text, CellSelection::Base, overrides) {
        Ok(mut loaded) => loaded.pipelines.remove(0),
        Err(wrong) => panic!("{wrong}"),
    }
}

/// The codes of what is wrong, in order.
fn codes(result: Result<Loaded, Diagnostics>) -> Vec<&'static str> {
    match result {
        Ok(loaded) => loaded.warnings.iter().map(|each| each.code).collect(),
        Err(wrong) => wrong.iter().map(|each| each.code).collect(),
    }
}
