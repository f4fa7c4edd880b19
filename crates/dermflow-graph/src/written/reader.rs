//! YAML text to [`Node`]s. Anchors, aliases and merge keys end here; what comes out is a tree
//! of limited size and depth, without repeated keys.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as Marked, StrInput, Tag};

use super::node::{Key, Node, Value};
use super::scalar;
use crate::place::Span;
use crate::report::{Report, Reporter};

/// How deep values may nest.
pub(crate) const MOST_DEPTH: usize = 128;
/// How many values aliases (and, later, parameters) may add in all.
pub(crate) const MOST_EXPANDED: usize = 1_000_000;

/// The one document of a file; `None` where it is no YAML. What can be mended is reported and
/// read on. `column` is added to the places of the first line.
pub(crate) fn read(reporter: &mut Reporter, file: u32, text: &str, column: u32) -> Option<Node> {
    let mut reader = Reader {
        reporter,
        file,
        column,
        frames: Vec::new(),
        anchors: HashMap::new(),
        expanded: 0,
        count: 0,
        root: None,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
    let mut documents = 0;
    while let Some(event) = parser.next_event() {
        match event {
            Err(error) => {
                reader.syntax(&error);
                return None;
            }
            Ok((Event::DocumentStart(_), at)) => {
                documents += 1;
                if documents > 1 {
                    reader.several_documents(at);
                    return None;
                }
            }
            Ok((event, at)) => reader.event(event, at)?,
        }
    }
    let whole = Span {
        file,
        line: 1,
        column: column + 1,
        length: 0,
    };
    Some(reader.root.unwrap_or(Node::new(Value::Null, whole)))
}

struct Anchored {
    node: Node,
    count: usize,
    depth: usize,
}

/// A collection that is not at its end yet.
struct Frame {
    span: Span,
    anchor: usize,
    count_before: usize,
    content: Content,
}

/// A key that waits for its value.
enum Pending {
    Key(Key),
    /// Reported; the value is dropped.
    Refused,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        key: Option<Pending>,
        merges: Vec<(Span, Node)>,
    },
}

struct Reader<'a> {
    reporter: &'a mut Reporter,
    file: u32,
    column: u32,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    expanded: usize,
    count: usize,
    root: Option<Node>,
}

impl Reader<'_> {
    fn at(&self, marker: &Marker, length: usize) -> Span {
        let shift = if marker.line() <= 1 { self.column } else { 0 };
        Span {
            file: self.file,
            line: marker.line().max(1) as u32,
            column: marker.col() as u32 + 1 + shift,
            length: length as u32,
        }
    }

    fn span(&self, marked: &Marked) -> Span {
        let one_line = marked.start.line() == marked.end.line();
        self.at(&marked.start, if one_line { marked.len() } else { 0 })
    }

    fn syntax(&mut self, error: &ScanError) {
        let mut span = self.at(error.marker(), 1);
        let text = &self.reporter.texts.get(self.file).text;
        let lines = text.lines().count().max(1) as u32;
        // What ends too early is missed after the last line; its end is easier to see.
        if span.line > lines {
            let last = text.lines().last().unwrap_or_default();
            span = Span {
                line: lines,
                column: last.chars().count() as u32 + 1,
                ..span
            };
        }
        if error.info() == "recursion limit exceeded" {
            return self.too_deep(span);
        }
        let message = format!("this is no valid YAML: {}", error.info());
        self.reporter.add(Report::error("yaml-syntax", span, message));
    }

    fn several_documents(&mut self, at: Marked) {
        let span = self.span(&at);
        self.reporter.add(
            Report::error("several-documents", span, "a second YAML document starts here")
                .help("a pipeline is one document: write it as a file of its own, and use `include:`"),
        );
    }

    /// Takes one event; `None` where reading must stop.
    fn event(&mut self, event: Event<'_>, at: Marked) -> Option<()> {
        let span = self.span(&at);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count += 1;
                let value = self.scalar(&text, style, tag.as_deref(), span);
                let node = Node::new(value, span);
                self.keep_anchor(anchor, &node, 1);
                self.put(node, Some(&text));
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), span, Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Map {
                    entries: Vec::new(),
                    key: None,
                    merges: Vec::new(),
                };
                self.open(anchor, tag.as_deref(), span, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&at),
            Event::Alias(anchor) => self.alias(anchor, span)?,
            _ => {}
        }
        Some(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Value {
        match tag {
            None if style == ScalarStyle::Plain => scalar::plain(text),
            None => Value::Text(text.to_string()),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::Text(text.to_string()),
            Some(tag) if tag.is_yaml_core_schema() => scalar::plain(text),
            Some(tag) => {
                self.tag(tag, span);
                Value::Text(text.to_string())
            }
        }
    }

    fn tag(&mut self, tag: &Tag, span: Span) {
        self.reporter.add(
            Report::error(
                "unknown-tag",
                span,
                format!("the tag `{tag}` has no meaning here"),
            )
            .help("write a choice with content as a mapping with one key: `{list: text}`"),
        );
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, span: Span, content: Content) -> Option<()> {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.tag(tag, span);
        }
        if self.frames.len() >= MOST_DEPTH {
            self.too_deep(span);
            return None;
        }
        self.count += 1;
        self.frames.push(Frame {
            span,
            anchor,
            count_before: self.count,
            content,
        });
        Some(())
    }

    fn too_deep(&mut self, span: Span) {
        let message = format!("values nest more than {MOST_DEPTH} deep here");
        self.reporter.add(Report::error("nested-too-deep", span, message));
    }

    fn close(&mut self, at: &Marked) {
        let Some(frame) = self.frames.pop() else { return };
        let mut span = frame.span;
        // A flow collection on one line is marked from its first to its last bracket; in a
        // block the end lies on another line.
        let end = self.at(&at.end, 0);
        if end.line == span.line && end.column > span.column {
            span.length = end.column - span.column;
        }
        let value = match frame.content {
            Content::List(elements) => Value::List(elements),
            Content::Map { entries, merges, .. } => Value::Map(self.entries(entries, merges)),
        };
        let node = Node::new(value, span);
        let count = self.count - frame.count_before + 1;
        self.keep_anchor(frame.anchor, &node, count);
        self.put(node, None);
    }

    fn keep_anchor(&mut self, anchor: usize, node: &Node, count: usize) {
        if anchor != 0 {
            let depth = node.measure().1;
            self.anchors.insert(
                anchor,
                Anchored {
                    node: node.clone(),
                    count,
                    depth,
                },
            );
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<()> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            self.reporter.add(Report::error(
                "yaml-syntax",
                span,
                "this alias stands within its own anchor",
            ));
            return None;
        };
        self.expanded += anchored.count;
        self.count += anchored.count;
        if self.frames.len() + anchored.depth > MOST_DEPTH {
            self.too_deep(span);
            return None;
        }
        if self.expanded > MOST_EXPANDED {
            let message = format!("aliases stand for more than {MOST_EXPANDED} values in all");
            self.reporter.add(Report::error("alias-bomb", span, message));
            return None;
        }
        let node = anchored.node.clone();
        let text = node.text().map(str::to_string);
        self.put(node, text.as_deref());
        Some(())
    }

    /// Hands a value to what it stands in. `text` is a scalar as written: a key is always text.
    fn put(&mut self, node: Node, text: Option<&str>) {
        let Some(frame) = self.frames.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut frame.content {
            Content::List(elements) => elements.push(node),
            Content::Map { entries, key, merges } => match (key.take(), text) {
                (None, Some(text)) => {
                    let text = text.to_string();
                    *key = Some(Pending::Key(Key {
                        text,
                        span: node.span,
                    }));
                }
                (None, None) => {
                    *key = Some(Pending::Refused);
                    let message = "a key must be a text, and this one is a collection";
                    self.reporter.add(Report::error("bad-key", node.span, message));
                }
                (Some(Pending::Refused), _) => {}
                (Some(Pending::Key(key)), _) if key.text == "<<" => merges.push((key.span, node)),
                (Some(Pending::Key(key)), _) => {
                    let mut node = node;
                    // An absent value has no place of its own.
                    if node.is_null() && node.span.length == 0 {
                        node.span = key.span;
                    }
                    entries.push((key, node));
                }
            },
        }
    }

    /// The entries of a mapping at its end: merged, and each key once.
    fn entries(&mut self, mut entries: Vec<(Key, Node)>, merges: Vec<(Span, Node)>) -> Vec<(Key, Node)> {
        self.refuse_repeated(&mut entries);
        if let [(first, _), (second, _), ..] = merges.as_slice() {
            self.reporter.add(repeated("<<", *first, *second));
        }
        for (span, node) in merges.into_iter().take(1) {
            let sources = match node.value {
                Value::Map(_) => vec![node],
                Value::List(elements) => elements,
                _ => vec![node],
            };
            for source in sources {
                match source.value {
                    Value::Map(more) => {
                        let missing = more.into_iter().filter(|(key, _)| !has(&entries, &key.text));
                        let missing: Vec<_> = missing.collect();
                        entries.extend(missing);
                    }
                    _ => self.reporter.add(
                        Report::error(
                            "bad-merge",
                            span,
                            format!("`<<` merges mappings, and this is {}", source.describe()),
                        )
                        .help("write `<<: *anchor` or `<<: [*one, *two]`"),
                    ),
                }
            }
        }
        entries
    }

    fn refuse_repeated(&mut self, entries: &mut Vec<(Key, Node)>) {
        const FEW: usize = 12;
        let mut second = Vec::new();
        if entries.len() <= FEW {
            for at in 1..entries.len() {
                if let Some(first) = (0..at).find(|first| entries[*first].0.text == entries[at].0.text) {
                    second.push((first, at));
                }
            }
        } else {
            let mut first = HashMap::with_capacity(entries.len());
            for (at, (key, _)) in entries.iter().enumerate() {
                match first.get(key.text.as_str()) {
                    Some(first) => second.push((*first, at)),
                    None => _ = first.insert(key.text.as_str(), at),
                }
            }
        }
        if second.is_empty() {
            return;
        }
        for (first, at) in &second {
            let (first, again) = (&entries[*first].0, &entries[*at].0);
            self.reporter.add(repeated(&again.text, first.span, again.span));
        }
        let mut at = 0;
        entries.retain(|_| {
            at += 1;
            !second.iter().any(|(_, again)| *again == at - 1)
        });
    }
}

fn has(entries: &[(Key, Node)], name: &str) -> bool {
    entries.iter().any(|(key, _)| key.text == name)
}

fn repeated(key: &str, first: Span, again: Span) -> Report {
    Report::error(
        "repeated-key",
        again,
        format!("the key `{key}` stands twice in this mapping"),
    )
    .note(first, "it stands here first")
}
