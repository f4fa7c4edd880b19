//! What files that are right mean.

use std::collections::BTreeSet;

use dermflow_graph::{CellSelection, Pipeline};

use super::{changed, codes, load_as, load_file, pipeline};

fn names(pipeline: &Pipeline) -> Vec<&str> {
    pipeline.stages.iter().map(|stage| stage.name.as_str()).collect()
}

fn parameter(pipeline: &Pipeline, stage: &str, path: &str) -> String {
    let mut value = pipeline.stage(stage).unwrap().parameters.value().clone();
    format!("{:?}", value.at_mut(path.split('.')).unwrap())
}

const PLAIN: &str = "
name: plain
seed: 7
params: {rounds: 3, often: 0.5}
stages:
  net:
    kind: train
    in: {samples: full, labels: labels}
    with: {epochs: '${rounds}', foreground: {probability: '${often}', apply: crop}}
  full: {kind: ingest, with: {root: data}}
  labels: {kind: import-labels, in: full.samples, with: {path: labels.csv}}
  own: {kind: train, seed: 9, salt: s, in: {samples: full}, with: {epochs: 1}}
variants:
  none: {often: 0, stages.net.with.foreground.apply: mask}
  alone: {stages: {own: null, net: {with: {foreground: {apply: nothing}}}}}
matrix:
  sweep: {often: [0.25, 1], seed: [1, 2]}
outputs: {model: net.model}
";

#[test]
fn stages_come_in_topological_order_and_ties_in_written_order() {
    let pipeline = pipeline(PLAIN);
    assert_eq!(names(&pipeline), ["full", "labels", "net", "own"]);
    let net = pipeline.stage("net").unwrap();
    let wires: Vec<_> = net
        .inputs
        .iter()
        .map(|wire| (wire.port.as_str(), wire.from, wire.output.as_str()))
        .collect();
    assert_eq!(wires, [("samples", 0, "samples"), ("labels", 1, "labels")]);
    assert_eq!(
        (pipeline.outputs[0].stage, pipeline.outputs[0].port.as_str()),
        (2, "model")
    );
    let graph = pipeline.graph();
    assert!(petgraph::algo::toposort(&graph, None).is_ok());
    assert_eq!((graph.node_count(), graph.edge_count()), (4, 4));
}

#[test]
fn seeds_and_salts_are_the_stages_own_or_the_pipelines() {
    let seen = pipeline(PLAIN);
    assert_eq!(
        (seen.stage("net").unwrap().seed, seen.stage("own").unwrap().seed),
        (7, 9)
    );
    assert_eq!(seen.stage("net").unwrap().salt, None);
    assert_eq!(seen.stage("own").unwrap().salt.as_deref(), Some("[null,\"s\"]"));
    let salted = changed(PLAIN, &["salt=s", "stages.own.salt=null"]);
    assert_eq!(salted.stage("own").unwrap().salt.as_deref(), Some("[\"s\",null]"));
}

#[test]
fn params_keep_their_types_and_text_around_them_makes_text() {
    let text = "params: {n: 3, note: '${n} of ${who} $${n}', who: all}
stages: {a: {kind: script, with: {command: ['${n}x', '${note}', '$$${n}', '$', '{}']}}}";
    let seen = pipeline(text);
    let shown = parameter(&seen, "a", "command");
    assert_eq!(
        shown,
        r#"List([Text("3x"), Text("3 of all ${n}"), Text("$${n}"), Text("$"), Text("{}")])"#
    );
    assert_eq!(parameter(&pipeline(PLAIN), "net", "epochs"), "Integer(3)");
    let seeded = "seed: 4\nstages: {a: {kind: pass, with: {value: '${seed}'}}}";
    assert_eq!(
        parameter(&changed(seeded, &["seed=11"]), "a", "value"),
        "Integer(11)"
    );
}

#[test]
fn cells_are_the_base_the_variants_and_the_matrix_in_written_order() {
    let loaded = load_as(PLAIN, CellSelection::All, &[]).unwrap();
    let labels: Vec<Option<&str>> = loaded
        .pipelines
        .iter()
        .map(|pipeline| pipeline.cell.as_deref())
        .collect();
    let wanted = [
        None,
        Some("none"),
        Some("alone"),
        Some("sweep[often=0.25,seed=1]"),
        Some("sweep[often=0.25,seed=2]"),
        Some("sweep[often=1,seed=1]"),
        Some("sweep[often=1,seed=2]"),
    ];
    assert_eq!(labels, wanted);
    let [base, none, alone, cell, ..] = loaded.pipelines.as_slice() else {
        panic!()
    };
    assert_eq!(parameter(base, "net", "foreground.apply"), "Text(\"crop\")");
    assert_eq!(parameter(none, "net", "foreground.apply"), "Text(\"mask\")");
    assert_eq!(parameter(none, "net", "foreground.probability"), "Float(0.0)");
    assert_eq!(parameter(alone, "net", "foreground.apply"), "Text(\"nothing\")");
    assert_eq!(parameter(alone, "net", "foreground.probability"), "Float(0.5)");
    assert_eq!(names(alone), ["full", "labels", "net"]);
    assert_eq!(
        (cell.stage("net").unwrap().seed, cell.stage("own").unwrap().seed),
        (1, 9)
    );
    assert_eq!(cell.label(), "plain/sweep[often=0.25,seed=1]");
}

#[test]
fn a_variant_can_add_stages_that_are_nowhere_else() {
    let text = "params: {from: full}
x-more: &more {stages.second: {kind: ingest, with: {root: data}}}
stages:
  full: {kind: ingest, with: {root: data}}
  net: {kind: train, in: {samples: '${from}'}, with: {epochs: 1}}
variants: {more: {<<: *more, from: second}}";
    let loaded = load_as(text, CellSelection::All, &[]).unwrap();
    let [base, more] = loaded.pipelines.as_slice() else {
        panic!()
    };
    assert_eq!(names(base), ["full", "net"]);
    assert_eq!(names(more), ["full", "second", "net"]);
}

#[test]
fn a_matrix_can_run_through_variants_whose_changes_come_first() {
    let text = "params: {n: 1, m: 1}
stages: {a: {kind: script, with: {command: ['${n} ${m} ${seed}']}}}
variants: {more: {n: 2, m: 2}}
matrix: {each: {m: [3], variant: [base, more], seed: [5, 6]}}";
    let loaded = load_as(text, CellSelection::Matrix("each".into()), &[]).unwrap();
    let seen: Vec<(String, String)> = loaded
        .pipelines
        .iter()
        .map(|cell| (cell.cell.clone().unwrap(), parameter(cell, "a", "command")))
        .collect();
    let wanted = [
        ("base", 5, "1 3 5"),
        ("base", 6, "1 3 6"),
        ("more", 5, "2 3 5"),
        ("more", 6, "2 3 6"),
    ];
    let wanted = wanted.map(|(variant, seed, command)| {
        let label = format!("each[m=3,variant={variant},seed={seed}]");
        (label, format!("List([Text(\"{command}\")])"))
    });
    assert_eq!(seen, wanted);
}

#[test]
fn values_of_a_matrix_that_look_alike_have_labels_of_their_own() {
    let long = "x".repeat(70);
    let text = format!(
        "params: {{n: 1}}\nstages: {{a: {{kind: script, with: {{command: ['${{n}}.']}}}}}}\n\
         matrix: {{each: {{n: [{long}a, {long}b, 1, '1', c]}}}}"
    );
    let load = |cells: &str| load_as(&text, CellSelection::Matrix(cells.into()), &[]).unwrap();
    let cells = load("each").pipelines;
    let labels: Vec<&str> = cells.iter().filter_map(|cell| cell.cell.as_deref()).collect();
    let beginnings = [&long[..60], &long[..60], "1~", "1~", "c]"];
    for (label, beginning) in labels.iter().zip(beginnings) {
        assert!(label.starts_with(&format!("each[n={beginning}")), "{label}");
    }
    assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), 5, "{labels:?}");
    let one = load(labels[1]).pipelines;
    assert_eq!(one.len(), 1);
    let command = parameter(&one[0], "a", "command");
    assert!(command.contains(&format!("{long}b.")), "{command}");
}

#[test]
fn one_variant_one_matrix_or_one_cell_can_be_asked_for() {
    let count = |cells| load_as(PLAIN, cells, &[]).unwrap().pipelines.len();
    assert_eq!(count(CellSelection::Variant("none".into())), 1);
    assert_eq!(count(CellSelection::Matrix("sweep".into())), 4);
    assert_eq!(count(CellSelection::Matrix("sweep[often=1,seed=2]".into())), 1);
}

#[test]
fn overrides_win_and_can_change_every_part() {
    let set = [
        "often=1",
        "stages.net.with.epochs=12",
        "stages.own.kind=train",
        "stages.net.in.labels=null",
    ];
    let seen = changed(PLAIN, &set);
    assert_eq!(parameter(&seen, "net", "epochs"), "Integer(12)");
    assert_eq!(parameter(&seen, "net", "foreground.probability"), "Float(1.0)");
    assert_eq!(seen.stage("net").unwrap().inputs.len(), 1);
    let variant = load_as(PLAIN, CellSelection::Variant("none".into()), &["often=0.75"]).unwrap();
    assert_eq!(
        parameter(&variant.pipelines[0], "net", "foreground.probability"),
        "Float(0.75)"
    );
    let place = seen.stage("net").unwrap().place_of("epochs");
    assert_eq!(place.to_string(), "--set:1:24");
}

#[test]
fn a_variant_may_add_a_stage_and_wire_it_in() {
    let text = "stages:\n  a: {kind: pass}\n  c: {kind: pass, in: a}\nvariants:\n  more:\n    \
                stages: {b: {kind: pass, in: a}, c: {in: b}}\n";
    let loaded = load_as(text, CellSelection::Variant("more".into()), &[]).unwrap();
    assert_eq!(names(&loaded.pipelines[0]), ["a", "b", "c"]);
}

#[test]
fn formatting_order_comments_and_written_defaults_do_not_change_parameters() {
    let spellings = [
        "stages: {a: {kind: ingest, with: {root: data, size: 96}}}",
        "stages:\n  a:\n    # a comment\n    with:\n      size: 0x60\n      'root': \"data\"\n    kind: ingest\n",
        "x-defaults: &d {size: 96}\nstages: {a: {kind: 'ingest', with: {<<: *d, root: data, share: 1}}}",
        "stages:\n  a:\n    kind: ingest\n    with:\n      root: >-\n        data\n",
        "params: {s: 96}\nstages: {a: {kind: ingest, with: {root: data, size: '${s}', share: 1.0}}}",
        "stages: {a: {kind: ingest, with: {root: data}}}",
        "%YAML 1.2\n---\nstages: {\"a\": {kind: ingest, with: {root: 'data'}}}\n...\n",
        "\u{feff}stages: {a: {kind: ingest, with: {root: data}}}\r\n",
    ];
    let value = |text: &str| pipeline(text).stages[0].parameters.value().clone();
    for other in &spellings[1..] {
        assert_eq!(value(spellings[0]), value(other), "{other}");
    }
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let text = "
x-one: &one {epochs: 2, warmup: 1}
x-two: &two {epochs: 5, note: two}
stages:
  full: {kind: ingest, with: {root: data}}
  a: {kind: train, in: &in {samples: full}, with: {<<: [*one, *two], warmup: 0}}
  b: {kind: train, in: *in, with: *two}
";
    let seen = pipeline(text);
    assert_eq!(parameter(&seen, "a", "epochs"), "Integer(2)");
    assert_eq!(parameter(&seen, "a", "warmup"), "Integer(0)");
    assert_eq!(parameter(&seen, "a", "note"), "Text(\"two\")");
    assert_eq!(seen.stage("b").unwrap().inputs.len(), 1);
}

#[test]
fn enums_with_content_are_written_as_the_schema_says() {
    let text = "stages:\n  full: {kind: ingest, with: {root: data}}\n  a: {kind: train, in: {samples: full}, \
                with: {epochs: 1, budget: {steps: 3}, optimiser: {method: descent, momentum: 0.5}}}";
    let seen = pipeline(text);
    assert_eq!(parameter(&seen, "a", "budget.steps"), "Integer(3)");
    assert_eq!(
        parameter(&changed(text, &["stages.a.with.budget=unlimited"]), "a", "budget"),
        "Text(\"unlimited\")"
    );
}

#[test]
fn included_files_are_merged_and_their_paths_are_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("lib/data")).unwrap();
    std::fs::create_dir_all(at("data")).unwrap();
    std::fs::write(
        at("lib/base.yaml"),
        "name: not-used\ninclude: both.yaml\nparams: {here: data}\nstages:\n  own: {kind: ingest, with: {root: data}}\n  \
         theirs: {kind: ingest, with: {root: '${top}'}}\n  part: {kind: ingest, with: {root: '${top}/.'}}\n",
    )
    .unwrap();
    std::fs::write(at("lib/both.yaml"), "stages: {twice: {kind: pass}}\n").unwrap();
    std::fs::write(
        at("top.yaml"),
        "include: [lib/base.yaml, lib/both.yaml]\nparams: {top: data}\nstages:\n  up: {kind: ingest, with: {root: '${here}'}}\n",
    )
    .unwrap();
    let loaded = load_file(&at("top.yaml"), CellSelection::Base, &[]).unwrap();
    let pipeline = loaded.base().unwrap();
    assert_eq!(pipeline.name, "top");
    assert_eq!(names(pipeline), ["twice", "own", "theirs", "part", "up"]);
    let source = |stage: &str| pipeline.stage(stage).unwrap().sources[0].path.clone();
    assert_eq!(source("own"), at("lib/data"));
    assert_eq!(source("theirs"), at("data"));
    assert_eq!(source("part"), at("data/."));
    assert_eq!(source("up"), at("lib/data"));
    assert_eq!(pipeline.folder, folder.path());
}

#[test]
fn params_and_the_seed_of_an_included_file_are_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let part = "seed: 1\nparams: {n: 1, m: 1}\nstages: {a: {kind: script, with: {command: ['${n} ${m} ${seed}']}}}\n";
    std::fs::write(at("part.yaml"), part).unwrap();
    std::fs::write(at("top.yaml"), "include: part.yaml\nseed: 2\nparams: {n: 2}\n").unwrap();
    let loaded = load_file(&at("top.yaml"), CellSelection::Base, &[]).unwrap();
    let command = parameter(loaded.base().unwrap(), "a", "command");
    assert_eq!(command, r#"List([Text("2 1 2")])"#);
}

#[test]
fn places_of_parameters_are_where_they_were_written() {
    let seen = pipeline(PLAIN);
    let net = seen.stage("net").unwrap();
    let at = |path: &str| (net.place_of(path).line, net.place_of(path).column);
    assert_eq!((net.place.line, net.place.column), (6, 3));
    assert_eq!(at("epochs"), (9, 20));
    assert_eq!(at("foreground.apply"), (9, 78));
    // A default stands nowhere: the nearest is told.
    assert_eq!(at("foreground.nothing"), at("foreground"));
    assert_eq!(at("warmup"), (9, 11));
}

#[test]
fn a_broken_stage_does_not_drag_others_with_it() {
    let text = "stages:
  a: {kind: ingset, with: {root: data}}
  b: {kind: import-labels, in: {samples: a.nothing}, with: {path: labels.csv}}
  c: {kind: train, in: {samples: a, labels: b.lables}, with: {epochs: 1}}
  d: {kind: evaluate, in: {model: c, samples: a}}
outputs: {metrics: d.metrix, model: c.modle}
";
    assert_eq!(codes(load_as(text, CellSelection::Base, &[])), ["unknown-kind"]);
}

#[test]
fn many_mistakes_are_told_at_once_and_in_order() {
    let text = "naem: x
stages:
  a: {kind: ingest, with: {root: data, size: 4, share: lots, sise: 3}}
  b: {kind: train, in: {sampels: a}, with: {epochs: 0, foreground: {apply: corp}}}
  c: {kind: pass, in: nowhere, wiht: {}}
outputs: {m: d.model}
";
    let wanted = [
        "unknown-key",
        "parameter-range",
        "parameter-type",
        "unknown-parameter",
        "parameter-range",
        "parameter-value",
        "unknown-stage",
        "unknown-key",
        "unknown-stage",
    ];
    assert_eq!(codes(load_as(text, CellSelection::Base, &[])), wanted);
}

#[test]
fn a_mistake_in_many_cells_is_told_once_with_its_cells() {
    let text = "params: {often: 2}\nstages:\n  full: {kind: ingest, with: {root: data, share: '${often}'}}\n\
                variants: {right: {often: 1}, wrong: {often: 3}}\n";
    let wrong = load_as(text, CellSelection::All, &[]).unwrap_err();
    let cells: Vec<_> = wrong.iter().map(|each| each.cells.join(" ")).collect();
    assert_eq!(cells, ["base", "wrong"]);
    let everywhere = text.replace("right: {often: 1}", "right: {often: 2}");
    let wrong = load_as(&everywhere, CellSelection::All, &[]).unwrap_err();
    assert_eq!(wrong.0[0].cells, ["base", "right"]);
}

#[test]
fn ten_thousand_stages_load_in_time_that_grows_with_their_number() {
    let text = |count: usize| {
        let mut text = "stages:\n  s0: {kind: pass}\n".to_string();
        for at in 1..count {
            text += &format!(
                "  s{at}: {{kind: pass, in: {{of: s{}.same}}, with: {{value: {at}}}}}\n",
                at - 1
            );
        }
        text
    };
    let seconds = |count: usize| {
        let text = text(count);
        let started = std::time::Instant::now();
        assert_eq!(pipeline(&text).stages.len(), count);
        started.elapsed().as_secs_f64()
    };
    let (few, many) = (seconds(1_000), seconds(10_000));
    // Quadratic work would make it 100 times; the rest is a busy machine.
    assert!(
        many < 40.0 * few.max(0.002),
        "{few} s for 1,000 and {many} s for 10,000"
    );
}
