//! [`Record`]: a manifest with what came out; the unit of lineage.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::digest::Digest;
use crate::manifest::{Key, Manifest};

/// What an action gave, filed under the key of its manifest. Written once, last of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What the result depends on.
    pub manifest: Manifest,
    /// The artifact at each output port.
    pub outputs: BTreeMap<String, Artifact>,
    /// Where each input came from; beside the manifest because it doesn't count: an input of
    /// the same content made by another action gives the same result.
    pub ancestry: BTreeMap<String, Vec<Ancestor>>,
    /// How it was made.
    pub making: Making,
}

/// An input artifact and the action that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ancestor {
    /// The artifact's name.
    pub artifact: Digest,
    /// The action whose output it was; `None` for a list of source files.
    pub action: Option<Key>,
    /// The output port of that action.
    pub port: String,
}

/// When, where and at what cost a result was made. Nothing here counts for a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Making {
    /// Seconds since 1970-01-01 UTC at the start.
    pub started: f64,
    /// Wall seconds.
    pub seconds: f64,
    /// Rows of the driving input (or of the outputs, for a whole kind) that were computed.
    pub rows_computed: u64,
    /// Rows taken over from earlier results.
    pub rows_reused: u64,
    /// For a map: the actions of its partitions, in order.
    pub partitions: Vec<Key>,
    /// The host's name.
    pub host: String,
    /// The version of this program.
    pub program: String,
    /// Figures that the stage reported.
    pub metrics: BTreeMap<String, f64>,
}
