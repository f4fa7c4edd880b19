//! A card as a Markdown page.

use std::fmt::Write;

use super::facts::list;
use super::{Card, Status};
use crate::time;

/// Letters of an answer that a checklist's table shows at most; the JSON has all.
const MOST_LETTERS: usize = 600;

/// The page.
pub(super) fn page(card: &Card) -> String {
    let mut out = format!("# Model card: {}\n\n{}\n\n", cell(&card.name), card.statement);
    // Writing to a string can't fail, here and below.
    _ = writeln!(
        out,
        "**Not for diagnosis.** Intended use, users and limits: *needs the author.*\n"
    );
    if card.trained_on_forgotten {
        _ = writeln!(
            out,
            "> **Trained on samples that were forgotten since.** A run of the pipeline trains one without them.\n"
        );
    }
    model(&mut out, card);
    training(&mut out, card);
    metrics(&mut out, card);
    evidence(&mut out, card);
    data(&mut out, card);
    checklists(&mut out, card);
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('\n', "<br>")
        .replace('<', "&lt;")
        .replace("&lt;br>", "<br>")
}

fn table(out: &mut String, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    _ = writeln!(
        out,
        "| {} |\n|{}",
        headings.join(" | "),
        "---|".repeat(headings.len())
    );
    for row in rows {
        let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
        _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push('\n');
}

fn pair(name: &str, value: impl Into<String>) -> Vec<String> {
    vec![name.to_string(), value.into()]
}

fn model(out: &mut String, card: &Card) {
    out.push_str("## Model\n\n");
    let Some(network) = &card.network else {
        out.push_str("The model's file is not in the store any more.\n\n");
        return;
    };
    let rows = [
        pair("network", format!("{} ({})", network.name, network.task)),
        pair("parameters", network.parameters.to_string()),
        pair("multiply-adds", network.multiply_adds.to_string()),
        pair(
            "input",
            format!("{} x {} pixels", network.input[0], network.input[1]),
        ),
        pair("preprocessing", network.preprocessing.to_string()),
        pair("classes", network.classes.join(", ")),
    ];
    table(out, &["", ""], rows);
}

fn training(out: &mut String, card: &Card) {
    let training = &card.training;
    out.push_str("## Training\n\n");
    let mut rows = vec![
        pair("stage", format!("{} ({})", training.stage, training.kind)),
        pair(
            "seed",
            training.seed.map_or("none".to_string(), |seed| seed.to_string()),
        ),
        pair("began", training.started.clone()),
        pair("took", time::seconds(training.seconds)),
        pair("machine", training.host.clone()),
        pair("program", training.program.clone()),
        pair(
            "energy",
            training
                .energy_joules
                .map_or("not measured".to_string(), |joules| format!("{joules:.0} J")),
        ),
        pair("parameters", training.parameters.to_string()),
    ];
    rows.extend(
        training
            .inputs
            .iter()
            .map(|(port, from)| pair(&format!("input `{port}`"), from.join(", "))),
    );
    rows.extend(
        training
            .figures
            .iter()
            .map(|(name, value)| pair(name, value.to_string())),
    );
    table(out, &["", ""], rows);
}

fn metrics(out: &mut String, card: &Card) {
    out.push_str("## Metrics\n\n");
    if card.metrics.is_empty() {
        out.push_str("No evaluation of this model is on record.\n\n");
        return;
    }
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
    let rows = card.metrics.iter().map(|metric| {
        vec![
            metric.stage.clone(),
            metric.fold.clone().unwrap_or_else(|| "all".to_string()),
            metric.name.clone(),
            metric.class.clone().unwrap_or_default(),
            metric.slice.clone().unwrap_or_default(),
            number(Some(metric.value)),
            number(metric.low),
            number(metric.high),
            metric.n.map_or(String::new(), |n| n.to_string()),
        ]
    });
    let headings = [
        "stage", "fold", "figure", "class", "slice", "value", "low", "high", "n",
    ];
    table(out, &headings, rows);
}

fn evidence(out: &mut String, card: &Card) {
    let evidence = &card.evidence;
    out.push_str("## What to check it by\n\n");
    let rows = [
        pair("model's file (`b3sum`)", evidence.model.hex()),
        pair("action", evidence.action.hex()),
        pair("record", evidence.record.hex()),
        pair(
            "newest seal",
            evidence.seal.map_or("none".to_string(), |(number, digest)| {
                format!("{number}: {digest}")
            }),
        ),
        pair("runs", evidence.runs.join(", ")),
        pair(
            "again",
            format!(
                "`dermflow reproduce {}`, `dermflow verify`",
                evidence.model.short()
            ),
        ),
    ];
    table(out, &["", ""], rows);
}

fn data(out: &mut String, card: &Card) {
    let data = &card.data;
    out.push_str("# Data card\n\n## Samples\n\n");
    let rows = data.folds.iter().map(|(fold, counts)| {
        vec![
            fold.clone(),
            counts.samples.to_string(),
            counts
                .groups
                .map_or("unknown".to_string(), |groups| groups.to_string()),
            list(&counts.classes),
        ]
    });
    table(out, &["fold", "samples", "patients or groups", "classes"], rows);
    if !data.sources.is_empty() {
        table(
            out,
            &["folder", "samples"],
            data.sources
                .iter()
                .map(|(name, count)| pair(name, count.to_string())),
        );
    }
    out.push_str("## Labels\n\n");
    for told in &data.label_provenance {
        _ = writeln!(out, "* {}", cell(told));
    }
    out.push_str("\n## Inclusions and exclusions\n\n");
    let rows = data.flow.iter().map(|flow| {
        let refusals: Vec<String> = flow
            .refusals
            .iter()
            .map(|(why, count)| format!("{count}: {why}"))
            .collect();
        vec![
            flow.stage.clone(),
            flow.kind.clone(),
            list(&flow.came),
            list(&flow.gave),
            refusals.join("\n"),
        ]
    });
    table(
        out,
        &["stage", "kind", "rows in", "rows out", "refused, and why"],
        rows,
    );
    out.push_str("## Who and what the samples are\n\n");
    let rows = data.columns.iter().map(|(name, values)| {
        let told = match (values.range, values.distinct) {
            (Some([low, middle, high]), _) => format!("{low} to {high}, median {middle}"),
            (None, Some(distinct)) if values.counts.is_empty() => format!("{distinct} different"),
            _ => list(&values.counts),
        };
        vec![
            name.clone(),
            values.table.clone(),
            values.present.to_string(),
            values.missing.to_string(),
            told,
        ]
    });
    table(out, &["column", "table", "present", "missing", "values"], rows);
    out.push_str("## Files\n\n");
    for file in &data.files {
        _ = writeln!(out, "* {}", cell(file));
    }
    out.push('\n');
}

fn checklists(out: &mut String, card: &Card) {
    out.push_str(
        "# Checklists\n\nItems are numbered as the guidelines number them, in few words of our own. *Filled* means that \
         the records say something about it; whether that is enough is for the author to judge.\n\n",
    );
    for list in &card.checklists {
        let filled = list
            .items
            .iter()
            .filter(|item| item.status == Status::Filled)
            .count();
        _ = writeln!(
            out,
            "## {} ({}): {filled} of {} filled\n\n{}\n",
            list.name,
            list.source,
            list.items.len(),
            list.checked
        );
        let rows = list.items.iter().map(|item| {
            let status = match item.status {
                Status::Filled => "filled",
                Status::NeedsTheAuthor => "**needs the author**",
                Status::NotApplicable => "not applicable",
            };
            let answer = match item.answer.char_indices().nth(MOST_LETTERS) {
                Some((end, _)) => format!("{}…", &item.answer[..end]),
                None => item.answer.clone(),
            };
            vec![
                item.number.to_string(),
                item.section.to_string(),
                item.asks.to_string(),
                status.to_string(),
                answer,
                item.found.clone(),
            ]
        });
        table(
            out,
            &["item", "section", "asks for", "", "on record", "where"],
            rows,
        );
    }
}
