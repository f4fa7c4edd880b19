//! [`WrittenPipeline`]: the parts of a file (or of several that include each other) by name.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::{Key, Node, Value};
use crate::place::Span;
use crate::report::{Report, Reporter};

/// The keys of a pipeline file.
pub(crate) const TOP_KEYS: &[&str] = &[
    "name",
    "description",
    "seed",
    "salt",
    "params",
    "include",
    "stages",
    "variants",
    "matrix",
    "outputs",
];
/// The keys of a stage.
pub(crate) const STAGE_KEYS: &[&str] = &["kind", "description", "in", "with", "seed", "salt"];
/// Names that overrides use for other things.
const RESERVED: &[&str] = &["seed", "salt", "stages", "params", "outputs"];

/// Named values in written order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub entries: Vec<(Key, Arc<Node>)>,
    index: HashMap<String, usize>,
}

impl Named {
    pub fn get(&self, name: &str) -> Option<&(Key, Arc<Node>)> {
        self.index.get(name).map(|at| &self.entries[*at])
    }

    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.iter().map(|(key, _)| key.text.as_str())
    }

    /// Adds or replaces.
    pub fn set(&mut self, key: Key, value: Arc<Node>) {
        match self.index.get(&key.text) {
            Some(at) => self.entries[*at].1 = value,
            None => {
                self.index.insert(key.text.clone(), self.entries.len());
                self.entries.push((key, value));
            }
        }
    }

    pub fn remove(&mut self, name: &str) {
        if self.index.contains_key(name) {
            self.entries.retain(|(key, _)| key.text != name);
            let keys = self.entries.iter().enumerate();
            self.index = keys.map(|(at, (key, _))| (key.text.clone(), at)).collect();
        }
    }
}

/// A stage as written.
#[derive(Clone, Debug)]
pub(crate) struct WrittenStage {
    pub name: Key,
    pub kind: Option<Arc<Node>>,
    pub description: Option<Arc<Node>>,
    pub inputs: Option<Arc<Node>>,
    pub with: Option<Arc<Node>>,
    pub seed: Option<Arc<Node>>,
    pub salt: Option<Arc<Node>>,
    /// It is no mapping, which was reported.
    pub broken: bool,
}

impl WrittenStage {
    /// The value of one of [`STAGE_KEYS`].
    pub fn part(&mut self, key: &str) -> Option<&mut Option<Arc<Node>>> {
        Some(match key {
            "kind" => &mut self.kind,
            "description" => &mut self.description,
            "in" => &mut self.inputs,
            "with" => &mut self.with,
            "seed" => &mut self.seed,
            "salt" => &mut self.salt,
            _ => return None,
        })
    }

    pub fn read(reporter: &mut Reporter, name: Key, node: Node) -> WrittenStage {
        let mut stage = WrittenStage {
            name,
            kind: None,
            description: None,
            inputs: None,
            with: None,
            seed: None,
            salt: None,
            broken: !matches!(node.value, Value::Map(_) | Value::Null),
        };
        check_name(reporter, "stage", &stage.name);
        let what = format!("stage `{}`", stage.name.text);
        let help = "a stage is `name: {kind: …, in: {…}, with: {…}}`";
        for (key, value) in entries(reporter, node, &what, help) {
            match stage.part(&key.text) {
                Some(part) => *part = Some(Arc::new(value)),
                None => unknown_key(reporter, &key, &what, STAGE_KEYS),
            }
        }
        stage
    }
}

/// Everything that the files say.
#[derive(Clone, Debug, Default)]
pub(crate) struct WrittenPipeline {
    pub name: Option<Arc<Node>>,
    pub description: Option<Arc<Node>>,
    pub seed: Option<(Key, Arc<Node>)>,
    pub salt: Option<(Key, Arc<Node>)>,
    pub params: Named,
    pub stages: Vec<Arc<WrittenStage>>,
    pub stage_index: HashMap<String, usize>,
    pub variants: Named,
    pub matrix: Named,
    pub outputs: Named,
}

impl WrittenPipeline {
    pub fn stage(&self, name: &str) -> Option<&Arc<WrittenStage>> {
        self.stage_index.get(name).map(|at| &self.stages[*at])
    }

    pub fn stage_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.stages.iter().map(|stage| stage.name.text.as_str())
    }

    /// Every value that may hold `${…}`.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        let named = [&self.params, &self.variants, &self.matrix, &self.outputs];
        let named = named
            .into_iter()
            .flat_map(|named| &named.entries)
            .map(|(_, node)| &**node);
        let own = self.seed.iter().chain(&self.salt).map(|(_, node)| &**node);
        let stages = self.stages.iter().flat_map(|stage| {
            let parts = [
                &stage.kind,
                &stage.description,
                &stage.inputs,
                &stage.with,
                &stage.seed,
                &stage.salt,
            ];
            parts.into_iter().flatten().map(|node| &**node)
        });
        named.chain(own).chain(self.description.as_deref()).chain(stages)
    }

    /// Adds what one file says. `top` is the file that was asked for; the others are included.
    pub fn add_file(&mut self, reporter: &mut Reporter, entries: Vec<(Key, Node)>, top: bool) {
        for (key, node) in entries {
            match key.text.as_str() {
                "include" => {}
                "name" if top => self.name = Some(Arc::new(node)),
                "description" if top => self.description = Some(Arc::new(node)),
                "name" | "description" => {}
                "seed" => set_once(reporter, &mut self.seed, key, node),
                "salt" => set_once(reporter, &mut self.salt, key, node),
                "stages" => self.add_stages(reporter, node),
                "params" => add_named(reporter, &mut self.params, "param", node),
                "variants" => add_named(reporter, &mut self.variants, "variant", node),
                "matrix" => add_named(reporter, &mut self.matrix, "matrix", node),
                "outputs" => add_named(reporter, &mut self.outputs, "output", node),
                // A place for anchors, as elsewhere.
                extension if extension.starts_with("x-") => {}
                _ => unknown_key(reporter, &key, "a pipeline", TOP_KEYS),
            }
        }
    }

    fn add_stages(&mut self, reporter: &mut Reporter, node: Node) {
        let help = "write `stages: {name: {kind: …}}`";
        for (name, stage) in entries(reporter, node, "`stages`", help) {
            let stage = WrittenStage::read(reporter, name, stage);
            match self.stage(&stage.name.text) {
                Some(first) => reporter.add(repeated_name("stage", &first.name, &stage.name)),
                None => self.add_stage(stage),
            }
        }
    }

    pub fn add_stage(&mut self, stage: WrittenStage) {
        self.stage_index
            .insert(stage.name.text.clone(), self.stages.len());
        self.stages.push(Arc::new(stage));
    }

    pub fn remove_stage(&mut self, name: &str) {
        self.stages.retain(|stage| stage.name.text != name);
        let names = self.stages.iter().enumerate();
        self.stage_index = names.map(|(at, stage)| (stage.name.text.clone(), at)).collect();
    }
}

fn add_named(reporter: &mut Reporter, named: &mut Named, what: &str, node: Node) {
    let plural = if what == "matrix" {
        "matrix".to_string()
    } else {
        format!("{what}s")
    };
    for (key, value) in entries(reporter, node, &format!("`{plural}`"), "write `name: value`") {
        check_name(reporter, what, &key);
        if what == "param" && RESERVED.contains(&key.text.as_str()) {
            reporter.add(
                Report::error("reserved-name", key.span, format!("a param can't be called `{}`", key.text))
                    .help("that name has a meaning of its own in variants and overrides; `seed` and `salt` stand at the top level"),
            );
        } else if let Some((first, _)) = named.get(&key.text)
            && !(what == "param" && is_default_of(first, &key))
        {
            reporter.add(repeated_name(what, first, &key));
        } else {
            named.set(key, Arc::new(value));
        }
    }
}

fn set_once(reporter: &mut Reporter, place: &mut Option<(Key, Arc<Node>)>, key: Key, node: Node) {
    match place {
        Some((first, _)) if !is_default_of(first, &key) => {
            reporter.add(repeated_name("pipeline's", first, &key));
        }
        _ => *place = Some((key, Arc::new(node))),
    }
}

/// Whether `first`, a param or the seed, stands in a file that the file of `own` includes: then
/// it is a default, and the including file's value counts. A file is numbered before those that
/// it includes, and after those that an earlier `include` entry led to.
fn is_default_of(first: &Key, own: &Key) -> bool {
    first.span.file > own.span.file
}

fn repeated_name(what: &str, first: &Key, again: &Key) -> Report {
    Report::error(
        "repeated-name",
        again.span,
        format!("the {what} `{}` is in two files", again.text),
    )
    .note(first.span, "it is here too")
    .help("rename one of them, or change it through `variants` or `--set`")
}

/// The entries of what must be a mapping; null is an empty one.
pub(crate) fn entries(reporter: &mut Reporter, node: Node, what: &str, help: &str) -> Vec<(Key, Node)> {
    let described = node.describe();
    match node.value {
        Value::Map(entries) => entries,
        Value::Null => Vec::new(),
        _ => {
            let message = format!("{what} must be a mapping, and is {described}");
            reporter.add(Report::error("not-a-mapping", node.span, message).help(help));
            Vec::new()
        }
    }
}

fn unknown_key(reporter: &mut Reporter, key: &Key, what: &str, known: &[&'static str]) {
    let help = reporter.suggest(&key.text, "key", known.iter().copied());
    let message = format!("`{}` is no key of {what}", key.text);
    reporter.add(Report::error("unknown-key", key.span, message).maybe_help(help));
}

/// A letter, then letters, digits, `-` and `_`.
pub(crate) fn is_name(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_')
}

fn check_name(reporter: &mut Reporter, what: &str, key: &Key) {
    if !is_name(&key.text) {
        reporter.add(invalid_name(what, &key.text, key.span));
    }
}

pub(crate) fn invalid_name(what: &str, name: &str, span: Span) -> Report {
    let shown = super::node::shorten(name);
    let article = if what.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    Report::error(
        "invalid-name",
        span,
        format!("`{shown}` can't be the name of {article} {what}"),
    )
    .help("a name is a letter, then letters, digits, `-` and `_` (ASCII)")
}
