//! Which network is trained, and the weights that it starts from.
//!
//! Must not know of pictures, batches or losses.

use std::collections::BTreeMap;
use std::sync::Arc;

use dermflow_core::{Problem, StageContext, StageError};
use dermflow_nn::Parameters;
use dermflow_nn::architecture::{Architecture, Backbone, InvalidArchitecture, Named, Published, ScalingRule};
use dermflow_nn::layout::{Layout, Unit, Weights};
use dermflow_nn::model_file::Model;
use dermflow_nn::network::Network;
use dermflow_nn::training::Snapshot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::classes::Classes;

/// A network by its published name, perhaps narrower or shallower, or as a whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkChoice {
    /// A published one.
    Published(Named),
    /// A document, as `compound-scale` writes it; its number of classes is replaced by that of
    /// the data.
    Document(Box<Architecture>),
}

impl Default for NetworkChoice {
    fn default() -> NetworkChoice {
        NetworkChoice::Published(Named::plain(Published::EfficientNetV2B0))
    }
}

impl NetworkChoice {
    /// What is wrong with it, whatever the number of classes.
    pub fn check(&self) -> Vec<Problem> {
        match self.classifier(2) {
            Ok(_) => Vec::new(),
            Err(error) => vec![Problem::new("architecture", error.to_string())],
        }
    }

    /// The classifier of so many classes.
    ///
    /// # Errors
    /// Where it can't be built, or the document is not a classifier's.
    pub fn classifier(&self, classes: u32) -> Result<Architecture, InvalidArchitecture> {
        let architecture = self.of_classes(classes)?;
        match architecture.classifier() {
            Some(_) => Ok(architecture),
            None => Err(InvalidArchitecture {
                problems: vec![(
                    "task".to_string(),
                    "is a regressor's, and a classifier's is asked for".to_string(),
                )],
            }),
        }
    }

    /// How the network's family rounds when it is scaled, where it is a published one.
    pub fn scaling_rule(&self) -> Option<ScalingRule> {
        match self {
            NetworkChoice::Published(named) => Some(named.name.scaling_rule()),
            NetworkChoice::Document(_) => None,
        }
    }

    /// A model's network that drops as much in training as is asked for here; the rest of it
    /// stays, whatever is written here.
    fn dropping(&self, network: Architecture) -> Architecture {
        match self {
            NetworkChoice::Published(named) => named.dropping(network),
            NetworkChoice::Document(_) => network,
        }
    }

    /// The network of so many classes, whatever its task.
    ///
    /// # Errors
    /// Where it can't be built.
    pub fn of_classes(&self, classes: u32) -> Result<Architecture, InvalidArchitecture> {
        match self {
            NetworkChoice::Published(named) => named.classifier(classes),
            NetworkChoice::Document(document) => {
                let document = document.as_ref().clone().with_classes(classes);
                document.check()?;
                Ok(document)
            }
        }
    }
}

/// A network ready to be trained.
pub struct Started {
    /// The network.
    pub network: Network,
    /// Its weights.
    pub weights: Snapshot,
    /// The classes in the order of its outputs.
    pub classes: Classes,
}

impl Started {
    /// The same network, which reads a map beside the picture; the first convolution gives nothing
    /// to it yet.
    ///
    /// # Errors
    /// Where it can't be built.
    pub fn with_map(self) -> Result<Started, StageError> {
        let failed = |error: InvalidArchitecture| StageError::new(error.to_string());
        let own = weights(self.network.layout(), self.weights)?
            .with_map(true)
            .map_err(failed)?;
        Ok(Started {
            network: Network::new(own.layout().architecture()).map_err(failed)?,
            weights: snapshot(own),
            classes: self.classes,
        })
    }
}

/// Weights as the training loop takes them.
pub fn snapshot(weights: Weights) -> Snapshot {
    let [decayed, plain, statistics] = weights.into_buffers();
    Snapshot {
        parameters: Parameters::new(decayed, plain),
        statistics,
    }
}

/// The way back of [`snapshot`].
///
/// # Errors
/// Where the buffers are another network's.
pub fn weights(layout: &Arc<Layout>, snapshot: Snapshot) -> Result<Weights, StageError> {
    let Snapshot {
        parameters,
        statistics,
    } = snapshot;
    let Parameters { decayed, plain } = parameters;
    Weights::from_buffers(
        layout.clone(),
        decayed.into_values(),
        plain.into_values(),
        statistics,
    )
    .map_err(|error| StageError::new(error.to_string()))
}

/// The model wired to `port`.
///
/// # Errors
/// Where it can't be read, or is damaged.
pub fn model(context: &dyn StageContext, port: &str) -> Result<Model, StageError> {
    Model::load(&context.model(port)?).map_err(|error| StageError::new(format!("`{port}`: {error}")))
}

/// The model wired to `init` to go on from, which drops as much as the network that is written
/// beside it asks for.
///
/// # Errors
/// As [`model`].
pub fn initial(context: &dyn StageContext, written: Option<&NetworkChoice>) -> Result<Model, StageError> {
    let mut model = model(context, "init")?;
    if let Some(choice) = written {
        model.description.architecture = choice.dropping(model.description.architecture);
    }
    Ok(model)
}

/// That something is left to be trained.
///
/// # Errors
/// Where all of the network is frozen.
pub fn check_frozen(network: &Network, frozen_stages: usize) -> Result<(), StageError> {
    let stages = network.layout().stages();
    match frozen_stages < stages {
        true => Ok(()),
        false => Err(StageError::new(format!(
            "`training.optimiser.frozen-stages` is {frozen_stages}, and the network has {stages} stages, stem and \
             last layers among them: nothing would be trained"
        ))),
    }
}

/// A network of fresh weights drawn from `seed`.
///
/// # Errors
/// Where the architecture can't be built.
pub fn fresh(architecture: &Architecture, classes: Classes, seed: u64) -> Result<Started, StageError> {
    let network = Network::new(architecture).map_err(|error| StageError::new(error.to_string()))?;
    let weights = snapshot(Weights::initialise(network.layout().clone(), seed));
    Ok(Started {
        network,
        weights,
        classes,
    })
}

/// Which classes a network that goes on from a model shall tell apart.
pub enum WantedClasses {
    /// These.
    Exactly(Classes),
    /// These at least, as they occur in the data: a model that knows them and others goes on
    /// knowing all.
    AtLeast(Classes),
}

/// A network for the wanted classes that goes on from a model. Where the model has the same classes,
/// in whatever order, its order is kept and so are all weights; else the layers whose shape or
/// meaning hangs on the classes are drawn from `seed`, which is told.
///
/// # Errors
/// Where the network can't be built for so many classes.
pub fn continued(
    model: Model,
    wanted: WantedClasses,
    seed: u64,
    context: &dyn StageContext,
) -> Result<Started, StageError> {
    let Model { description, weights } = model;
    let (classes, others) = match wanted {
        WantedClasses::Exactly(classes) => (classes, false),
        WantedClasses::AtLeast(classes) => (classes, true),
    };
    let known = |name: &String| description.classes.contains(name);
    let more = description.classes.len() > classes.len();
    if classes.names().iter().all(known) && (others || !more) {
        if more {
            context.log(&format!(
                "`init` tells {} classes apart, of which the labels have {}: it goes on telling all",
                description.classes.len(),
                classes.len()
            ));
        }
        if !others && description.classes != classes.names() {
            context.log(&format!(
                "the classes keep the order that `init` has: {}",
                description.classes.join(", ")
            ));
        }
        let network =
            Network::new(&description.architecture).map_err(|error| StageError::new(error.to_string()))?;
        return Ok(Started {
            network,
            weights: snapshot(weights),
            classes: Classes::new(description.classes, 1)?,
        });
    }
    let architecture = description.architecture.with_classes(classes.len() as u32);
    let network = Network::new(&architecture).map_err(|error| StageError::new(error.to_string()))?;
    let (own, drawn) = taken_over(&weights, &network, seed);
    context.log(&format!(
        "`init` tells {} classes apart, not the {} of this data: drawn anew are {}",
        description.classes.len(),
        classes.len(),
        drawn.join(", ")
    ));
    Ok(Started {
        network,
        weights: snapshot(own),
        classes,
    })
}

/// A network whose backbone is a model's, the rest drawn from `seed`, which is told.
///
/// # Errors
/// Where the network can't be built, or the model's backbone is another one.
pub fn on_backbone(
    architecture: &Architecture,
    model: &Model,
    classes: Classes,
    seed: u64,
    context: &dyn StageContext,
) -> Result<Started, StageError> {
    let given = &model.description.architecture;
    let weights_are_of = |backbone: &Backbone| Backbone {
        stochastic_depth: 0.0,
        ..backbone.clone()
    };
    if weights_are_of(&given.backbone) != weights_are_of(&architecture.backbone) {
        let message = format!(
            "`init` is {}, whose backbone is not that of {}",
            given.name, architecture.name
        );
        return Err(StageError::new(message).with_help("give both the same `architecture`"));
    }
    let network = Network::new(architecture).map_err(|error| StageError::new(error.to_string()))?;
    let (own, drawn) = taken_over(&model.weights, &network, seed);
    context.log(&format!(
        "the backbone is taken from `init`; drawn anew are the {} tensors behind it",
        drawn.len()
    ));
    Ok(Started {
        network,
        weights: snapshot(own),
        classes,
    })
}

/// A network's weights, those of `given` where name and shape are the same and their meaning
/// doesn't hang on the classes, else drawn from `seed`; and the names of those that were drawn.
fn taken_over(given: &Weights, network: &Network, seed: u64) -> (Weights, Vec<String>) {
    let layout = network.layout().clone();
    let mut own = Weights::initialise(layout.clone(), seed);
    let mut drawn = Vec::new();
    for spec in layout.tensors() {
        let hangs_on_classes = matches!(spec.unit, Unit::Classifier | Unit::HeatOutput);
        match given.layout().find(&spec.name) {
            Some(same) if same.shape == spec.shape && !hangs_on_classes => {
                own.of_mut(spec).copy_from_slice(given.of(same));
            }
            _ => drawn.push(spec.name.clone()),
        }
    }
    (own, drawn)
}

/// How many numbers are trained, and a few words on them, for the record.
pub fn told(network: &Network, context: &mut dyn StageContext) {
    let layout = network.layout();
    context.metric("parameters", layout.parameters() as f64);
    context.log(&format!(
        "{}: {} parameters, {} running statistics",
        network.architecture().name,
        layout.parameters(),
        layout.statistics()
    ));
}

/// What a model was trained from, for its header.
pub fn provenance(kind: &str, seed: u64, samples: usize, epoch: u64) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("kind".to_string(), kind.to_string()),
        ("seed".to_string(), seed.to_string()),
        ("samples".to_string(), samples.to_string()),
        ("epoch".to_string(), epoch.to_string()),
    ])
}

#[cfg(test)]
mod tests {
    use dermflow_core::memory::MemoryContext;
    use dermflow_nn::architecture::Regressor;
    use dermflow_nn::model_file::{Description, Preprocessing};

    use super::*;

    fn small() -> Named {
        Named {
            width: 0.15,
            depth: 0.2,
            ..Named::plain(Published::EfficientNetV2B0)
        }
    }

    fn model_of(named: Named, names: &[&str]) -> Model {
        let architecture = named.classifier(names.len() as u32).unwrap();
        let layout = Arc::new(Layout::of(&architecture).unwrap());
        let preprocessing = Preprocessing::imagenet(32, 32);
        Model {
            description: Description::new(architecture, names.iter().copied(), preprocessing),
            weights: Weights::initialise(layout, 1),
        }
    }

    fn classes(names: &[&str]) -> Classes {
        Classes::new(names.iter().map(|name| name.to_string()).collect(), 1).unwrap()
    }

    #[test]
    fn what_a_step_skips_is_no_other_backbone() {
        let named = Named {
            stochastic_depth: Some(0.05),
            ..small()
        };
        let asked = named.regressor(Regressor::suggested(2)).unwrap();
        let context = MemoryContext::default();
        let model = model_of(small(), &["a", "b"]);
        let started = on_backbone(&asked, &model, classes(&["a", "b"]), 7, &context).unwrap();
        assert_eq!(started.network.architecture().backbone.stochastic_depth, 0.05);
        let wider = Named {
            width: 0.3,
            ..small()
        };
        let other = wider.regressor(Regressor::suggested(2)).unwrap();
        let refused = on_backbone(&other, &model, classes(&["a", "b"]), 7, &context)
            .err()
            .unwrap();
        assert!(refused.message.contains("backbone is not that of"), "{refused}");
    }

    #[test]
    fn a_model_that_is_trained_on_drops_what_is_asked_for_with_a_name() {
        let choice = NetworkChoice::Published(Named {
            dropout: Some(0.4),
            ..small()
        });
        let model = model_of(small(), &["a", "b"]);
        let given = model.description.architecture.clone();
        let trained = choice.dropping(given.clone());
        assert_eq!(trained.classifier().unwrap().dropout, 0.4);
        assert_eq!(trained.backbone, given.backbone);
        assert_eq!(
            NetworkChoice::Document(Box::new(trained)).dropping(given.clone()),
            given
        );
    }
}
