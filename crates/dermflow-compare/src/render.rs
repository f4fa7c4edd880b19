//! A comparison as tables of text. Must not know where they are shown.

mod gap;
mod steps;

use dermflow_stages::paired::{Difference, lower_is_better};

use crate::figures::Of;
use crate::parameters::Setting;
use crate::{Apart, Comparison, PairedDifferences};

/// A table under a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub title: String,
    /// A line or two on how to read it, empty for none.
    pub about: String,
    /// The columns.
    pub headings: Vec<String>,
    /// The rows, as long as the headings.
    pub rows: Vec<Vec<String>>,
}

/// The longest text of a value.
const LONGEST: usize = 60;

/// The tables that there is something to tell in.
pub fn sections(comparison: &Comparison) -> Vec<Section> {
    let mut all = vec![groups(comparison)];
    if !comparison.parameters.is_empty() {
        all.push(parameters(comparison));
    }
    let mut stages: Vec<&str> = comparison
        .figures
        .iter()
        .map(|figure| figure.stage.as_str())
        .collect();
    stages.dedup();
    all.extend(stages.into_iter().map(|stage| figures(comparison, stage)));
    if let Some(of) = &comparison.gap {
        all.extend(gap::sections(comparison, of));
    }
    for paired in &comparison.paired {
        all.extend(
            paired
                .groups
                .iter()
                .map(|apart| differences(comparison, paired, apart)),
        );
    }
    all.extend(steps::sections(comparison));
    all.retain(|section| !section.rows.is_empty());
    all
}

/// Sections as Markdown.
pub fn markdown(sections: &[Section]) -> String {
    let escaped = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = String::new();
    for section in sections {
        text += &format!("## {}\n\n", section.title);
        if !section.about.is_empty() {
            text += &format!("{}\n\n", section.about);
        }
        text += &line(section.headings.iter().map(escaped).collect());
        text += &line(section.headings.iter().map(|_| "---".to_string()).collect());
        for row in &section.rows {
            text += &line(row.iter().map(escaped).collect());
        }
        text.push('\n');
    }
    text
}

fn labels(comparison: &Comparison) -> impl Iterator<Item = String> {
    comparison.groups.iter().map(|group| group.label.clone())
}

fn groups(comparison: &Comparison) -> Section {
    let rows = comparison.groups.iter().map(|group| {
        let mut seeds: Vec<String> = group
            .members
            .iter()
            .filter_map(|member| member.seed.map(|seed| seed.to_string()))
            .collect();
        seeds.dedup();
        let mut runs: Vec<&str> = group.members.iter().map(|member| member.run.as_str()).collect();
        runs.dedup();
        vec![
            group.label.clone(),
            group.members.len().to_string(),
            seeds.join(", "),
            format!("{:.1}", group.seconds),
            runs.join(", "),
        ]
    });
    Section {
        title: "What is compared".to_string(),
        about: "The first is the baseline. Seconds are those that making all results of a cell took, whenever that was."
            .to_string(),
        headings: ["", "cells", "seeds", "seconds", "run"].map(str::to_string).to_vec(),
        rows: rows.collect(),
    }
}

fn parameters(comparison: &Comparison) -> Section {
    let shown = |setting: &Setting| match setting {
        Setting::Absent => "-".to_string(),
        Setting::Is(serde_json::Value::String(text)) => shortened(text),
        Setting::Is(value) => shortened(&value.to_string()),
    };
    let rows = comparison.parameters.iter().map(|differing| {
        std::iter::once(differing.path.clone())
            .chain(differing.values.iter().map(shown))
            .collect()
    });
    Section {
        title: "Parameters that differ".to_string(),
        about: String::new(),
        headings: std::iter::once("parameter".to_string())
            .chain(labels(comparison))
            .collect(),
        rows: rows.collect(),
    }
}

fn figures(comparison: &Comparison, stage: &str) -> Section {
    let of_stage = comparison.figures.iter().filter(|figure| figure.stage == stage);
    let rows = of_stage.map(|figure| {
        let name = figure_name(&figure.name, [&figure.class, &figure.slice]);
        let cells = figure
            .groups
            .iter()
            .map(|of| of.as_ref().map_or("-".to_string(), told));
        std::iter::once(name).chain(cells).collect()
    });
    let several = comparison.groups.iter().any(|group| group.members.len() > 1);
    Section {
        title: format!("Figures of `{stage}`"),
        about: match several {
            true => "Mean ± standard deviation over seeds; in brackets, the interval over samples of a single cell.",
            false => "In brackets, the interval over samples.",
        }
        .to_string(),
        headings: std::iter::once("figure".to_string()).chain(labels(comparison)).collect(),
        rows: rows.collect(),
    }
}

/// A figure's name, with the class and the slice that it is of.
fn figure_name(name: &str, of: [&Option<String>; 2]) -> String {
    let of = of.into_iter().flatten().map(String::as_str);
    std::iter::once(name).chain(of).collect::<Vec<_>>().join(", ")
}

fn differences(comparison: &Comparison, paired: &PairedDifferences, apart: &Apart) -> Section {
    let [baseline, group] = [0, apart.group].map(|place| comparison.groups[place].label.clone());
    let found = &apart.found;
    let seeds: Vec<String> = apart.seeds.iter().flatten().map(u64::to_string).collect();
    let mut about = format!("On {} samples that both judged", found.samples);
    for remark in &found.remarks {
        about += &format!("; {remark}");
    }
    match (found.pairs, seeds.is_empty()) {
        (1, _) => {
            let [first, second] = found.only_one_right;
            about += &format!(
                ". Only `{baseline}` is right about {first} of them, only `{group}` about {second} (McNemar's test: p = {})",
                probability(found.mcnemar)
            );
        }
        (_, false) => about += &format!(", over the seeds {}", seeds.join(", ")),
        (pairs, true) => about += &format!(", over {pairs} pairs"),
    }
    about += ".";
    let over_pairs = found.pairs > 1;
    let row = |(difference, holm): (&Difference, &Option<f64>)| {
        let mut row = vec![
            difference.name.clone(),
            number(difference.first),
            number(difference.second),
            signed(difference.difference),
            difference.over_samples.map_or("-".to_string(), interval),
        ];
        if over_pairs {
            row.push(difference.over_pairs.map_or("-".to_string(), interval));
        }
        let widest = difference.over_pairs.or(difference.over_samples);
        row.push(holm.map_or("-".to_string(), probability));
        row.push(verdict(difference, widest));
        row
    };
    let mut headings = vec!["figure", &baseline, &group, "difference", "over samples"];
    if over_pairs {
        headings.push("over samples and seeds");
    }
    headings.extend(["p (Holm)", ""]);
    Section {
        title: format!("`{group}` less `{baseline}`, as `{}` judges them", paired.stage),
        about,
        headings: headings.into_iter().map(str::to_string).collect(),
        rows: found.differences.iter().zip(&apart.holm).map(row).collect(),
    }
}

/// Better or worse where the interval leaves out zero.
fn verdict(difference: &Difference, interval: Option<(f64, f64)>) -> String {
    let sign = match interval {
        Some((low, _)) if low > 0.0 => 1.0,
        Some((_, high)) if high < 0.0 => -1.0,
        _ => return String::new(),
    };
    match (sign > 0.0) != lower_is_better(&difference.name) {
        true => "better".to_string(),
        false => "worse".to_string(),
    }
}

fn told(of: &Of) -> String {
    match (of.deviation, of.interval) {
        (Some(0.0), _) => number(of.value),
        (Some(deviation), _) => format!("{} ± {}", number(of.value), number(deviation)),
        (None, Some(ends)) => format!("{} {}", number(of.value), interval(ends)),
        (None, None) => number(of.value),
    }
}

/// Whole numbers as they are, others to four digits after the point, large ones to fewer.
fn number(value: f64) -> String {
    match value {
        value if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
        value if value.abs() >= 1000.0 => format!("{value:.1}"),
        value => format!("{value:.4}"),
    }
}

fn signed(value: f64) -> String {
    format!("{value:+.4}")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn percent_interval((low, high): (f64, f64)) -> String {
    format!("[{}, {}]", percent(low), percent(high))
}

fn interval((low, high): (f64, f64)) -> String {
    format!("[{}, {}]", number(low), number(high))
}

fn probability(p: f64) -> String {
    match p < 0.001 {
        true => "< 0.001".to_string(),
        false => format!("{p:.3}"),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_loss_is_better_and_an_interval_around_zero_says_nothing() {
        let of = |name: &str, ends: (f64, f64)| {
            let difference = Difference {
                name: name.to_string(),
                first: 0.0,
                second: 0.0,
                difference: 0.0,
                over_samples: Some(ends),
                over_pairs: None,
                p: None,
            };
            verdict(&difference, difference.over_samples)
        };
        assert_eq!(of("accuracy", (0.01, 0.1)), "better");
        assert_eq!(of("log-loss", (0.01, 0.1)), "worse");
        assert_eq!(of("log-loss", (-0.2, -0.1)), "better");
        assert_eq!(of("accuracy", (-0.01, 0.1)), "");
    }

    #[test]
    fn markdown_has_a_table_a_section_and_no_loose_bars() {
        let section = Section {
            title: "Title".to_string(),
            about: String::new(),
            headings: vec!["a".to_string(), "b".to_string()],
            rows: vec![vec!["1|2".to_string(), "3".to_string()]],
        };
        assert_eq!(
            markdown(&[section]),
            "## Title\n\n| a | b |\n| --- | --- |\n| 1\\|2 | 3 |\n\n"
        );
    }
}
