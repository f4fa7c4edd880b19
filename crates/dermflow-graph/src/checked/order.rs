//! The order of the stages: each after all that it needs. Where there is a cycle, it is drawn.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::place::Span;
use crate::report::{Report, Reporter};

/// That one stage needs another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub from: usize,
    pub to: usize,
    pub span: Span,
}

/// The stages that are in no cycle nor behind one, in order; among those that could come
/// next, the lowest index.
pub(crate) fn sorted(reporter: &mut Reporter, names: &[&str], needs: &[Need]) -> Vec<usize> {
    let mut waiting = vec![0_usize; names.len()];
    let mut takers: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
    for need in needs {
        waiting[need.to] += 1;
        takers[need.from].push(need.to);
    }
    let ready = (0..names.len()).filter(|stage| waiting[*stage] == 0).map(Reverse);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.collect();
    let mut order = Vec::with_capacity(names.len());
    while let Some(Reverse(stage)) = ready.pop() {
        order.push(stage);
        for taker in &takers[stage] {
            waiting[*taker] -= 1;
            if waiting[*taker] == 0 {
                ready.push(Reverse(*taker));
            }
        }
    }
    if order.len() < names.len() {
        report_cycles(reporter, names, needs);
    }
    order
}

/// One report for each knot of stages: the shortest circle through its first stage.
fn report_cycles(reporter: &mut Reporter, names: &[&str], needs: &[Need]) {
    let mut graph: DiGraph<(), Span> = DiGraph::with_capacity(names.len(), needs.len());
    names.iter().for_each(|_| _ = graph.add_node(()));
    for need in needs {
        graph.add_edge(NodeIndex::new(need.from), NodeIndex::new(need.to), need.span);
    }
    let mut knot_of = vec![usize::MAX; names.len()];
    let knots = tarjan_scc(&graph);
    for (number, knot) in knots.iter().enumerate() {
        knot.iter().for_each(|node| knot_of[node.index()] = number);
    }
    for knot in &knots {
        // A component is never empty.
        let Some(start) = knot.iter().min() else { continue };
        if let Some(circle) = circle(&graph, *start, &knot_of) {
            reporter.add(draw(names, start.index(), &circle));
        }
    }
}

/// The edges of a shortest way from `start` back to itself, if there is one.
fn circle(graph: &DiGraph<(), Span>, start: NodeIndex, knot_of: &[usize]) -> Option<Vec<(usize, Span)>> {
    let knot = knot_of[start.index()];
    let mut came_from: Vec<Option<(NodeIndex, Span)>> = vec![None; 0];
    came_from.resize(graph.node_count(), None);
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut edges: Vec<_> = graph
            .edges(node)
            .map(|edge| (edge_target(&edge), *edge.weight()))
            .collect();
        edges.sort();
        for (target, span) in edges
            .into_iter()
            .filter(|(target, _)| knot_of[target.index()] == knot)
        {
            if target == start {
                let mut way = vec![(start.index(), span)];
                let mut at = node;
                while let Some((before, span)) = came_from[at.index()].filter(|_| at != start) {
                    way.push((at.index(), span));
                    at = before;
                }
                way.reverse();
                return Some(way);
            }
            if came_from[target.index()].is_none() {
                came_from[target.index()] = Some((node, span));
                queue.push_back(target);
            }
        }
    }
    None
}

fn edge_target<E>(edge: &petgraph::graph::EdgeReference<'_, E>) -> NodeIndex {
    use petgraph::visit::EdgeRef;
    edge.target()
}

/// `a -> b -> c -> a`, with the place of each wire.
fn draw(names: &[&str], start: usize, circle: &[(usize, Span)]) -> Report {
    let way: Vec<&str> = std::iter::once(start)
        .chain(circle.iter().map(|(to, _)| *to))
        .map(|at| names[at])
        .collect();
    let message = format!("stages wait for each other in a circle: {}", way.join(" -> "));
    let (first_to, first) = circle[0];
    let mut report = Report::error("stage-cycle", first, message);
    if circle.len() == 1 {
        return report.help("a stage can't take its own output");
    }
    let mut from = first_to;
    for (to, span) in &circle[1..] {
        report = report.note(
            *span,
            format!("`{}` takes from `{}` here", names[*to], names[from]),
        );
        from = *to;
    }
    report.help("take one of these wires out")
}
