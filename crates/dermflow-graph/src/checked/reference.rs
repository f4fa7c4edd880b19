//! `stage.port` and `stage` as they stand under `in:` and `outputs:`.

use std::sync::Arc;

use crate::place::Span;
use crate::report::{Report, Reporter};
use crate::written::{Key, Node, Value};

/// What is wired to what, as written.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    /// The input port; `None` in the short form `in: stage`.
    pub port: Option<Key>,
    pub stage: String,
    /// The output port, where it is named.
    pub output: Option<String>,
    pub span: Span,
}

/// The references under `in:`, and whether all could be read.
pub(crate) fn inputs(
    reporter: &mut Reporter,
    stage: &str,
    node: Option<&Arc<Node>>,
) -> (Vec<Reference>, bool) {
    let before = reporter.errors();
    let mut references = Vec::new();
    match node.map(|node| (&node.value, node)) {
        None | Some((Value::Null, _)) => {}
        Some((Value::Map(entries), _)) => {
            for (port, value) in entries {
                one_or_many(reporter, Some(port), value, &mut references);
            }
        }
        Some((Value::Text(_) | Value::List(_), node)) => one_or_many(reporter, None, node, &mut references),
        Some((_, node)) => {
            let message = format!(
                "`in` of stage `{stage}` must be a mapping, and is {}",
                node.describe()
            );
            let report = Report::error("not-a-mapping", node.span, message);
            reporter.add(report.help("write `in: {port: stage.port}`"));
        }
    }
    (references, reporter.errors() == before)
}

fn one_or_many(reporter: &mut Reporter, port: Option<&Key>, node: &Node, references: &mut Vec<Reference>) {
    match &node.value {
        // A variant unwires a port by null.
        Value::Null => {}
        Value::List(elements) => {
            references.extend(
                elements
                    .iter()
                    .filter_map(|element| read(reporter, port.cloned(), element)),
            );
        }
        _ => references.extend(read(reporter, port.cloned(), node)),
    }
}

/// One reference, or a report why it is none.
pub(crate) fn read(reporter: &mut Reporter, port: Option<Key>, node: &Node) -> Option<Reference> {
    let span = node.span;
    let well_formed = node.text().filter(|text| {
        let parts: Vec<&str> = text.split('.').collect();
        parts.len() <= 2
            && parts
                .iter()
                .all(|part| !part.is_empty() && !part.contains(char::is_whitespace))
    });
    let Some(text) = well_formed else {
        let message = format!("this must be `stage.port` or `stage`, and is {}", node.describe());
        reporter.add(Report::error("bad-wire", span, message));
        return None;
    };
    let (stage, output) = match text.split_once('.') {
        Some((stage, output)) => (stage, Some(output.to_string())),
        None => (text, None),
    };
    Some(Reference {
        port,
        stage: stage.to_string(),
        output,
        span,
    })
}
