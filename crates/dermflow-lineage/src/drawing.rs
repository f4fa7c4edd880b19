//! Lineage as pictures: Graphviz, Mermaid, SVG.
//!
//! Boxes are actions, arrows the artifacts that went from one to the other. Knows only of boxes
//! and arrows; which are drawn is decided by the caller.

use std::collections::BTreeSet;
use std::fmt::Write;

use dermflow_core::Key;
use dermflow_graph::drawing::{entities, quoted, wire_label};
use petgraph::visit::EdgeRef;

use crate::graph::Graph;
use crate::records::Records;

/// What is drawn.
pub struct Drawing {
    boxes: Vec<Drawn>,
    /// From, to (places among the boxes), label.
    arrows: Vec<(usize, usize, String)>,
}

struct Drawn {
    title: String,
    below: String,
    chosen: bool,
}

const LETTER: f64 = 7.2;
const MARGIN: f64 = 20.0;
const GAP: (f64, f64) = (90.0, 18.0);
const HEIGHT: f64 = 46.0;

impl Drawing {
    /// These actions, and what went between them. `chosen` is drawn in another colour.
    pub fn of(records: &Records, graph: &Graph<'_>, keys: &[Key], chosen: &Key) -> Drawing {
        let boxes = keys.iter().map(|key| {
            let node = records.node(key);
            let below = node.map_or(String::new(), |node| {
                format!("{} v{} · {}", node.kind, node.version, key.digest().short())
            });
            Drawn {
                title: records.title(key),
                below,
                chosen: key == chosen,
            }
        });
        let mut arrows = BTreeSet::new();
        let among = graph.among(keys);
        for edge in among.edge_references() {
            let wire = edge.weight();
            let label = wire_label(&wire.output, &wire.port);
            arrows.insert((edge.source().index(), edge.target().index(), label));
        }
        Drawing {
            boxes: boxes.collect(),
            arrows: arrows.into_iter().collect(),
        }
    }

    /// In Graphviz' language.
    pub fn dot(&self) -> String {
        let mut out = "digraph lineage {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n  \
                       edge [fontname=\"sans-serif\", fontsize=10];\n"
            .to_string();
        for (at, one) in self.boxes.iter().enumerate() {
            let label = quoted(&format!("{}\n{}", one.title, one.below));
            let bold = if one.chosen { ", penwidth=2.5" } else { "" };
            // Writing to a string can't fail, here and below.
            _ = writeln!(out, "  a{at} [label={label}{bold}];");
        }
        for (from, to, label) in &self.arrows {
            _ = writeln!(out, "  a{from} -> a{to} [label={}];", quoted(label));
        }
        out + "}\n"
    }

    /// In Mermaid's language, for Markdown pages.
    pub fn mermaid(&self) -> String {
        let mut out = "flowchart LR\n".to_string();
        for (at, one) in self.boxes.iter().enumerate() {
            let (title, below) = (entities(&one.title), entities(&one.below));
            _ = writeln!(out, "  a{at}[\"<b>{title}</b><br/>{below}\"]");
            if one.chosen {
                _ = writeln!(out, "  style a{at} stroke-width:3px");
            }
        }
        for (from, to, label) in &self.arrows {
            _ = writeln!(out, "  a{from} -- \"{}\" --> a{to}", entities(label));
        }
        out
    }

    /// As a picture by itself.
    pub fn svg(&self) -> String {
        let layers = self.layers();
        let width = |one: &Drawn| {
            let letters = one.title.chars().count().max(one.below.chars().count());
            letters as f64 * LETTER + 24.0
        };
        let mut columns: Vec<Vec<usize>> = vec![Vec::new(); layers.iter().max().map_or(0, |most| most + 1)];
        layers
            .iter()
            .enumerate()
            .for_each(|(at, layer)| columns[*layer].push(at));
        let tallest = columns.iter().map(Vec::len).max().unwrap_or(0) as f64;
        let height = tallest * (HEIGHT + GAP.1) + 2.0 * MARGIN;
        let mut places = vec![(0.0, 0.0, 0.0); self.boxes.len()];
        let mut x = MARGIN;
        for column in &columns {
            let widest = column
                .iter()
                .map(|at| width(&self.boxes[*at]))
                .fold(0.0, f64::max);
            let room = column.len() as f64 * (HEIGHT + GAP.1);
            let mut y = (height - room) / 2.0;
            for at in column {
                places[*at] = (x, y, widest);
                y += HEIGHT + GAP.1;
            }
            x += widest + GAP.0;
        }
        let total = (x - GAP.0 + MARGIN).max(2.0 * MARGIN);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{total:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {total:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <title>lineage</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        for (from, to, label) in &self.arrows {
            out += &arrow(places[*from], places[*to], label);
        }
        for (one, place) in self.boxes.iter().zip(&places) {
            out += &drawn(one, *place);
        }
        out + "</svg>\n"
    }

    /// Each box one layer after the last that it needs. A box that needs itself by a detour
    /// stays where it is met first.
    fn layers(&self) -> Vec<usize> {
        let mut layers = vec![0; self.boxes.len()];
        for _ in 0..self.boxes.len() {
            let mut moved = false;
            for (from, to, _) in &self.arrows {
                if layers[*to] <= layers[*from] && layers[*from] + 1 < self.boxes.len() {
                    layers[*to] = layers[*from] + 1;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        layers
    }
}

fn arrow(from: (f64, f64, f64), to: (f64, f64, f64), label: &str) -> String {
    let (x, y) = (from.0 + from.2, from.1 + HEIGHT / 2.0);
    let (end, below) = (to.0 - 7.0, to.1 + HEIGHT / 2.0);
    let middle = (x + end) / 2.0;
    format!(
        "<path d=\"M{x:.1} {y:.1} C{middle:.1} {y:.1} {middle:.1} {below:.1} {end:.1} {below:.1}\" fill=\"none\" \
         stroke=\"#7a8699\" stroke-width=\"1.4\"/>\n<path d=\"M{:.1} {below:.1} l-7 -4 v8 z\" fill=\"#7a8699\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\" fill=\"#445\" stroke=\"#fff\" \
         stroke-width=\"3\" paint-order=\"stroke\">{}</text>\n",
        end + 7.0,
        (x + 2.0 * end) / 3.0,
        (y + 2.0 * below) / 3.0 - 3.0,
        entities(label)
    )
}

fn drawn(one: &Drawn, (x, y, width): (f64, f64, f64)) -> String {
    let (fill, stroke) = match one.chosen {
        true => ("#e8f3ea", "#3d7a4b"),
        false => ("#eef2f8", "#4a5f82"),
    };
    let centre = x + width / 2.0;
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{fill}\" \
         stroke=\"{stroke}\"/>\n<text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-weight=\"bold\" \
         fill=\"#1c2433\">{}</text>\n<text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10.5\" \
         fill=\"#556\">{}</text>\n",
        y + 20.0,
        entities(&one.title),
        y + 36.0,
        entities(&one.below)
    )
}
