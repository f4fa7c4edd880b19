//! From any serde type to a [`Value`]. Knows serde's data model and nothing of keys.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::{Serialize, ser};

use super::Value;

/// Why a Rust value has no canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCanonical(String);

impl Display for NotCanonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotCanonical {}

impl ser::Error for NotCanonical {
    fn custom<T: Display>(message: T) -> NotCanonical {
        NotCanonical(message.to_string())
    }
}

/// The serializer whose output is a [`Value`].
pub(super) struct ToValue;

type Outcome = Result<Value, NotCanonical>;

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, number: $type) -> Outcome { Ok(Value::Integer(i128::from(number))) })*
    };
}

impl ser::Serializer for ToValue {
    type Ok = Value;
    type Error = NotCanonical;
    type SerializeSeq = ListBuilder;
    type SerializeTuple = ListBuilder;
    type SerializeTupleStruct = ListBuilder;
    type SerializeTupleVariant = Variant<ListBuilder>;
    type SerializeMap = MapBuilder;
    type SerializeStruct = MapBuilder;
    type SerializeStructVariant = Variant<MapBuilder>;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_i128: i128
    }

    fn serialize_u128(self, number: u128) -> Outcome {
        let fits = i128::try_from(number);
        fits.map(Value::Integer)
            .map_err(|_| NotCanonical(format!("the integer {number} passes 127 bits")))
    }
    fn serialize_bool(self, truth: bool) -> Outcome {
        Ok(Value::Boolean(truth))
    }
    fn serialize_f32(self, number: f32) -> Outcome {
        Ok(Value::Float(f64::from(number)))
    }
    fn serialize_f64(self, number: f64) -> Outcome {
        Ok(Value::Float(number))
    }
    fn serialize_char(self, letter: char) -> Outcome {
        Ok(Value::Text(letter.to_string()))
    }
    fn serialize_str(self, text: &str) -> Outcome {
        Ok(Value::Text(text.to_string()))
    }
    fn serialize_bytes(self, bytes: &[u8]) -> Outcome {
        Ok(Value::Bytes(bytes.to_vec()))
    }
    fn serialize_none(self) -> Outcome {
        Ok(Value::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        value.serialize(ToValue)
    }
    fn serialize_unit(self) -> Outcome {
        Ok(Value::Null)
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Outcome {
        Ok(Value::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Outcome {
        Ok(Value::Text(variant.to_string()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Outcome {
        value.serialize(ToValue)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Outcome {
        Ok(tagged(variant, value.serialize(ToValue)?))
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<ListBuilder, NotCanonical> {
        // A hostile length must not allocate: growth is paid by what really comes.
        Ok(ListBuilder(Vec::with_capacity(length.unwrap_or(0).min(1024))))
    }
    fn serialize_tuple(self, length: usize) -> Result<ListBuilder, NotCanonical> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<ListBuilder, NotCanonical> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Variant<ListBuilder>, NotCanonical> {
        Ok(Variant {
            name: variant,
            content: self.serialize_seq(Some(length))?,
        })
    }
    fn serialize_map(self, _length: Option<usize>) -> Result<MapBuilder, NotCanonical> {
        Ok(MapBuilder::default())
    }
    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<MapBuilder, NotCanonical> {
        Ok(MapBuilder::default())
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Variant<MapBuilder>, NotCanonical> {
        Ok(Variant {
            name: variant,
            content: MapBuilder::default(),
        })
    }
}

fn tagged(name: &str, content: Value) -> Value {
    Value::Map(BTreeMap::from([(name.to_string(), content)]))
}

/// A list in the making.
pub(super) struct ListBuilder(Vec<Value>);

impl ListBuilder {
    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotCanonical> {
        self.0.push(element.serialize(ToValue)?);
        Ok(())
    }
}

/// A map in the making; `key` waits for its value.
#[derive(Default)]
pub(super) struct MapBuilder {
    entries: BTreeMap<String, Value>,
    key: Option<String>,
}

impl MapBuilder {
    fn insert<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), NotCanonical> {
        let value = value.serialize(ToValue)?;
        match self.entries.insert(key.clone(), value) {
            None => Ok(()),
            Some(_) => Err(NotCanonical(format!("the key `{key}` stands twice"))),
        }
    }
}

/// An enum variant with content.
pub(super) struct Variant<B> {
    name: &'static str,
    content: B,
}

macro_rules! list_like {
    ($($trait:ident $method:ident),*) => {$(
        impl ser::$trait for ListBuilder {
            type Ok = Value;
            type Error = NotCanonical;
            fn $method<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotCanonical> {
                self.push(element)
            }
            fn end(self) -> Outcome {
                Ok(Value::List(self.0))
            }
        }
    )*};
}
list_like!(SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field);

impl ser::SerializeTupleVariant for Variant<ListBuilder> {
    type Ok = Value;
    type Error = NotCanonical;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), NotCanonical> {
        self.content.push(element)
    }
    fn end(self) -> Outcome {
        Ok(tagged(self.name, Value::List(self.content.0)))
    }
}

impl ser::SerializeMap for MapBuilder {
    type Ok = Value;
    type Error = NotCanonical;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotCanonical> {
        match key.serialize(ToValue)? {
            Value::Text(text) => self.key = Some(text),
            other => {
                return Err(NotCanonical(format!(
                    "a map key must be text, and this one is {other:?}"
                )));
            }
        }
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotCanonical> {
        match self.key.take() {
            Some(key) => self.insert(key, value),
            None => Err(NotCanonical("a map value came before its key".to_string())),
        }
    }
    fn end(self) -> Outcome {
        Ok(Value::Map(self.entries))
    }
}

impl ser::SerializeStruct for MapBuilder {
    type Ok = Value;
    type Error = NotCanonical;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NotCanonical> {
        self.insert(key.to_string(), value)
    }
    fn end(self) -> Outcome {
        Ok(Value::Map(self.entries))
    }
}

impl ser::SerializeStructVariant for Variant<MapBuilder> {
    type Ok = Value;
    type Error = NotCanonical;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NotCanonical> {
        self.content.insert(key.to_string(), value)
    }
    fn end(self) -> Outcome {
        Ok(tagged(self.name, Value::Map(self.content.entries)))
    }
}
