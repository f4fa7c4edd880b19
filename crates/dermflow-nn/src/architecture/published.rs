//! The published networks by name: EfficientNet (Tan & Le 2019), EfficientNetV2 (Tan & Le 2021)
//! and EfficientNet-Lite, with the tables of the code released with them (`method.md` C1, C3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Activation, Architecture, Backbone, BlockKind, Classifier, InvalidArchitecture, Norm, Padding, Regressor,
    ScalingRule, Stage, Stem, Task,
};

/// A published network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the serialised names say it")]
pub enum Published {
    #[serde(rename = "efficientnet-b0")]
    EfficientNetB0,
    #[serde(rename = "efficientnet-b1")]
    EfficientNetB1,
    #[serde(rename = "efficientnet-b2")]
    EfficientNetB2,
    #[serde(rename = "efficientnet-b3")]
    EfficientNetB3,
    #[serde(rename = "efficientnet-b4")]
    EfficientNetB4,
    #[serde(rename = "efficientnet-b5")]
    EfficientNetB5,
    #[serde(rename = "efficientnet-b6")]
    EfficientNetB6,
    #[serde(rename = "efficientnet-b7")]
    EfficientNetB7,
    #[serde(rename = "efficientnetv2-b0")]
    EfficientNetV2B0,
    #[serde(rename = "efficientnetv2-b1")]
    EfficientNetV2B1,
    #[serde(rename = "efficientnetv2-b2")]
    EfficientNetV2B2,
    #[serde(rename = "efficientnetv2-b3")]
    EfficientNetV2B3,
    #[serde(rename = "efficientnetv2-s")]
    EfficientNetV2S,
    #[serde(rename = "efficientnetv2-m")]
    EfficientNetV2M,
    #[serde(rename = "efficientnetv2-l")]
    EfficientNetV2L,
    #[serde(rename = "efficientnetv2-xl")]
    EfficientNetV2Xl,
    #[serde(rename = "efficientnet-lite0")]
    EfficientNetLite0,
    #[serde(rename = "efficientnet-lite1")]
    EfficientNetLite1,
    #[serde(rename = "efficientnet-lite2")]
    EfficientNetLite2,
    #[serde(rename = "efficientnet-lite3")]
    EfficientNetLite3,
    #[serde(rename = "efficientnet-lite4")]
    EfficientNetLite4,
}

/// Whose version of a published network: they differ in how stride 2 pads, and in the norm's
/// epsilon and momentum. Weights of one fit another, but its scores are then not the published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flavour {
    /// torchvision: symmetric padding; epsilon 1e-5 for EfficientNet B0 to B4 (and Lite), 1e-3
    /// for B5 to B7 (there with momentum 0.01) and EfficientNetV2.
    #[default]
    Torchvision,
    /// timm, names without `tf_`: symmetric padding, epsilon 1e-5.
    Timm,
    /// TensorFlow, and timm's names with `tf_`: padding SAME, epsilon 1e-3.
    Tensorflow,
}

/// A published network as users ask for it, perhaps narrower or shallower for small data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Named {
    /// Which.
    pub name: Published,
    /// Whose version.
    #[serde(default)]
    pub flavour: Flavour,
    /// Multiplies the channels (after the network's own coefficient, before rounding to 8).
    #[serde(default = "one")]
    #[schemars(range(min = 0.05, max = 8.0))]
    pub width: f64,
    /// Multiplies the layers of each stage (rounded up).
    #[serde(default = "one")]
    #[schemars(range(min = 0.05, max = 8.0))]
    pub depth: f64,
    /// The share of features that a training step of a classifier drops before its last layer;
    /// left out, the published one. Where progressive learning tells one, that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub dropout: Option<f64>,
    /// The share of samples for which a training step skips a block (stochastic depth): block i of
    /// N, from 0, skips i/N of it, where it has a shortcut. Left out, the published one, 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 0.99))]
    pub stochastic_depth: Option<f64>,
}

/// What makes a network of a family out of its first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Of the channels.
    pub width: f64,
    /// Of the layers.
    pub depth: f64,
    /// Height and width that it was trained with.
    pub training_size: u32,
    /// Height and width at which its scores were published.
    pub evaluation_size: u32,
    /// Share of features dropped before the last layer.
    pub dropout: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Family {
    V1,
    V2,
    Lite,
}

use Published::*;

impl Published {
    /// All of them.
    pub const ALL: [Published; 21] = [
        EfficientNetB0,
        EfficientNetB1,
        EfficientNetB2,
        EfficientNetB3,
        EfficientNetB4,
        EfficientNetB5,
        EfficientNetB6,
        EfficientNetB7,
        EfficientNetV2B0,
        EfficientNetV2B1,
        EfficientNetV2B2,
        EfficientNetV2B3,
        EfficientNetV2S,
        EfficientNetV2M,
        EfficientNetV2L,
        EfficientNetV2Xl,
        EfficientNetLite0,
        EfficientNetLite1,
        EfficientNetLite2,
        EfficientNetLite3,
        EfficientNetLite4,
    ];

    /// As users write it.
    pub fn name(self) -> &'static str {
        match self {
            EfficientNetB0 => "efficientnet-b0",
            EfficientNetB1 => "efficientnet-b1",
            EfficientNetB2 => "efficientnet-b2",
            EfficientNetB3 => "efficientnet-b3",
            EfficientNetB4 => "efficientnet-b4",
            EfficientNetB5 => "efficientnet-b5",
            EfficientNetB6 => "efficientnet-b6",
            EfficientNetB7 => "efficientnet-b7",
            EfficientNetV2B0 => "efficientnetv2-b0",
            EfficientNetV2B1 => "efficientnetv2-b1",
            EfficientNetV2B2 => "efficientnetv2-b2",
            EfficientNetV2B3 => "efficientnetv2-b3",
            EfficientNetV2S => "efficientnetv2-s",
            EfficientNetV2M => "efficientnetv2-m",
            EfficientNetV2L => "efficientnetv2-l",
            EfficientNetV2Xl => "efficientnetv2-xl",
            EfficientNetLite0 => "efficientnet-lite0",
            EfficientNetLite1 => "efficientnet-lite1",
            EfficientNetLite2 => "efficientnet-lite2",
            EfficientNetLite3 => "efficientnet-lite3",
            EfficientNetLite4 => "efficientnet-lite4",
        }
    }

    /// The published coefficients. They are those of the table released with the code: B1 to B7
    /// are not exact powers of 1.2, 1.1 and 1.15.
    pub fn coefficients(self) -> Coefficients {
        let (width, depth, training_size, evaluation_size, dropout) = match self {
            EfficientNetB0 => (1.0, 1.0, 224, 224, 0.2),
            EfficientNetB1 => (1.0, 1.1, 240, 240, 0.2),
            EfficientNetB2 => (1.1, 1.2, 260, 260, 0.3),
            EfficientNetB3 => (1.2, 1.4, 300, 300, 0.3),
            EfficientNetB4 => (1.4, 1.8, 380, 380, 0.4),
            EfficientNetB5 => (1.6, 2.2, 456, 456, 0.4),
            EfficientNetB6 => (1.8, 2.6, 528, 528, 0.5),
            EfficientNetB7 => (2.0, 3.1, 600, 600, 0.5),
            EfficientNetV2B0 => (1.0, 1.0, 192, 224, 0.2),
            EfficientNetV2B1 => (1.0, 1.1, 192, 240, 0.2),
            EfficientNetV2B2 => (1.1, 1.2, 208, 260, 0.3),
            EfficientNetV2B3 => (1.2, 1.4, 240, 300, 0.3),
            EfficientNetV2S => (1.0, 1.0, 300, 384, 0.2),
            EfficientNetV2M => (1.0, 1.0, 384, 480, 0.3),
            EfficientNetV2L => (1.0, 1.0, 384, 480, 0.4),
            EfficientNetV2Xl => (1.0, 1.0, 384, 512, 0.4),
            EfficientNetLite0 => (1.0, 1.0, 224, 224, 0.2),
            EfficientNetLite1 => (1.0, 1.1, 240, 240, 0.2),
            EfficientNetLite2 => (1.1, 1.2, 260, 260, 0.3),
            EfficientNetLite3 => (1.2, 1.4, 280, 280, 0.3),
            EfficientNetLite4 => (1.4, 1.8, 300, 300, 0.3),
        };
        Coefficients {
            width,
            depth,
            training_size,
            evaluation_size,
            dropout,
        }
    }

    /// How its family rounds.
    pub fn scaling_rule(self) -> ScalingRule {
        ScalingRule {
            nine_tenths: self.family() != Family::V2,
            fixed_ends: self.family() == Family::Lite,
        }
    }

    /// The network with its published widths and depths.
    pub fn document(self, flavour: Flavour, classes: u32) -> Architecture {
        let coefficients = self.coefficients();
        // The published factors are positive, so that scaling can't fail.
        let base = self.base(flavour, classes);
        let scaled = base.scaled_unchecked(coefficients.width, coefficients.depth, self.scaling_rule());
        scaled.unwrap_or(base)
    }

    /// The first network of its family.
    fn base(self, flavour: Flavour, classes: u32) -> Architecture {
        let (stem, stages) = self.stages();
        let family = self.family();
        let backbone = Backbone {
            stem: Stem {
                channels: stem,
                kernel: 3,
                stride: 2,
                map: false,
            },
            stages,
            activation: match family {
                Family::Lite => Activation::Relu6,
                Family::V1 | Family::V2 => Activation::Silu,
            },
            padding: match flavour {
                Flavour::Tensorflow => Padding::TensorflowSame,
                Flavour::Torchvision | Flavour::Timm => Padding::Symmetric,
            },
            norm: self.norm(flavour),
            stochastic_depth: 0.2,
        };
        let classifier = Classifier {
            head_channels: 1280,
            dropout: self.coefficients().dropout,
            classes,
        };
        Architecture {
            name: self.name().to_owned(),
            backbone,
            task: Task::Classifier(classifier),
        }
    }

    fn norm(self, flavour: Flavour) -> Norm {
        let late = matches!(self, EfficientNetB5 | EfficientNetB6 | EfficientNetB7);
        let (epsilon, momentum) = match flavour {
            Flavour::Tensorflow => (1e-3, 0.1),
            Flavour::Timm => (1e-5, 0.1),
            Flavour::Torchvision if late => (1e-3, 0.01),
            Flavour::Torchvision if self.family() == Family::V2 => (1e-3, 0.1),
            Flavour::Torchvision => (1e-5, 0.1),
        };
        Norm { epsilon, momentum }
    }

    fn family(self) -> Family {
        match self {
            EfficientNetLite0 | EfficientNetLite1 | EfficientNetLite2 | EfficientNetLite3
            | EfficientNetLite4 => Family::Lite,
            _ if self >= EfficientNetV2B0 => Family::V2,
            _ => Family::V1,
        }
    }

    /// Channels of the stem and the unscaled stages.
    fn stages(self) -> (u32, Vec<Stage>) {
        match self {
            EfficientNetV2S => {
                let fused = [(1, 24, 2, 1), (4, 48, 4, 2), (4, 64, 4, 2)];
                let inverted = [(4, 128, 6, 2), (6, 160, 9, 1), (6, 256, 15, 2)];
                (24, second_version(&fused, &inverted))
            }
            EfficientNetV2M => {
                let fused = [(1, 24, 3, 1), (4, 48, 5, 2), (4, 80, 5, 2)];
                let inverted = [(4, 160, 7, 2), (6, 176, 14, 1), (6, 304, 18, 2), (6, 512, 5, 1)];
                (24, second_version(&fused, &inverted))
            }
            EfficientNetV2L => {
                let fused = [(1, 32, 4, 1), (4, 64, 7, 2), (4, 96, 7, 2)];
                let inverted = [(4, 192, 10, 2), (6, 224, 19, 1), (6, 384, 25, 2), (6, 640, 7, 1)];
                (32, second_version(&fused, &inverted))
            }
            EfficientNetV2Xl => {
                let fused = [(1, 32, 4, 1), (4, 64, 8, 2), (4, 96, 8, 2)];
                let inverted = [(4, 192, 16, 2), (6, 256, 24, 1), (6, 512, 32, 2), (6, 640, 8, 1)];
                (32, second_version(&fused, &inverted))
            }
            EfficientNetV2B0 | EfficientNetV2B1 | EfficientNetV2B2 | EfficientNetV2B3 => {
                let fused = [(1, 16, 1, 1), (4, 32, 2, 2), (4, 48, 2, 2)];
                let inverted = [(4, 96, 3, 2), (6, 112, 5, 1), (6, 192, 8, 2)];
                (32, second_version(&fused, &inverted))
            }
            _ => {
                let squeeze = (self.family() == Family::V1).then_some(0.25);
                (32, first_version(squeeze))
            }
        }
    }
}

impl Named {
    /// The network as published.
    pub fn plain(name: Published) -> Named {
        Named {
            name,
            flavour: Flavour::default(),
            width: 1.0,
            depth: 1.0,
            dropout: None,
            stochastic_depth: None,
        }
    }

    /// A classifier of so many classes.
    ///
    /// # Errors
    /// Where a multiplier, a share or the number of classes is out of range.
    pub fn classifier(self, classes: u32) -> Result<Architecture, InvalidArchitecture> {
        let Coefficients { width, depth, .. } = self.name.coefficients();
        let base = self.name.base(self.flavour, classes);
        let mut scaled = base.scaled(width * self.width, depth * self.depth, self.name.scaling_rule())?;
        if (self.width, self.depth) != (1.0, 1.0) {
            scaled.name = format!("{} width {} depth {}", self.name.name(), self.width, self.depth);
        }
        let scaled = self.dropping(scaled);
        scaled.check()?;
        Ok(scaled)
    }

    /// A network that drops as much as is asked for here, and where nothing is, as much as before.
    pub fn dropping(self, mut network: Architecture) -> Architecture {
        if let Some(share) = self.stochastic_depth {
            network.backbone.stochastic_depth = share;
        }
        if let (Some(share), Task::Classifier(classifier)) = (self.dropout, &mut network.task) {
            classifier.dropout = share;
        }
        network
    }

    /// A regressor on its backbone. The regressor's own widths stay.
    ///
    /// # Errors
    /// Where a multiplier or a share is out of range, the regressor doesn't fit the backbone, or
    /// features shall be dropped, for which a regressor has no place.
    pub fn regressor(self, regressor: Regressor) -> Result<Architecture, InvalidArchitecture> {
        if self.dropout.is_some() {
            let fault = "is for classifiers; a regressor has `stochastic-depth` alone".to_owned();
            return Err(InvalidArchitecture {
                problems: vec![("dropout".to_owned(), fault)],
            });
        }
        let mut architecture = self.classifier(regressor.classes)?;
        architecture.name += " regressor";
        architecture.task = Task::Regressor(regressor);
        architecture.check()?;
        Ok(architecture)
    }
}

/// EfficientNet-B0's stages, with or without squeeze-and-excite.
fn first_version(squeeze: Option<f64>) -> Vec<Stage> {
    let rows = [
        (3, 1, 1, 16, 1),
        (3, 2, 6, 24, 2),
        (5, 2, 6, 40, 2),
        (3, 2, 6, 80, 3),
        (5, 1, 6, 112, 3),
        (5, 2, 6, 192, 4),
        (3, 1, 6, 320, 1),
    ];
    let stage = |(kernel, stride, expansion, channels, layers)| Stage {
        block: BlockKind::Inverted,
        kernel,
        stride,
        expansion,
        channels,
        layers,
        squeeze,
    };
    rows.map(stage).to_vec()
}

/// (expansion, channels, layers, stride) of a stage of EfficientNetV2.
type Row = (u32, u32, u32, u32);

fn second_version(fused: &[Row], inverted: &[Row]) -> Vec<Stage> {
    let stage = |block, squeeze, &(expansion, channels, layers, stride): &Row| Stage {
        block,
        kernel: 3,
        stride,
        expansion,
        channels,
        layers,
        squeeze,
    };
    let fused = fused.iter().map(|row| stage(BlockKind::Fused, None, row));
    let inverted = inverted
        .iter()
        .map(|row| stage(BlockKind::Inverted, Some(0.25), row));
    fused.chain(inverted).collect()
}

fn one() -> f64 {
    1.0
}
