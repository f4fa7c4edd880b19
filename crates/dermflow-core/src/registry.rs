//! The list of kinds that a program knows. Explicit: nothing registers itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::stage::{Kind, StageKind, erase};

/// Kinds by name.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn Kind>>);

impl Registry {
    /// An empty one.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Adds a kind; one of the same name is replaced.
    #[must_use]
    pub fn with<K: StageKind>(mut self) -> Registry {
        self.0.insert(K::NAME, erase::<K>());
        self
    }

    /// The kind with this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Kind>> {
        self.0.get(name)
    }

    /// All kinds in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Kind>> {
        self.0.values()
    }
}
