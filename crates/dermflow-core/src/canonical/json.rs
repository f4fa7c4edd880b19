//! [`Value`] as JSON and back, without loss: how manifests are kept in records.
//!
//! JSON has no bytes, no NaN, no infinity. Those, and maps that could be taken for them, are
//! written as a map with one key that starts with `$`:
//! `{"$float": "7ff8000000000000"}` (bit pattern), `{"$bytes": "00ff"}`,
//! `{"$integer": "…"}` (past 64 bits), `{"$source": true}`, and
//! `{"$map": [[key, value], …]}` for a map whose own single key starts with `$`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Value;

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Boolean(truth) => serializer.serialize_bool(*truth),
            Value::Integer(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => serializer.serialize_i64(number),
                (_, Ok(number)) => serializer.serialize_u64(number),
                _ => one_entry(serializer, "$integer", &number.to_string()),
            },
            Value::Float(number) if number.is_finite() => serializer.serialize_f64(*number),
            Value::Float(number) => one_entry(serializer, "$float", &format!("{:016x}", number.to_bits())),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                one_entry(serializer, "$bytes", &hex)
            }
            Value::List(elements) => {
                let mut list = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    list.serialize_element(element)?;
                }
                list.end()
            }
            Value::Map(entries) if looks_escaped(entries) => {
                let pairs: Vec<(&String, &Value)> = entries.iter().collect();
                one_entry(serializer, "$map", &pairs)
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Value::Source => one_entry(serializer, "$source", &true),
        }
    }
}

fn one_entry<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    key: &str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

fn looks_escaped(entries: &BTreeMap<String, Value>) -> bool {
    entries.len() == 1 && entries.keys().all(|key| key.starts_with('$'))
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a canonical value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Boolean(truth))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_string()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Value::List(elements))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, value)) = access.next_entry::<String, Value>()? {
            if entries.contains_key(&key) {
                return Err(de::Error::custom(format!("the key `{key}` stands twice")));
            }
            entries.insert(key, value);
        }
        if looks_escaped(&entries) {
            return unescape(&entries).ok_or_else(|| de::Error::custom("an escaped value is malformed"));
        }
        Ok(Value::Map(entries))
    }
}

/// What the single entry of an escaping map stands for.
fn unescape(entries: &BTreeMap<String, Value>) -> Option<Value> {
    let (key, value) = entries.first_key_value()?;
    match (key.as_str(), value) {
        ("$float", Value::Text(bits)) if bits.len() == 16 => u64::from_str_radix(bits, 16)
            .ok()
            .map(|bits| Value::Float(f64::from_bits(bits))),
        ("$integer", Value::Text(number)) => number.parse().ok().map(Value::Integer),
        ("$bytes", Value::Text(hex)) if hex.is_ascii() && hex.len() % 2 == 0 => (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok())
            .collect::<Option<Vec<u8>>>()
            .map(Value::Bytes),
        ("$source", Value::Boolean(true)) => Some(Value::Source),
        ("$map", Value::List(pairs)) => pairs
            .iter()
            .map(|pair| match pair {
                Value::List(pair) => match pair.as_slice() {
                    [Value::Text(key), value] => Some((key.clone(), value.clone())),
                    _ => None,
                },
                _ => None,
            })
            .collect::<Option<BTreeMap<_, _>>>()
            .map(Value::Map),
        _ => None,
    }
}
