//! A pipeline as a self-contained SVG.

use std::fmt::Write;

use super::layout::{self, Item, Layers};
use super::{entities, wire_label};
use crate::Pipeline;

const LETTER: f64 = 7.2;
const SLOT: f64 = 18.0;
const MARGIN: f64 = 24.0;
const SPACE: f64 = 22.0;

/// Where a box or a passing place is.
#[derive(Clone, Copy, Debug, Default)]
struct Box {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The pipeline as a picture.
pub fn svg(pipeline: &Pipeline) -> String {
    let drawn = layout::layers(pipeline);
    let (boxes, width, height) = place(pipeline, &drawn);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        entities(&pipeline.label())
    );
    for (to, position, way) in &drawn.ways {
        // Writing to a string can't fail, here and below.
        _ = write!(out, "{}", wire(pipeline, &boxes, *to, *position, way));
    }
    for (at, stage) in pipeline.stages.iter().enumerate() {
        let kept = pipeline.outputs.iter().any(|output| output.stage == at);
        _ = write!(
            out,
            "{}",
            stage_box(&boxes[at], &stage.name, stage.kind.name(), kept)
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The place of every item, and the size of the picture.
fn place(pipeline: &Pipeline, drawn: &Layers) -> (Vec<Box>, f64, f64) {
    let mut boxes = vec![Box::default(); drawn.items.len()];
    for (at, item) in drawn.items.iter().enumerate() {
        boxes[at] = match item {
            Item::Stage(stage) => size(pipeline, *stage),
            Item::Passing(..) => Box {
                height: SLOT,
                ..Box::default()
            },
        };
    }
    let heights: Vec<f64> = drawn
        .layers
        .iter()
        .map(|layer| column_height(layer, &boxes))
        .collect();
    let tallest = heights.iter().copied().fold(0.0, f64::max);
    let mut x = MARGIN;
    for (layer, height) in drawn.layers.iter().zip(&heights) {
        x += label_room(pipeline, drawn, layer);
        let width = layer.iter().map(|item| boxes[*item].width).fold(0.0, f64::max);
        let mut y = MARGIN + (tallest - height) / 2.0;
        for item in layer {
            let place = &mut boxes[*item];
            (place.x, place.y) = (x, y);
            // Boxes of a column are as wide as the widest, and wires pass straight between them.
            place.width = width;
            y += place.height + SPACE;
        }
        x += width;
    }
    (boxes, x + MARGIN, tallest + 2.0 * MARGIN)
}

fn size(pipeline: &Pipeline, stage: usize) -> Box {
    let stage = &pipeline.stages[stage];
    let letters = stage.name.chars().count().max(stage.kind.name().chars().count());
    Box {
        width: letters as f64 * LETTER + 28.0,
        height: (stage.inputs.len() as f64 * SLOT + 10.0).max(46.0),
        ..Box::default()
    }
}

fn column_height(layer: &[usize], boxes: &[Box]) -> f64 {
    let boxes_height: f64 = layer.iter().map(|item| boxes[*item].height).sum();
    boxes_height + SPACE * layer.len().saturating_sub(1) as f64
}

/// Room left of a layer for the labels of the wires that end there.
fn label_room(pipeline: &Pipeline, drawn: &Layers, layer: &[usize]) -> f64 {
    let stages = layer.iter().filter_map(|item| match drawn.items[*item] {
        Item::Stage(stage) => Some(&pipeline.stages[stage]),
        Item::Passing(..) => None,
    });
    let labels = stages
        .flat_map(|stage| &stage.inputs)
        .map(|wire| wire_label(&wire.output, &wire.port));
    let longest = labels.map(|label| label.chars().count()).max();
    longest.map_or(0.0, |letters| letters as f64 * LETTER * 0.9 + 64.0)
}

/// A wire enters its taker at a height of its own, with its label there: labels never overlap.
fn wire(pipeline: &Pipeline, boxes: &[Box], to: usize, position: usize, way: &[usize]) -> String {
    let taker = &boxes[to];
    let wires = pipeline.stages[to].inputs.len();
    let step = taker.height / (wires as f64 + 1.0);
    let end = (taker.x - 7.0, taker.y + step * (position as f64 + 1.0));
    let leaves = |item: usize| {
        (
            boxes[item].x + boxes[item].width,
            boxes[item].y + boxes[item].height / 2.0,
        )
    };
    let mut from = leaves(way[0]);
    let mut path = format!("M{:.1} {:.1}", from.0, from.1);
    for item in &way[1..way.len() - 1] {
        let leave = leaves(*item);
        curve(&mut path, from, (boxes[*item].x, leave.1));
        _ = write!(path, " H{:.1}", leave.0);
        from = leave;
    }
    curve(&mut path, from, end);
    let (x, y) = end;
    let wire = &pipeline.stages[to].inputs[position];
    format!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"#7a8699\" stroke-width=\"1.4\"/>\n\
         <path d=\"M{:.1} {y:.1} l-7 -4 v8 z\" fill=\"#7a8699\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"10.5\" fill=\"#445\" stroke=\"#fff\" \
         stroke-width=\"3\" paint-order=\"stroke\">{}</text>\n",
        x + 7.0,
        x - 4.0,
        y - 3.0,
        entities(&wire_label(&wire.output, &wire.port))
    )
}

fn curve(path: &mut String, from: (f64, f64), to: (f64, f64)) {
    let middle = (from.0 + to.0) / 2.0;
    let ((_, from_y), (to_x, to_y)) = (from, to);
    _ = write!(
        path,
        " C{middle:.1} {from_y:.1} {middle:.1} {to_y:.1} {to_x:.1} {to_y:.1}"
    );
}

fn stage_box(place: &Box, name: &str, kind: &str, kept: bool) -> String {
    let Box { x, y, width, height } = place;
    let (fill, stroke) = if kept {
        ("#e8f3ea", "#3d7a4b")
    } else {
        ("#eef2f8", "#4a5f82")
    };
    let (middle, centre) = (y + height / 2.0, x + width / 2.0);
    format!(
        "<g><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\" fill=\"{fill}\" \
         stroke=\"{stroke}\"/>\n<text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-weight=\"bold\" \
         fill=\"#1c2433\">{}</text>\n<text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\" \
         fill=\"#556\">{}</text></g>\n",
        middle - 3.0,
        entities(name),
        middle + 13.0,
        entities(kind)
    )
}
