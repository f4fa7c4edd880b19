//! `lineage`: the tree of actions behind an artifact, or ahead of it.

use clap::{Args, ValueEnum};
use dermflow_lineage::{Graph, drawing, tree};

use crate::exit::{Done, Failure};
use crate::lookup::locate_on_record;
use crate::options::{StoreOptions, read_records};

/// Shows where an artifact came from: kinds, versions, parameters, seeds, sources, inputs, times;
/// with --down, what it went into.
#[derive(Args)]
pub struct Arguments {
    /// `stage.port`, a digest prefix, or a file: a result, or any file whose content the store
    /// knows.
    artifact: String,
    #[command(flatten)]
    store: StoreOptions,
    /// Shows who used it, too, however far.
    #[arg(long)]
    down: bool,
    /// In which form.
    #[arg(long, value_enum, default_value = "tree")]
    format: Format,
    /// Prints JSON: every action once, by key, with its whole manifest.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    /// A tree for people.
    Tree,
    /// Graphviz.
    Dot,
    /// Mermaid, which Markdown pages show.
    Mermaid,
    /// A picture.
    Svg,
}

/// The tree goes from the artifact back to source files, and ahead to what nothing used.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let records = read_records(&store)?;
    let graph = Graph::of(records);
    let (key, port) = locate_on_record(records, &arguments.artifact)?;
    let (key, port) = (&key, port.as_str());
    let artifact = records.node(key).and_then(|node| node.names.get(port)).copied();
    let artifact =
        artifact.ok_or_else(|| Failure::new(format!("the action {key} has no output `{port}`")))?;
    if arguments.json {
        println!("{:#}", tree::as_json(records, &graph, key, port, arguments.down)?);
        return Ok(());
    }
    if arguments.format == Format::Tree {
        print!("{}", tree::ancestry(records, &graph, key, port)?);
        if arguments.down {
            print!("\n{}", tree::consequences(records, &graph, &artifact)?);
        }
        return Ok(());
    }
    let mut keys = graph.ancestry(key);
    if arguments.down {
        let ahead = graph.consequences(&artifact).into_iter();
        let ahead: Vec<_> = ahead.filter(|key| !keys.contains(key)).collect();
        keys.extend(ahead);
    }
    let drawing = drawing(records, &graph, &keys, key);
    print!(
        "{}",
        match arguments.format {
            Format::Dot => drawing.dot(),
            Format::Mermaid => drawing.mermaid(),
            Format::Tree | Format::Svg => drawing.svg(),
        }
    );
    Ok(())
}
