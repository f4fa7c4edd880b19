//! Arrow arrays of other programs as columns that tables here can hold: without loss, or
//! refused in words. Knows nothing of files or of any one kind.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryArray, Float32Array, Float64Array, ListArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use dermflow_core::{ColumnType, SampleId};

/// The type that an array of another program becomes here, where nothing else is asked for.
pub fn natural(foreign: &DataType) -> Option<ColumnType> {
    Some(match foreign {
        DataType::Dictionary(_, values) => natural(values)?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::FixedSizeBinary(32) => ColumnType::SampleId,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Binary
        }
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => ColumnType::Integer,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => ColumnType::Integer,
        DataType::Float16 | DataType::Float32 => ColumnType::Float32,
        DataType::Float64 => ColumnType::Float64,
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            match natural(element.data_type())? {
                ColumnType::List(_) => return None,
                element => ColumnType::List(Box::new(element)),
            }
        }
        _ => return None,
    })
}

/// Why a type has no place here, and what to do.
pub fn unsupported(foreign: &DataType) -> String {
    match foreign {
        DataType::Date32
        | DataType::Date64
        | DataType::Timestamp(..)
        | DataType::Time32(_)
        | DataType::Time64(_) => {
            format!(
                "{foreign} can't be held by tables here; write it as text, such as 2017-05-04, or as an integer"
            )
        }
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            format!("{foreign} can't be held by tables here; write it as float64, as an integer or as text")
        }
        other => {
            format!("{other} can't be held by tables here; write plain columns or lists of plain values")
        }
    }
}

/// `array` as a column of type `wanted`.
///
/// # Errors
/// Where a value would change, in words; the caller names the column.
pub fn to_column(array: &ArrayRef, wanted: &ColumnType) -> Result<ArrayRef, String> {
    let foreign = array.data_type().clone();
    if foreign == wanted.arrow() {
        return Ok(array.clone());
    }
    if foreign == DataType::Null {
        return Ok(new_null_array(&wanted.arrow(), array.len()));
    }
    let natural = natural(&foreign).ok_or_else(|| unsupported(&foreign))?;
    let plain = match &natural {
        ColumnType::List(element) => list(array, element)?,
        natural => cast(array, &natural.arrow())?,
    };
    if natural == *wanted {
        return Ok(plain);
    }
    match (&natural, wanted) {
        (ColumnType::Integer, ColumnType::Float64) => integers_as_floats(&plain),
        (ColumnType::Float32, ColumnType::Float64) => cast(&plain, &DataType::Float64),
        (ColumnType::Float64, ColumnType::Float32) => narrowed(&plain),
        (ColumnType::SampleId, ColumnType::Binary) => cast(&plain, &DataType::Binary),
        (ColumnType::Text | ColumnType::Binary, ColumnType::SampleId) => ids_as_column(&plain),
        (ColumnType::List(_), ColumnType::List(element)) => list(array, element),
        _ => Err(format!("it is {natural} ({foreign}), not {wanted}")),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, to, &options).map_err(|error| error.to_string())
}

fn integers_as_floats(array: &ArrayRef) -> Result<ArrayRef, String> {
    const EXACT: u64 = 1 << 53;
    let integers = array.as_primitive::<Int64Type>();
    match integers
        .iter()
        .flatten()
        .find(|number| number.unsigned_abs() > EXACT)
    {
        Some(number) => Err(format!("the integer {number} has no exact float64")),
        None => Ok(Arc::new(
            integers
                .iter()
                .map(|number| number.map(|number| number as f64))
                .collect::<Float64Array>(),
        )),
    }
}

fn narrowed(array: &ArrayRef) -> Result<ArrayRef, String> {
    let wide = array.as_primitive::<Float64Type>();
    let same = |number: &f64| f64::from(*number as f32) == *number || number.is_nan();
    match wide.iter().flatten().find(|number| !same(number)) {
        Some(number) => Err(format!(
            "{number:?} has no exact float32; write the column as float32"
        )),
        None => Ok(Arc::new(
            wide.iter()
                .map(|number| number.map(|number| number as f32))
                .collect::<Float32Array>(),
        )),
    }
}

/// Lists of any layout as lists of 32-bit offsets whose elements are all there.
fn list(array: &ArrayRef, element: &ColumnType) -> Result<ArrayRef, String> {
    let field = |data_type: DataType| DataType::List(Arc::new(Field::new("item", data_type, true)));
    let inner = match array.data_type() {
        DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => {
            inner.data_type().clone()
        }
        other => return Err(unsupported(other)),
    };
    let plain = cast(array, &field(inner))?;
    let lists = plain.as_list::<i32>();
    let (first, last) = (lists.offsets().first() as usize, lists.offsets().last() as usize);
    // Elements outside of the rows (of a slice, or under null rows) don't count, so they are
    // looked at row by row only where any element is null.
    let elements = lists.values().slice(first, last - first);
    if elements.null_count() > 0 && lists.iter().flatten().any(|row| row.null_count() > 0) {
        return Err("its lists have missing elements".to_string());
    }
    if elements.null_count() > 0 {
        return Err("its lists hide missing elements under missing rows; write those rows empty".to_string());
    }
    let elements = to_column(&elements, element)?;
    let lengths = lists.offsets().lengths();
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    let item = Arc::new(Field::new("item", element.arrow(), false));
    let built = ListArray::try_new(item, offsets, elements, lists.nulls().cloned());
    Ok(Arc::new(built.map_err(|error| error.to_string())?))
}

/// The sample id that each row of an array spells: 32 bytes, or 64 hexadecimal digits.
///
/// # Errors
/// Where the array is of another type altogether; inside, where one row spells none.
#[allow(
    clippy::type_complexity,
    reason = "one outcome for the array, one for each row"
)]
pub fn sample_ids(array: &ArrayRef) -> Result<Vec<Result<SampleId, String>>, String> {
    let missing = || Err("it is missing".to_string());
    match natural(array.data_type()) {
        Some(ColumnType::Text) => {
            let texts = cast(array, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>().iter();
            Ok(texts
                .map(|text| text.map_or_else(missing, |text| text.parse().map_err(refused)))
                .collect())
        }
        Some(ColumnType::Binary | ColumnType::SampleId) => {
            let bytes = cast(array, &DataType::Binary)?;
            let bytes = bytes.as_binary::<i32>().iter();
            Ok(bytes
                .map(|bytes| bytes.map_or_else(missing, id_of_bytes))
                .collect())
        }
        _ if *array.data_type() == DataType::Null => Ok((0..array.len()).map(|_| missing()).collect()),
        _ => Err(format!(
            "it is {}; a sample id is 32 bytes or text of 64 hexadecimal digits",
            array.data_type()
        )),
    }
}

fn refused(error: dermflow_core::digest::NotADigest) -> String {
    error.to_string()
}

fn id_of_bytes(bytes: &[u8]) -> Result<SampleId, String> {
    match bytes.try_into() {
        Ok(bytes) => Ok(SampleId::from_bytes(bytes)),
        Err(_) => Err(format!("it has {} bytes; a sample id has 32", bytes.len())),
    }
}

fn ids_as_column(array: &ArrayRef) -> Result<ArrayRef, String> {
    let mut ids = Vec::with_capacity(array.len());
    for (row, id) in sample_ids(array)?.into_iter().enumerate() {
        ids.push(match array.is_null(row) {
            true => None,
            false => Some(
                *id.map_err(|refusal| format!("row {}: {refusal}", row + 1))?
                    .as_bytes(),
            ),
        });
    }
    FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 32)
        .map(|ids| Arc::new(ids) as ArrayRef)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, DictionaryArray, FixedSizeListArray, Int32Array, Int64Array, LargeStringArray,
        StringArray, StringViewArray, UInt64Array,
    };
    use arrow::datatypes::Int32Type;

    use super::*;

    fn column(array: impl Array + 'static, wanted: ColumnType) -> Result<ArrayRef, String> {
        to_column(&(Arc::new(array) as ArrayRef), &wanted)
    }

    #[test]
    fn the_layouts_of_other_programs_become_plain_columns() {
        let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a")]));
        let rows = vec![Some("a"), None, Some("a")];
        let dictionary: DictionaryArray<Int32Type> = rows.clone().into_iter().collect();
        assert_eq!(&column(dictionary, ColumnType::Text).unwrap(), &expected);
        assert_eq!(
            &column(LargeStringArray::from(rows.clone()), ColumnType::Text).unwrap(),
            &expected
        );
        assert_eq!(
            &column(StringViewArray::from(rows), ColumnType::Text).unwrap(),
            &expected
        );
        let small = column(Int32Array::from(vec![1, -1]), ColumnType::Integer).unwrap();
        assert_eq!(small.as_primitive::<Int64Type>().values(), &[1, -1]);
    }

    #[test]
    fn what_would_change_a_value_is_refused() {
        assert!(column(UInt64Array::from(vec![u64::MAX]), ColumnType::Integer).is_err());
        assert!(column(Float64Array::from(vec![0.1]), ColumnType::Float32).is_err());
        assert!(column(Float64Array::from(vec![0.5, f64::NAN]), ColumnType::Float32).is_ok());
        assert!(column(Int64Array::from(vec![1 << 54]), ColumnType::Float64).is_err());
        assert!(column(Float64Array::from(vec![1.0]), ColumnType::Integer).is_err());
        let date = column(Date32Array::from(vec![1]), ColumnType::Text).unwrap_err();
        assert!(date.contains("2017-05-04"), "{date}");
    }

    #[test]
    fn lists_of_any_layout_fit_where_no_element_is_missing() {
        let wanted = ColumnType::List(Box::new(ColumnType::Float32));
        let rows = vec![Some(vec![Some(0.5), Some(1.0)]), Some(vec![Some(2.0), Some(3.0)])];
        let fixed = FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(rows, 2);
        let plain = column(fixed.slice(1, 1), wanted.clone()).unwrap();
        assert_eq!(plain.data_type(), &wanted.arrow());
        assert_eq!(plain.as_list::<i32>().value(0).len(), 2);
        let gap = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![Some(vec![None])]);
        assert!(column(gap, wanted).unwrap_err().contains("missing elements"));
    }

    #[test]
    fn sample_ids_come_as_bytes_or_hexadecimal_digits() {
        let id = SampleId::of_key("a");
        let hex: ArrayRef = Arc::new(StringArray::from(vec![id.to_string(), "x".to_string()]));
        let ids = sample_ids(&hex).unwrap();
        assert_eq!(ids[0], Ok(id));
        assert!(ids[1].is_err());
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(sample_ids(&numbers).is_err());
        let gap = StringArray::from(vec![Some(id.to_string()), None]);
        assert_eq!(column(gap, ColumnType::SampleId).unwrap().null_count(), 1);
    }
}
