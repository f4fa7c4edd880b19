//! `diff`: why two artifacts, runs or variants differ.

use clap::Args;
use dermflow_lineage::diff::{Change, Difference, Side};
use dermflow_lineage::{Graph, Records};

use crate::exit::{Done, Failure};
use crate::lookup::locate_on_record;
use crate::options::{StoreOptions, read_records};
use crate::text;

/// Compares two artifacts, runs (by their journals' names) or variants (by their names; `base` is
/// the pipeline itself): the first manifests that differ, parameter by parameter and input by
/// input, and figures side by side.
#[derive(Args)]
pub struct Arguments {
    /// The first.
    a: String,
    /// The second.
    b: String,
    #[command(flatten)]
    store: StoreOptions,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Figures that are shown where all are alike.
const MOST_ALIKE: usize = 12;

/// Both must be of one sort.
pub fn run(arguments: &Arguments) -> Done {
    let store = arguments.store.open_existing()?;
    let records = read_records(&store)?;
    let sides = [&arguments.a, &arguments.b].map(|name| side(records, name));
    let [one, other] = sides;
    let (one, other) = (one?, other?);
    if one.port.is_some() != other.port.is_some() {
        return Err(Failure::new(format!(
            "`{}` and `{}` can't be compared: one is an artifact, the other a run or variant",
            arguments.a, arguments.b
        )));
    }
    let graph = Graph::of(records);
    let difference = Difference::of(records, &graph, [&one, &other])?;
    if arguments.json {
        println!("{:#}", serde_json::json!(difference));
        return Ok(());
    }
    tell(&difference);
    Ok(())
}

fn side(records: &Records, name: &str) -> Result<Side, Failure> {
    if let Some(side) = Side::run(records, name).or_else(|| Side::variant(records, name)) {
        return Ok(side);
    }
    let (key, port) = locate_on_record(records, name)?;
    Ok(Side::artifact(name, key, &port))
}

fn tell(difference: &Difference) {
    let [a, b] = &difference.sides;
    match difference.same {
        true => println!("{a} and {b} hold the same"),
        false => println!("{a} and {b} differ"),
    }
    for pair in &difference.pairs {
        let short = |key: &Option<dermflow_core::Key>| key.map_or(String::new(), |key| key.digest().short());
        let sort = if pair.cause { "differs" } else { "follows" };
        println!(
            "{sort}  {}  {} -> {}",
            pair.stage,
            short(&pair.from),
            short(&pair.to)
        );
        for Change { what, from, to } in &pair.changes {
            let show = |side: &Option<String>| side.clone().unwrap_or_else(|| "(absent)".to_string());
            println!("         {what}: {} -> {}", show(from), show(to));
        }
    }
    for one in &difference.unmatched {
        println!("alone    {one}");
    }
    let differs = |at: &usize| {
        let figure = &difference.figures[*at];
        figure.from != figure.to
    };
    let shown = (0..difference.figures.len()).filter(|at| differs(at) || *at < MOST_ALIKE);
    let rows: Vec<Vec<String>> = shown
        .map(|at| {
            let figure = &difference.figures[at];
            let show = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.6}"));
            let change = figure
                .from
                .zip(figure.to)
                .map(|(from, to)| format!("{:+.6}", to - from));
            vec![
                figure.stage.clone(),
                figure.name.clone(),
                show(figure.from),
                show(figure.to),
                change.unwrap_or_default(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        print!("\n{}", text::table(&["stage", "figure", a, b, "change"], &rows));
    }
}
