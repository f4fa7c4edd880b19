//! A layered layout: a stage stands right of all that it takes from, and wires that pass a
//! layer get a place in it, so that they go around the boxes.

use crate::Pipeline;

/// Passing places make long wires readable; past this many the picture is beyond reading.
const MOST_PASSING: usize = 20_000;
/// How often layers are put in order by their neighbours.
const SWEEPS: usize = 8;

/// A stage, or a place where a wire passes a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Stage(usize),
    /// The stage that takes, the position of the wire there.
    Passing(usize, usize),
}

/// Layers from left to right, items in each from top to bottom.
pub(super) struct Layers {
    pub layers: Vec<Vec<usize>>,
    pub items: Vec<Item>,
    /// For each item, the items that it is joined to in the layer before and after.
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    /// The items of each wire, from giver to taker.
    pub ways: Vec<(usize, usize, Vec<usize>)>,
}

pub(super) fn layers(pipeline: &Pipeline) -> Layers {
    let stages = pipeline.stages.len();
    let mut depth = vec![0_usize; stages];
    // Stages are in topological order, so givers are known.
    for (at, stage) in pipeline.stages.iter().enumerate() {
        depth[at] = stage
            .inputs
            .iter()
            .map(|wire| depth[wire.from] + 1)
            .max()
            .unwrap_or(0);
    }
    let mut layers = vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)];
    for (at, depth) in depth.iter().enumerate() {
        layers[*depth].push(at);
    }
    let items = (0..stages).map(Item::Stage).collect();
    let mut drawn = Layers {
        layers,
        items,
        before: Vec::new(),
        after: Vec::new(),
        ways: Vec::new(),
    };
    drawn.route(pipeline, &depth);
    for sweep in 0..SWEEPS {
        drawn.sweep(sweep % 2 == 0);
    }
    drawn
}

impl Layers {
    /// Gives each wire its passing places.
    fn route(&mut self, pipeline: &Pipeline, depth: &[usize]) {
        for (to, stage) in pipeline.stages.iter().enumerate() {
            for (position, wire) in stage.inputs.iter().enumerate() {
                let mut way = vec![wire.from];
                for layer in &mut self.layers[depth[wire.from] + 1..depth[to]] {
                    if self.items.len() - depth.len() < MOST_PASSING {
                        layer.push(self.items.len());
                        way.push(self.items.len());
                        self.items.push(Item::Passing(to, position));
                    }
                }
                way.push(to);
                self.ways.push((to, position, way));
            }
        }
        self.before = vec![Vec::new(); self.items.len()];
        self.after = vec![Vec::new(); self.items.len()];
        for (_, _, way) in &self.ways {
            for pair in way.windows(2) {
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
