//! Whether a document describes a network that can be built: every number in its range, and the
//! whole of a size that fits a machine. A document may come from anyone's file.

use std::fmt;

use super::{Architecture, Backbone, BlockKind, Regressor, Stage, Task};
use crate::layout::parameters_at_most;

/// No network may have more parameters (4 GiB of float32); the largest published one has a fifth.
pub const MAX_PARAMETERS: u64 = 1 << 30;

/// No network's name has more bytes.
pub(crate) const MAX_NAME: usize = 200;
const MAX_STAGES: usize = 64;
const MAX_LAYERS: u32 = 256;
const MAX_CHANNELS: u32 = 16_384;
const MAX_EXPANSION: u32 = 16;
const MAX_CLASSES: u32 = 1_000_000;
const MAX_STRIDE: usize = 256;

/// Why a document is no network: each line names the place in the document and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidArchitecture {
    /// Place and fault, in the order of the document.
    pub problems: Vec<(String, String)>,
}

impl fmt::Display for InvalidArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the architecture can't be built")?;
        for (place, fault) in &self.problems {
            write!(f, "\n  {place}: {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidArchitecture {}

/// Collects faults.
#[derive(Default)]
struct Faults(Vec<(String, String)>);

impl Faults {
    fn add(&mut self, place: impl Into<String>, fault: impl Into<String>) {
        self.0.push((place.into(), fault.into()));
    }

    fn within(&mut self, place: impl Into<String>, value: u32, most: u32) {
        if value < 1 || value > most {
            self.add(place, format!("is {value}, and must lie between 1 and {most}"));
        }
    }

    fn share(&mut self, place: &str, value: f64, most: f64) {
        if !(0.0..=most).contains(&value) {
            self.add(place, format!("is {value}, and must lie between 0 and {most}"));
        }
    }

    fn kernel(&mut self, place: impl Into<String>, value: u32) {
        if !matches!(value, 1 | 3 | 5 | 7) {
            self.add(place, format!("is {value}, and must be 1, 3, 5 or 7"));
        }
    }

    fn stride(&mut self, place: impl Into<String>, value: u32) {
        if !matches!(value, 1 | 2) {
            self.add(place, format!("is {value}, and must be 1 or 2"));
        }
    }
}

impl Architecture {
    /// Whether the network can be built.
    ///
    /// # Errors
    /// Names every fault. Takes time and memory bounded by the document's own length.
    pub fn check(&self) -> Result<(), InvalidArchitecture> {
        let mut faults = Faults::default();
        if self.name.is_empty() || self.name.len() > MAX_NAME || self.name.chars().any(char::is_control) {
            let fault = format!("must have 1 to {MAX_NAME} bytes and no control characters");
            faults.add("name", fault);
        }
        check_backbone(&self.backbone, &mut faults);
        match &self.task {
            Task::Classifier(classifier) => {
                let place = |field: &str| format!("task.classifier.{field}");
                faults.within(place("head-channels"), classifier.head_channels, MAX_CHANNELS);
                faults.within(place("classes"), classifier.classes, MAX_CLASSES);
                faults.share(&place("dropout"), classifier.dropout, 0.99);
            }
            Task::Regressor(regressor) => check_regressor(self, regressor, &mut faults),
        }
        // Only a document whose every number is in range may be worked out: its blocks are
        // then at most 64 × 256.
        if faults.0.is_empty() && !parameters_at_most(self, MAX_PARAMETERS) {
            let fault = format!("has more than {MAX_PARAMETERS} parameters; make it narrower or shallower");
            faults.add("the network", fault);
        }
        match faults.0.is_empty() {
            true => Ok(()),
            false => Err(InvalidArchitecture { problems: faults.0 }),
        }
    }
}

fn check_backbone(backbone: &Backbone, faults: &mut Faults) {
    faults.within("backbone.stem.channels", backbone.stem.channels, MAX_CHANNELS);
    faults.kernel("backbone.stem.kernel", backbone.stem.kernel);
    faults.stride("backbone.stem.stride", backbone.stem.stride);
    if backbone.stages.is_empty() || backbone.stages.len() > MAX_STAGES {
        let found = backbone.stages.len();
        let fault = format!("has {found} stages, and must have between 1 and {MAX_STAGES}");
        faults.add("backbone.stages", fault);
    }
    for (index, stage) in backbone.stages.iter().take(MAX_STAGES).enumerate() {
        check_stage(&format!("backbone.stages[{index}]"), stage, faults);
    }
    if backbone.stages.len() <= MAX_STAGES && backbone.stride() > MAX_STRIDE {
        let fault = format!("all strides together make more than {MAX_STRIDE}");
        faults.add("backbone.stages", fault);
    }
    if !(1e-8..=0.1).contains(&backbone.norm.epsilon) {
        let fault = format!("is {}, and must lie between 1e-8 and 0.1", backbone.norm.epsilon);
        faults.add("backbone.norm.epsilon", fault);
    }
    faults.share("backbone.norm.momentum", backbone.norm.momentum, 1.0);
    faults.share("backbone.stochastic-depth", backbone.stochastic_depth, 0.99);
}

fn check_stage(place: &str, stage: &Stage, faults: &mut Faults) {
    faults.kernel(format!("{place}.kernel"), stage.kernel);
    faults.stride(format!("{place}.stride"), stage.stride);
    faults.within(format!("{place}.expansion"), stage.expansion, MAX_EXPANSION);
    faults.within(format!("{place}.channels"), stage.channels, MAX_CHANNELS);
    faults.within(format!("{place}.layers"), stage.layers, MAX_LAYERS);
    let Some(ratio) = stage.squeeze else {
        return;
    };
    let place = format!("{place}.squeeze");
    if !(0.001..=1.0).contains(&ratio) {
        faults.add(&place, format!("is {ratio}, and must lie between 0.001 and 1"));
    }
    if stage.block == BlockKind::Fused {
        faults.add(&place, "a fused block has no squeeze-and-excite; leave it out");
    }
}

fn check_regressor(architecture: &Architecture, regressor: &Regressor, faults: &mut Faults) {
    let place = |field: &str| format!("task.regressor.{field}");
    faults.within(place("head-channels"), regressor.head_channels, MAX_CHANNELS);
    faults.within(place("classes"), regressor.classes, MAX_CLASSES);
    let backbone = &architecture.backbone;
    if backbone.stages.len() > MAX_STAGES || backbone.stages.iter().any(|stage| stage.layers > MAX_LAYERS) {
        return;
    }
    let (stride, steps) = (backbone.stride(), regressor.neck.len());
    if steps > 7 || stride >> steps < 2 || !stride.is_power_of_two() {
        let fault = format!(
            "{steps} steps double the grid {steps} times, but the backbone's is at stride {stride} and the maps' \
             must stay at stride 2 or more"
        );
        return faults.add(place("neck"), fault);
    }
    for (index, (step, layer)) in regressor.neck.iter().zip(architecture.neck()).enumerate() {
        let at = place(&format!("neck[{index}]"));
        faults.within(format!("{at}.channels"), step.channels, MAX_CHANNELS);
        // The grid is that of the block with the same stride: odd sizes don't double to themselves.
        if layer.grid.is_none() {
            let stride = stride >> (index + 1);
            let fault = format!("doubles to stride {stride}, which no stage of the backbone has");
            faults.add(at, fault);
        }
    }
}
