//! [`WeightsError`]: why a file of weights can't be used, for the person who chose it.

use std::fmt;

use crate::layout::WrongLength;

/// How many names of a kind a message lists.
const LISTED: usize = 12;

/// Why a file can't be read, or weights can't be written.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightsError {
    /// The file is no safetensors file, or a damaged one.
    Damaged(String),
    /// No tensor has the name by which one of the conventions is known.
    UnknownNames(Vec<String>),
    /// The file's tensors are not the network's.
    Mismatch(Box<Mismatch>),
    /// A file that should hold a model of this crate holds something else.
    NotAModel(String),
    /// The weights can't be written in this form.
    Unwritable(String),
}

/// All that differs between a file's tensors and a network's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mismatch {
    /// Names that the network needs and the file doesn't have.
    pub missing: Vec<String>,
    /// Names that the file has and the network doesn't know.
    pub extra: Vec<String>,
    /// Names with (the file's shape, the network's shape), as the file's convention has them.
    pub shapes: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Names with the type of number that the file has, where it can't be used.
    pub types: Vec<(String, String)>,
    /// Names with what is wrong with their numbers.
    pub numbers: Vec<(String, String)>,
}

impl Mismatch {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Mismatch::default()
    }
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WeightsError::Damaged(why) => {
                write!(f, "not a whole safetensors file: {why}")
            }
            WeightsError::UnknownNames(names) => {
                f.write_str(
                    "no tensor has a name that timm, torchvision or dermflow gives an EfficientNet's stem \
                     (`conv_stem.weight`, `features.0.0.weight`, `stem.weight`)",
                )?;
                list(f, "the file has", names.iter().map(|name| format!("`{name}`")))
            }
            WeightsError::Mismatch(mismatch) => mismatch.fmt(f),
            WeightsError::NotAModel(why) => write!(f, "not a model that dermflow wrote: {why}"),
            WeightsError::Unwritable(why) => write!(f, "the weights can't be written: {why}"),
        }
    }
}

impl std::error::Error for WeightsError {}

impl From<WrongLength> for WeightsError {
    fn from(wrong: WrongLength) -> WeightsError {
        WeightsError::Unwritable(wrong.to_string())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file's tensors are not this network's")?;
        let quoted = |name: &String| format!("`{name}`");
        list(f, "missing", self.missing.iter().map(quoted))?;
        list(f, "not known", self.extra.iter().map(quoted))?;
        let shapes = self
            .shapes
            .iter()
            .map(|(name, found, expected)| format!("`{name}` has {found:?}, and should have {expected:?}"));
        list(f, "another shape", shapes)?;
        let types = self.types.iter();
        let types =
            types.map(|(name, found)| format!("`{name}` has {found}, and should have F32, F16 or BF16"));
        list(f, "another type", types)?;
        let numbers = self.numbers.iter();
        list(f, "numbers", numbers.map(|(name, why)| format!("`{name}` {why}")))
    }
}

/// A line of the first items; nothing where there are none.
fn list(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    items: impl ExactSizeIterator<Item = String>,
) -> fmt::Result {
    let all = items.len();
    if all == 0 {
        return Ok(());
    }
    let first: Vec<String> = items.take(LISTED).collect();
    write!(f, "\n  {title}: {}", first.join(", "))?;
    match all.saturating_sub(LISTED) {
        0 => Ok(()),
        more => write!(f, ", and {more} more"),
    }
}
