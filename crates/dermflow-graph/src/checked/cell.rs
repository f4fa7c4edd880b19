//! One cell from written to checked: stages, their order, their wires, the outputs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use dermflow_core::OutputPort;

use super::order::{self, Need};
use super::pipeline::{Output, Pipeline, Stage, Wire};
use super::reference::{self, Reference};
use super::stage::{self, Common, Draft, Workshop};
use super::wiring::{self, DraftWire, Wiring};
use crate::place::{SourceTexts, Span};
use crate::report::{Report, Reporter};
use crate::written::parameters::Params;
use crate::written::pipeline::{invalid_name, is_name};
use crate::written::{Node, WrittenPipeline};

/// The checked pipeline; `None` where an error was reported.
pub(crate) fn check(
    reporter: &mut Reporter,
    workshop: &mut Workshop,
    written: &WrittenPipeline,
    cell: Option<&str>,
    file: &Path,
    texts: &Arc<SourceTexts>,
) -> Option<Pipeline> {
    let before = reporter.errors();
    let mut params = Params::new(written);
    params.check_all(reporter);
    let common = common(reporter, &mut params, written);
    let drafts: Vec<Draft> = written
        .stages
        .iter()
        .map(|written| stage::draft(reporter, workshop, &mut params, &common, written))
        .collect();
    if drafts.is_empty() {
        let span = Span {
            file: 0,
            line: 1,
            column: 1,
            length: 0,
        };
        reporter.add(
            Report::error("no-stages", span, "the pipeline has no stages")
                .help("write `stages: {name: {kind: …}}`"),
        );
    }
    let index: HashMap<&str, usize> = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| (draft.name(), at))
        .collect();
    let needs = needs(reporter, &drafts, &index);
    let names: Vec<&str> = drafts.iter().map(Draft::name).collect();
    let order = order::sorted(reporter, &names, &needs);
    let mut wiring = Wiring {
        drafts: &drafts,
        index: &index,
        outputs: vec![None; drafts.len()],
    };
    let mut wires: Vec<Vec<DraftWire>> = vec![Vec::new(); drafts.len()];
    for at in &order {
        (wires[*at], wiring.outputs[*at]) = wiring.wire(reporter, *at);
    }
    let known = std::mem::take(&mut wiring.outputs);
    let outputs = outputs(reporter, &mut params, written, &index, &known);
    warn_unused(reporter, &drafts, &needs, &outputs);
    let name = name(reporter, &mut params, written, file);
    let description = written
        .description
        .as_ref()
        .and_then(|node| params.fill(reporter, node));
    let description = description.and_then(|node| stage::text(reporter, "description", &node));
    if reporter.errors() > before {
        return None;
    }
    let mut position = vec![0; drafts.len()];
    order
        .iter()
        .enumerate()
        .for_each(|(to, from)| position[*from] = to);
    let stages = assemble(texts, drafts, wires, known, &position)?;
    let outputs = outputs
        .into_iter()
        .map(|output| Output {
            stage: position[output.stage],
            ..output
        })
        .collect();
    Some(Pipeline {
        name: name?,
        description,
        cell: cell.map(str::to_string),
        file: file.to_path_buf(),
        folder: texts.get(0).folder.clone(),
        stages,
        outputs,
    })
}

fn common(reporter: &mut Reporter, params: &mut Params, written: &WrittenPipeline) -> Common {
    let mut fill = |reporter: &mut Reporter, part: &Option<(_, Arc<Node>)>| {
        part.as_ref()
            .and_then(|(_, node)| params.fill(reporter, node))
            .filter(|node| !node.is_null())
    };
    let seed = fill(reporter, &written.seed);
    let salt = fill(reporter, &written.salt);
    Common {
        seed: seed.and_then(|node| stage::seed(reporter, &node)).unwrap_or(0),
        salt: salt.and_then(|node| stage::salt(reporter, &node)),
    }
}

/// The name that is written, or the file's.
fn name(
    reporter: &mut Reporter,
    params: &mut Params,
    written: &WrittenPipeline,
    file: &Path,
) -> Option<String> {
    if let Some(node) = &written.name {
        let node = params.fill(reporter, node)?;
        let name = stage::text(reporter, "name", &node)?;
        if !is_name(&name) {
            reporter.add(invalid_name("pipeline", &name, node.span));
        }
        return Some(name);
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let clean: String = stem
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    Some(if is_name(&clean) {
        clean
    } else {
        format!("pipeline-{clean}")
    })
}

/// Which stage needs which, unknown ones reported.
fn needs(reporter: &mut Reporter, drafts: &[Draft], index: &HashMap<&str, usize>) -> Vec<Need> {
    let mut needs = Vec::with_capacity(drafts.len());
    for (to, draft) in drafts.iter().enumerate() {
        for reference in &draft.references {
            if let Some(from) = stage_of(reporter, drafts, index, reference) {
                needs.push(Need {
                    from,
                    to,
                    span: reference.span,
                });
            }
        }
    }
    needs
}

fn stage_of(
    reporter: &mut Reporter,
    drafts: &[Draft],
    index: &HashMap<&str, usize>,
    reference: &Reference,
) -> Option<usize> {
    let found = index.get(reference.stage.as_str()).copied();
    if found.is_none() {
        unknown_stage(reporter, drafts.iter().map(Draft::name), reference);
    }
    found
}

fn unknown_stage<'a>(
    reporter: &mut Reporter,
    names: impl Iterator<Item = &'a str> + Clone,
    reference: &Reference,
) {
    let help = reporter.suggest(&reference.stage, "stage", names);
    let message = format!("there is no stage `{}`", reference.stage);
    reporter.add(Report::error("unknown-stage", reference.span, message).maybe_help(help));
}

fn outputs(
    reporter: &mut Reporter,
    params: &mut Params,
    written: &WrittenPipeline,
    index: &HashMap<&str, usize>,
    known: &[Option<Vec<OutputPort>>],
) -> Vec<Output> {
    let mut outputs = Vec::with_capacity(written.outputs.entries.len());
    for (key, node) in &written.outputs.entries {
        let Some(node) = params.fill(reporter, node) else {
            continue;
        };
        let Some(reference) = reference::read(reporter, None, &node) else {
            continue;
        };
        let Some(stage) = index.get(reference.stage.as_str()).copied() else {
            unknown_stage(reporter, written.stage_names(), &reference);
            continue;
        };
        // A stage that is broken is still an output: it must not be called unused.
        let port = match known[stage]
            .as_deref()
            .map(|ports| port(reporter, ports, &reference))
        {
            None => String::new(),
            Some(None) => continue,
            Some(Some(port)) => port,
        };
        let place = reporter.texts.place(key.span);
        outputs.push(Output {
            name: key.text.clone(),
            stage,
            port,
            place,
        });
    }
    outputs
}

fn port(reporter: &mut Reporter, ports: &[OutputPort], reference: &Reference) -> Option<String> {
    let port = match (&reference.output, ports) {
        (Some(name), _) => wiring::named(reporter, ports, reference, name)?,
        (None, [only]) => only,
        (None, []) => {
            let message = format!("stage `{}` has no output", reference.stage);
            reporter.add(Report::error("unknown-output", reference.span, message));
            return None;
        }
        (None, several) => {
            reporter.add(wiring::ambiguous(reference, &several.iter().collect::<Vec<_>>()));
            return None;
        }
    };
    Some(port.name.clone())
}

/// Only where there are outputs: without, every last stage is meant.
fn warn_unused(reporter: &mut Reporter, drafts: &[Draft], needs: &[Need], outputs: &[Output]) {
    if outputs.is_empty() {
        return;
    }
    let mut used = vec![false; drafts.len()];
    needs
        .iter()
        .filter(|need| need.from != need.to)
        .for_each(|need| used[need.from] = true);
    outputs.iter().for_each(|output| used[output.stage] = true);
    for (draft, _) in drafts.iter().zip(used).filter(|(_, used)| !used) {
        let name = &draft.written.name;
        let message = format!("nothing uses stage `{}`", name.text);
        reporter.add(
            Report::warning("unused-stage", name.span, message)
                .help("name it under `outputs`, wire it, or take it out"),
        );
    }
}

/// Puts everything in order; `None` only where a stage is incomplete, which was reported.
fn assemble(
    texts: &Arc<SourceTexts>,
    drafts: Vec<Draft>,
    wires: Vec<Vec<DraftWire>>,
    outputs: Vec<Option<Vec<OutputPort>>>,
    position: &[usize],
) -> Option<Vec<Stage>> {
    let mut stages: Vec<Option<Stage>> = Vec::new();
    stages.resize_with(drafts.len(), || None);
    for (at, ((draft, wires), outputs)) in drafts.into_iter().zip(wires).zip(outputs).enumerate() {
        let inputs = wires.into_iter().map(|wire| Wire {
            port: wire.port,
            from: position[wire.from],
            output: wire.output,
            place: texts.place(wire.span),
        });
        stages[position[at]] = Some(Stage {
            name: draft.written.name.text.clone(),
            description: draft.description,
            kind: draft.kind?,
            parameters: draft.parameters?,
            with: draft.with_yaml,
            seed: draft.seed,
            salt: draft.salt,
            inputs: inputs.collect(),
            ports: draft.ports?,
            outputs: outputs?,
            sources: draft.sources,
            place: texts.place(draft.written.name.span),
            written: draft.written,
            with_places: draft.with,
            texts: texts.clone(),
        });
    }
    stages.into_iter().collect()
}
