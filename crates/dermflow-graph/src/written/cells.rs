//! Which pipelines a file stands for: itself, its variants, and each combination of a matrix.

use std::collections::BTreeMap;

use dermflow_core::Digest;

use super::node::{Key, Node, Value, shorten};
use super::overrides::{self, Assignment};
use super::pipeline::{self, WrittenPipeline};
use crate::place::Span;
use crate::report::{Report, Reporter};

/// More combinations than this are a slip of the pen.
const MOST_CELLS: usize = 10_000;

/// Which pipelines of a file are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellSelection {
    /// The pipeline without any variant.
    Base,
    /// One variant by name.
    Variant(String),
    /// Every cell of one matrix by name, or one cell by its label.
    Matrix(String),
    /// The pipeline itself, every variant and every cell of every matrix.
    All,
}

/// One pipeline of a file.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// `None` for the pipeline itself.
    pub label: Option<String>,
    pub changes: Vec<Assignment>,
}

/// The cells that are asked for. All variants and matrices are checked, whatever is asked for.
pub(crate) fn select(
    reporter: &mut Reporter,
    pipeline: &WrittenPipeline,
    selection: &CellSelection,
) -> Vec<Cell> {
    let base = Cell {
        label: None,
        changes: Vec::new(),
    };
    let mut variants = Vec::new();
    for (key, node) in &pipeline.variants.entries {
        let changes = overrides::of_variant(reporter, &key.text, node);
        dry_run(reporter, pipeline, &changes);
        variants.push(Cell {
            label: Some(key.text.clone()),
            changes,
        });
    }
    let mut matrices = Vec::new();
    for (key, node) in &pipeline.matrix.entries {
        let cells = of_matrix(reporter, key, node, &variants);
        if let Some(first) = cells.first() {
            dry_run(reporter, pipeline, &first.changes);
        }
        matrices.push((key.text.as_str(), cells));
    }
    match selection {
        CellSelection::Base => vec![base],
        CellSelection::All => {
            let cells = matrices.into_iter().flat_map(|(_, cells)| cells);
            std::iter::once(base).chain(variants).chain(cells).collect()
        }
        CellSelection::Variant(name) => {
            variants.retain(|cell| cell.label.as_ref() == Some(name));
            if variants.is_empty() {
                unknown(
                    reporter,
                    "unknown-variant",
                    "variant",
                    name,
                    pipeline.variants.names(),
                );
            }
            variants
        }
        CellSelection::Matrix(name) => {
            let labelled = |cell: &Cell| cell.label.as_ref() == Some(name);
            let known = pipeline.matrix.get(name).is_some();
            let mut cells: Vec<Cell> = matrices
                .into_iter()
                .filter(|(matrix, _)| !known || matrix == name)
                .flat_map(|(_, cells)| cells)
                .collect();
            cells.retain(|cell| known || labelled(cell));
            if cells.is_empty() && !known {
                unknown(
                    reporter,
                    "unknown-matrix",
                    "matrix",
                    name,
                    pipeline.matrix.names(),
                );
            }
            cells
        }
    }
}

/// Paths that lead nowhere are told even where the variant is not asked for.
fn dry_run(reporter: &mut Reporter, pipeline: &WrittenPipeline, changes: &[Assignment]) {
    let mut scratch = pipeline.clone();
    changes
        .iter()
        .for_each(|change| change.apply(reporter, &mut scratch));
}

fn unknown<'a>(
    reporter: &mut Reporter,
    code: &'static str,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) {
    let help = reporter.suggest(name, what, known);
    let file = Span {
        file: 0,
        line: 1,
        column: 1,
        length: 0,
    };
    let message = format!("the pipeline has no {what} `{name}`");
    reporter.add(Report::error(code, file, message).maybe_help(help));
}

/// The axis whose values are names of variants.
const VARIANT_AXIS: &str = "variant";

/// The name by which that axis takes the pipeline without any variant.
const BASE: &str = "base";

/// A list of a matrix.
struct Axis {
    key: Key,
    /// Each with what it is called in labels of cells.
    values: Vec<(Node, String)>,
}

/// The cartesian product, the last list turning fastest.
fn of_matrix(reporter: &mut Reporter, name: &Key, node: &Node, variants: &[Cell]) -> Vec<Cell> {
    let what = format!("matrix `{}`", name.text);
    let help =
        "a matrix is `name: {param: [values], stages.NAME.with.PARAMETER: [values], variant: [names]}`";
    let before = reporter.errors();
    let axes = pipeline::entries(reporter, node.clone(), &what, help);
    let axes: Vec<Axis> = axes
        .into_iter()
        .filter_map(|(key, values)| axis(reporter, key, values))
        .collect();
    for axis in axes.iter().filter(|axis| axis.key.text == VARIANT_AXIS) {
        for (name, _) in &axis.values {
            known_variant(reporter, name, variants);
        }
    }
    if reporter.errors() > before {
        return Vec::new();
    }
    let count = axes
        .iter()
        .try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()));
    if axes.is_empty() || count.is_none_or(|count| count > MOST_CELLS) {
        let message = match axes.is_empty() {
            true => format!("{what} has no list of values"),
            false => format!("{what} has more than {MOST_CELLS} combinations"),
        };
        let code = if axes.is_empty() {
            "empty-matrix"
        } else {
            "matrix-too-large"
        };
        reporter.add(Report::error(code, name.span, message).help(help));
        return Vec::new();
    }
    (0..count.unwrap_or(0))
        .map(|number| combination(&name.text, &axes, number, variants))
        .collect()
}

/// Refuses a value of the axis `variant` that is the name of none.
fn known_variant(reporter: &mut Reporter, name: &Node, variants: &[Cell]) {
    let text = text_of(name);
    let names = || variants.iter().filter_map(|cell| cell.label.as_deref());
    if text == BASE || names().any(|known| known == text) {
        return;
    }
    let help = reporter.suggest(&text, "variant", names().chain([BASE]));
    let message = format!("the pipeline has no variant `{text}` for this matrix");
    reporter.add(Report::error("unknown-variant", name.span, message).maybe_help(help));
}

fn axis(reporter: &mut Reporter, key: Key, values: Node) -> Option<Axis> {
    let described = values.describe();
    let Value::List(elements) = values.value else {
        let message = format!(
            "`{}` must be a list of values in a matrix, and is {described}",
            key.text
        );
        reporter.add(Report::error("wrong-shape", values.span, message));
        return None;
    };
    if elements.is_empty() {
        let message = format!("`{}` has no values, so the matrix has no cells", key.text);
        reporter.add(Report::error("empty-matrix", values.span, message));
        return None;
    }
    let mut seen: Vec<(String, Span, &Node)> = elements
        .iter()
        .map(|node| (yaml_of(node), node.span, node))
        .collect();
    seen.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    for pair in seen.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let message = format!("the value {} stands twice", label(pair[1].2));
        reporter
            .add(Report::error("repeated-value", pair[1].1, message).note(pair[0].1, "it stands here first"));
    }
    Some(Axis {
        key,
        values: labelled(elements),
    })
}

/// Values with what they are called in labels of cells. Those that would be called the same, as long
/// texts that begin alike, are told apart by their digests.
fn labelled(values: Vec<Node>) -> Vec<(Node, String)> {
    let labels: Vec<String> = values.iter().map(label).collect();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for label in &labels {
        *uses.entry(label).or_default() += 1;
    }
    let told = values.iter().zip(&labels).map(|(value, label)| {
        if uses.get(label.as_str()) == Some(&1) {
            return label.clone();
        }
        let digest = Digest::derive("dermflow cell value v1", yaml_of(value).as_bytes());
        format!("{label}~{}", digest.short())
    });
    let told: Vec<String> = told.collect();
    values.into_iter().zip(told).collect()
}

/// The changes of a cell's variant, if there is one, come before those of all other axes.
fn combination(name: &str, axes: &[Axis], number: usize, variants: &[Cell]) -> Cell {
    let mut rest = number;
    let mut chosen: Vec<(&Key, &Node, &str)> = Vec::with_capacity(axes.len());
    for Axis { key, values } in axes.iter().rev() {
        let (value, label) = &values[rest % values.len()];
        chosen.push((key, value, label.as_str()));
        rest /= values.len();
    }
    chosen.reverse();
    let parts: Vec<String> = chosen
        .iter()
        .map(|(key, _, label)| format!("{}={label}", key.text))
        .collect();
    let (named, others): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|(key, ..)| key.text == VARIANT_AXIS);
    let variant = |name: &Node| {
        let name = text_of(name);
        variants
            .iter()
            .find(move |cell| cell.label.as_ref() == Some(&name))
    };
    let mut changes: Vec<Assignment> = named
        .into_iter()
        .filter_map(|(_, name, _)| variant(name))
        .flat_map(|cell| cell.changes.clone())
        .collect();
    changes.extend(
        others
            .into_iter()
            .map(|(key, value, _)| Assignment::new(key, value.clone())),
    );
    Cell {
        label: Some(format!("{name}[{}]", parts.join(","))),
        changes,
    }
}

/// A value in a cell's name, where no other value looks like it.
fn label(node: &Node) -> String {
    shorten(&text_of(node))
}

/// A value as YAML: two values that differ in anything differ here, as `1` and `'1'`.
fn yaml_of(node: &Node) -> String {
    serde_yaml::to_string(&node.to_yaml()).unwrap_or_default()
}

/// A value as text, the whole of it.
fn text_of(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        _ => serde_json::to_string(&node.to_yaml()).unwrap_or_default(),
    }
}
