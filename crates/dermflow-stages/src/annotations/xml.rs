//! XML as a tree of elements, as far as annotation files need it. Knows nothing of what the
//! elements mean.
//!
//! Entities besides the five of XML itself are never resolved, so that no file grows when it
//! is read, and depth is bounded, so that none overflows the stack.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// How deep elements may lie in each other.
const DEEPEST: usize = 64;

/// An element with what is in it.
#[derive(Debug, Default, PartialEq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// The line on which it starts, counted from 1.
    pub line: usize,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    text: String,
}

impl Element {
    /// The elements right below.
    pub fn children(&self) -> &[Element] {
        &self.children
    }

    /// The first element right below with this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The elements right below with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text right in it, trimmed; none where it is blank.
    pub fn text(&self) -> Option<&str> {
        Some(self.text.trim()).filter(|text| !text.is_empty())
    }

    /// The text of the first element right below with this name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name)?.text()
    }

    /// An attribute's value.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// An attribute as a number.
    ///
    /// # Errors
    /// Where it is missing, or no number.
    pub fn number(&self, name: &str) -> Result<f64, String> {
        let text = self.attribute(name);
        let text = text.ok_or_else(|| format!("its `{name}` is missing"))?;
        number(name, text)
    }
}

/// A text as a number.
///
/// # Errors
/// With the name of what should be one.
pub fn number(name: &str, text: &str) -> Result<f64, String> {
    let shown: String = text.chars().take(40).collect();
    text.trim()
        .parse()
        .map_err(|_| format!("its `{name}` is `{shown}`, which is no number"))
}

/// Reads a file's bytes.
///
/// # Errors
/// In words, with the line.
pub fn parse(bytes: &[u8]) -> Result<Element, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_string())?;
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = Lines { text, at: 0, line: 1 };
    let mut reader = Reader::from_str(text);
    // The element that stands for the file, and the open ones inside.
    let mut open = vec![Element::default()];
    loop {
        let line = lines.of(reader.buffer_position());
        let event = reader.read_event();
        let event = event.map_err(|error| format!("line {line}: {error}"))?;
        match event {
            Event::Start(start) => {
                if open.len() > DEEPEST {
                    return Err(format!("line {line}: elements lie deeper than {DEEPEST}"));
                }
                open.push(element(&start, line)?);
            }
            Event::Empty(start) => close(&mut open, element(&start, line)?),
            Event::End(_) => {
                // The reader itself refuses an end without its start.
                if let Some(done) = open.pop() {
                    close(&mut open, done);
                }
            }
            Event::Text(text) => append(&mut open, &text.xml10_content()),
            Event::CData(text) => append(&mut open, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                let known = match reference.resolve_char_ref() {
                    Ok(Some(character)) => Some(character.to_string()),
                    _ => {
                        let name = reference.xml10_content();
                        quick_xml::escape::resolve_predefined_entity(&name).map(str::to_string)
                    }
                };
                let known = known.ok_or_else(|| format!("line {line}: an unknown entity"))?;
                append(&mut open, &known);
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if open.len() != 1 {
        return Err("it ends before all elements are closed".to_string());
    }
    let root = open.pop().and_then(|file| file.children.into_iter().next());
    root.ok_or_else(|| "it has no element".to_string())
}

fn element(start: &BytesStart<'_>, line: usize) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| format!("line {line}: {error}"))?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| format!("line {line}: {error}"))?;
        attributes.push((attribute.key.into_inner().to_string(), value.into_owned()));
    }
    Ok(Element {
        name: start.name().into_inner().to_string(),
        line,
        attributes,
        ..Element::default()
    })
}

fn close(open: &mut [Element], done: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(done);
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// Tells lines of growing positions.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn of(&mut self, position: u64) -> usize {
        let bytes = self.text.as_bytes();
        let position = usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
        if position > self.at {
            let breaks = bytes[self.at..position].iter().filter(|byte| **byte == b'\n');
            self.line += breaks.count();
            self.at = position;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_with_their_texts_attributes_and_lines() {
        let xml = "<?xml version='1.0'?>\n<a n='1 &amp; 2'>\n<!-- no --><b>x &lt; y&#33;</b>\n<c w=\"2.5\"/><b/></a>";
        let root = parse(xml.as_bytes()).unwrap();
        assert_eq!((root.name.as_str(), root.line), ("a", 2));
        assert_eq!(root.attribute("n"), Some("1 & 2"));
        assert_eq!(root.text_of("b"), Some("x < y!"));
        assert_eq!(root.all("b").count(), 2);
        let c = root.child("c").unwrap();
        assert_eq!((c.number("w").unwrap(), c.line), (2.5, 4));
        assert!(c.number("h").unwrap_err().contains("`h` is missing"));
    }

    #[test]
    fn what_is_no_xml_is_refused_with_its_line() {
        for (xml, words) in [
            ("", "no element"),
            ("<a>\n<b></a>", "line 2"),
            ("<a>", "ends before"),
            ("<a>&lol;</a>", "unknown entity"),
            ("\u{fffd}", "no element"),
        ] {
            let refusal = parse(xml.as_bytes()).unwrap_err();
            assert!(refusal.contains(words), "{xml}: {refusal}");
        }
        assert!(parse(b"<a>\xff</a>").unwrap_err().contains("UTF-8"));
        let deep = "<a>".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err().contains("deeper"));
    }
}
