//! Wires: which output goes to which input, and whether it fits.

use std::collections::HashMap;

use dermflow_core::{Arity, InputPort, InputTypes, OutputPort, PortType};

use super::reference::Reference;
use super::stage::Draft;
use crate::place::Span;
use crate::report::{Report, Reporter};
use crate::suggest::listed;

/// What is known of the stages' outputs so far; `None` where a stage is broken.
pub(crate) type KnownOutputs = Vec<Option<Vec<OutputPort>>>;

/// A wire with stages by their position in the drafts.
#[derive(Clone, Debug)]
pub(crate) struct DraftWire {
    pub port: String,
    pub from: usize,
    pub output: String,
    pub span: Span,
}

/// Wires stages one after the other, in order.
pub(crate) struct Wiring<'a> {
    pub drafts: &'a [Draft],
    pub index: &'a HashMap<&'a str, usize>,
    pub outputs: KnownOutputs,
}

impl Wiring<'_> {
    /// The wires of a stage and its outputs; the second is `None` where they can't be known.
    pub fn wire(&self, reporter: &mut Reporter, at: usize) -> (Vec<DraftWire>, Option<Vec<OutputPort>>) {
        let draft = &self.drafts[at];
        let (Some(kind), Some(ports)) = (&draft.kind, &draft.ports) else {
            return (Vec::new(), None);
        };
        let before = reporter.errors();
        let mut known = draft.all_references;
        let mut ports_known = known;
        let mut wires = Vec::with_capacity(draft.references.len());
        let mut types = InputTypes::new();
        let mut taken: Vec<(&str, &Reference)> = Vec::with_capacity(draft.references.len());
        for reference in &draft.references {
            let Some(port) = self.port(reporter, draft, reference) else {
                (known, ports_known) = (false, false);
                continue;
            };
            match self.output(reporter, draft, &port, reference) {
                Some((wire, port_type)) => {
                    types.entry(wire.port.clone()).or_default().push(port_type);
                    wires.push(wire);
                }
                None => known = false,
            }
            if let Some(named) = ports.ports.iter().find(|named| named.name == port.name) {
                taken.push((&named.name, reference));
            }
        }
        self.check_arity(reporter, draft, &ports.ports, &taken, ports_known);
        let parameters = draft
            .parameters
            .as_ref()
            .filter(|_| known && reporter.errors() == before);
        let Some(parameters) = parameters else {
            return (wires, None);
        };
        match kind.outputs(parameters, &types) {
            Ok(outputs) => (wires, Some(outputs)),
            Err(problem) => {
                draft.problem(reporter, "invalid-inputs", problem);
                (wires, None)
            }
        }
    }

    /// The input port that a reference is for.
    fn port(&self, reporter: &mut Reporter, draft: &Draft, reference: &Reference) -> Option<InputPort> {
        let ports = draft.ports.as_ref()?;
        let kind = draft.kind.as_ref()?.name();
        let names = ports.ports.iter().map(|port| port.name.as_str());
        let Some(key) = &reference.port else {
            if let [only] = ports.ports.as_slice() {
                return Some(only.clone());
            }
            let message = format!(
                "kind `{kind}` has {} input ports, so the port must be named",
                ports.ports.len()
            );
            let help = match ports.ports.first() {
                Some(first) => format!(
                    "write `in: {{{}: {}}}`; ports: {}",
                    first.name,
                    reference.stage,
                    listed(names)
                ),
                None if ports.open => format!("write `in: {{name: {}}}`", reference.stage),
                None => "it takes no input: leave `in` out".to_string(),
            };
            reporter.add(Report::error("bad-wire", reference.span, message).help(help));
            return None;
        };
        if let Some(port) = ports.ports.iter().find(|port| port.name == key.text) {
            return Some(port.clone());
        }
        if ports.open {
            let name = key.text.clone();
            let about = "";
            return Some(InputPort::one(name, PortType::Anything, about).with_arity(Arity::Many));
        }
        let help = reporter.suggest(&key.text, "input port", names);
        let message = format!("kind `{kind}` has no input port `{}`", key.text);
        reporter.add(Report::error("unknown-input", key.span, message).maybe_help(help));
        None
    }

    /// The output that a reference means, checked against the port.
    fn output(
        &self,
        reporter: &mut Reporter,
        draft: &Draft,
        port: &InputPort,
        reference: &Reference,
    ) -> Option<(DraftWire, PortType)> {
        // An unknown stage was reported when the order was looked for.
        let from = self.index.get(reference.stage.as_str()).copied()?;
        let outputs = self.outputs[from].as_ref()?;
        let chosen = match &reference.output {
            Some(name) => named(reporter, outputs, reference, name)?,
            None => meant(reporter, outputs, reference, port)?,
        };
        let wire = DraftWire {
            port: port.name.clone(),
            from,
            output: chosen.name.clone(),
            span: reference.span,
        };
        if let Err(why) = port.port_type.accepts(&chosen.port_type) {
            let giver = &self.drafts[from];
            let (giver, output, taker) = (giver.name(), &chosen.name, draft.name());
            let message = format!(
                "`{giver}.{output}` can't be wired to `{taker}.{}`: {why}",
                port.name
            );
            let help = format!(
                "`{}` takes {}{}; `{giver}.{output}` is {}",
                port.name,
                port.port_type,
                about(port.about),
                chosen.port_type
            );
            let report = Report::error("wrong-port-type", reference.span, message).help(help);
            reporter.add(report.note(
                self.drafts[from].written.name.span,
                format!("`{giver}` is made here"),
            ));
            return None;
        }
        Some((wire, chosen.port_type.clone()))
    }

    fn check_arity(
        &self,
        reporter: &mut Reporter,
        draft: &Draft,
        ports: &[InputPort],
        taken: &[(&str, &Reference)],
        known: bool,
    ) {
        for port in ports {
            let mut wired = taken
                .iter()
                .filter(|(name, _)| *name == port.name)
                .map(|(_, reference)| reference);
            match (wired.next(), wired.next(), port.arity) {
                (None, _, Arity::One | Arity::Many) if known => self.missing(reporter, draft, port),
                (Some(first), Some(second), Arity::One | Arity::Optional) => {
                    let message = format!(
                        "the input `{}` takes one artifact, and this is the second",
                        port.name
                    );
                    reporter.add(
                        Report::error("too-many-inputs", second.span, message)
                            .note(first.span, "the first is here"),
                    );
                }
                _ => {}
            }
        }
    }

    fn missing(&self, reporter: &mut Reporter, draft: &Draft, port: &InputPort) {
        let kind = draft.kind.as_ref().map_or("", |kind| kind.name());
        let span = draft
            .written
            .inputs
            .as_ref()
            .map_or(draft.written.name.span, |inputs| inputs.span);
        let message = format!(
            "the input `{}` of stage `{}` is not wired",
            port.name,
            draft.name()
        );
        let fitting: Vec<String> = self.fitting(port);
        let mut help = format!("kind `{kind}` needs {}{}", port.port_type, about(port.about));
        if !fitting.is_empty() {
            help += &format!("; what fits: {}", listed(fitting.iter().map(String::as_str)));
        }
        reporter.add(Report::error("missing-input", span, message).help(help));
    }

    /// Some outputs that could be wired to a port.
    fn fitting(&self, port: &InputPort) -> Vec<String> {
        const SHOWN: usize = 3;
        const LOOKED_AT: usize = 200;
        let known = self.drafts.iter().zip(&self.outputs).take(LOOKED_AT);
        let outputs =
            known.flat_map(|(draft, outputs)| outputs.iter().flatten().map(move |output| (draft, output)));
        let fitting = outputs.filter(|(_, output)| port.port_type.accepts(&output.port_type).is_ok());
        fitting
            .take(SHOWN)
            .map(|(draft, output)| format!("{}.{}", draft.name(), output.name))
            .collect()
    }
}

fn about(about: &str) -> String {
    if about.is_empty() {
        String::new()
    } else {
        format!(" ({about})")
    }
}

/// The output `stage.name`.
pub(crate) fn named<'a>(
    reporter: &mut Reporter,
    outputs: &'a [OutputPort],
    reference: &Reference,
    name: &str,
) -> Option<&'a OutputPort> {
    let found = outputs.iter().find(|output| output.name == name);
    if found.is_none() {
        let help = reporter.suggest(name, "output", outputs.iter().map(|output| output.name.as_str()));
        let message = format!("stage `{}` has no output `{name}`", reference.stage);
        reporter.add(Report::error("unknown-output", reference.span, message).maybe_help(help));
    }
    found
}

/// The output that `stage` alone means: the only one, or the only one that fits.
fn meant<'a>(
    reporter: &mut Reporter,
    outputs: &'a [OutputPort],
    reference: &Reference,
    port: &InputPort,
) -> Option<&'a OutputPort> {
    if let [only] = outputs {
        return Some(only);
    }
    let fits = |output: &&OutputPort| port.port_type.accepts(&output.port_type).is_ok();
    let fitting: Vec<&OutputPort> = outputs.iter().filter(fits).collect();
    if let [only] = fitting.as_slice() {
        return Some(only);
    }
    let stage = &reference.stage;
    let report = match fitting.is_empty() {
        true => {
            let all = outputs
                .iter()
                .map(|output| format!("`{}` is {}", output.name, output.port_type));
            let message = format!("no output of `{stage}` fits the input `{}`", port.name);
            let help = format!(
                "it takes {}; of `{stage}`, {}",
                port.port_type,
                all.collect::<Vec<_>>().join(", ")
            );
            Report::error("wrong-port-type", reference.span, message).help(help)
        }
        false => ambiguous(reference, &fitting),
    };
    reporter.add(report);
    None
}

/// That `stage` alone could mean several outputs.
pub(crate) fn ambiguous(reference: &Reference, outputs: &[&OutputPort]) -> Report {
    let stage = &reference.stage;
    let names: Vec<String> = outputs
        .iter()
        .map(|output| format!("{stage}.{}", output.name))
        .collect();
    let message = format!(
        "`{stage}` could mean any of its outputs {}",
        listed(names.iter().map(String::as_str))
    );
    Report::error("ambiguous-output", reference.span, message).help("write the one that is meant")
}
