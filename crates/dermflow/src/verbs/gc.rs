//! `gc`: frees space. Says first what would go; never touches what a kept run needs.

use std::time::Duration;

use clap::Args;
use dermflow_store::gc;
use serde_json::json;

use crate::exit::{Done, Failure};
use crate::options::{StoreOptions, mebibytes};
use crate::text;

/// Removes records and files that no kept run needs. Without --yes it only says what it would
/// remove.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    store: StoreOptions,
    /// Keeps the newest N runs.
    #[arg(long, value_name = "N")]
    keep_runs: Option<usize>,
    /// Keeps what is younger, such as `30d`, `12h`, `90m`.
    #[arg(long, value_name = "AGE", value_parser = age)]
    keep_newer: Option<Duration>,
    /// Removes the oldest until the store is at most this many MiB.
    #[arg(long, value_name = "MIB", value_parser = mebibytes)]
    max_size: Option<u64>,
    /// Really removes.
    #[arg(long)]
    yes: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no age: write a number and d, h, m or s, such as 30d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| wrong())?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// At least one rule is needed: an empty one would remove everything or nothing.
pub fn run(arguments: &Arguments) -> Done {
    let policy = gc::Policy {
        keep_runs: arguments.keep_runs,
        keep_newer_than: arguments.keep_newer,
        max_bytes: arguments.max_size,
    };
    if arguments.keep_runs.is_none() && arguments.keep_newer.is_none() && arguments.max_size.is_none() {
        return Err(Failure::new(
            "say what to keep: --keep-runs N, --keep-newer AGE or --max-size MIB",
        ));
    }
    // What lies behind it is nobody's to clean but of those who name it as the store.
    let store = arguments.store.open_alone()?;
    let plan = gc::plan(&store, policy)?;
    if arguments.json {
        println!(
            "{:#}",
            json!({"records": plan.records.len(), "blobs": plan.blobs.len(), "bytes": plan.bytes, "removed": arguments.yes})
        );
    } else {
        let what = if arguments.yes { "removing" } else { "would remove" };
        let (records, blobs) = (plan.records.len() as u64, plan.blobs.len() as u64);
        println!(
            "{what} {} records and {} blobs, {}",
            text::count(records),
            text::count(blobs),
            text::bytes(plan.bytes)
        );
    }
    if arguments.yes {
        plan.apply()?;
    } else if !arguments.json {
        println!("nothing was removed: add --yes to remove");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_and_nonsense_is_refused() {
        assert_eq!(age("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in [
            "",
            "d",
            "2",
            "2y",
            "-1d",
            "99999999999999999999d",
            "9999999999999999999d",
            "2é",
        ] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
