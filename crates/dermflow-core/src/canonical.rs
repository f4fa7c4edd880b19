//! Canonical encoding: one value, one sequence of bytes.
//!
//! A key is only as sound as the bytes that it hashes. Known tools went wrong here: `a=1,b=2`
//! and `a1b=2` gave one key, a parameter named `size` was left out, two swapped inputs looked
//! alike. So every value is written with its type and its length, and nothing is left out.
//!
//! # The encoding, version 1
//! | value | bytes |
//! |---|---|
//! | null | `00` |
//! | false, true | `01`, `02` |
//! | integer | `03`, 16 bytes two's complement, little endian (one form for every width) |
//! | float | `04`, 8 bytes IEEE 754 binary64 bit pattern, little endian: −0.0 ≠ 0.0, each NaN is itself, 1.0 ≠ 1 |
//! | text | `05`, length, UTF-8 bytes (no normalisation) |
//! | bytes | `06`, length, the bytes |
//! | list | `07`, count, each element |
//! | map | `08`, count, for each entry in order of the key's UTF-8 bytes: the key as text without tag, the value |
//! | source | `09`: stands where a path to a source file stood; the file's content enters the manifest elsewhere |
//!
//! Lengths and counts are 8 bytes, little endian. A struct is a map of its fields, an absent
//! field (`skip_serializing_if`) is an absent entry, which differs from null. An enum's unit
//! variant is the text of its name; any other variant is a map with that one name. A unit or
//! `None` is null, `Some(x)` is x, a tuple is a list, a `char` is a text.
//!
//! The tags and lengths make the encoding prefix-free, so no two values share an encoding.
//!
//! ```
//! use dermflow_core::canonical::Value;
//! let of = |yaml: &str| Value::from_serialize(&serde_yaml::from_str::<serde_yaml::Value>(yaml).unwrap()).unwrap();
//! assert_eq!(of("{a: 1, b: 2}").encode(), of("{b: 2, a: 1} # a comment").encode());
//! assert_ne!(of("{a: 1}").encode(), of("{a: 1.0}").encode());
//! ```

mod json;
mod serialize;

use std::collections::BTreeMap;

use serde::Serialize;

pub use serialize::NotCanonical;

/// A value that can be encoded; what serde types become on their way into a key.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, said outright.
    Null,
    /// A truth value.
    Boolean(bool),
    /// Any integer from −2¹²⁷ to 2¹²⁷−1.
    Integer(i128),
    /// A 64-bit float, compared by bit pattern.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An ordered list.
    List(Vec<Value>),
    /// A map with text keys.
    Map(BTreeMap<String, Value>),
    /// Where a path to a source file stood: neither its spelling nor its place counts.
    Source,
}

impl Value {
    /// The value that `serde` sees in `data`.
    ///
    /// # Errors
    /// Where a map key is no text, or an integer passes 127 bits.
    pub fn from_serialize<T: Serialize + ?Sized>(data: &T) -> Result<Value, NotCanonical> {
        data.serialize(serialize::ToValue)
    }

    /// The bytes of this value in the encoding that this module specifies.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        self.encode_into(&mut bytes);
        bytes
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.push(0),
            Value::Boolean(false) => out.push(1),
            Value::Boolean(true) => out.push(2),
            Value::Integer(number) => {
                out.push(3);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Value::Float(number) => {
                out.push(4);
                out.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Value::Text(text) => {
                out.push(5);
                encode_bytes(text.as_bytes(), out);
            }
            Value::Bytes(bytes) => {
                out.push(6);
                encode_bytes(bytes, out);
            }
            Value::List(elements) => {
                out.push(7);
                encode_length(elements.len(), out);
                elements.iter().for_each(|element| element.encode_into(out));
            }
            Value::Map(entries) => {
                out.push(8);
                encode_length(entries.len(), out);
                for (key, value) in entries {
                    encode_bytes(key.as_bytes(), out);
                    value.encode_into(out);
                }
            }
            Value::Source => out.push(9),
        }
    }

    /// The value at `path`, a list of map keys and list indices (as decimal text).
    pub fn at_mut<'a>(&mut self, path: impl IntoIterator<Item = &'a str>) -> Option<&mut Value> {
        let mut place = self;
        for step in path {
            place = match place {
                Value::Map(entries) => entries.get_mut(step)?,
                Value::List(elements) => elements.get_mut(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(place)
    }

    /// The entries, if this is a map.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// This value as YAML, for typed reading. [`Value::Source`] becomes null and bytes a list
    /// of numbers: neither stands in parameters as a user writes them.
    pub fn to_yaml(&self) -> serde_yaml::Value {
        use serde_yaml::Value as Yaml;
        match self {
            Value::Null | Value::Source => Yaml::Null,
            Value::Boolean(truth) => Yaml::Bool(*truth),
            Value::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => Yaml::Number(number.into()),
                (_, Ok(number)) => Yaml::Number(number.into()),
                // YAML numbers end at 64 bits; a typed reader refuses the text with its own words.
                _ => Yaml::String(number.to_string()),
            },
            Value::Float(number) => Yaml::Number((*number).into()),
            Value::Text(text) => Yaml::String(text.clone()),
            Value::Bytes(bytes) => bytes.iter().map(|byte| Yaml::Number((*byte).into())).collect(),
            Value::List(elements) => elements.iter().map(Value::to_yaml).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (Yaml::String(key.clone()), value.to_yaml()))
                .collect::<serde_yaml::Mapping>()
                .into(),
        }
    }
}

/// Two values are equal exactly where their encodings are.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) | (Value::Source, Value::Source) => true,
            (Value::Boolean(a), Value::Boolean(b)) => a == b,
            (Value::Integer(a), Value::Integer(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

fn encode_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
