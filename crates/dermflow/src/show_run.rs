//! How a run looks: bars on a terminal, plain lines elsewhere, JSON lines where asked.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dermflow_engine::{Event, StageLabel, Summary};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::text;

/// Bytes of lines that are held back at most.
const MOST_HELD: usize = 8 << 10;

/// Takes events and shows them.
pub enum Display {
    /// One JSON object a line on standard output.
    Json,
    /// Bars on a terminal.
    Bars(Bars),
    /// Lines on standard error. Holds those of hits until something else happens.
    Lines(Mutex<String>),
}

/// A bar for every running stage, under the lines of those that are done.
pub struct Bars {
    all: MultiProgress,
    running: Mutex<BTreeMap<String, ProgressBar>>,
    total: ProgressBar,
    hits: AtomicU64,
}

impl Display {
    /// The one that fits standard error.
    pub fn new(json: bool) -> Display {
        if json {
            return Display::Json;
        }
        if !std::io::stderr().is_terminal() {
            return Display::Lines(Mutex::default());
        }
        let all = MultiProgress::new();
        let total = all.add(ProgressBar::new(0));
        total.set_style(style("{pos}/{len} stages, {msg}{elapsed_precise}"));
        Display::Bars(Bars {
            all,
            running: Mutex::default(),
            total,
            hits: AtomicU64::new(0),
        })
    }

    /// Shows an event.
    pub fn tell(&self, event: &Event) {
        match self {
            Display::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    // A reader that went away is no reason to stop computing.
                    let _ = writeln!(std::io::stdout(), "{line}");
                }
            }
            Display::Lines(held) => {
                let Some(line) = line(event) else { return };
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                held.push_str(&line);
                held.push('\n');
                // Hits come by the thousand: one by one, writing them costs more than finding them.
                let is_hit = matches!(event, Event::StageHit { .. });
                if !is_hit || held.len() > MOST_HELD {
                    let _ = std::io::stderr().write_all(held.as_bytes());
                    held.clear();
                }
            }
            Display::Bars(bars) => bars.tell(event),
        }
    }
}

impl Drop for Display {
    /// A run that ends with an error tells no end.
    fn drop(&mut self) {
        if let Display::Lines(held) = self {
            let held = held.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = std::io::stderr().write_all(held.as_bytes());
        }
    }
}

/// The templates are constants of this file, so they are right; a wrong one shows a plain bar.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Bars {
    fn tell(&self, event: &Event) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::RunStarted { stages, .. } => {
                self.total.set_length(*stages as u64);
                self.total.enable_steady_tick(Duration::from_millis(200));
            }
            Event::StageStarted { label, .. } => {
                let bar = self.all.insert_before(&self.total, ProgressBar::new_spinner());
                bar.set_style(style("  {spinner} {msg} {elapsed}"));
                bar.set_message(format!("{label} [{}]", label.kind));
                bar.enable_steady_tick(Duration::from_millis(200));
                running.insert(label.to_string(), bar);
            }
            Event::StageProgress { label, done, total } => {
                if let Some(bar) = running.get(&label.to_string()) {
                    if let Some(total) = total {
                        bar.set_length(*total);
                        bar.set_style(style(
                            "  {spinner} {msg} {bar:24} {human_pos}/{human_len} {per_sec}, {eta} left",
                        ));
                    }
                    bar.set_position(*done);
                }
            }
            Event::StageHit { .. } => {
                let hits = self.hits.fetch_add(1, Ordering::Relaxed) + 1;
                self.total.set_message(format!("{hits} of them there already, "));
                self.total.inc(1);
            }
            Event::StageExecuted { label, .. } | Event::StageFailed { label, .. } => {
                self.total.inc(1);
                if let Some(bar) = running.remove(&label.to_string()) {
                    bar.finish_and_clear();
                }
            }
            Event::RunFinished(_) => self.total.finish_and_clear(),
            _ => {}
        }
        // Hits are many and all alike: on a terminal the count stands for them.
        let shown = !matches!(event, Event::StageHit { .. } | Event::StageStarted { .. });
        if let Some(line) = line(event).filter(|_| shown) {
            let _ = self.all.println(line);
        }
    }
}

/// An event as a plain line, if it is worth one.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::RunStarted { .. } | Event::StageProgress { .. } => return None,
        Event::StageHit {
            label,
            shared: false,
            remote,
            ..
        } => format!("hit      {label}{}", if *remote { " (remote)" } else { "" }),
        Event::StageHit { label, .. } => format!("shared   {label}"),
        Event::StageStarted {
            label,
            reasons,
            partitions,
            ..
        } => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            let parts = partitions
                .map(|(all, hit)| format!(", {} of {all} partitions", all - hit))
                .unwrap_or_default();
            format!(
                "run      {label} [{}] because {}{parts}",
                label.kind,
                reasons.join("; ")
            )
        }
        Event::StageLog { label, line } => format!("         {label} | {line}"),
        Event::StageExecuted {
            label,
            seconds,
            rows_computed,
            rows_reused,
            ..
        } => {
            format!(
                "done     {label} in {}{}",
                text::seconds(*seconds),
                rows(*rows_computed, *rows_reused)
            )
        }
        Event::StageFailed { label, message, help } => failed(label, message, help.as_deref()),
        Event::StageSkipped { label } => format!("skipped  {label}"),
        Event::Nondeterminism {
            label,
            port,
            kept,
            found,
            replaced,
            ..
        } => format!(
            "WARNING  {label}: the output `{port}` came out as {} where the same action gave {} before; {}",
            found.short(),
            kept.short(),
            match *replaced {
                false => "the first stays",
                true => "the first is no longer whole, so this one takes its place",
            }
        ),
        Event::Damaged { label, message } => format!("damaged  {label}: {message}; it is made again"),
        Event::RemoteNote { message, help } => {
            let help = help
                .as_ref()
                .map(|help| format!("\n         help: {help}"))
                .unwrap_or_default();
            format!("remote   {message}{help}")
        }
        Event::RemotePushed {
            remote,
            records,
            bytes,
        } => format!(
            "remote   {} results, {}, pushed to {remote}",
            text::count(*records),
            text::bytes(*bytes)
        ),
        Event::OutputPublished { name, path } => format!("output   {name}: {path}"),
        Event::OutputRemoved { path } => format!("removed  {path}: this pipeline no longer lays it"),
        Event::RunFinished(summary) => finished(summary),
    })
}

fn rows(computed: u64, reused: u64) -> String {
    match (computed, reused) {
        (0, 0) => String::new(),
        (computed, 0) => format!(", {} rows", text::count(computed)),
        (computed, reused) => format!(
            ", {} rows computed, {} taken over",
            text::count(computed),
            text::count(reused)
        ),
    }
}

fn failed(label: &StageLabel, message: &str, help: Option<&str>) -> String {
    let help = help.map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    format!("failed   {label}: {message}{help}").replace('\n', "\n         ")
}

fn finished(summary: &Summary) -> String {
    let mut parts = vec![
        format!("{} executed", summary.executed),
        format!("{} hit", summary.hit),
    ];
    for (count, what) in [(summary.failed, "failed"), (summary.skipped, "skipped")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let interrupted = if summary.interrupted { "interrupted: " } else { "" };
    let rows = rows(summary.rows_computed, summary.rows_reused);
    format!(
        "{interrupted}{}{rows} in {}",
        parts.join(", "),
        text::seconds(summary.seconds)
    )
}
