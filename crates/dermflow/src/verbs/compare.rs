//! `compare`: runs, variants and matrix cells side by side.

use clap::Args;
use dermflow_compare::{Asked, compare, markdown, sections};
use dermflow_stages::Bootstrap;

use crate::exit::{Done, Failure};
use crate::options::StoreOptions;
use crate::text;

/// Sets runs, variants and matrix cells side by side: parameters that differ, figures, differences
/// on the same samples with their intervals, when each training first has the score that the
/// baseline's ends with, and time.
///
/// A name is a cell (`base`, a variant, `matrix[prior=0,seed=1]`) of the newest run that has it, a
/// matrix for all its cells, a run (`latest`, `latest~1`, the first letters of its name) for all its
/// cells, or RUN:CELL. The first is the baseline. Cells that differ only in their seed are one
/// group, whose figures are means.
#[derive(Args)]
pub struct Arguments {
    /// What to compare, the baseline first.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Figures of single classes and slices too, and those that stages report of their work
    /// though they are the same everywhere.
    #[arg(long)]
    all: bool,
    /// How much of the gap from LOW to HIGH each other group closes, score by score: 0 % where its
    /// mean over seeds is that of LOW, 100 % where it is that of HIGH. Both are among what is compared,
    /// as named here, by their cells or by the variants of a matrix: `clean-only:all-true`. Only
    /// figures that are compared sample by sample have shares; a share has an interval where that of
    /// the gap itself leaves out zero.
    #[arg(long, value_name = "LOW:HIGH")]
    gap: Option<String>,
    /// How often samples are drawn again for the intervals of differences and of shares.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    resamples: u64,
    /// How sure an interval is to hold the difference or the share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    level: f64,
    /// What the draws are made from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Prints JSON.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Prints Markdown, to be put into a report.
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    store: StoreOptions,
}

/// Notes on what could not be compared go to standard error.
pub fn run(arguments: &Arguments) -> Done {
    if !(0.5..=0.9999).contains(&arguments.level) {
        return Err(Failure::new("--level must lie between 0.5 and 0.9999"));
    }
    let store = arguments.store.open_existing()?;
    let asked = Asked {
        names: arguments.names.clone(),
        all_figures: arguments.all,
        gap: arguments.gap.clone(),
        bootstrap: Bootstrap {
            resamples: arguments.resamples,
            level: arguments.level,
        },
        seed: arguments.seed,
        threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    let comparison = compare(&store, &asked)?;
    if arguments.json {
        let shown = serde_json::to_string_pretty(&comparison);
        println!("{}", shown.map_err(|error| Failure::new(error.to_string()))?);
        return Ok(());
    }
    let sections = sections(&comparison);
    if arguments.markdown {
        print!("{}", markdown(&sections));
    } else {
        for section in &sections {
            let headings: Vec<&str> = section.headings.iter().map(String::as_str).collect();
            println!("{}", section.title);
            if !section.about.is_empty() {
                println!("{}", section.about);
            }
            println!("{}", text::table(&headings, &section.rows));
        }
    }
    for note in &comparison.notes {
        eprintln!("note: {note}");
    }
    Ok(())
}
