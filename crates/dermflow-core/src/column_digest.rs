//! The digest of a column's values, whatever batches or file format they come in.
//!
//! Streams that never depend on how rows are cut into batches: one byte a row for validity,
//! one length a row for text, bytes and lists, and the values themselves (little endian; a
//! null counts as zero or empty). Floats enter by bit pattern.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, Float32Type, Float64Type, Int64Type, ToByteSlice};

use crate::contract::ColumnType;
use crate::digest::Digest;

const DOMAIN: &str = "dermflow column v1";

/// Takes a column's values in order, a batch at a time.
pub struct ColumnHasher {
    column_type: ColumnType,
    rows: u64,
    nulls: u64,
    validity: blake3::Hasher,
    lengths: blake3::Hasher,
    values: blake3::Hasher,
    elements: Option<Box<ColumnHasher>>,
}

impl ColumnHasher {
    /// A hasher of an empty column of this type.
    pub fn new(column_type: &ColumnType) -> ColumnHasher {
        let stream = || blake3::Hasher::new_derive_key(DOMAIN);
        let elements = match column_type {
            ColumnType::List(element) => Some(Box::new(ColumnHasher::new(element))),
            _ => None,
        };
        ColumnHasher {
            column_type: column_type.clone(),
            rows: 0,
            nulls: 0,
            validity: stream(),
            lengths: stream(),
            values: stream(),
            elements,
        }
    }

    /// Takes the next values.
    ///
    /// # Errors
    /// Where the array's Arrow type is not that of the column.
    pub fn update(&mut self, array: &ArrayRef) -> Result<(), String> {
        if ColumnType::from_arrow(array.data_type()).as_ref() != Some(&self.column_type) {
            return Err(format!(
                "a column of {} came as {}",
                self.column_type,
                array.data_type()
            ));
        }
        self.rows += array.len() as u64;
        self.nulls += array.null_count() as u64;
        let validity: Vec<u8> = match array.nulls() {
            None => vec![1; array.len()],
            Some(nulls) => nulls.iter().map(u8::from).collect(),
        };
        self.validity.update(&validity);
        match self.column_type.clone() {
            ColumnType::Integer => self.primitive::<Int64Type>(array.as_primitive()),
            ColumnType::Float32 => self.primitive::<Float32Type>(array.as_primitive()),
            ColumnType::Float64 => self.primitive::<Float64Type>(array.as_primitive()),
            ColumnType::Boolean => self.booleans(array.as_boolean()),
            ColumnType::SampleId => {
                let ids = array.as_fixed_size_binary();
                (0..ids.len()).for_each(|row| {
                    self.values.update(if ids.is_null(row) {
                        &[0; 32]
                    } else {
                        ids.value(row)
                    });
                });
            }
            ColumnType::Text => {
                let texts = array.as_string::<i32>();
                self.variable((0..texts.len()).map(|row| match texts.is_null(row) {
                    true => &[][..],
                    false => texts.value(row).as_bytes(),
                }));
            }
            ColumnType::Binary => {
                let binary = array.as_binary::<i32>();
                if let (0, [start, .., end]) = (binary.null_count(), binary.value_offsets()) {
                    // Values lie end to end, so their stream is there already: large pieces of it are
                    // hashed faster than small ones.
                    for row in 0..binary.len() {
                        let length = binary.value_length(row) as u64;
                        self.lengths.update(&length.to_le_bytes());
                    }
                    self.values
                        .update(&binary.value_data()[*start as usize..*end as usize]);
                    return Ok(());
                }
                self.variable((0..binary.len()).map(|row| match binary.is_null(row) {
                    true => &[][..],
                    false => binary.value(row),
                }));
            }
            ColumnType::List(_) => {
                let lists = array.as_list::<i32>();
                for row in 0..lists.len() {
                    let elements = match lists.is_null(row) {
                        true => lists.values().slice(0, 0),
                        false => lists.value(row),
                    };
                    self.lengths.update(&(elements.len() as u64).to_le_bytes());
                    if let Some(hasher) = &mut self.elements {
                        hasher.update(&elements)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn primitive<T: ArrowPrimitiveType>(&mut self, array: &PrimitiveArray<T>) {
        // Arrow buffers are in native order; every platform that Rust's arrow supports is
        // little endian or converts here value by value.
        if array.null_count() == 0 && cfg!(target_endian = "little") {
            self.values.update(array.values().inner().as_slice());
            return;
        }
        let zero = T::default_value();
        for row in 0..array.len() {
            let value = if array.is_null(row) {
                zero
            } else {
                array.value(row)
            };
            let mut bytes = value.to_byte_slice().to_vec();
            if cfg!(target_endian = "big") {
                bytes.reverse();
            }
            self.values.update(&bytes);
        }
    }

    fn booleans(&mut self, array: &BooleanArray) {
        let bytes: Vec<u8> = (0..array.len())
            .map(|row| u8::from(!array.is_null(row) && array.value(row)))
            .collect();
        self.values.update(&bytes);
    }

    fn variable<'a>(&mut self, rows: impl Iterator<Item = &'a [u8]>) {
        for bytes in rows {
            self.lengths.update(&(bytes.len() as u64).to_le_bytes());
            self.values.update(bytes);
        }
    }

    /// The digest of all values taken.
    pub fn finish(self) -> Digest {
        let mut bytes = self.column_type.to_string().into_bytes();
        bytes.push(0);
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.nulls.to_le_bytes());
        for stream in [&self.validity, &self.lengths, &self.values] {
            bytes.extend(stream.finalize().as_bytes());
        }
        if let Some(elements) = self.elements {
            bytes.extend(elements.finish().as_bytes());
        }
        Digest::derive(DOMAIN, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Float32Array, Float64Array, Int64Array, ListArray, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn digest(column_type: &ColumnType, parts: &[ArrayRef]) -> Digest {
        let mut hasher = ColumnHasher::new(column_type);
        parts.iter().for_each(|part| hasher.update(part).unwrap());
        hasher.finish()
    }

    proptest! {
        #[test]
        fn batches_and_slices_do_not_count(
            texts in proptest::collection::vec(proptest::option::of("[a-c]{0,3}"), 0..20),
            cut in 0usize..20,
        ) {
            let cut = cut.min(texts.len());
            let whole: ArrayRef = Arc::new(StringArray::from(texts.clone()));
            let parts = [whole.slice(0, cut), whole.slice(cut, texts.len() - cut)];
            prop_assert_eq!(digest(&ColumnType::Text, &[whole]), digest(&ColumnType::Text, &parts));
        }

        #[test]
        fn bytes_with_and_without_nulls_are_one_stream(
            values in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..5), 0..12),
            cut in 0usize..12,
        ) {
            let cut = cut.min(values.len());
            let whole: ArrayRef = Arc::new(BinaryArray::from_iter_values(&values));
            let mut slow = ColumnHasher::new(&ColumnType::Binary);
            slow.rows = values.len() as u64;
            slow.validity.update(&vec![1; values.len()]);
            slow.variable(values.iter().map(Vec::as_slice));
            let parts = [whole.slice(0, cut), whole.slice(cut, values.len() - cut)];
            let expected = slow.finish();
            prop_assert_eq!(digest(&ColumnType::Binary, &[whole]), expected);
            prop_assert_eq!(digest(&ColumnType::Binary, &parts), expected);
        }

        #[test]
        fn different_texts_have_different_digests(
            a in proptest::collection::vec(proptest::option::of("[ab]{0,2}"), 0..4),
            b in proptest::collection::vec(proptest::option::of("[ab]{0,2}"), 0..4),
        ) {
            let of = |texts: &[Option<String>]| -> Digest {
                digest(&ColumnType::Text, &[Arc::new(StringArray::from(texts.to_vec())) as ArrayRef])
            };
            prop_assert_eq!(a == b, of(&a) == of(&b));
        }
    }

    #[test]
    fn null_zero_minus_zero_and_nan_differ_and_hidden_values_under_nulls_do_not_count() {
        let of = |values: Vec<Option<f64>>| {
            digest(
                &ColumnType::Float64,
                &[Arc::new(Float64Array::from(values)) as ArrayRef],
            )
        };
        let all = [
            of(vec![None]),
            of(vec![Some(0.0)]),
            of(vec![Some(-0.0)]),
            of(vec![Some(f64::NAN)]),
            of(vec![]),
        ];
        for (at, digest) in all.iter().enumerate() {
            assert!(!all[..at].contains(digest));
        }
        let hidden = Float64Array::new(vec![7.0].into(), Some(vec![false].into()));
        assert_eq!(
            digest(&ColumnType::Float64, &[Arc::new(hidden) as ArrayRef]),
            all[0]
        );
    }

    #[test]
    fn a_list_depends_on_where_its_rows_end() {
        let list = ColumnType::List(Box::new(ColumnType::Float32));
        let of = |rows: Vec<Vec<f32>>| {
            let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
            let values = Arc::new(Float32Array::from(rows.concat()));
            let field = Arc::new(arrow::datatypes::Field::new(
                "item",
                arrow::datatypes::DataType::Float32,
                false,
            ));
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
            digest(
                &list,
                &[Arc::new(ListArray::new(field, offsets, values, None)) as ArrayRef],
            )
        };
        assert_ne!(of(vec![vec![1.0], vec![2.0]]), of(vec![vec![1.0, 2.0], vec![]]));
        assert_eq!(of(vec![vec![1.0], vec![2.0]]), of(vec![vec![1.0], vec![2.0]]));
    }

    #[test]
    fn a_column_of_another_type_is_refused() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(ColumnHasher::new(&ColumnType::Text).update(&numbers).is_err());
    }
}
