//! A file's tensors become a network's weights. Strict: what is missing, unknown or misshapen is
//! an error that lists names; the only tensors that may be fresh are those of the task.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::convention::Names;
use super::order::{foreign_shape, native_indices};
use super::tensor_file::{StoredTensor, TensorFile};
use super::{Convention, Mismatch, WeightsError};
use crate::layout::{Layout, Slot, TensorSpec, Unit, Weights};

/// What an import gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The weights, whole.
    pub weights: Weights,
    /// What was done.
    pub report: ImportReport,
}

/// What an import did, for the person who chose the file. All names are as the file's convention
/// has them.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportReport {
    /// Whose names the file has.
    pub convention: Convention,
    /// How many tensors were read.
    pub loaded: usize,
    /// How many of those had 16-bit numbers, which were widened.
    pub widened: usize,
    /// Tensors drawn anew: a last layer for another number of classes, or all after the backbone
    /// where the file is of another task.
    pub fresh: Vec<String>,
    /// Tensors of the file that were not used, because they belong to another task.
    pub left_out: Vec<String>,
}

/// Reads a safetensors file with timm's, torchvision's or this crate's names into a network.
///
/// Counts of batches are ignored. A last layer for another number of classes is drawn anew from
/// `seed`, as are all layers after the backbone where the file has the other task's in their place (a
/// classifier's file for a regressor, or the other way round); the report names both.
///
/// # Errors
/// Where the file is no whole safetensors file, its names are unknown, or its tensors are not the
/// network's: then with every name.
pub fn import(bytes: &[u8], layout: Arc<Layout>, seed: u64) -> Result<Imported, WeightsError> {
    import_from(&TensorFile::parse(bytes)?, layout, Some(seed))
}

/// As [`import`], from a file whose header has been read. Without a seed nothing may be fresh.
///
/// Numbers are held only once all names and shapes are known to be right.
pub(crate) fn import_from(
    file: &TensorFile,
    layout: Arc<Layout>,
    seed: Option<u64>,
) -> Result<Imported, WeightsError> {
    let convention = convention_of(file)?;
    let names = Names::of(&layout, convention);
    let wanted: Vec<(String, &TensorSpec)> = layout
        .tensors()
        .iter()
        .map(|spec| (names.name(spec), spec))
        .collect();
    let other_task = seed.is_some() && is_of_another_task(file, &layout, &wanted, convention);
    let mut plan = Plan::of(convention);
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (name, spec) in wanted {
        known.extend(names.batches(spec));
        let drawn = other_task && is_of_the_task(&layout, spec);
        plan.add(&name, spec, file, drawn, seed.is_some());
        known.insert(name);
    }
    for name in file.tensors.keys().filter(|name| !known.contains(*name)) {
        if other_task && belongs_to_the_other_task(name, convention, &layout) {
            plan.report.left_out.push(name.clone());
        } else {
            plan.mismatch.extra.push(name.clone());
        }
    }
    plan.carry_out(&layout, seed.unwrap_or_default())
}

/// By the name of the stem's weight.
fn convention_of(file: &TensorFile) -> Result<Convention, WeightsError> {
    let found = Convention::ALL
        .into_iter()
        .find(|convention| file.tensors.contains_key(convention.mark()));
    found.ok_or_else(|| WeightsError::UnknownNames(file.tensors.keys().cloned().collect()))
}

/// Whether a tensor lies after the backbone.
fn is_of_the_task(layout: &Layout, spec: &TensorSpec) -> bool {
    spec.stage > layout.architecture().backbone.stages.len()
}

/// Whether the file has the other task's tensors, and none of this network's task's.
fn is_of_another_task(
    file: &TensorFile,
    layout: &Layout,
    wanted: &[(String, &TensorSpec)],
    convention: Convention,
) -> bool {
    let mut own = wanted.iter().filter(|(_, spec)| is_of_the_task(layout, spec));
    let mut names = file.tensors.keys();
    !own.any(|(name, _)| file.tensors.contains_key(name))
        && names.any(|name| belongs_to_the_other_task(name, convention, layout))
}

/// Whether a name is one that the tensors of the task that this network doesn't have are called by in
/// this convention.
fn belongs_to_the_other_task(name: &str, convention: Convention, layout: &Layout) -> bool {
    if layout.architecture().classifier().is_some() {
        return ["neck.", "heat.", "size."]
            .iter()
            .any(|prefix| name.starts_with(prefix));
    }
    let head = format!("features.{}.", layout.architecture().backbone.stages.len() + 1);
    let prefixes: &[&str] = match convention {
        Convention::Timm => &["conv_head.", "bn2.", "classifier."],
        Convention::Torchvision => &[&head, "classifier."],
        Convention::Native => &["head.", "classifier."],
    };
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// What is to be done with each tensor, decided before any number is read.
struct Plan<'a> {
    mismatch: Mismatch,
    report: ImportReport,
    read: Vec<(String, &'a TensorSpec, &'a StoredTensor<'a>)>,
    /// How many tensors of a unit are to be drawn.
    fresh: BTreeMap<Unit, usize>,
}

impl<'a> Plan<'a> {
    fn of(convention: Convention) -> Plan<'a> {
        Plan {
            mismatch: Mismatch::default(),
            report: ImportReport {
                convention,
                loaded: 0,
                widened: 0,
                fresh: Vec::new(),
                left_out: Vec::new(),
            },
            read: Vec::new(),
            fresh: BTreeMap::new(),
        }
    }

    fn add(&mut self, name: &str, spec: &'a TensorSpec, file: &'a TensorFile, drawn: bool, may_draw: bool) {
        if drawn {
            return self.draw(name, spec);
        }
        let Some(stored) = file.tensors.get(name) else {
            return self.mismatch.missing.push(name.to_owned());
        };
        let expected = foreign_shape(spec, self.report.convention);
        if stored.shape != expected {
            if may_draw && differs_in_classes(spec, &stored.shape, &expected) {
                return self.draw(name, spec);
            }
            let shapes = (name.to_owned(), stored.shape.clone(), expected);
            return self.mismatch.shapes.push(shapes);
        }
        match stored.unusable_type() {
            Some(found) => self.mismatch.types.push((name.to_owned(), found)),
            None => self.read.push((name.to_owned(), spec, stored)),
        }
    }

    fn draw(&mut self, name: &str, spec: &TensorSpec) {
        *self.fresh.entry(spec.unit).or_default() += 1;
        self.report.fresh.push(name.to_owned());
    }

    fn carry_out(mut self, layout: &Arc<Layout>, seed: u64) -> Result<Imported, WeightsError> {
        if !self.mismatch.is_empty() {
            return Err(WeightsError::Mismatch(Box::new(self.mismatch)));
        }
        for (&unit, &fresh) in &self.fresh {
            // A last layer whose weight and bias have different numbers of classes is no layer.
            let tensors = layout.tensors().iter();
            if fresh != tensors.filter(|spec| spec.unit == unit).count() {
                let why = format!("weight and bias of the unit {unit} are for different numbers of classes");
                return Err(WeightsError::Damaged(why));
            }
        }
        let mut weights = Weights::neutral(Arc::clone(layout));
        for (name, spec, stored) in &self.read {
            let values = weights.of_mut(spec);
            for (number, index) in stored.numbers().zip(native_indices(spec, self.report.convention)) {
                values[index] = number;
            }
            let fault = fault_of(spec, values);
            let faults = fault.map(|fault| (name.clone(), fault.to_owned()));
            self.mismatch.numbers.extend(faults);
            self.report.loaded += 1;
            self.report.widened += usize::from(stored.is_half());
        }
        if !self.mismatch.is_empty() {
            return Err(WeightsError::Mismatch(Box::new(self.mismatch)));
        }
        for &unit in self.fresh.keys() {
            weights.initialise_unit(unit, seed);
        }
        let report = self.report;
        Ok(Imported { weights, report })
    }
}

/// What is wrong with a tensor's numbers.
fn fault_of(spec: &TensorSpec, values: &[f32]) -> Option<&'static str> {
    if values.iter().any(|value| !value.is_finite()) {
        Some("holds infinite numbers or NaN")
    } else if spec.slot == Slot::Variance && values.iter().any(|&value| value < 0.0) {
        Some("is a variance and holds negative numbers")
    } else {
        None
    }
}

/// Whether two shapes of a last layer differ in the number of classes alone.
fn differs_in_classes(spec: &TensorSpec, found: &[usize], expected: &[usize]) -> bool {
    matches!(spec.unit, Unit::Classifier | Unit::HeatOutput)
        && found.len() == expected.len()
        && found.first() != expected.first()
        && found.get(1..) == expected.get(1..)
}
