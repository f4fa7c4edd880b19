//! Ports: the typed inputs and outputs of a kind.

use std::collections::BTreeMap;
use std::fmt;

use crate::contract::TableType;

/// What a port holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortType {
    /// A table with at least these columns.
    Table(TableType),
    /// A model file of this kind, such as `classifier`; `None` means any.
    Model(Option<String>),
    /// Files by relative path.
    Files,
    /// Whatever is wired to it.
    Anything,
}

impl PortType {
    /// Whether a value of type `given` can be used where `self` is asked for.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn accepts(&self, given: &PortType) -> Result<(), String> {
        match (self, given) {
            (PortType::Anything, _) | (PortType::Files, PortType::Files) => Ok(()),
            (PortType::Table(wanted), PortType::Table(given)) => wanted.accepts(given),
            (PortType::Model(None), PortType::Model(_)) => Ok(()),
            (PortType::Model(wanted), PortType::Model(given)) if wanted == given => Ok(()),
            _ => Err(format!("it is {given}, not {self}")),
        }
    }
}

impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortType::Table(table) => write!(f, "a table ({})", table.contract),
            PortType::Model(None) => f.write_str("a model"),
            PortType::Model(Some(kind)) => write!(f, "a model ({kind})"),
            PortType::Files => f.write_str("files"),
            PortType::Anything => f.write_str("anything"),
        }
    }
}

/// How many artifacts an input port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// One or more, in the order they are written: `in: {tables: [a, b]}`.
    Many,
}

/// Which columns of an input table a kind looks at. Only their digests enter the key, and
/// only they can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// All that are there.
    All,
    /// The sample id and these, where they are there.
    Columns(Vec<String>),
}

/// Which rows of an input a map looks at while it works on some samples of the input that it is
/// cut over (see [`crate::Shape::Map`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SideRows {
    /// All of them: any change of the input computes every row again.
    #[default]
    Whole,
    /// Only those of the samples that it works on: no others can be read, and a change computes
    /// the rows of the changed samples again. A table; for kinds that are no map it says nothing.
    SameSample,
}

/// A named input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputPort {
    /// Its name, as `in:` writes it.
    pub name: String,
    /// What may be wired to it.
    pub port_type: PortType,
    /// How many artifacts it takes.
    pub arity: Arity,
    /// Which columns the kind reads.
    pub reads: Reads,
    /// Which rows a map reads of it.
    pub side_rows: SideRows,
    /// What it is for, in a few words.
    pub about: &'static str,
}

impl InputPort {
    /// A port that takes exactly one artifact and reads all its columns.
    pub fn one(name: impl Into<String>, port_type: PortType, about: &'static str) -> InputPort {
        InputPort {
            name: name.into(),
            port_type,
            arity: Arity::One,
            reads: Reads::All,
            side_rows: SideRows::Whole,
            about,
        }
    }

    /// The same port with another arity.
    pub fn with_arity(self, arity: Arity) -> InputPort {
        InputPort { arity, ..self }
    }

    /// The same port, reading only these columns besides the sample id.
    pub fn reading<S: Into<String>>(self, columns: impl IntoIterator<Item = S>) -> InputPort {
        InputPort {
            reads: Reads::Columns(columns.into_iter().map(Into::into).collect()),
            ..self
        }
    }

    /// The same port of a map, read at the samples at hand only: see [`SideRows::SameSample`].
    pub fn of_same_sample(self) -> InputPort {
        InputPort {
            side_rows: SideRows::SameSample,
            ..self
        }
    }
}

/// The inputs of a kind with given parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The ports that it names.
    pub ports: Vec<InputPort>,
    /// Whether any other name may be wired too, with anything (as `process` allows).
    pub open: bool,
}

/// A named output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPort {
    /// Its name, as `stage.port` writes it.
    pub name: String,
    /// What it will hold.
    pub port_type: PortType,
    /// What it is, in a few words.
    pub about: &'static str,
}

impl OutputPort {
    /// A named output of this type.
    pub fn new(name: impl Into<String>, port_type: PortType, about: &'static str) -> OutputPort {
        OutputPort {
            name: name.into(),
            port_type,
            about,
        }
    }
}

/// What is wired to each input port, by port name.
pub type InputTypes = BTreeMap<String, Vec<PortType>>;
