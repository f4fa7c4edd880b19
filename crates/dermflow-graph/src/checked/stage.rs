//! One stage by itself: its kind, parameters, seed, salt and sources. Nothing here looks at
//! other stages.

use std::collections::HashMap;
use std::sync::Arc;

use dermflow_core::{Inputs, Kind, Parameters, Problem, Registry};

use super::conform;
use super::pipeline::ResolvedSource;
use super::reference::{self, Reference};
use super::rule::Rules;
use super::sources::{self, Disk};
use crate::place::Span;
use crate::report::{Report, Reporter};
use crate::written::parameters::Params;
use crate::written::{Node, Value, WrittenStage};

/// What is shared by all stages of all cells.
pub(crate) struct Workshop<'a> {
    pub registry: &'a Registry,
    rules: HashMap<&'static str, Arc<Rules>>,
    /// `None` where sources need not be there.
    pub disk: Option<Disk>,
}

impl<'a> Workshop<'a> {
    pub fn new(registry: &'a Registry, look_at_sources: bool) -> Workshop<'a> {
        Workshop {
            registry,
            rules: HashMap::new(),
            disk: look_at_sources.then(Disk::default),
        }
    }

    fn rules(&mut self, kind: &dyn Kind) -> Arc<Rules> {
        self.rules
            .entry(kind.name())
            .or_insert_with(|| Arc::new(Rules::of(kind)))
            .clone()
    }
}

/// The seeds and salts of a pipeline, which its stages share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common {
    pub seed: u64,
    pub salt: Option<String>,
}

/// A stage that is known but not wired yet.
pub(crate) struct Draft {
    pub written: Arc<WrittenStage>,
    pub kind: Option<Arc<dyn Kind>>,
    pub description: Option<String>,
    pub with: Arc<Node>,
    pub with_yaml: serde_yaml::Value,
    /// `None` where something is wrong with them.
    pub parameters: Option<Parameters>,
    pub ports: Option<Inputs>,
    pub seed: u64,
    pub salt: Option<String>,
    pub references: Vec<Reference>,
    /// False where some of `in` could not be read.
    pub all_references: bool,
    pub sources: Vec<ResolvedSource>,
}

impl Draft {
    pub fn name(&self) -> &str {
        &self.written.name.text
    }

    /// Where to point for a part of `with`: the stage's name where there is no `with`.
    pub fn place_of(&self, node: &Node) -> Span {
        match self.written.with.is_none() && std::ptr::eq(node, &*self.with) {
            true => self.written.name.span,
            false => node.span,
        }
    }

    /// Reports a kind's own words at the parameter that they are about.
    pub fn problem(&self, reporter: &mut Reporter, code: &'static str, problem: Problem) {
        let (node, whole) = self.with.nearest(&problem.parameter);
        // A mistake in a deep part that can't be found is told with its path.
        let message = match whole || problem.message.contains(&problem.parameter) {
            true => problem.message,
            false => format!("`{}`: {}", problem.parameter, problem.message),
        };
        let mut report = Report::error(code, self.place_of(node), message).maybe_help(problem.help);
        if let Some(via) = node.via.as_deref() {
            report = report.note(*via, "the value was set here");
        }
        reporter.add(report);
    }
}

/// A part of a stage with its params put in; `Err` where that failed and was reported.
fn fill(
    reporter: &mut Reporter,
    params: &mut Params,
    part: &Option<Arc<Node>>,
) -> Result<Option<Arc<Node>>, ()> {
    match part {
        None => Ok(None),
        Some(node) => params.fill(reporter, node).map(Some).ok_or(()),
    }
}

/// Reads a stage. What is wrong is reported, and what can still be known is.
pub(crate) fn draft(
    reporter: &mut Reporter,
    workshop: &mut Workshop,
    params: &mut Params,
    common: &Common,
    written: &Arc<WrittenStage>,
) -> Draft {
    let with = fill(reporter, params, &written.with);
    let kind_node = fill(reporter, params, &written.kind);
    let (references, all_references) = match fill(reporter, params, &written.inputs) {
        Ok(inputs) => reference::inputs(reporter, &written.name.text, inputs.as_ref()),
        Err(()) => (Vec::new(), false),
    };
    let mut scalar = |reporter: &mut Reporter, part| fill(reporter, params, part).unwrap_or_default();
    let own_seed = scalar(reporter, &written.seed).and_then(|node| seed(reporter, &node));
    let own_salt = scalar(reporter, &written.salt).and_then(|node| salt(reporter, &node));
    let description = scalar(reporter, &written.description);
    let known = with.is_ok();
    let with = with.unwrap_or_default().filter(|with| !with.is_null());
    let empty = || Arc::new(Node::new(Value::Map(Vec::new()), written.name.span));
    let kind = kind_node
        .ok()
        .and_then(|node| kind(reporter, workshop.registry, written, node.as_deref()));
    let mut draft = Draft {
        written: written.clone(),
        kind,
        description: description.and_then(|node| text(reporter, "description", &node)),
        with: with.unwrap_or_else(empty),
        with_yaml: serde_yaml::Value::Null,
        parameters: None,
        ports: None,
        seed: own_seed.unwrap_or(common.seed),
        salt: salted(common.salt.as_deref(), own_salt.as_deref()),
        references,
        all_references,
        sources: Vec::new(),
    };
    if known {
        parameters(reporter, workshop, &mut draft);
    }
    draft
}

fn kind(
    reporter: &mut Reporter,
    registry: &Registry,
    written: &WrittenStage,
    node: Option<&Node>,
) -> Option<Arc<dyn Kind>> {
    let name = &written.name;
    if written.broken {
        return None;
    }
    let Some(node) = node.filter(|node| !node.is_null()) else {
        let message = format!("stage `{}` has no `kind`", name.text);
        reporter
            .add(Report::error("missing-kind", name.span, message).help("`dermflow stages` lists the kinds"));
        return None;
    };
    let text = text(reporter, "kind", node)?;
    let kind = registry.get(&text);
    if kind.is_none() {
        let names: Vec<&str> = registry.iter().map(|kind| kind.name()).collect();
        let help = reporter.suggest(&text, "kind", names.iter().copied());
        let message = format!("there is no kind `{text}`");
        reporter.add(Report::error("unknown-kind", node.span, message).maybe_help(help));
    }
    kind.cloned()
}

/// The typed parameters, with everything that is wrong with them reported.
fn parameters(reporter: &mut Reporter, workshop: &mut Workshop, draft: &mut Draft) {
    let Some(kind) = draft.kind.clone() else { return };
    let rules = workshop.rules(&*kind);
    let mut faults = conform::check(&rules, kind.name(), &draft.with);
    if !faults.is_empty() {
        let whole = draft.place_of(&draft.with);
        for fault in &mut faults {
            if fault.span == draft.with.span {
                fault.span = whole;
            }
        }
        faults.into_iter().for_each(|fault| reporter.add(fault.report()));
        return;
    }
    draft.with_yaml = draft.with.to_yaml();
    let parameters = match kind.parse(&draft.with_yaml) {
        Ok(parameters) => parameters,
        Err(problem) => return draft.problem(reporter, "invalid-parameter", problem),
    };
    let problems = kind.check(&parameters);
    let sound = problems.is_empty();
    problems
        .into_iter()
        .for_each(|problem| draft.problem(reporter, "invalid-parameter", problem));
    draft.sources = sources::resolve(reporter, draft, &parameters, workshop.disk.as_mut());
    // Wires can be checked all the same; outputs are not asked of parameters that are refused.
    draft.ports = Some(kind.inputs(&parameters));
    draft.parameters = sound.then_some(parameters);
}

/// A text, or a report.
pub(crate) fn text(reporter: &mut Reporter, what: &str, node: &Node) -> Option<String> {
    if node.text().is_none() {
        let message = format!("`{what}` must be a text, and is {}", node.describe());
        reporter.add(Report::error("wrong-shape", node.span, message));
    }
    node.text().map(str::to_string)
}

/// A seed, or a report.
pub(crate) fn seed(reporter: &mut Reporter, node: &Node) -> Option<u64> {
    let seed = match &node.value {
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    if seed.is_none() {
        let message = format!(
            "`seed` must be a whole number from 0 to 2^64 - 1, and is {}",
            node.describe()
        );
        reporter.add(Report::error("wrong-shape", node.span, message));
    }
    seed
}

/// A salt: any scalar, as text.
pub(crate) fn salt(reporter: &mut Reporter, node: &Node) -> Option<String> {
    match &node.value {
        Value::Null => None,
        Value::Number(number) => Some(number.to_string()),
        _ => text(reporter, "salt", node),
    }
}

/// Both salts as one, so that no two pairs give the same: a JSON list.
fn salted(pipeline: Option<&str>, stage: Option<&str>) -> Option<String> {
    match (pipeline, stage) {
        (None, None) => None,
        pair => Some(serde_json::json!([pair.0, pair.1]).to_string()),
    }
}
