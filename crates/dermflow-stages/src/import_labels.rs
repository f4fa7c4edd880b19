//! `import-labels`: clean labels from tables, annotation tools and folder names, joined on the
//! samples.
//!
//! Requirement D2 of `method.md`. Every label of the file ends in `labels`, or in `rejects` with
//! the reason, except where the same is said of an image again. Must not know how any format is
//! written: that is `annotations`.

mod deciding;
mod parameters;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::interleave;
use dermflow_core::{
    InputTypes, Inputs, OutputPort, PortType, Problem, SampleId, Source, StageContext, StageError, StageKind,
    sample_ids,
};

use crate::annotations::{Annotation, AnnotationFormat, ForeignRow, ImageName, Images, Refused, read_table};
use crate::import_boxes::samples_port;
use crate::rejects::Rejects;
use deciding::{Said, decide};
pub use parameters::ImportLabelsParameters;

/// See the module.
pub struct ImportLabels;

impl StageKind for ImportLabels {
    type Parameters = ImportLabelsParameters;
    const NAME: &'static str = "import-labels";
    const VERSION: u32 = 2;
    const ABOUT: &'static str = "Reads labels (CSV, Parquet, JSON, folder names, Label Studio, CVAT, classes of boxes) \
                                 onto the samples; those that fit no sample become rejects.";
    const EXAMPLE: &'static str = "\
name: import-labels-example
stages:
  photos:
    kind: import-table
    with: {path: photos.parquet, contract: Samples}
  labels:
    kind: import-labels
    in: {samples: photos.table}
    with:
      path: labels.csv
      image: file
      label: diagnosis
      columns: {age: {type: integer, nullable: true}}
      match: file-name
      classes: [nevus, melanoma]
      several: majority
  answers:
    kind: import-labels
    in: {samples: photos.table}
    with: {path: export.json, format: label-studio, from-boxes: true}
outputs:
  labels: labels.labels
  refused: labels.rejects
  answers: answers.labels
";

    fn inputs(_: &ImportLabelsParameters) -> Inputs {
        Inputs {
            ports: vec![samples_port()],
            open: false,
        }
    }

    fn outputs(parameters: &ImportLabelsParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let labels = PortType::Table(parameters.labels());
        Ok(vec![
            OutputPort::new("labels", labels, "one row an image, or more with `several: all`"),
            Rejects::port("labels that were refused, and why"),
        ])
    }

    fn check(parameters: &ImportLabelsParameters) -> Vec<Problem> {
        parameters.problems()
    }

    fn sources(parameters: &ImportLabelsParameters) -> Vec<Source> {
        parameters.file().sources()
    }

    fn run(parameters: &ImportLabelsParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let mut joining = Joining {
            parameters,
            images: Images::read(context, "samples")?,
            rejects: Rejects::open(context)?,
            said: Vec::new(),
            batches: Vec::new(),
        };
        joining.read(context)?;
        joining.finish(context)
    }
}

/// Labels on their way to their samples. All of them are held, since what is said of an image
/// may stand anywhere in the file.
struct Joining<'a> {
    parameters: &'a ImportLabelsParameters,
    images: Images,
    rejects: Rejects,
    said: Vec<Said>,
    /// The columns that come along, by batch of the file.
    batches: Vec<Vec<ArrayRef>>,
}

impl Joining<'_> {
    fn read(&mut self, context: &dyn StageContext) -> Result<(), StageError> {
        let parameters = self.parameters;
        let file = parameters.file();
        match file.format {
            AnnotationFormat::FolderNames => self.folder_names(),
            format if format.is_table() => {
                let missing = Some(parameters.missing());
                let layout = parameters.layout(&missing);
                read_table(file, &layout, context, &mut |rows| self.table_rows(rows))
            }
            _ => file.read(context, &mut |found| match found {
                Ok(annotation) if parameters.counts(&annotation) => {
                    let Annotation {
                        place, image, label, ..
                    } = annotation;
                    self.take(place, &image, label, (0, 0))
                }
                Ok(_) => Ok(()),
                Err(Refused { place, reason }) => self.rejects.add(None, place, reason),
            }),
        }
    }

    fn table_rows(&mut self, rows: Result<Vec<ForeignRow<'_>>, Refused>) -> Result<(), StageError> {
        let rows = match rows {
            Ok(rows) => rows,
            Err(Refused { place, reason }) => return self.rejects.add(None, place, reason),
        };
        let Some(batch) = rows.first().map(|row| row.batch) else {
            return Ok(());
        };
        let mut more = Vec::new();
        for name in self.parameters.columns.keys() {
            let column = batch.column_by_name(name).cloned();
            more.push(column.ok_or_else(|| StageError::new(format!("the rows came without `{name}`")))?);
        }
        let number = self.batches.len();
        self.batches.push(more);
        for row in rows {
            let label = self.parameters.label_of(&row);
            self.take(row.place, &row.image, label, (number, row.row))?;
        }
        Ok(())
    }

    /// Takes what was said of an image, `at` a batch and row of the file.
    fn take(
        &mut self,
        place: String,
        image: &ImageName,
        label: Option<String>,
        at: (usize, usize),
    ) -> Result<(), StageError> {
        let found = self.images.find(image, self.parameters.match_by).copied();
        let id = match found {
            Ok(image) => image.id,
            Err(reason) => return self.rejects.add(None, place, reason),
        };
        let Some(label) = label else {
            return self.rejects.add(Some(id), place, "it has no label".to_string());
        };
        let known = &self.parameters.classes;
        if !known.is_empty() && !known.contains(&label) {
            let shown: String = label.chars().take(80).collect();
            let reason = format!("`{shown}` is none of the {} classes", known.len());
            return self.rejects.add(Some(id), place, reason);
        }
        self.said.push(Said { id, label, place, at });
        Ok(())
    }

    /// Each sample's label is the last folder of its source.
    fn folder_names(&mut self) -> Result<(), StageError> {
        let folders: Vec<(SampleId, String, Option<String>)> = self
            .images
            .iter()
            .map(|(image, source)| {
                let folder = source.rsplit('/').nth(1).filter(|folder| !folder.is_empty());
                (image.id, source.to_string(), folder.map(str::to_string))
            })
            .collect();
        for (id, source, folder) in folders {
            let image = ImageName {
                id: Some(id),
                ..ImageName::new(source.clone())
            };
            match folder {
                None => self
                    .rejects
                    .add(Some(id), source, "it lies in no folder".to_string())?,
                label => self.take(source, &image, label, (0, 0))?,
            }
        }
        Ok(())
    }

    fn finish(mut self, context: &mut dyn StageContext) -> Result<(), StageError> {
        let rejects = &mut self.rejects;
        let decided = decide(self.said, self.parameters.several, &mut |said, reason| {
            rejects.add(Some(said.id), said.place, reason)
        })?;
        let schema = self.parameters.labels().schema();
        let mut out = context.write_table("labels", schema.clone())?;
        for part in decided.chunks(8192) {
            let ids: Vec<SampleId> = part.iter().map(|said| said.id).collect();
            let labels: StringArray = part.iter().map(|said| Some(said.label.as_str())).collect();
            let mut columns: Vec<ArrayRef> = vec![sample_ids(&ids), Arc::new(labels)];
            let places: Vec<(usize, usize)> = part.iter().map(|said| said.at).collect();
            for number in 0..self.parameters.columns.len() {
                let arrays: Vec<&dyn arrow::array::Array> =
                    self.batches.iter().map(|batch| batch[number].as_ref()).collect();
                columns.push(interleave(&arrays, &places)?);
            }
            out.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
        }
        let refused = self.rejects.count();
        if refused > 0 {
            context.log(&format!(
                "{refused} labels were refused, {} kept: see the output `rejects`",
                decided.len()
            ));
        }
        if decided.is_empty() && refused > 0 && self.images.len() > 0 {
            context.log("no label was placed on any sample: are these the right images?");
        }
        let mut labelled: Vec<SampleId> = decided.iter().map(|said| said.id).collect();
        labelled.dedup();
        context.metric("labels", decided.len() as f64);
        context.metric("rejects", refused as f64);
        context.metric(
            "samples_without_label",
            (self.images.len() - labelled.len().min(self.images.len())) as f64,
        );
        out.finish()?;
        self.rejects.finish()
    }
}
