//! `stages`: the kinds that this program knows, and one of them in full.

use clap::Args;
use dermflow_core::{Arity, InputPort, Inputs, Kind, OutputPort, PortType, Reads, SAMPLE_ID, SideRows};
use dermflow_stages::registry;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::exit::{Done, Failure};
use crate::text;

/// Lists the stage kinds, or shows one with its ports, parameters, defaults and an example.
#[derive(Args)]
pub struct Arguments {
    /// One kind.
    kind: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// What is shown comes from the kinds' own structs.
pub fn run(arguments: &Arguments) -> Done {
    let registry = registry();
    if let Some(name) = &arguments.kind {
        let known = || registry.iter().map(|kind| kind.name());
        let kind = registry
            .get(name)
            .ok_or_else(|| Failure::unknown("kind", name, known()))?;
        match arguments.json {
            true => println!("{:#}", as_json(kind.as_ref())),
            false => print!("{}", in_full(kind.as_ref())),
        }
        return Ok(());
    }
    if arguments.json {
        println!(
            "{:#}",
            registry
                .iter()
                .map(|kind| as_json(kind.as_ref()))
                .collect::<Value>()
        );
        return Ok(());
    }
    let rows: Vec<Vec<String>> = registry
        .iter()
        .map(|kind| {
            vec![
                kind.name().to_string(),
                format!("v{}", kind.version()),
                kind.about().to_string(),
            ]
        })
        .collect();
    print!("{}", text::table(&["kind", "", "what it does"], &rows));
    Ok(())
}

fn schema(kind: &dyn Kind) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut generator = SchemaGenerator::from(settings);
    kind.schema(&mut generator).to_value()
}

fn as_json(kind: &dyn Kind) -> Value {
    let ports = Ports::of(kind);
    json!({"kind": kind.name(), "version": kind.version(), "about": kind.about(), "random": kind.random(),
        "parameters": schema(kind), "inputs": ports.inputs, "outputs": ports.outputs, "example": kind.example()})
}

/// The ports of a kind as lines, with the parameters and the wiring of its example: those of
/// some kinds depend on them.
#[derive(Default)]
struct Ports {
    inputs: Vec<String>,
    outputs: Vec<String>,
}

impl Ports {
    fn of(kind: &dyn Kind) -> Ports {
        // The conformance suite loads every example; this only keeps the function total.
        let Ok(loaded) = dermflow_graph::load_text(kind.example(), &registry()) else {
            return Ports::default();
        };
        let mut stages = loaded.pipelines.iter().flat_map(|pipeline| &pipeline.stages);
        let stage = stages.find(|stage| stage.kind.name() == kind.name());
        stage.map_or_else(Ports::default, |stage| Ports {
            inputs: inputs(&stage.ports),
            outputs: stage.outputs.iter().map(output).collect(),
        })
    }
}

fn inputs(ports: &Inputs) -> Vec<String> {
    let line = |port: &InputPort| {
        let arity = match port.arity {
            Arity::One => "",
            Arity::Optional => ", optional",
            Arity::Many => ", one or more",
        };
        let reads = match &port.reads {
            Reads::All => String::new(),
            Reads::Columns(columns) => format!(", reads {}", columns.join(", ")),
        };
        let rows = match port.side_rows {
            SideRows::Whole => "",
            SideRows::SameSample => ", row by row",
        };
        format!(
            "{}: {}{arity}{reads}{rows}. {}",
            port.name, port.port_type, port.about
        )
    };
    let mut lines: Vec<String> = ports.ports.iter().map(line).collect();
    if ports.open {
        lines.push("any other name: anything".to_string());
    }
    lines
}

fn output(port: &OutputPort) -> String {
    let columns = match &port.port_type {
        PortType::Table(table) => {
            let named = table.columns.iter().filter(|column| column.name != SAMPLE_ID);
            let names: Vec<&str> = named.map(|column| column.name.as_str()).collect();
            format!(" of {}", names.join(", "))
        }
        _ => String::new(),
    };
    format!("{}: {}{columns}. {}", port.name, port.port_type, port.about)
}

fn in_full(kind: &dyn Kind) -> String {
    let mut out = format!("{} (version {})\n{}\n", kind.name(), kind.version(), kind.about());
    if kind.random() {
        out += "Random: the pipeline's seed counts.\n";
    }
    let ports = Ports::of(kind);
    for (title, lines) in [("inputs", ports.inputs), ("outputs", ports.outputs)] {
        if !lines.is_empty() {
            out += &format!("\n{title}\n");
            lines.iter().for_each(|line| out += &format!("  {line}\n"));
        }
    }
    let schema = schema(kind);
    if let Some(about) = schema["description"].as_str() {
        out += &format!("\n{about}\n");
    }
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    out += "\nparameters\n";
    for (name, parameter) in schema["properties"].as_object().into_iter().flatten() {
        let default = match (&parameter["default"], required.contains(&name.as_str())) {
            (_, true) => "required".to_string(),
            (Value::Null, _) => "optional".to_string(),
            (default, _) => format!("default {default}"),
        };
        out += &format!("  {name} ({default})\n");
        for line in parameter["description"].as_str().unwrap_or_default().lines() {
            out += &format!("      {line}\n");
        }
    }
    out + "\nexample\n"
        + &kind
            .example()
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
}
