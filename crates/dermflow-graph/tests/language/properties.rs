//! No text makes the loader panic, and none makes it run away.

use dermflow_graph::{CellSelection, load_text};
use proptest::prelude::*;

use super::{kinds, load_as};

const VALID: &str = "name: whole
seed: 3
params: {a: 1, b: [1, 2], c: {d: '${a}'}, rounds: 3}
x-anchor: &anchor {epochs: '${rounds}'}
stages:
  full: {kind: ingest, with: {root: data, size: 64, share: 0.5}}
  net:
    kind: train
    in: {samples: full.samples}
    with: {<<: *anchor, foreground: {probability: 0.5, apply: crop}, optimiser: {method: adam}, budget: {steps: 2}}
  all: {kind: concat, in: {tables: [full.samples, full.samples]}}
  score: {kind: evaluate, in: {model: net, samples: full}}
  any: {kind: script, in: {x: net.history}, with: {command: [a, \"x${a}\"], environment: {x: 'y'}}}
variants:
  v: {a: 2, stages.net.with.epochs: 4}
  w: {stages: {any: null}}
matrix:
  m: {a: [1, 2], stages.full.with.size: [32, 48]}
outputs: {model: net.model}
";

const PIECES: &[&str] = &[
    "${a}",
    "${",
    "}",
    "{",
    "[",
    "]",
    ": ",
    "- ",
    "&x ",
    "*x",
    "*anchor",
    "<<: ",
    "null",
    "'",
    "\"",
    "\n",
    "  ",
    "#",
    "!tag ",
    "!!str ",
    "| ",
    ">",
    "stages",
    "with",
    "in",
    "kind: train",
    ".",
    "1e999",
    "-0x",
    "\t",
    "é",
    "---\n",
    "...",
    "? ",
    "%YAML 9",
    "\u{0}",
    "\u{feff}",
    ",",
    "include: .",
    "seed: -1",
];

#[test]
fn the_text_that_is_mutated_is_valid() {
    if let Err(wrong) = load_text(VALID, &kinds::registry()) {
        panic!("{wrong}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        _ = load_text(&text, &kinds::registry());
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        _ = load_text(&pieces.concat(), &kinds::registry());
    }

    #[test]
    fn mutated_pipelines_never_panic_and_their_places_are_in_the_text(
        edits in prop::collection::vec((0..VALID.len(), 0_usize..12, prop::sample::select(PIECES)), 1..4),
    ) {
        let mut text = VALID.to_string();
        for (at, length, piece) in edits {
            let at = text.floor_char_boundary(at.min(text.len()));
            let end = text.floor_char_boundary((at + length).min(text.len()));
            text.replace_range(at..end.max(at), piece);
        }
        if let Err(wrong) = load_text(&text, &kinds::registry()) {
            let lines = text.lines().count();
            for each in &wrong {
                prop_assert!(each.place.line >= 1 && each.place.line <= lines + 1, "{}", each);
            }
            let rendered = wrong.render(true);
            prop_assert!(!rendered.is_empty());
        }
    }

    #[test]
    fn arbitrary_overrides_never_panic(path in "[a-z.0-9]{0,20}|stages\\.net\\.(with|in|kind)[a-z.0-9]{0,9}", value in "\\PC{0,12}") {
        _ = load_as(VALID, CellSelection::Base, &[&format!("{path}={value}")]);
    }
}

#[test]
fn bombs_are_refused_in_short_time() {
    let mut aliases = "x-0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_string();
    let mut params = "params:\n  p0: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_string();
    let mut texts = "params:\n  p0: aaaaaaaaaa\n".to_string();
    for at in 1..30 {
        let last = at - 1;
        aliases += &format!("x-{at}: &a{at} [{}]\n", vec![format!("*a{last}"); 10].join(", "));
        params += &format!("  p{at}: [{}]\n", vec![format!("'${{p{last}}}'"); 10].join(", "));
        texts += &format!("  p{at}: '{}'\n", format!("${{p{last}}}").repeat(10));
    }
    let mut chain = "params:\n  p0: 1\n".to_string();
    (1..50_000)
        .rev()
        .for_each(|at| chain += &format!("  p{at}: ['${{p{}}}']\n", at - 1));
    let deep = format!("x-deep: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let deeper = format!(
        "x-deep:\n{}",
        (0..3000)
            .map(|at| format!("{}a:\n", " ".repeat(at + 1)))
            .collect::<String>()
    );
    for (bomb, code) in [
        (aliases, "alias-bomb"),
        (params, "param-too-large"),
        (texts, "param-too-large"),
        (chain, "param-too-large"),
        (deep, "nested-too-deep"),
        (deeper, "nested-too-deep"),
    ] {
        let wrong = load_text(
            &format!("{bomb}stages: {{a: {{kind: pass}}}}\n"),
            &kinds::registry(),
        )
        .unwrap_err();
        assert!(
            wrong.iter().any(|each| each.code == code),
            "{code}: {}",
            wrong.0[0]
        );
    }
}
