//! A layered layout: a box stands right of all that have arrows to it, and arrows that pass a
//! layer get a place in it, so that they go around the boxes.

use std::collections::BTreeSet;

use super::{Arrow, Drawing};

/// Passing places make long arrows readable; past this many the picture is beyond reading.
const MOST_PASSING: usize = 20_000;
/// How often layers are put in order by their neighbours.
const SWEEPS: usize = 8;

/// A box, or a place where an arrow passes a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Box(usize),
    Passing,
}

/// An arrow on its way.
pub(super) struct Way<'a> {
    pub arrow: &'a Arrow,
    /// Which it is, from above, of those that end at its box.
    pub position: usize,
    /// The items that it goes through, from its beginning to its end.
    pub items: Vec<usize>,
}

/// Layers from left to right, items in each from top to bottom.
pub(super) struct Layers<'a> {
    pub layers: Vec<Vec<usize>>,
    /// The boxes come first, in their order.
    pub items: Vec<Item>,
    /// For each item, the items that it is joined to in the layer before and after.
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    pub ways: Vec<Way<'a>>,
    /// How many arrows end at each box.
    pub entering: Vec<usize>,
}

pub(super) fn layers(drawing: &Drawing) -> Layers<'_> {
    let depth = depths(drawing);
    let mut layers = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
    for (at, depth) in depth.iter().enumerate() {
        layers[*depth].push(at);
    }
    let mut drawn = Layers {
        layers,
        items: (0..depth.len()).map(Item::Box).collect(),
        before: Vec::new(),
        after: Vec::new(),
        ways: Vec::new(),
        entering: vec![0; depth.len()],
    };
    drawn.route(drawing, &depth);
    for sweep in 0..SWEEPS {
        drawn.sweep(sweep % 2 == 0);
    }
    drawn
}

/// The layer of each box: one right of the last that has an arrow to it. In a circle, the first
/// box of it by place is taken as if nothing of the circle had an arrow to it.
fn depths(drawing: &Drawing) -> Vec<usize> {
    let boxes = drawing.boxes.len();
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); boxes];
    let mut missing = vec![0_usize; boxes];
    for arrow in drawing.sound().filter(|arrow| arrow.from != arrow.to) {
        leaving[arrow.from].push(arrow.to);
        missing[arrow.to] += 1;
    }
    let mut depth = vec![0_usize; boxes];
    let mut left: BTreeSet<usize> = (0..boxes).collect();
    let mut ready: BTreeSet<usize> = (0..boxes).filter(|at| missing[*at] == 0).collect();
    while let Some(at) = ready.pop_first().or_else(|| left.first().copied()) {
        left.remove(&at);
        for to in &leaving[at] {
            if left.contains(to) {
                depth[*to] = depth[*to].max(depth[at] + 1);
                missing[*to] -= 1;
                if missing[*to] == 0 {
                    ready.insert(*to);
                }
            }
        }
    }
    depth
}

impl<'a> Layers<'a> {
    /// Gives each arrow its passing places.
    fn route(&mut self, drawing: &'a Drawing, depth: &[usize]) {
        for arrow in drawing.sound() {
            let mut items = vec![arrow.from];
            // None for an arrow that goes back.
            for layer in depth[arrow.from] + 1..depth[arrow.to] {
                if self.items.len() - depth.len() < MOST_PASSING {
                    self.layers[layer].push(self.items.len());
                    items.push(self.items.len());
                    self.items.push(Item::Passing);
                }
            }
            items.push(arrow.to);
            self.ways.push(Way {
                arrow,
                position: self.entering[arrow.to],
                items,
            });
            self.entering[arrow.to] += 1;
        }
        self.before = vec![Vec::new(); self.items.len()];
        self.after = vec![Vec::new(); self.items.len()];
        for way in self
            .ways
            .iter()
            .filter(|way| depth[way.arrow.from] < depth[way.arrow.to])
        {
            for pair in way.items.windows(2) {
                self.after[pair[0]].push(pair[1]);
                self.before[pair[1]].push(pair[0]);
            }
        }
    }

    /// Orders each layer by the mean position of what its items are joined to.
    fn sweep(&mut self, forward: bool) {
        let mut position = vec![0.0_f64; self.items.len()];
        let count = self.layers.len();
        let order: Vec<usize> = if forward {
            (0..count).collect()
        } else {
            (0..count).rev().collect()
        };
        for layer in &self.layers {
            layer
                .iter()
                .enumerate()
                .for_each(|(at, item)| position[*item] = at as f64);
        }
        for at in order {
            let joined = if forward { &self.before } else { &self.after };
            let mean = |item: &usize| match joined[*item].as_slice() {
                [] => position[*item],
                others => others.iter().map(|other| position[*other]).sum::<f64>() / others.len() as f64,
            };
            let mut keyed: Vec<(f64, usize)> =
                self.layers[at].iter().map(|item| (mean(item), *item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            self.layers[at] = keyed.into_iter().map(|(_, item)| item).collect();
            self.layers[at]
                .iter()
                .enumerate()
                .for_each(|(at, item)| position[*item] = at as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DrawnBox;
    use super::*;

    fn drawing(boxes: usize, arrows: &[(usize, usize)]) -> Drawing {
        let arrow = |(from, to): &(usize, usize)| Arrow {
            from: *from,
            to: *to,
            label: String::new(),
        };
        Drawing {
            title: String::new(),
            boxes: vec![DrawnBox::default(); boxes],
            arrows: arrows.iter().map(arrow).collect(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_box_stands_right_of_all_that_have_arrows_to_it_in_whatever_order_they_come() {
        assert_eq!(
            depths(&drawing(4, &[(3, 2), (2, 0), (3, 0), (1, 0)])),
            [2, 0, 1, 0]
        );
        let long = drawing(4, &[(3, 2), (2, 0), (3, 0), (1, 0)]);
        let drawn = layers(&long);
        // The arrow from 3 to 0 passes the layer of 2, and the one from 1 as well.
        assert_eq!(drawn.items.len(), 4 + 2);
        assert_eq!(drawn.entering, [3, 0, 1, 0]);
    }

    #[test]
    fn circles_loops_and_arrows_to_nowhere_are_drawn_or_left_out() {
        assert_eq!(depths(&drawing(3, &[(0, 1), (1, 2), (2, 0)])), [0, 1, 2]);
        assert_eq!(depths(&drawing(2, &[(0, 0), (1, 1)])), [0, 0]);
        let odd = drawing(3, &[(0, 1), (1, 2), (2, 0), (1, 1), (7, 0), (0, 9)]);
        assert_eq!(layers(&odd).ways.len(), 4);
        assert!(odd.svg().ends_with("</svg>\n"));
        assert!(!odd.dot().contains("b7"));
    }
}
