//! Lineage as boxes and arrows: boxes are actions, arrows the artifacts that went from one to the
//! other. How they are laid out and written is `dermflow-graph`'s.

use std::collections::BTreeSet;

use dermflow_core::Key;
use dermflow_graph::drawing::{Arrow, Drawing, DrawnBox, wire_label};
use petgraph::visit::EdgeRef;

use crate::graph::Graph;
use crate::records::Records;

/// These actions, and what went between them. `chosen` is drawn so that it is seen first.
pub fn drawing(records: &Records, graph: &Graph<'_>, keys: &[Key], chosen: &Key) -> Drawing {
    let boxes = keys.iter().map(|key| {
        let below = records.node(key).map_or(String::new(), |node| {
            format!("{} v{} · {}", node.kind, node.version, key.digest().short())
        });
        DrawnBox {
            chosen: key == chosen,
            ..DrawnBox::new(records.title(key), below)
        }
    });
    let among = graph.among(keys);
    // What went the same way twice is one arrow.
    let arrows: BTreeSet<Arrow> = among
        .edge_references()
        .map(|edge| Arrow {
            from: edge.source().index(),
            to: edge.target().index(),
            label: wire_label(&edge.weight().output, &edge.weight().port),
        })
        .collect();
    Drawing {
        title: "lineage".to_string(),
        boxes: boxes.collect(),
        arrows: arrows.into_iter().collect(),
        notes: Vec::new(),
    }
}
