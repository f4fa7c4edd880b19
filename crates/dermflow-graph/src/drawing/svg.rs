//! A drawing as a self-contained SVG.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::layout::{self, Item, Layers, Way};
use super::{Drawing, DrawnBox, entities};

const LETTER: f64 = 7.2;
const SLOT: f64 = 18.0;
const MARGIN: f64 = 24.0;
const SPACE: f64 = 22.0;

/// Where a box or a passing place is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The drawing as a picture.
pub(super) fn svg(drawing: &Drawing) -> String {
    let drawn = layout::layers(drawing);
    let (places, width, height) = place(drawing, &drawn);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        entities(&drawing.title)
    );
    for way in &drawn.ways {
        out += &arrow(&places, drawn.entering[way.arrow.to], way);
    }
    let noted: BTreeSet<usize> = drawing.notes.iter().map(|note| note.of).collect();
    for (at, one) in drawing.boxes.iter().enumerate() {
        out += &drawn_box(&places[at], one, noted.contains(&at));
    }
    out.push_str("</svg>\n");
    out
}

/// The place of every item, and the size of the picture.
fn place(drawing: &Drawing, drawn: &Layers<'_>) -> (Vec<Place>, f64, f64) {
    let mut places = vec![Place::default(); drawn.items.len()];
    for (at, item) in drawn.items.iter().enumerate() {
        places[at] = match item {
            Item::Box(at) => size(&drawing.boxes[*at], drawn.entering[*at]),
            Item::Passing => Place {
                height: SLOT,
                ..Place::default()
            },
        };
    }
    let heights: Vec<f64> = drawn
        .layers
        .iter()
        .map(|layer| column_height(layer, &places))
        .collect();
    let tallest = heights.iter().copied().fold(0.0, f64::max);
    let room = label_room(drawn);
    let mut x = MARGIN;
    for (layer, height) in drawn.layers.iter().zip(&heights) {
        x += layer
            .iter()
            .filter_map(|item| room.get(*item))
            .copied()
            .fold(0.0, f64::max);
        let width = layer.iter().map(|item| places[*item].width).fold(0.0, f64::max);
        let mut y = MARGIN + (tallest - height) / 2.0;
        for item in layer {
            let place = &mut places[*item];
            (place.x, place.y) = (x, y);
            // Boxes of a column are as wide as the widest, and arrows pass straight between them.
            place.width = width;
            y += place.height + SPACE;
        }
        x += width;
    }
    (places, x + MARGIN, tallest + 2.0 * MARGIN)
}

fn size(one: &DrawnBox, entering: usize) -> Place {
    let letters = one.title.chars().count().max(one.below.chars().count());
    Place {
        width: letters as f64 * LETTER + 28.0,
        height: (entering as f64 * SLOT + 10.0).max(46.0),
        ..Place::default()
    }
}

fn column_height(layer: &[usize], places: &[Place]) -> f64 {
    let heights: f64 = layer.iter().map(|item| places[*item].height).sum();
    heights + SPACE * layer.len().saturating_sub(1) as f64
}

/// Room left of each box for the labels of the arrows that end there.
fn label_room(drawn: &Layers<'_>) -> Vec<f64> {
    let mut room = vec![0.0_f64; drawn.entering.len()];
    for way in &drawn.ways {
        let letters = way.arrow.label.chars().count();
        room[way.arrow.to] = room[way.arrow.to].max(letters as f64 * LETTER * 0.9 + 64.0);
    }
    room
}

/// An arrow enters its box at a height of its own, with its label there: labels never overlap.
fn arrow(places: &[Place], entering: usize, way: &Way<'_>) -> String {
    let taker = &places[way.arrow.to];
    let step = taker.height / (entering as f64 + 1.0);
    let end = (taker.x - 7.0, taker.y + step * (way.position as f64 + 1.0));
    let leaves = |item: usize| {
        (
            places[item].x + places[item].width,
            places[item].y + places[item].height / 2.0,
        )
    };
    let mut from = leaves(way.arrow.from);
    let mut path = format!("M{:.1} {:.1}", from.0, from.1);
    for item in &way.items[1..way.items.len() - 1] {
        let leave = leaves(*item);
        curve(&mut path, from, (places[*item].x, leave.1));
        // Writing to a string can't fail, here and below.
        _ = write!(path, " H{:.1}", leave.0);
        from = leave;
    }
    curve(&mut path, from, end);
    let (x, y) = end;
    format!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"#7a8699\" stroke-width=\"1.4\"/>\n\
         <path d=\"M{:.1} {y:.1} l-7 -4 v8 z\" fill=\"#7a8699\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" font-size=\"10.5\" fill=\"#445\" stroke=\"#fff\" \
         stroke-width=\"3\" paint-order=\"stroke\">{}</text>\n",
        x + 7.0,
        x - 4.0,
        y - 3.0,
        entities(&way.arrow.label)
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

fn drawn_box(place: &Place, one: &DrawnBox, noted: bool) -> String {
    let Place { x, y, width, height } = place;
    let (fill, stroke) = match noted || one.chosen {
        true => ("#e8f3ea", "#3d7a4b"),
        false => ("#eef2f8", "#4a5f82"),
    };
    let line = if one.chosen { 2.5 } else { 1.0 };
    let (middle, centre) = (y + height / 2.0, x + width / 2.0);
    format!(
        "<g><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"6\" fill=\"{fill}\" \
         stroke=\"{stroke}\" stroke-width=\"{line}\"/>\n<text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
         font-weight=\"bold\" fill=\"#1c2433\">{}</text>\n<text x=\"{centre:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
         font-size=\"11\" fill=\"#556\">{}</text></g>\n",
        middle - 3.0,
        entities(&one.title),
        middle + 13.0,
        entities(&one.below)
    )
}
