//! How a benchmark here is timed, and values to time on.
//!
//! A benchmark is a program that times a few closures and prints a line for each, so that a
//! change of the engine can be judged within seconds. Comparisons with other tools go through
//! the program as users run it, and lie in `peers/`. Must not know of any crate above
//! `dermflow-core`.
//!
//! ```
//! let taken = dermflow_benches::median(3, || (), |()| std::hint::black_box(1 + 1));
//! assert!(taken < std::time::Duration::from_secs(1));
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dermflow_core::canonical::Value;
use dermflow_core::{Digest, InputDigest, Manifest};

/// Whether this is `cargo bench`. Under `cargo test --all-targets` benchmarks are started too,
/// and should only show that they start.
pub fn wanted() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The median time of `work` over `rounds` rounds. `prepare` is not timed, and neither is what
/// it takes to drop the results.
pub fn median<P, R>(rounds: usize, mut prepare: impl FnMut() -> P, mut work: impl FnMut(P) -> R) -> Duration {
    let mut taken: Vec<Duration> = Vec::with_capacity(rounds);
    let mut results = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let prepared = prepare();
        let start = Instant::now();
        results.push(work(prepared));
        taken.push(start.elapsed());
    }
    taken.sort();
    taken[taken.len() / 2]
}

/// Prints what something took, in all and for each of `count` parts.
pub fn tell(what: &str, taken: Duration, count: usize) {
    let each = taken.as_secs_f64() / count.max(1) as f64;
    println!(
        "{what:<60} {:>9.3} ms {:>10.3} us each",
        taken.as_secs_f64() * 1e3,
        each * 1e6
    );
}

/// A manifest as a stage with some parameters and two input tables has it; `number` makes it
/// unlike others.
pub fn manifest(number: u32) -> Manifest {
    let entry = |name: &str, value: Value| (name.to_string(), value);
    let columns = |port: &str| {
        let digest = |column: &str| Digest::of(format!("{port} {column} {number}").as_bytes());
        let named = ["sample_id", "label", "pixels", "probability"]
            .map(|column| (column.to_string(), digest(column)));
        vec![InputDigest::Table(BTreeMap::from(named))]
    };
    Manifest {
        kind: "benchmark".to_string(),
        version: 1,
        parameters: Value::Map(BTreeMap::from([
            entry("number", Value::Integer(number.into())),
            entry("name", Value::Text("a text of usual length".to_string())),
            entry(
                "classes",
                Value::List(
                    (0..8)
                        .map(|class| Value::Text(format!("class {class}")))
                        .collect(),
                ),
            ),
        ])),
        seed: Some(20),
        inputs: BTreeMap::from(["left", "right"].map(|port| (port.to_string(), columns(port)))),
        sources: BTreeMap::new(),
        tool: None,
        salt: None,
    }
}
