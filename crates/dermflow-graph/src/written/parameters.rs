//! `${param}`: looks params up and puts their values in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::node::{Node, Value};
use super::pipeline::{WrittenPipeline, is_name};
use super::reader::{MOST_DEPTH, MOST_EXPANDED};
use crate::place::Span;
use crate::report::{Report, Reporter};

/// The longest text that params may be put together to.
const MOST_TEXT: usize = 1 << 20;
/// The pipeline's seed can be used as `${seed}`.
const SEED: &str = "seed";

/// The params of one cell.
pub(crate) struct Params {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    expanded: usize,
    /// The params being resolved, with the place of the reference that led to each.
    stack: Vec<(usize, Span)>,
}

struct Entry {
    name: String,
    written: Arc<Node>,
    state: State,
}

#[derive(Clone)]
enum State {
    Untouched,
    Active,
    Broken,
    Done(Arc<Node>, usize, usize),
}

/// Whether a value needs any of this.
pub(crate) fn has_references(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => text.contains("${"),
        Value::List(elements) => elements.iter().any(has_references),
        Value::Map(entries) => entries.iter().any(|(_, value)| has_references(value)),
        _ => false,
    }
}

/// A text cut at its references.
enum Piece<'a> {
    Text(&'a str),
    Param(&'a str),
    /// `${` without its end.
    Open(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if at > 0 && rest.as_bytes()[at - 1] == b'$' {
            pieces.push(Piece::Text(&rest[..at - 1]));
            pieces.push(Piece::Text("${"));
            rest = &rest[at + 2..];
            continue;
        }
        pieces.push(Piece::Text(&rest[..at]));
        rest = &rest[at + 2..];
        match rest.find('}') {
            Some(end) => {
                pieces.push(Piece::Param(&rest[..end]));
                rest = &rest[end + 1..];
            }
            None => {
                pieces.push(Piece::Open(rest));
                rest = "";
            }
        }
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| !matches!(piece, Piece::Text("")));
    pieces
}

/// The names of all params that are referred to somewhere in `nodes`.
pub(crate) fn used<'a>(nodes: impl Iterator<Item = &'a Node>) -> HashSet<&'a str> {
    fn collect<'a>(node: &'a Node, names: &mut HashSet<&'a str>) {
        match &node.value {
            Value::Text(text) if text.contains("${") => {
                names.extend(pieces(text).into_iter().filter_map(|piece| match piece {
                    Piece::Param(name) => Some(name),
                    _ => None,
                }));
            }
            Value::List(elements) => elements.iter().for_each(|element| collect(element, names)),
            Value::Map(entries) => entries.iter().for_each(|(_, value)| collect(value, names)),
            _ => {}
        }
    }
    let mut names = HashSet::new();
    nodes.for_each(|node| collect(node, &mut names));
    names
}

impl Params {
    pub fn new(pipeline: &WrittenPipeline) -> Params {
        let unset = || Arc::new(Node::new(Value::Number(0.into()), Span::default()));
        let seed = pipeline
            .seed
            .as_ref()
            .map_or_else(unset, |(_, node)| node.clone());
        let params = pipeline
            .params
            .entries
            .iter()
            .map(|(key, node)| (key.text.as_str(), node.clone()));
        let entries: Vec<Entry> = params
            .chain([(SEED, seed)])
            .map(|(name, written)| Entry {
                name: name.to_string(),
                written,
                state: State::Untouched,
            })
            .collect();
        let index = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| (entry.name.clone(), at))
            .collect();
        Params {
            entries,
            index,
            expanded: 0,
            stack: Vec::new(),
        }
    }

    /// Resolves all of them, so that what is wrong in an unused one is told too.
    pub fn check_all(&mut self, reporter: &mut Reporter) {
        for at in 0..self.entries.len() {
            self.resolve(reporter, at, self.entries[at].written.span);
        }
    }

    /// The value with every `${…}` replaced; `None` where that failed and was reported.
    pub fn fill(&mut self, reporter: &mut Reporter, node: &Arc<Node>) -> Option<Arc<Node>> {
        match has_references(node) {
            false => Some(node.clone()),
            true => self.replaced(reporter, node).map(Arc::new),
        }
    }

    fn replaced(&mut self, reporter: &mut Reporter, node: &Node) -> Option<Node> {
        let value = match &node.value {
            Value::Text(text) if text.contains("${") => return self.text(reporter, node, text),
            Value::List(elements) => {
                let filled: Vec<_> = elements
                    .iter()
                    .map(|element| self.replaced(reporter, element))
                    .collect();
                Value::List(filled.into_iter().collect::<Option<_>>()?)
            }
            Value::Map(entries) => {
                let filled: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| Some((key.clone(), self.replaced(reporter, value)?)))
                    .collect();
                Value::Map(filled.into_iter().collect::<Option<_>>()?)
            }
            _ => return Some(node.clone()),
        };
        Some(Node {
            value,
            ..node.clone_empty()
        })
    }

    fn text(&mut self, reporter: &mut Reporter, node: &Node, text: &str) -> Option<Node> {
        let pieces = pieces(text);
        if let [Piece::Param(name)] = pieces.as_slice() {
            let value = self.lookup(reporter, node.span, name)?;
            let via = Some(Box::new(value.writer()));
            return Some(Node {
                span: node.span,
                via,
                ..(*value).clone()
            });
        }
        let mut filled = String::new();
        let mut whole = true;
        let mut first = None;
        for piece in &pieces {
            let value = match piece {
                Piece::Text(text) => {
                    filled.push_str(text);
                    None
                }
                Piece::Param(name) => {
                    let value = self.lookup(reporter, node.span, name);
                    whole &= value
                        .as_ref()
                        .is_some_and(|value| insert(reporter, &mut filled, node.span, name, value));
                    value
                }
                Piece::Open(rest) => {
                    whole = false;
                    report_open(reporter, node.span, rest);
                    None
                }
            };
            first.get_or_insert(value);
        }
        if filled.len() > MOST_TEXT {
            reporter.add(text_too_large(node.span));
            return None;
        }
        // What a text starts with decides what a relative path is relative to.
        let via = first.flatten().map(|value| Box::new(value.writer()));
        whole.then_some(Node {
            value: Value::Text(filled),
            span: node.span,
            via,
        })
    }

    /// The value of `${name}` at `span`.
    fn lookup(&mut self, reporter: &mut Reporter, span: Span, name: &str) -> Option<Arc<Node>> {
        let span = reporter.texts.locate(span, &format!("${{{name}}}"));
        if !is_name(name) {
            let message =
                format!("`${{{name}}}` names no param: a name is a letter, then letters, digits, `-`, `_`");
            let report = Report::error("bad-reference", span, message);
            reporter.add(report.help("write `$${` where the characters themselves are meant"));
            return None;
        }
        let Some(at) = self.index.get(name).copied() else {
            let help = reporter.suggest(
                name,
                "param",
                self.entries.iter().map(|entry| entry.name.as_str()),
            );
            let message = format!("there is no param `{name}`");
            reporter.add(Report::error("unknown-param", span, message).maybe_help(help));
            return None;
        };
        let (node, count, depth) = self.resolve(reporter, at, span)?;
        self.expanded += count;
        if self.expanded > MOST_EXPANDED {
            reporter.add(too_large(span, &format!("more than {MOST_EXPANDED} values")));
            return None;
        }
        if depth > MOST_DEPTH / 2 {
            reporter.add(too_large(
                span,
                &format!("values that nest more than {} deep", MOST_DEPTH / 2),
            ));
            return None;
        }
        Some(node)
    }

    fn resolve(
        &mut self,
        reporter: &mut Reporter,
        at: usize,
        span: Span,
    ) -> Option<(Arc<Node>, usize, usize)> {
        match &self.entries[at].state {
            State::Done(node, count, depth) => return Some((node.clone(), *count, *depth)),
            State::Broken => return None,
            State::Active => {
                self.cycle(reporter, at, span);
                return None;
            }
            State::Untouched => {}
        }
        if self.stack.len() >= MOST_DEPTH {
            reporter.add(too_large(
                span,
                &format!("a chain of more than {MOST_DEPTH} params"),
            ));
            return None;
        }
        self.entries[at].state = State::Active;
        self.stack.push((at, span));
        let written = self.entries[at].written.clone();
        let filled = self.fill(reporter, &written);
        self.stack.pop();
        // A cycle breaks all of its members while it is unwound.
        let state = match filled {
            Some(node) => {
                let (count, depth) = node.measure();
                State::Done(node, count, depth)
            }
            None => State::Broken,
        };
        self.entries[at].state = state.clone();
        match state {
            State::Done(node, count, depth) => Some((node, count, depth)),
            _ => None,
        }
    }

    fn cycle(&mut self, reporter: &mut Reporter, at: usize, span: Span) {
        let from = self.stack.iter().position(|(entry, _)| *entry == at).unwrap_or(0);
        let members = &self.stack[from..];
        let names = members.iter().map(|(entry, _)| *entry).chain([at]);
        let names: Vec<&str> = names.map(|entry| self.entries[entry].name.as_str()).collect();
        let message = format!("params refer to each other in a circle: {}", names.join(" -> "));
        let mut report = Report::error("param-cycle", span, message);
        for (_, reference) in &members[1..] {
            report = report.note(*reference, "which is referred to here");
        }
        reporter.add(report);
    }
}

fn too_large(span: Span, what: &str) -> Report {
    Report::error("param-too-large", span, format!("params put in here make {what}"))
}

fn text_too_large(span: Span) -> Report {
    too_large(span, &format!("a text of more than {MOST_TEXT} bytes"))
}

fn report_open(reporter: &mut Reporter, span: Span, rest: &str) {
    let span = reporter.texts.locate(span, &format!("${{{rest}"));
    let report = Report::error("bad-reference", span, "`${` has no closing `}`");
    reporter.add(report.help("write `${name}`, or `$${` for the characters themselves"));
}

/// Appends a scalar as text; false where it is none.
fn insert(reporter: &mut Reporter, filled: &mut String, span: Span, name: &str, value: &Node) -> bool {
    match &value.value {
        Value::Text(text) if filled.len() + text.len() <= 2 * MOST_TEXT => filled.push_str(text),
        Value::Text(_) => {
            reporter.add(text_too_large(span));
            return false;
        }
        Value::Number(number) => filled.push_str(&number.to_string()),
        Value::Boolean(truth) => filled.push_str(&truth.to_string()),
        _ => {
            let span = reporter.texts.locate(span, &format!("${{{name}}}"));
            let message = format!(
                "`${{{name}}}` can't stand within a text: it is {}",
                value.describe()
            );
            reporter.add(
                Report::error("bad-reference", span, message)
                    .note(value.writer(), format!("`{name}` is set here")),
            );
            return false;
        }
    }
    true
}

impl Node {
    /// The same place, without the value.
    fn clone_empty(&self) -> Node {
        Node {
            value: Value::Null,
            span: self.span,
            via: self.via.clone(),
        }
    }
}
