//! [`TensorFile`]: the tensors of a safetensors file by name, read with bounds on what a hostile
//! header may cost. Must not know which tensors a network wants.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::tensor::Dtype;
use safetensors::{SafeTensorError, SafeTensors};
use serde::Deserialize;

use super::WeightsError;

/// The longest header that is read. The largest published network needs a thirtieth of it.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;

/// One tensor as it lies in a file.
pub(crate) struct StoredTensor<'a> {
    pub(crate) shape: Vec<usize>,
    dtype: Dtype,
    bytes: &'a [u8],
}

/// A whole file, checked but not converted.
pub(crate) struct TensorFile<'a> {
    pub(crate) tensors: BTreeMap<String, StoredTensor<'a>>,
    /// Texts in the header.
    pub(crate) texts: BTreeMap<String, String>,
}

impl<'a> TensorFile<'a> {
    /// Reads the header of a whole file and checks that all offsets lie within.
    ///
    /// # Errors
    /// Where the file is cut, or something else than safetensors.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<TensorFile<'a>, WeightsError> {
        header_length(bytes)?;
        let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error, bytes))?;
        // read_metadata has checked that header and offsets lie within the bytes.
        let data = bytes.get(8 + header..).unwrap_or_default();
        let mut tensors = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            let (begin, end) = info.data_offsets;
            let stored = StoredTensor {
                shape: info.shape.clone(),
                dtype: info.dtype,
                bytes: data.get(begin..end).unwrap_or_default(),
            };
            tensors.insert(name, stored);
        }
        let texts = metadata.metadata().clone().unwrap_or_default();
        Ok(TensorFile {
            tensors,
            texts: texts.into_iter().collect(),
        })
    }
}

/// The texts of a header, without its tensors.
#[derive(Deserialize)]
struct Texts {
    #[serde(rename = "__metadata__", default)]
    texts: BTreeMap<String, String>,
}

impl TensorFile<'_> {
    /// The texts in a header that should have `length` bytes.
    ///
    /// # Errors
    /// Where it is cut off or no safetensors header.
    pub(crate) fn texts_of_header(
        header: &[u8],
        length: u64,
    ) -> Result<BTreeMap<String, String>, WeightsError> {
        if (header.len() as u64) < length {
            return Err(WeightsError::Damaged(
                "it ends within the header; it may be cut off".to_owned(),
            ));
        }
        let texts: Texts =
            serde_json::from_slice(header).map_err(|error| WeightsError::Damaged(error.to_string()))?;
        Ok(texts.texts)
    }
}

/// The length of the header, which the first eight bytes tell.
///
/// # Errors
/// Where it can't be a safetensors file's.
pub(crate) fn header_length(bytes: &[u8]) -> Result<u64, WeightsError> {
    let Some(Ok(first)) = bytes.get(..8).map(<[u8; 8]>::try_from) else {
        let why = format!(
            "it has {} bytes, and the length of the header takes 8",
            bytes.len()
        );
        return Err(WeightsError::Damaged(why));
    };
    let length = u64::from_le_bytes(first);
    if length > MAX_HEADER_BYTES {
        // Files of other formats end here mostly: their first bytes are a huge number.
        let why = format!(
            "by its first eight bytes the header has {length} bytes, and at most {MAX_HEADER_BYTES} are read; is it \
             another format (such as a pickle of PyTorch's)?"
        );
        return Err(WeightsError::Damaged(why));
    }
    Ok(length)
}

fn damaged(error: &SafeTensorError, bytes: &[u8]) -> WeightsError {
    let why = match error {
        SafeTensorError::InvalidHeaderLength => {
            format!(
                "it has {} bytes and ends within the header; it may be cut off",
                bytes.len()
            )
        }
        SafeTensorError::MetadataIncompleteBuffer => format!(
            "it has {} bytes, and not the number that its header tells of; it may be cut off",
            bytes.len()
        ),
        other => other.to_string(),
    };
    WeightsError::Damaged(why)
}

impl StoredTensor<'_> {
    /// What kind of numbers, where they can't be used as weights.
    pub(crate) fn unusable_type(&self) -> Option<String> {
        match self.dtype {
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => None,
            other => Some(format!("{other:?}")),
        }
    }

    /// Whether its numbers have 16 bits, and are widened.
    pub(crate) fn is_half(&self) -> bool {
        matches!(self.dtype, Dtype::F16 | Dtype::BF16)
    }

    /// Its numbers in the file's order.
    pub(crate) fn numbers(&self) -> Box<dyn Iterator<Item = f32> + '_> {
        let pairs = || self.bytes.as_chunks::<2>().0.iter();
        match self.dtype {
            Dtype::F16 => Box::new(pairs().map(|&pair| f16::from_le_bytes(pair).to_f32())),
            Dtype::BF16 => Box::new(pairs().map(|&pair| bf16::from_le_bytes(pair).to_f32())),
            _ => {
                let words = self.bytes.as_chunks::<4>().0.iter();
                Box::new(words.map(|&word| f32::from_le_bytes(word)))
            }
        }
    }
}
