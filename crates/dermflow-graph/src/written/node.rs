//! [`Node`]: a value with the place where it was written.

use crate::place::Span;

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub text: String,
    pub span: Span,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub value: Value,
    pub span: Span,
    /// For a value that came through `${x}`: where `x` was set.
    pub via: Option<Box<Span>>,
}

/// What YAML can say.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Number(serde_yaml::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Node {
    pub fn new(value: Value, span: Span) -> Node {
        Node {
            value,
            span,
            via: None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn map(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub fn entry(&self, name: &str) -> Option<&(Key, Node)> {
        self.map()?.iter().find(|(key, _)| key.text == name)
    }

    /// The span of the text that decides what a relative path in this value is relative to.
    pub fn writer(&self) -> Span {
        self.via.as_deref().copied().unwrap_or(self.span)
    }

    /// In a few words, for messages: ``the text `a` ``, `a list`.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "empty (null)".to_string(),
            Value::Boolean(truth) => format!("{truth}"),
            Value::Number(number) => format!("the number {number}"),
            Value::Text(text) => format!("the text `{}`", shorten(text)),
            Value::List(_) => "a list".to_string(),
            Value::Map(_) => "a mapping".to_string(),
        }
    }

    pub fn to_yaml(&self) -> serde_yaml::Value {
        use serde_yaml::Value as Yaml;
        match &self.value {
            Value::Null => Yaml::Null,
            Value::Boolean(truth) => Yaml::Bool(*truth),
            Value::Number(number) => Yaml::Number(number.clone()),
            Value::Text(text) => Yaml::String(text.clone()),
            Value::List(elements) => Yaml::Sequence(elements.iter().map(Node::to_yaml).collect()),
            Value::Map(entries) => {
                let mut map = serde_yaml::Mapping::with_capacity(entries.len());
                for (key, value) in entries {
                    map.insert(Yaml::String(key.text.clone()), value.to_yaml());
                }
                Yaml::Mapping(map)
            }
        }
    }

    /// How many values this is, and how deep they nest. Depth is limited on reading, so the
    /// recursion is.
    pub fn measure(&self) -> (usize, usize) {
        let sum = |(count, depth): (usize, usize), node: &Node| {
            let (more, deeper) = node.measure();
            (count + more, depth.max(deeper))
        };
        let (count, depth) = match &self.value {
            Value::List(elements) => elements.iter().fold((0, 0), sum),
            Value::Map(entries) => entries.iter().map(|(_, node)| node).fold((0, 0), sum),
            _ => (0, 0),
        };
        (count + 1, depth + 1)
    }

    /// The node at a path such as `files.0` or `files[0].name`, or the last that is there;
    /// and whether the whole path was there.
    pub fn nearest(&self, path: &str) -> (&Node, bool) {
        let mut node = self;
        let steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
        for step in steps {
            let next = match &node.value {
                Value::Map(_) => node.entry(step).map(|(_, value)| value),
                Value::List(elements) => step.parse::<usize>().ok().and_then(|at| elements.get(at)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return (node, false),
            }
        }
        (node, true)
    }
}

/// The start of a text that may be long.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}
