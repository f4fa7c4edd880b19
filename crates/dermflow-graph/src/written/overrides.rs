//! Changes to a pipeline by path: what a variant, a matrix cell and `--set` are made of.

use std::sync::Arc;

use super::node::{Key, Node, Value};
use super::pipeline::{self, STAGE_KEYS, WrittenPipeline, WrittenStage};
use super::reader;
use crate::place::Span;
use crate::report::{Report, Reporter};

/// One change: `stages.retrain.with.share` = `3`.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    path: Vec<String>,
    /// Where the path was written.
    span: Span,
    value: Node,
}

const FORMS: &str = "a param by name, `seed`, `salt`, `outputs.NAME`, or `stages.NAME` with `.kind`, `.in.PORT`, \
     `.with.PARAMETER`, `.seed` or `.salt`";

impl Assignment {
    pub fn new(key: &Key, value: Node) -> Assignment {
        Assignment {
            path: key.text.split('.').map(str::to_string).collect(),
            span: key.span,
            value,
        }
    }

    pub fn value(&self) -> &Node {
        &self.value
    }

    /// Changes `pipeline`, or reports why that can't be.
    pub fn apply(&self, reporter: &mut Reporter, pipeline: &mut WrittenPipeline) {
        if self.path.len() > reader::MOST_DEPTH {
            return self.refuse(
                reporter,
                format!("the path has more than {} steps", reader::MOST_DEPTH),
            );
        }
        let steps: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match steps.as_slice() {
            ["stages"] => self.each(reporter, pipeline),
            ["params"] | ["outputs"] => self.each(reporter, pipeline),
            ["seed"] => pipeline.seed = Some((self.key("seed"), Arc::new(self.value.clone()))),
            ["salt"] => pipeline.salt = Some((self.key("salt"), Arc::new(self.value.clone()))),
            ["outputs", name] if self.value.is_null() => pipeline.outputs.remove(name),
            ["outputs", name] => pipeline.outputs.set(self.key(name), Arc::new(self.value.clone())),
            ["params", name] | [name] => self.param(reporter, pipeline, name),
            ["stages", name, rest @ ..] => self.stage(reporter, pipeline, name, rest),
            _ => self.refuse(
                reporter,
                format!("`{}` is nothing that can be set", self.path.join(".")),
            ),
        }
    }

    fn key(&self, name: &str) -> Key {
        Key {
            text: name.to_string(),
            span: self.span,
        }
    }

    fn refuse(&self, reporter: &mut Reporter, message: String) {
        reporter
            .add(Report::error("bad-override", self.span, message).help(format!("what can be set: {FORMS}")));
    }

    /// `a: {b: v}` is `a.b: v`.
    fn each(&self, reporter: &mut Reporter, pipeline: &mut WrittenPipeline) {
        let Some(entries) = self.value.map() else {
            return self.refuse(
                reporter,
                format!("`{}` can only be set part by part", self.path.join(".")),
            );
        };
        for (key, value) in entries {
            let mut path = self.path.clone();
            path.push(key.text.clone());
            Assignment {
                path,
                span: key.span,
                value: value.clone(),
            }
            .apply(reporter, pipeline);
        }
    }

    fn param(&self, reporter: &mut Reporter, pipeline: &mut WrittenPipeline, name: &str) {
        if pipeline.params.get(name).is_some() {
            return pipeline.params.set(self.key(name), Arc::new(self.value.clone()));
        }
        let known = pipeline.params.names().chain(["seed"]);
        let help = reporter.suggest(name, "param", known);
        let message = format!("there is no param `{name}` to set");
        reporter.add(Report::error("unknown-param", self.span, message).maybe_help(help));
    }

    fn stage(&self, reporter: &mut Reporter, pipeline: &mut WrittenPipeline, name: &str, rest: &[&str]) {
        let Some(at) = pipeline.stage_index.get(name).copied() else {
            return self.new_stage(reporter, pipeline, name, rest);
        };
        match rest {
            [] if self.value.is_null() => pipeline.remove_stage(name),
            [] => self.each(reporter, pipeline),
            [part, deeper @ ..] => {
                let stage = Arc::make_mut(&mut pipeline.stages[at]);
                match stage.part(part) {
                    // The short form `in: stage` is a mapping with one port.
                    Some(Some(node)) if *part == "in" && deeper.len() == 1 && node.map().is_none() => {
                        let entry = (self.key(deeper[0]), self.value.clone());
                        *node = Arc::new(Node::new(Value::Map(vec![entry]), self.span));
                    }
                    Some(place) => self.part(reporter, place, deeper),
                    None => {
                        let help = reporter.suggest(part, "key", STAGE_KEYS.iter().copied());
                        let message = format!("`{part}` is no key of stage `{name}`");
                        reporter.add(Report::error("bad-override", self.span, message).maybe_help(help));
                    }
                }
            }
        }
    }

    /// A variant may add a stage, written whole.
    fn new_stage(&self, reporter: &mut Reporter, pipeline: &mut WrittenPipeline, name: &str, rest: &[&str]) {
        if rest.is_empty() && self.value.entry("kind").is_some() {
            let stage = WrittenStage::read(reporter, self.key(name), self.value.clone());
            return pipeline.add_stage(stage);
        }
        let help = reporter.suggest(name, "stage", pipeline.stage_names());
        let message = format!("there is no stage `{name}` to change");
        reporter.add(Report::error("unknown-stage", self.span, message).maybe_help(help));
    }

    fn part(&self, reporter: &mut Reporter, place: &mut Option<Arc<Node>>, deeper: &[&str]) {
        match place {
            Some(node) => self.change(reporter, Arc::make_mut(node), deeper),
            None => {
                let mut node = Node::new(Value::Null, self.span);
                self.change(reporter, &mut node, deeper);
                *place = Some(Arc::new(node));
            }
        }
    }

    /// Sets what `steps` lead to below `node`.
    fn change(&self, reporter: &mut Reporter, node: &mut Node, steps: &[&str]) {
        let [step, deeper @ ..] = steps else {
            return merge(node, &self.value);
        };
        if node.is_null() {
            *node = Node::new(Value::Map(Vec::new()), self.span);
        }
        let described = node.describe();
        match &mut node.value {
            Value::Map(entries) => {
                let at = entries
                    .iter()
                    .position(|(key, _)| key.text == *step)
                    .unwrap_or_else(|| {
                        entries.push((self.key(step), Node::new(Value::Null, self.span)));
                        entries.len() - 1
                    });
                self.change(reporter, &mut entries[at].1, deeper);
            }
            Value::List(elements) => match step.parse::<usize>().ok().filter(|at| *at < elements.len()) {
                Some(at) => self.change(reporter, &mut elements[at], deeper),
                None => {
                    let message = format!("the list has {} elements, and none at `{step}`", elements.len());
                    self.refuse(reporter, message);
                }
            },
            _ => self.refuse(reporter, format!("`{step}` can't be set within {described}")),
        }
    }
}

/// Mappings are merged, everything else is replaced: `a.b: v` and `a: {b: v}` are the same.
fn merge(node: &mut Node, change: &Node) {
    match (&mut node.value, &change.value) {
        (Value::Map(entries), Value::Map(changes)) => {
            for (key, change) in changes {
                match entries.iter_mut().find(|(known, _)| known.text == key.text) {
                    Some((_, value)) => merge(value, change),
                    None => entries.push((key.clone(), change.clone())),
                }
            }
        }
        _ => *node = change.clone(),
    }
}

/// The changes that a variant's mapping stands for.
pub(crate) fn of_variant(reporter: &mut Reporter, name: &str, node: &Node) -> Vec<Assignment> {
    let what = format!("variant `{name}`");
    let help = format!("a variant sets {FORMS}");
    let entries = pipeline::entries(reporter, node.clone(), &what, &help);
    entries
        .into_iter()
        .map(|(key, value)| Assignment::new(&key, value))
        .collect()
}
