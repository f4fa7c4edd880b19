//! [`Manifest`]: everything that an action's result depends on. What is hashed into the key,
//! what `plan` compares to say why, what the record keeps and what lineage exports are this
//! one value: copies would drift.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::artifact::BlobRef;
use crate::canonical::{NotCanonical, Value};
use crate::digest::{Digest, NotADigest};

/// The hash of a manifest: the name of an action.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Digest);

impl Key {
    /// The digest that it is.
    pub const fn digest(&self) -> Digest {
        self.0
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Key {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Key, NotADigest> {
        text.parse().map(Key)
    }
}

/// Everything that counts, and nothing that doesn't (threads, memory, host, time, where files
/// lie).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The kind's name.
    pub kind: String,
    /// The kind's version.
    pub version: u32,
    /// Typed parameters, defaults filled in, source paths replaced by [`Value::Source`].
    pub parameters: Value,
    /// The pipeline's seed, for a random kind.
    pub seed: Option<u64>,
    /// What is wired to each port, in order.
    pub inputs: BTreeMap<String, Vec<InputDigest>>,
    /// Source files by the parameter that names them.
    pub sources: BTreeMap<String, SourceDigest>,
    /// The digest of the external program.
    pub tool: Option<Digest>,
    /// Disowns earlier results.
    pub salt: Option<String>,
}

/// What counts of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputDigest {
    /// Of each column that the kind reads, a digest of its values, of whether they may be missing,
    /// and of which column stands before it.
    Table(BTreeMap<String, Digest>),
    /// A model's name.
    Model(Digest),
    /// The name of a files artifact.
    Files(Digest),
}

/// What counts of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceDigest {
    /// One file: its name without folders (kinds tell formats by it), and its blake3.
    File {
        /// The last part of the path.
        name: String,
        /// blake3 of the content.
        digest: Digest,
    },
    /// A listing in `b3sum` form of the files below a folder.
    Folder {
        /// The listing, kept as a blob so that a later run can say which file changed.
        listing: BlobRef,
        /// How many files.
        files: u64,
    },
}

impl Manifest {
    /// The key: what the record of this action is filed under.
    ///
    /// # Errors
    /// None for a manifest that was made from typed parameters; kept in the signature because
    /// [`Value`] conversion has them.
    pub fn key(&self) -> Result<Key, NotCanonical> {
        let encoding = Value::from_serialize(&Canonical(self))?.encode();
        Ok(Key(Digest::derive("dermflow action key v1", &encoding)))
    }

    /// The key of all actions that differ only in the content of inputs that are read sample by
    /// sample: where rows can be taken over from. These are the input `over`, and those tables
    /// wired to other ports of which `is_side` says so, given port and position.
    ///
    /// # Errors
    /// As [`Manifest::key`].
    pub fn family(&self, over: &str, is_side: &dyn Fn(&str, usize) -> bool) -> Result<Digest, NotCanonical> {
        let mut others = self.clone();
        others.inputs.remove(over);
        for (port, inputs) in &mut others.inputs {
            let sides = inputs.iter_mut().enumerate().filter(|(at, _)| is_side(port, *at));
            // That something is wired counts, its content does not.
            sides.for_each(|(_, input)| *input = InputDigest::Table(BTreeMap::new()));
        }
        let encoding = Value::from_serialize(&Canonical(&others))?.encode();
        Ok(Digest::derive("dermflow action family v1", &encoding))
    }

    /// The seed that a random stage draws from: the same for the same kind, pipeline seed and
    /// salt, so that variants which differ elsewhere stay comparable draw by draw.
    pub fn stage_seed(&self) -> u64 {
        let material = Value::List(vec![
            Value::Text(self.kind.clone()),
            self.seed.map_or(Value::Null, |seed| Value::Integer(seed.into())),
            self.salt.clone().map_or(Value::Null, Value::Text),
        ]);
        let digest = Digest::derive("dermflow stage seed v1", &material.encode());
        // The first 8 of 32 bytes, so the conversion can't fail.
        u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap_or_default())
    }
}

/// A manifest on its way into the encoding. `Value` serializes to escaped JSON forms, so the
/// parameters are set in as the value that they are.
struct Canonical<'a>(&'a Manifest);

impl Serialize for Canonical<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let manifest = self.0;
        let mut fields = serializer.serialize_struct("Manifest", 8)?;
        fields.serialize_field("kind", &manifest.kind)?;
        fields.serialize_field("version", &manifest.version)?;
        fields.serialize_field("parameters", &Bytes(&manifest.parameters.encode()))?;
        fields.serialize_field("seed", &manifest.seed)?;
        fields.serialize_field("inputs", &manifest.inputs)?;
        fields.serialize_field("sources", &manifest.sources)?;
        fields.serialize_field("tool", &manifest.tool)?;
        fields.serialize_field("salt", &manifest.salt)?;
        fields.end()
    }
}

/// Bytes as bytes, not as a list of numbers.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let table = |text: &[u8]| {
            vec![InputDigest::Table(BTreeMap::from([(
                "label".to_string(),
                Digest::of(text),
            )]))]
        };
        Manifest {
            kind: "filter".to_string(),
            version: 1,
            parameters: Value::Map(BTreeMap::from([("size".to_string(), Value::Integer(224))])),
            seed: None,
            inputs: BTreeMap::from([("a".to_string(), table(b"x")), ("b".to_string(), table(b"y"))]),
            sources: BTreeMap::new(),
            tool: None,
            salt: None,
        }
    }

    fn changed(change: impl Fn(&mut Manifest)) -> Key {
        let mut manifest = manifest();
        change(&mut manifest);
        manifest.key().unwrap()
    }

    #[test]
    fn everything_in_a_manifest_moves_the_key() {
        let keys = [
            changed(|_| ()),
            changed(|m| m.kind = "filters".to_string()),
            changed(|m| m.version = 2),
            changed(|m| {
                m.parameters = Value::Map(BTreeMap::from([("size".to_string(), Value::Integer(512))]))
            }),
            changed(|m| {
                m.parameters = Value::Map(BTreeMap::from([("size".to_string(), Value::Float(224.0))]))
            }),
            changed(|m| m.seed = Some(0)),
            changed(|m| {
                m.inputs = {
                    let (a, b) = (m.inputs["a"].clone(), m.inputs["b"].clone());
                    BTreeMap::from([("a".to_string(), b), ("b".to_string(), a)])
                }
            }),
            changed(|m| drop(m.inputs.remove("b"))),
            changed(|m| {
                drop(m.sources.insert(
                    "path".to_string(),
                    SourceDigest::File {
                        name: "a.csv".to_string(),
                        digest: Digest::of(b""),
                    },
                ))
            }),
            changed(|m| m.tool = Some(Digest::of(b""))),
            changed(|m| m.salt = Some(String::new())),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "change {at} did not move the key");
        }
    }

    #[test]
    fn a_family_is_of_one_mind_about_all_but_what_is_read_sample_by_sample() {
        let family = |manifest: &Manifest, sides: &[&str]| {
            let is_side = |port: &str, _: usize| sides.contains(&port);
            manifest.family("a", &is_side).unwrap()
        };
        let other = |port: &str| {
            let mut manifest = manifest();
            let content = vec![InputDigest::Table(BTreeMap::from([(
                "label".to_string(),
                Digest::of(b"z"),
            )]))];
            manifest.inputs.insert(port.to_string(), content);
            manifest
        };
        assert_eq!(family(&manifest(), &[]), family(&other("a"), &[]));
        assert_ne!(family(&manifest(), &[]), family(&other("b"), &[]));
        assert_eq!(family(&manifest(), &["b"]), family(&other("b"), &["b"]));
        let mut unwired = manifest();
        unwired.inputs.remove("b");
        assert_ne!(family(&manifest(), &["b"]), family(&unwired, &["b"]));
    }

    #[test]
    fn json_keeps_the_key() {
        let mut manifest = manifest();
        manifest.parameters = Value::List(vec![Value::Float(f64::NAN), Value::Float(-0.0), Value::Source]);
        let text = serde_json::to_string(&manifest).unwrap();
        let back: Manifest = serde_json::from_str(&text).unwrap();
        assert_eq!(back.key(), manifest.key());
    }

    /// A promise to every store on disk: if this changes, the domain's version must too.
    #[test]
    fn the_key_of_a_known_manifest_stays() {
        let golden = "83dec0ef41bad44610ccf7760bdf1f06e7d1c75c95f795e043e60640c9dbe837";
        assert_eq!(manifest().key().unwrap().hex(), golden);
    }
}
