//! `check-leakage`: whether what is trained on is tested on.
//!
//! Requirement D4 of `method.md`: the same image, nearly the same image, or the same patient in
//! two *sides*, which are folds of one table, several tables, or both. Every sample that leaks is
//! listed once for each other side and reason, with the nearest partner there; so the list grows
//! with the samples, and not with the pairs among them. Must not know what the sides are for.

mod gather;
mod leaks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use dermflow_core::{
    Arity, Column, ColumnType, Contract, InputPort, InputSizes, InputTypes, Inputs, OutputPort, PortType,
    Problem, Resources, SampleId, StageContext, StageError, StageKind, TableType, sample_ids,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns::{in_words, wired_tables};
use gather::{Gathered, gather};
use leaks::{Leak, Reason};

/// See the module.
pub struct CheckLeakage;

/// What `check-leakage` is told under `with:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "CheckLeakage")]
pub struct CheckLeakageParameters {
    /// Names for the tables wired to `samples`, in their order. Left out: `table-1` and so on.
    #[serde(default)]
    names: Vec<String>,
    /// Whether the same image (one sample id) in two sides is a leak.
    #[serde(default = "yes")]
    same_image: bool,
    /// The column of groups, such as patients: one group in two sides is a leak. `null` compares
    /// no groups.
    #[serde(default = "group")]
    group: Option<String>,
    /// In how many of the 63 bits of their perceptual hashes two pictures may differ and still be
    /// nearly the same: copies lie at 0 to about 4. Left out: pixels are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 20))]
    near_duplicates: Option<u32>,
    /// What happens where something leaks. The list is an output only with `warn`.
    #[serde(default)]
    on_leak: OnLeak,
}

fn yes() -> bool {
    true
}

fn group() -> Option<String> {
    Some(GROUP.to_string())
}

/// The usual column of groups. It may be missing: a table that nobody said has groups has none.
const GROUP: &str = "group";

impl CheckLeakageParameters {
    /// What the table in this place is called.
    fn name(&self, place: usize) -> String {
        let named = self.names.get(place).cloned();
        named.unwrap_or_else(|| format!("table-{}", place + 1))
    }

    /// That a column which somebody named makes two sides that can be compared. `lacking` tells of
    /// each of the `tables` without it; folds make sides of a single table.
    ///
    /// # Errors
    /// Where nothing would be compared, and so nothing would ever leak.
    fn compares_groups(&self, lacking: &[String], tables: usize, folds: bool) -> Result<(), Problem> {
        let asked = self.group.as_deref().is_some_and(|group| group != GROUP);
        let needed = if folds { 1 } else { 2 };
        if !asked || lacking.is_empty() || tables >= lacking.len() + needed {
            return Ok(());
        }
        let message = format!("no groups can be compared: {}", lacking.join("; "));
        let help =
            "name the column that tells the patients in every table, or compare no groups with `group: null`";
        Err(Problem::new("group", message).with_help(help))
    }
}

/// What happens where something leaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum OnLeak {
    /// The stage fails, with counts and examples.
    #[default]
    Fail,
    /// It is logged, and listed in `pairs`.
    Warn,
}

const PIXELS: [&str; 3] = ["pixels", "width", "height"];
const SOURCE: &str = "source";

impl StageKind for CheckLeakage {
    type Parameters = CheckLeakageParameters;
    const NAME: &'static str = "check-leakage";
    const VERSION: u32 = 1;
    const ABOUT: &'static str =
        "Finds the same image, near-duplicates and the same patient across folds or tables; fails or warns.";
    const EXAMPLE: &'static str = "\
name: check-leakage-example
seed: 20
stages:
  photos:
    kind: import-table
    with: {path: photos.parquet, contract: Samples}
  others:
    kind: import-table
    with: {path: others.parquet, contract: Samples}
  split:
    kind: split
    in: {samples: photos.table}
    with: {shares: {train: 0.8, test: 0.2}}
  leaks:
    kind: check-leakage
    in: {samples: photos.table, splits: split.splits}
    with: {group: group}
  overlap:
    kind: check-leakage
    in: {samples: [photos.table, others.table]}
    with: {names: [photos, others], same-image: false, near-duplicates: 4, on-leak: warn}
outputs:
  leaks: leaks.pairs
  overlap: overlap.pairs
  summary: overlap.summary
";

    fn inputs(parameters: &CheckLeakageParameters) -> Inputs {
        let mut samples = TableType::any();
        let mut read = vec![SOURCE];
        read.extend(parameters.group.as_deref());
        if parameters.near_duplicates.is_some() {
            let contract = Contract::named("Samples")
                .map(Contract::columns)
                .unwrap_or_default();
            let pixels = contract
                .into_iter()
                .filter(|column| PIXELS.contains(&column.name.as_str()));
            samples.columns.extend(pixels);
            read.extend(PIXELS);
        }
        let splits = Contract::named("Splits").map_or_else(TableType::any, TableType::of);
        Inputs {
            ports: vec![
                InputPort::one(
                    "samples",
                    PortType::Table(samples),
                    "one table with folds, or several tables",
                )
                .with_arity(Arity::Many)
                .reading(read),
                InputPort::one("splits", PortType::Table(splits), "the fold of each sample")
                    .with_arity(Arity::Optional)
                    .reading(["fold"]),
            ],
            open: false,
        }
    }

    fn outputs(parameters: &CheckLeakageParameters, wired: &InputTypes) -> Result<Vec<OutputPort>, Problem> {
        let tables = wired.get("samples").map_or(0, Vec::len);
        if !parameters.names.is_empty() && parameters.names.len() != tables {
            let message = format!("there are {} names for {tables} tables", parameters.names.len());
            return Err(Problem::new("names", message));
        }
        if tables == 1 && !wired.contains_key("splits") {
            let problem = Problem::new("", "one table without folds has nothing to compare");
            return Err(problem.with_help("wire `splits` as well, or several tables to `samples`"));
        }
        if let Some(group) = &parameters.group {
            let types = wired_tables(wired, "samples");
            let lacks = |table: &TableType| !table.open && table.column(group).is_none();
            let lacking = types.iter().enumerate().filter(|(_, table)| lacks(table));
            let told = |(place, table): (usize, &TableType)| {
                let name = parameters.name(place);
                format!("`{name}` has no column `{group}`, {}", in_words(table))
            };
            let lacking: Vec<String> = lacking.map(told).collect();
            parameters.compares_groups(&lacking, tables, wired.contains_key("splits"))?;
        }
        Ok(vec![
            OutputPort::new(
                "pairs",
                PortType::Table(pairs_type()),
                "each sample that leaks, and its partner",
            ),
            OutputPort::new(
                "summary",
                PortType::Table(summary_type()),
                "how many samples leak between sides",
            ),
        ])
    }

    fn check(parameters: &CheckLeakageParameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if parameters.near_duplicates.is_some_and(|most| most > 20) {
            problems.push(Problem::new(
                "near-duplicates",
                "must be 20 at most: beyond, any pictures are near",
            ));
        }
        let mut sorted = parameters.names.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() < parameters.names.len() {
            problems.push(Problem::new("names", "two tables have the same name"));
        }
        if !parameters.same_image && parameters.group.is_none() && parameters.near_duplicates.is_none() {
            problems.push(Problem::new("", "nothing is compared"));
        }
        problems
    }

    fn resources(_: &CheckLeakageParameters, inputs: &InputSizes) -> Resources {
        Resources {
            memory: (256 << 20) + inputs.rows * 200,
            threads: 0,
        }
    }

    fn run(parameters: &CheckLeakageParameters, context: &mut dyn StageContext) -> Result<(), StageError> {
        let gathered = gather(parameters, context)?;
        let mut leaks = Vec::new();
        if parameters.same_image {
            leaks::same_image(&gathered, &mut leaks);
        }
        leaks::same_group(&gathered, &mut leaks);
        if let Some(most) = parameters.near_duplicates {
            leaks::near_duplicates(&gathered, most, context, &mut leaks)?;
        }
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        let counts = counts(&gathered, &leaks);
        if !leaks.is_empty() {
            let told = told(&gathered, &leaks, &counts);
            match parameters.on_leak {
                OnLeak::Fail => {
                    let help = "`on-leak: warn` lists all of them in the output `pairs`";
                    return Err(StageError::new(told).with_help(help));
                }
                OnLeak::Warn => context.log(&told),
            }
        }
        context.metric("leaks", leaks.len() as f64);
        write(context, "pairs", &pairs(&gathered, &leaks)?)?;
        write(context, "summary", &summary(&gathered, &counts)?)
    }
}

fn write(context: &mut dyn StageContext, port: &str, table: &RecordBatch) -> Result<(), StageError> {
    let mut out = context.write_table(port, table.schema())?;
    out.write(table)?;
    out.finish()
}

fn pairs_type() -> TableType {
    TableType::exactly([
        Column::new("side", ColumnType::Text),
        Column::nullable("source", ColumnType::Text),
        Column::new("reason", ColumnType::Text),
        Column::new("other", ColumnType::SampleId),
        Column::new("other_side", ColumnType::Text),
        Column::nullable("other_source", ColumnType::Text),
        Column::nullable("group", ColumnType::Text),
        Column::nullable("distance", ColumnType::Integer),
    ])
}

fn pairs(gathered: &Gathered, leaks: &[Leak]) -> Result<RecordBatch, StageError> {
    let row = |at: u32| &gathered.rows[at as usize];
    let ids = |of: fn(&Leak) -> u32| -> Vec<SampleId> { leaks.iter().map(|leak| row(of(leak)).id).collect() };
    let side = |of: fn(&Leak) -> u32| -> StringArray {
        leaks
            .iter()
            .map(|leak| Some(gathered.side(row(of(leak)).side)))
            .collect()
    };
    let source = |of: fn(&Leak) -> u32| -> StringArray {
        leaks.iter().map(|leak| gathered.source(row(of(leak)))).collect()
    };
    let groups: StringArray = leaks
        .iter()
        .map(|leak| match leak.reason {
            Reason::SameGroup => gathered.group(row(leak.row)),
            Reason::SameImage | Reason::NearDuplicate => None,
        })
        .collect();
    let reasons: StringArray = leaks.iter().map(|leak| Some(leak.reason.name())).collect();
    let distances: Int64Array = leaks.iter().map(|leak| leak.distance.map(i64::from)).collect();
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids(|leak| leak.row)),
        Arc::new(side(|leak| leak.row)),
        Arc::new(source(|leak| leak.row)),
        Arc::new(reasons),
        sample_ids(&ids(|leak| leak.other)),
        Arc::new(side(|leak| leak.other)),
        Arc::new(source(|leak| leak.other)),
        Arc::new(groups),
        Arc::new(distances),
    ];
    Ok(RecordBatch::try_new(pairs_type().schema(), columns)?)
}

/// Samples that leak, by reason, their side and the other.
type Counts = BTreeMap<(Reason, u16, u16), i64>;

fn counts(gathered: &Gathered, leaks: &[Leak]) -> Counts {
    let mut counts = Counts::new();
    for leak in leaks {
        let side = |at: u32| gathered.rows[at as usize].side;
        *counts
            .entry((leak.reason, side(leak.row), side(leak.other)))
            .or_default() += 1;
    }
    counts
}

fn summary_type() -> TableType {
    TableType::exactly([
        Column::new("reason", ColumnType::Text),
        Column::new("side", ColumnType::Text),
        Column::new("other_side", ColumnType::Text),
        Column::new("samples", ColumnType::Integer),
    ])
}

fn summary(gathered: &Gathered, counts: &Counts) -> Result<RecordBatch, StageError> {
    let text = |of: &dyn Fn(&(Reason, u16, u16)) -> String| -> StringArray {
        counts.keys().map(|key| Some(of(key))).collect()
    };
    let ids = counts.keys().map(|(reason, side, other)| {
        let sides = format!("{}\u{0}{}", gathered.side(*side), gathered.side(*other));
        SampleId::of_key(&format!("{}\u{0}{sides}", reason.name()))
    });
    let columns: Vec<ArrayRef> = vec![
        sample_ids(&ids.collect::<Vec<_>>()),
        Arc::new(text(&|(reason, _, _)| reason.name().to_string())),
        Arc::new(text(&|(_, side, _)| gathered.side(*side).to_string())),
        Arc::new(text(&|(_, _, other)| gathered.side(*other).to_string())),
        Arc::new(Int64Array::from_iter_values(counts.values().copied())),
    ];
    Ok(RecordBatch::try_new(summary_type().schema(), columns)?)
}

/// What leaks, for a person: counts and examples.
fn told(gathered: &Gathered, leaks: &[Leak], counts: &Counts) -> String {
    let shown = counts.iter().map(|((reason, side, other), samples)| {
        let (side, other) = (gathered.side(*side), gathered.side(*other));
        format!("{samples} of `{side}` with `{other}` ({})", reason.name())
    });
    let mut text = format!("samples leak: {}", shown.collect::<Vec<_>>().join(", "));
    for leak in leaks.iter().take(5) {
        let name = |at: u32| {
            let row = &gathered.rows[at as usize];
            let id = row.id.to_string();
            let source = gathered.source(row).unwrap_or(&id[..12]);
            format!(
                "{} in `{}`",
                source.chars().take(100).collect::<String>(),
                gathered.side(row.side)
            )
        };
        let why = match (leak.reason, leak.distance) {
            (Reason::SameGroup, _) => {
                let group = gathered
                    .group(&gathered.rows[leak.row as usize])
                    .unwrap_or_default();
                format!("both of `{}`", group.chars().take(60).collect::<String>())
            }
            (Reason::SameImage, _) => "the same image".to_string(),
            (Reason::NearDuplicate, distance) => {
                format!("nearly the same, {} bits apart", distance.unwrap_or_default())
            }
        };
        text += &format!("\n  {} and {}: {why}", name(leak.row), name(leak.other));
    }
    text
}
