//! `export-labelling`: tasks for people to label, with the pictures.
//!
//! The other half of the labelling unit (requirement D5 of `method.md`): tasks for Label Studio
//! and CVAT, with what is known already as a first answer, and the pictures as files named by
//! their sample ids. A picture shows the whole original, so that what is marked in it needs no
//! conversion: `import-labels` and `import-boxes` read the answers back as they are. Must not know
//! how samples were chosen.

mod cvat;
mod known;
mod label_studio;
mod pictures;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use dermflow_core::{
    Arity, Contract, InputPort, InputTypes, Inputs, NamedFile, OutputPort, PortType, Problem, SampleId,
    StageContext, StageError, StageKind, TableType,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use known::Known;

/// See the module.
pub struct ExportLabelling;

/// What `export-labelling` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "ExportLabelling")]
pub struct ExportLabellingParameters {
    /// The classes to choose from, in the order in which people see them. None: all that occur among
    /// the labels of what is wired.
    #[serde(default)]
    classes: Vec<String>,
    /// What people are asked.
    #[serde(default)]
    ask: Ask,
    /// For which tools.
    #[serde(default = "all_tools")]
    tools: Vec<Tool>,
    /// How pictures are written.
    #[serde(default)]
    picture: PictureFormat,
    /// Label Studio: what stands before the name of a picture in its address. The default fits local
    /// storage whose root is the folder of the tasks.
    #[serde(default = "local_files")]
    image_url: String,
}

fn all_tools() -> Vec<Tool> {
    vec![Tool::LabelStudio, Tool::Cvat]
}

fn local_files() -> String {
    "/data/local-files/?d=images/".to_string()
}

/// What people are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Ask {
    /// For the class of the image, and boxes with classes.
    #[default]
    Both,
    /// For the class of the image.
    Class,
    /// For boxes with classes.
    Boxes,
}

impl Ask {
    fn class(self) -> bool {
        self != Ask::Boxes
    }
    fn boxes(self) -> bool {
        self != Ask::Class
    }
}

/// A labelling tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Tool {
    /// label-studio/tasks.json and label-studio/config.xml.
    LabelStudio,
    /// cvat/annotations.xml (CVAT for images 1.1) and cvat/labels.json.
    Cvat,
}

/// A format of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PictureFormat {
    /// Small, quality 90.
    #[default]
    Jpeg,
    /// Every pixel as it is stored.
    Png,
}

impl PictureFormat {
    fn extension(self) -> &'static str {
        match self {
            PictureFormat::Jpeg => "jpg",
            PictureFormat::Png => "png",
        }
    }
}

/// A picture to be labelled.
pub struct Task {
    pub id: SampleId,
    /// Where it comes from, for people.
    pub source: String,
    /// The name of its file.
    pub file: String,
    /// Width and height of the file's picture.
    pub size: (usize, usize),
}

const SAMPLE_COLUMNS: [&str; 11] = [
    "source",
    "label",
    "width",
    "height",
    "original_width",
    "original_height",
    "placed_left",
    "placed_top",
    "placed_width",
    "placed_height",
    "pixels",
];

impl StageKind for ExportLabelling {
    type Parameters = ExportLabellingParameters;
    const NAME: &'static str = "export-labelling";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Writes tasks for Label Studio and CVAT, with what is known as a first answer, and the pictures.";
    const EXAMPLE: &'static str = "\
name: export-labelling-example
seed: 20
stages:
  photos:
    kind: import-table
    with: {path: photos.parquet, contract: Samples}
  boxes:
    kind: import-boxes
    in: {samples: photos.table}
    with: {path: boxes.json, format: coco}
  chosen:
    kind: select-for-labelling
    in: {samples: photos.table}
    with: {budget: 100}
  tasks:
    kind: export-labelling
    in: {samples: photos.table, selection: chosen.selection, boxes: boxes.boxes}
    with:
      classes: [nevus, melanoma]
      ask: boxes
      tools: [label-studio, cvat]
      picture: png
      image-url: 'https://example.org/images/'
outputs:
  tasks: tasks.tasks
";

    fn inputs(_: &ExportLabellingParameters) -> Inputs {
        let contract = |name: &str| {
            let found = Contract::named(name).map_or_else(TableType::any, TableType::of);
            PortType::Table(found)
        };
        let any = PortType::Table(TableType::any());
        let optional = |name: &str, port_type: PortType, about: &'static str, columns: &[&str]| {
            let port = InputPort::one(name, port_type, about).with_arity(Arity::Optional);
            port.reading(columns.iter().copied())
        };
        Inputs {
            ports: vec![
                InputPort::one("samples", contract("Samples"), "the pictures").reading(SAMPLE_COLUMNS),
                optional(
                    "selection",
                    any,
                    "which of them, by `rank`; all without it",
                    &["rank"],
                ),
                optional(
                    "boxes",
                    contract("Boxes"),
                    "boxes as a first answer",
                    &["label", "x", "y", "w", "h"],
                ),
                optional(
                    "predictions",
                    contract("Labels"),
                    "classes as a first answer, with a `probability` where there is one",
                    &["label", "probability"],
                ),
            ],
            open: false,
        }
    }

    fn outputs(_: &ExportLabellingParameters, _: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        Ok(vec![OutputPort::new(
            "tasks",
            PortType::Files,
            "tasks, configuration and pictures",
        )])
    }

    fn check(parameters: &ExportLabellingParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        let repeated = |at: usize, tool: &Tool| parameters.tools[..at].contains(tool);
        if parameters.tools.is_empty()
            || parameters
                .tools
                .iter()
                .enumerate()
                .any(|(at, tool)| repeated(at, tool))
        {
            problems.push(Problem::new(
                "tools",
                "name `label-studio`, `cvat` or both, each once",
            ));
        }
        let mut sorted = parameters.classes.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() < parameters.classes.len() || sorted.iter().any(|class| class.trim().is_empty()) {
            problems.push(Problem::new("classes", "each class must have a name of its own"));
        }
        problems
    }

    fn run(parameters: &ExportLabellingParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let known = Known::read(context)?;
        let folder = context.scratch().join("labelling");
        let mut files = Files::new(&folder)?;
        let (mut tasks, mut found) = pictures::write(parameters.picture, &known, context, &mut files)?;
        // The chosen ones by rank, the others by their ids.
        tasks.sort_by_key(|task| (known.rank(&task.id).unwrap_or(i64::MAX), task.id));
        found.extend(known.labels());
        let classes: Vec<String> = match parameters.classes.is_empty() {
            true => found.into_iter().collect(),
            false => parameters.classes.clone(),
        };
        if classes.is_empty() && !tasks.is_empty() {
            let error =
                StageError::new("there are no classes to choose from: nothing that is wired has labels");
            return Err(error.with_help("name them under `classes`"));
        }
        for tool in &parameters.tools {
            match tool {
                Tool::LabelStudio => {
                    let url = &parameters.image_url;
                    let written = label_studio::tasks(&tasks, &known, &classes, parameters.ask, url)?;
                    files.write("label-studio/tasks.json", &written)?;
                    let config = label_studio::config(&classes, parameters.ask);
                    files.write("label-studio/config.xml", config.as_bytes())?;
                }
                Tool::Cvat => {
                    let xml = cvat::annotations(&tasks, &known, &classes, parameters.ask);
                    files.write("cvat/annotations.xml", xml.as_bytes())?;
                    files.write("cvat/labels.json", &cvat::labels(&classes)?)?;
                }
            }
        }
        context.metric("tasks", tasks.len() as f64);
        context.write_files("tasks", &files.named)
    }
}

/// Files on their way out, in a folder of the action's own.
pub struct Files {
    folder: PathBuf,
    named: Vec<NamedFile>,
}

impl Files {
    /// In a folder that is made anew: an attempt before this one may have left files there.
    fn new(folder: &Path) -> Result<Files, StageError> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(|error| StageError::io("removing", folder, &error))?;
        }
        Ok(Files {
            folder: folder.to_path_buf(),
            named: Vec::new(),
        })
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Errors
    /// Where it can't be written.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), StageError> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| StageError::io("making", folder, &error))?;
        }
        std::fs::write(&path, bytes).map_err(|error| StageError::io("writing", &path, &error))?;
        self.named.push(NamedFile {
            name: name.to_string(),
            path,
        });
        Ok(())
    }
}
