//! `ingest`: pictures from files, decoded, upright, in sRGB, of one size.
//!
//! Requirement D1 of `method.md`. Every file ends in one of the outputs: a row of `samples`,
//! of `duplicates` (the same bytes are stored already), or of `rejects` with the reason. A map
//! over files: a new file costs one file. Must not know formats or pixels: those are
//! `dermflow-vision`'s.

pub(crate) mod decoding;
mod files;
pub(crate) mod in_order;
mod parameters;
mod pattern;
mod rows;
#[cfg(test)]
mod tests;

use dermflow_core::{
    FILES_PORT, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType, Problem, Resources, Shape,
    Source, StageContext, StageError, StageKind, TableType, Take,
};

use crate::columns::{failure, wired_table};
use crate::list_files::warn_of_none;
use crate::rejects::Rejects;
use decoding::Decoding;
use files::Files;
use in_order::{Bounds, in_order};
pub use parameters::IngestParameters;
use rows::{Layout, Rows};

/// See the module.
pub struct Ingest;

impl StageKind for Ingest {
    type Parameters = IngestParameters;
    const NAME: &'static str = "ingest";
    const VERSION: u32 = 2;
    const ABOUT: &'static str = "Decodes pictures (JPEG, PNG, WebP, BMP, TIFF, GIF) upright, in sRGB and of one size; \
                                 files that can't be become rejects.";
    const EXAMPLE: &'static str = "\
name: ingest-example
stages:
  photos:
    kind: ingest
    with:
      root: photos
      matching: ['**/*.{jpg,png}']
      size: {width: 224, height: 224}
      mode: crop
      filter: lanczos
      background: [250, 250, 250]
      bars: [0, 0, 0]
      pattern: '{label}/{group}_*.{format}'
      perceptual-hash: true
      limits: {bytes: 50000000, pixels: 50000000, memory: 500000000}
  packed:
    kind: unpack
    with: {path: photos.zip}
  more:
    kind: ingest
    in: {files: packed.files}
    with: {size: 224}
outputs:
  photos: photos.samples
  more: more.samples
  refused: photos.rejects
  twice: photos.duplicates
";

    fn inputs(parameters: &IngestParameters) -> Inputs {
        let mut wanted = vec![dermflow_core::Column::new(
            "source",
            dermflow_core::ColumnType::Text,
        )];
        if parameters.root.is_none() {
            wanted.push(dermflow_core::Column::new(
                "content",
                dermflow_core::ColumnType::Binary,
            ));
        }
        let mut listed = TableType::exactly(wanted);
        listed.contract = "FileList".to_string();
        listed.open = true;
        let about = match &parameters.root {
            None => "files with their bytes in a column `content`, as `unpack` and `list-files` give them",
            Some(_) => "which files below `root` are meant; left out: all",
        };
        let port = InputPort::one(FILES_PORT, PortType::Table(listed), about);
        let ports = match &parameters.root {
            None => vec![port],
            Some(_) => vec![port.with_arity(dermflow_core::Arity::Optional)],
        };
        Inputs { ports, open: false }
    }

    fn outputs(parameters: &IngestParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let layout = Layout::new(parameters, &wired_table(wired, FILES_PORT))?;
        Ok(vec![
            OutputPort::new("samples", PortType::Table(layout.samples), "one row a picture"),
            OutputPort::new(
                "duplicates",
                PortType::Table(layout.duplicates),
                "files whose bytes another file has, and which of them is kept",
            ),
            Rejects::port("files that give no picture, and why"),
        ])
    }

    fn check(parameters: &IngestParameters) -> Vec<Problem> {
        parameters.problems()
    }

    fn sources(parameters: &IngestParameters) -> Vec<Source> {
        let root = parameters.root.iter().map(|root| Source {
            parameter: "root".to_string(),
            path: root.clone(),
            take: Take::Folder {
                matching: parameters.matching.clone(),
            },
        });
        root.collect()
    }

    fn shape(parameters: &IngestParameters) -> Shape {
        match &parameters.root {
            Some(_) => Shape::MapFiles,
            None => Shape::Map {
                over: FILES_PORT.to_string(),
            },
        }
    }

    fn resources(parameters: &IngestParameters, _: &InputSizes) -> Resources {
        Resources {
            // What is being decoded, and the rows that are being written.
            memory: parameters.limits.memory + (256 << 20),
            threads: 1,
        }
    }

    fn run(parameters: &IngestParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let listed = context.table(FILES_PORT)?;
        let total = listed.rows();
        let known = TableType::from_schema("FileList", &listed.schema()).map_err(StageError::new)?;
        let layout = Layout::new(parameters, &known).map_err(failure)?;
        let root = match &parameters.root {
            Some(root) => {
                warn_of_none("root", root, &parameters.matching, total, context)?;
                Some(context.source("root")?)
            }
            None => None,
        };
        let pattern = parameters.compiled_pattern().map_err(failure)?;
        let decoding = Decoding::new(parameters);
        let mut rows = Rows::open(&layout, context)?;
        let mut files = Files::new(listed, root.as_deref(), pattern.as_ref());
        // One table can't be written while the context is asked, so progress is told by it.
        let context: &dyn StageContext = context;
        let mut done = 0;
        let bounds = Bounds {
            helpers: &|| decoding.ahead().map_or(0, |_| context.spare_threads()),
            ahead: decoding.ahead().unwrap_or(1),
        };
        in_order(
            bounds,
            &mut || match context.cancelled() {
                true => Err(StageError::cancelled()),
                false => files.next_run(),
            },
            &|| decoding.workbench(),
            &|workbench, run| decoding.decode(workbench, run),
            &mut |decoded| {
                done += decoded.run.files.len() as u64;
                rows.take(decoded)?;
                context.progress(done, Some(total));
                Ok(())
            },
        )?;
        rows.finish()
    }
}
