//! `init`: a starter pipeline that runs as it is.

use std::path::{Path, PathBuf};

use clap::Args;
use dermflow_core::StageError;
use dermflow_stages::registry;

use crate::exit::{Done, Failure};

/// Writes a starter pipeline with a little data into a folder, ready to run and to edit.
#[derive(Args)]
pub struct Arguments {
    /// The folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

/// The starter of the repository is the one that users get; they can't drift apart.
const STARTER: &[(&str, &str)] = &[
    (
        "starter.yaml",
        include_str!("../../../../pipelines/starter/starter.yaml"),
    ),
    (
        "report.sh",
        include_str!("../../../../pipelines/starter/report.sh"),
    ),
    (
        "README.md",
        include_str!("../../../../pipelines/starter/README.md"),
    ),
    (
        "data/lesions.csv",
        include_str!("../../../../pipelines/starter/data/lesions.csv"),
    ),
    (
        "data/sizes.csv",
        include_str!("../../../../pipelines/starter/data/sizes.csv"),
    ),
];

/// Nothing that is there is replaced.
pub fn run(arguments: &Arguments) -> Done {
    let schema = dermflow_graph::language_schema(&registry());
    let schema = serde_json::to_string_pretty(&schema).map_err(|error| Failure::new(error.to_string()))?;
    let mut files: Vec<(&str, &str)> = STARTER.to_vec();
    files.push(("dermflow.schema.json", &schema));
    if let Some((name, _)) = files
        .iter()
        .find(|(name, _)| arguments.folder.join(name).exists())
    {
        let there = arguments.folder.join(name);
        return Err(StageError::new(format!("{} is there already", there.display()))
            .with_help("choose an empty folder: `dermflow init my-pipeline`")
            .into());
    }
    for (name, text) in files {
        write(&arguments.folder.join(name), text)?;
    }
    let file = arguments.folder.join("starter.yaml");
    println!(
        "wrote {}; now run: dermflow run {}",
        file.display(),
        file.display()
    );
    Ok(())
}

fn write(path: &Path, text: &str) -> Done {
    let fail = |error: std::io::Error| StageError::io("writing", path, &error);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    Ok(std::fs::write(path, text).map_err(fail)?)
}
