//! Pictures.

use dermflow_graph::Pipeline;
use dermflow_graph::drawing::Drawing;

use super::pipeline;

const TEXT: &str = "name: drawn
stages:
  full: {kind: ingest, with: {root: data}}
  net: {kind: train, in: {samples: full.samples}, with: {epochs: 1}}
  fine: {kind: train, in: {samples: full, init: net}, with: {epochs: 1}}
  score: {kind: evaluate, in: {model: fine, samples: full}}
outputs: {metrics: score}
";

fn dot(pipeline: &Pipeline) -> String {
    Drawing::from(pipeline).dot()
}

fn mermaid(pipeline: &Pipeline) -> String {
    Drawing::from(pipeline).mermaid()
}

fn svg(pipeline: &Pipeline) -> String {
    Drawing::from(pipeline).svg()
}

#[test]
fn every_language_names_every_stage_kind_and_wire() {
    let pipeline = pipeline(TEXT);
    for (drawn, arrow) in [
        (dot(&pipeline), "->"),
        (mermaid(&pipeline), "-&gt;"),
        (svg(&pipeline), "-&gt;"),
    ] {
        for name in ["full", "net", "fine", "score", "ingest", "train", "evaluate"] {
            assert!(drawn.contains(name), "{name} in {drawn}");
        }
        assert!(drawn.contains(&format!("model {arrow} init")), "{drawn}");
        // The names of output and port agree: said once.
        assert!(!drawn.contains(&format!("samples {arrow} samples")), "{drawn}");
    }
    assert_eq!(svg(&pipeline).matches("<path d=\"M").count(), 2 * 5);
    assert!(dot(&pipeline).contains("label=\"metrics\", shape=note"));
    assert!(mermaid(&pipeline).contains("[/\"metrics\"/]"));
    // In a picture, the box that an output hangs on has another colour.
    assert_eq!(svg(&pipeline).matches("#e8f3ea").count(), 1);
}

#[test]
fn text_is_escaped_and_the_picture_is_well_formed() {
    let mut pipeline = pipeline(TEXT);
    pipeline.stages[0].name = "a<b & \"c\"".to_string();
    pipeline.name = "x\"y".to_string();
    let drawn = svg(&pipeline);
    assert!(drawn.contains("a&lt;b &amp; &quot;c&quot;"));
    assert!(!drawn.contains("a<b"));
    assert!(dot(&pipeline).contains("digraph \"x\\\"y\""));
    assert_eq!(drawn.matches("<g>").count(), drawn.matches("</g>").count());
    assert_eq!(drawn.matches("<text").count(), drawn.matches("</text>").count());
}

#[test]
fn an_empty_pipeline_can_be_drawn() {
    let mut pipeline = pipeline(TEXT);
    pipeline.stages.clear();
    pipeline.outputs.clear();
    assert!(svg(&pipeline).ends_with("</svg>\n"));
}
