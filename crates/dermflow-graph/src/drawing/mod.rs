//! Pictures of a pipeline: stages with their kinds, wires labelled `output -> port`.
//!
//! Knows only of [`Pipeline`]s; what a run did to them is drawn elsewhere.

mod layout;
mod svg;

use std::fmt::Write;

pub use svg::svg;

use crate::Pipeline;

/// The pipeline in Graphviz' language.
pub fn dot(pipeline: &Pipeline) -> String {
    let mut out = format!("digraph {} {{\n", quoted(&pipeline.label()));
    out.push_str("  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for (at, stage) in pipeline.stages.iter().enumerate() {
        let label = quoted(&format!("{}\n{}", stage.name, stage.kind.name()));
        // Writing to a string can't fail, here and below.
        _ = writeln!(out, "  s{at} [label={label}];");
    }
    for (from, to, label) in edges(pipeline) {
        _ = writeln!(out, "  s{from} -> s{to} [label={}];", quoted(&label));
    }
    for (at, output) in pipeline.outputs.iter().enumerate() {
        _ = writeln!(out, "  o{at} [label={}, shape=note];", quoted(&output.name));
        _ = writeln!(
            out,
            "  s{} -> o{at} [label={}, style=dashed];",
            output.stage,
            quoted(&output.port)
        );
    }
    out.push_str("}\n");
    out
}

/// The pipeline in Mermaid's language, for Markdown pages.
pub fn mermaid(pipeline: &Pipeline) -> String {
    let mut out = "flowchart LR\n".to_string();
    for (at, stage) in pipeline.stages.iter().enumerate() {
        let (name, kind) = (entities(&stage.name), entities(stage.kind.name()));
        _ = writeln!(out, "  s{at}[\"<b>{name}</b><br/>{kind}\"]");
    }
    for (from, to, label) in edges(pipeline) {
        _ = writeln!(out, "  s{from} -- \"{}\" --> s{to}", entities(&label));
    }
    for (at, output) in pipeline.outputs.iter().enumerate() {
        _ = writeln!(out, "  o{at}[/\"{}\"/]", entities(&output.name));
        _ = writeln!(
            out,
            "  s{} -. \"{}\" .-> o{at}",
            output.stage,
            entities(&output.port)
        );
    }
    out
}

/// Giver, taker and label of each wire.
fn edges(pipeline: &Pipeline) -> impl Iterator<Item = (usize, usize, String)> + '_ {
    pipeline.stages.iter().enumerate().flat_map(|(to, stage)| {
        stage
            .inputs
            .iter()
            .map(move |wire| (wire.from, to, wire_label(&wire.output, &wire.port)))
    })
}

/// The label of a wire; names that agree are said once.
pub fn wire_label(output: &str, port: &str) -> String {
    match output == port {
        true => output.to_string(),
        false => format!("{output} -> {port}"),
    }
}

/// Text as Graphviz quotes it.
pub fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// Text for HTML, SVG and Mermaid.
pub fn entities(text: &str) -> String {
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
