//! Boxes and arrows: [`Drawing`], in Graphviz' and Mermaid's language and as a picture.
//!
//! A [`Pipeline`](crate::Pipeline) is drawn as its stages with their kinds, and wires labelled
//! `output -> port`; others make drawings of their own. Knows nothing of what boxes stand for.

mod layout;
mod pipeline;
mod svg;

use std::fmt::Write;

/// What is drawn.
///
/// ```
/// use dermflow_graph::drawing::{Arrow, Drawing, DrawnBox};
///
/// let drawing = Drawing {
///     title: "two".to_string(),
///     boxes: vec![DrawnBox::new("photos", "ingest"), DrawnBox::new("labels", "import-labels")],
///     arrows: vec![Arrow { from: 0, to: 1, label: "samples".to_string() }],
///     notes: Vec::new(),
/// };
/// assert!(drawing.dot().contains("b0 -> b1 [label=\"samples\"]"));
/// assert!(drawing.svg().starts_with("<svg"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawing {
    /// What it is of.
    pub title: String,
    /// The boxes. A picture shows them in layers from left to right, each right of all that have
    /// arrows to it; where arrows go in a circle, some go back.
    pub boxes: Vec<DrawnBox>,
    /// The arrows between them. Those whose ends are no boxes are left out.
    pub arrows: Vec<Arrow>,
    /// What comes out of it all. Graphviz and Mermaid show notes as such, a picture as the colour
    /// of their boxes.
    pub notes: Vec<DrawnNote>,
}

/// A box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrawnBox {
    /// In bold.
    pub title: String,
    /// Below it.
    pub below: String,
    /// Whether it is drawn so that it is seen first.
    pub chosen: bool,
}

impl DrawnBox {
    /// One that is not chosen.
    pub fn new(title: impl Into<String>, below: impl Into<String>) -> DrawnBox {
        DrawnBox {
            title: title.into(),
            below: below.into(),
            chosen: false,
        }
    }
}

/// An arrow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// The box that it starts from, by its place.
    pub from: usize,
    /// The box that it ends at.
    pub to: usize,
    /// What stands at it.
    pub label: String,
}

/// A note that hangs on a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawnNote {
    /// What it says.
    pub name: String,
    /// The box, by its place.
    pub of: usize,
    /// What stands at the line to it.
    pub label: String,
}

impl Drawing {
    /// In Graphviz' language.
    pub fn dot(&self) -> String {
        let mut out = format!("digraph {} {{\n", quoted(&self.title));
        out.push_str("  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
        out.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n");
        for (at, one) in self.boxes.iter().enumerate() {
            let label = quoted(&format!("{}\n{}", one.title, one.below));
            let bold = if one.chosen { ", penwidth=2.5" } else { "" };
            // Writing to a string can't fail, here and below.
            _ = writeln!(out, "  b{at} [label={label}{bold}];");
        }
        for Arrow { from, to, label } in self.sound() {
            _ = writeln!(out, "  b{from} -> b{to} [label={}];", quoted(label));
        }
        for (at, DrawnNote { name, of, label }) in self.notes.iter().enumerate() {
            _ = writeln!(out, "  n{at} [label={}, shape=note];", quoted(name));
            _ = writeln!(out, "  b{of} -> n{at} [label={}, style=dashed];", quoted(label));
        }
        out.push_str("}\n");
        out
    }

    /// In Mermaid's language, for Markdown pages.
    pub fn mermaid(&self) -> String {
        let mut out = "flowchart LR\n".to_string();
        for (at, one) in self.boxes.iter().enumerate() {
            let (title, below) = (entities(&one.title), entities(&one.below));
            _ = writeln!(out, "  b{at}[\"<b>{title}</b><br/>{below}\"]");
            if one.chosen {
                _ = writeln!(out, "  style b{at} stroke-width:3px");
            }
        }
        for Arrow { from, to, label } in self.sound() {
            _ = writeln!(out, "  b{from} -- \"{}\" --> b{to}", entities(label));
        }
        for (at, DrawnNote { name, of, label }) in self.notes.iter().enumerate() {
            _ = writeln!(out, "  n{at}[/\"{}\"/]", entities(name));
            _ = writeln!(out, "  b{of} -. \"{}\" .-> n{at}", entities(label));
        }
        out
    }

    /// As a picture by itself.
    pub fn svg(&self) -> String {
        svg::svg(self)
    }

    /// The arrows whose ends are boxes.
    fn sound(&self) -> impl Iterator<Item = &Arrow> {
        let boxes = self.boxes.len();
        self.arrows
            .iter()
            .filter(move |arrow| arrow.from < boxes && arrow.to < boxes)
    }
}

/// The label of a wire; names that agree are said once.
pub fn wire_label(output: &str, port: &str) -> String {
    match output == port {
        true => output.to_string(),
        false => format!("{output} -> {port}"),
    }
}

/// Text as Graphviz quotes it.
fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// Text for HTML, SVG and Mermaid.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}
