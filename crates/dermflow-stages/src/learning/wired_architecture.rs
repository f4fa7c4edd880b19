//! A network chosen by an earlier stage (`compound-scale`), wired to the port `architecture` in
//! place of the parameters `architecture` and `side`.
//!
//! The table has one row (contract `Architecture`): the document as JSON, which is YAML too, and
//! the height and width of the pictures that it was chosen for. Pictures are resized in training
//! and in use, so whatever size `ingest` stores them in does; to store no more than is needed, or
//! no less, its `size` is set to the chosen side, which `compound-scale` tells in its log.
//!
//! Must not know how it was chosen, or what is trained.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use dermflow_core::{
    Arity, Contract, InputPort, InputTypes, PortType, Problem, StageContext, StageError, TableType,
};
use dermflow_nn::architecture::Architecture;

use super::network::{NetworkChoice, model};
use crate::class_list::text;

/// The name of the port.
const PORT: &str = "architecture";

/// Exactly the columns of the contract.
pub fn architecture_type() -> TableType {
    // The contract is in the constant list of contracts; `any` only keeps this total.
    let mut table = Contract::named("Architecture").map_or_else(TableType::any, TableType::of);
    table.open = false;
    table
}

/// The port.
pub fn architecture_port() -> InputPort {
    let table = TableType {
        open: true,
        ..architecture_type()
    };
    let about = "the network to train, as `compound-scale` chooses it, in place of `architecture` and `side`";
    InputPort::one(PORT, PortType::Table(table), about)
        .with_arity(Arity::Optional)
        .reading(["document", "side"])
}

/// The two parameters that the port stands in for.
pub struct Written<'a> {
    /// `architecture`.
    pub architecture: Option<&'a NetworkChoice>,
    /// `side`.
    pub side: Option<u32>,
}

impl Written<'_> {
    /// That the network comes from one place only, and that a side is said.
    ///
    /// # Errors
    /// Names what to leave out or to write.
    pub fn check(&self, wired: &InputTypes) -> Result<(), Problem> {
        match wired.contains_key(PORT) {
            true if self.architecture.is_some() => Err(Problem::new(
                "architecture",
                "a network is written here and another is wired to `architecture`",
            )
            .with_help("leave one of them out")),
            true if wired.contains_key("init") => Err(Problem::new(
                "",
                "a network is wired to `architecture`, and `init` brings its own",
            )
            .with_help("leave one of them out")),
            true if self.side.is_some() => Err(Problem::new(
                "side",
                "the network wired to `architecture` was chosen for a side of its own",
            )
            .with_help("leave `side` out")),
            false if self.side.is_none() && !wired.contains_key("init") => Err(Problem::new(
                "side",
                "height and width in pixels that pictures have for the network are not said",
            )
            .with_help(
                "write `side`, or wire the `architecture` of a stage of kind `compound-scale`, or a model to `init`",
            )),
            _ => Ok(()),
        }
    }
}

/// Puts the network that is wired in, if one is, in the place of the one that is written. Gives
/// the side of its pictures: the wired network's, the written one, or that of the model at `init`.
///
/// # Errors
/// As [`read`]; where no side is said, or the model can't be read.
pub fn settle(
    architecture: &mut Option<NetworkChoice>,
    side: &mut Option<u32>,
    context: &dyn StageContext,
) -> Result<u32, StageError> {
    if let Some((document, chosen)) = read(context)? {
        *architecture = Some(NetworkChoice::Document(Box::new(document)));
        *side = Some(chosen);
    }
    match *side {
        Some(side) => Ok(side),
        None if context.has_input("init") => Ok(model(context, "init")?.description.preprocessing.width),
        None => Err(StageError::new("`side` is not said")),
    }
}

/// What is wired to the port, if anything is: the document, and the side.
///
/// # Errors
/// Where the table has not one row, or its document can't be built.
fn read(context: &dyn StageContext) -> Result<Option<(Architecture, u32)>, StageError> {
    if !context.has_input(PORT) {
        return Ok(None);
    }
    let mut found = Vec::new();
    for batch in context.table(PORT)? {
        let batch = batch?;
        let documents = text(&batch, "document")?;
        let sides = batch
            .column_by_name("side")
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .ok_or_else(|| StageError::new("`architecture` came without its integer column `side`"))?;
        found.extend((0..batch.num_rows()).map(|row| (documents.value(row).to_string(), sides.value(row))));
    }
    let [(document, side)] = found.as_slice() else {
        let rows = found.len();
        return Err(StageError::new(format!(
            "`architecture` has {rows} rows; one network was expected"
        )));
    };
    let wrong = |why: String| StageError::new(format!("the document wired to `architecture`: {why}"));
    let document: Architecture = serde_json::from_str(document).map_err(|error| wrong(error.to_string()))?;
    document.check().map_err(|error| wrong(error.to_string()))?;
    let side = u32::try_from(*side).ok().filter(|side| (8..=4096).contains(side));
    let side = side.ok_or_else(|| {
        StageError::new("the side wired to `architecture` must lie between 8 and 4096 pixels")
    })?;
    Ok(Some((document, side)))
}
