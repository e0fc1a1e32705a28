//! The figures as Markdown, for the document and for the terminal.

use std::fmt::Write as _;

use crate::run::{Figures, Noticed};
use crate::stampede::Stampede;
use crate::suite::{Replay, Report};
use crate::targets::median_detection;

const HEAD: [&str; 14] = [
    "application",
    "known after, s",
    "should pass",
    "refused of these",
    "served, %",
    "open",
    "refused of these",
    "should be refused",
    "passed of these",
    "redirects",
    "stranded",
    "401",
    "to Clerk per s, healthy / trouble",
    "grace goes on / is over, s",
];

/// Everything.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::new();
    let mut shown = String::new();
    for replay in &report.replays {
        let name = replay.name();
        if name != shown {
            write!(text, "\n### {name}\n\n| {} |\n|", HEAD.join(" | ")).expect("text");
            text.push_str("---|");
            text.push_str(&"--:|".repeat(HEAD.len() - 1));
            text.push('\n');
            shown = name;
        }
        writeln!(text, "| {} |", row(replay).join(" | ")).expect("text");
    }
    if let Some(median) = median_detection(report) {
        writeln!(
            text,
            "\nThe median time to detect, after the first failing answer: {median:.1} s."
        )
        .expect("text");
    }
    if let Some(stampede) = &report.stampede {
        text.push_str(&after(stampede));
    }
    text.trim_start().to_owned()
}

fn row(replay: &Replay) -> [String; HEAD.len()] {
    let Figures { tally, outages, asked_healthy, asked_troubled, .. } = &replay.figures;
    let rates = [asked_healthy, asked_troubled].map(|rate| number(*rate, 2));
    [
        replay.variant.name().to_owned(),
        each(outages, |outage| number(outage.after_failure, 1)),
        (tally.in_trouble).to_string(),
        (tally.in_trouble - tally.in_trouble_served).to_string(),
        number(replay.figures.served(), 2),
        tally.open.to_string(),
        tally.open_refused.to_string(),
        tally.unwelcome.to_string(),
        tally.passes().to_string(),
        tally.redirects.to_string(),
        tally.stranded.to_string(),
        tally.unauthorized.to_string(),
        rates.join(" / "),
        each(outages, |outage| {
            format!("{} / {}", number(outage.grace_until, 0), number(outage.grace_over, 0))
        }),
    ]
}

fn each(outages: &[Noticed], show: impl Fn(&Noticed) -> String) -> String {
    let shown: Vec<String> = outages.iter().map(show).collect();
    if shown.is_empty() { "–".to_owned() } else { shown.join(", ") }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
}

fn after(stampede: &Stampede) -> String {
    let Stampede { sessions, first, last, peak, mean, handshakes, renewed, .. } = stampede;
    let (asked, refused, unauthorized) =
        (stampede.asked_peak, stampede.refused, stampede.unauthorized);
    let ratio = stampede.ratio();
    format!(
        "\n### The recovery of {sessions} sessions\n\n\
         | | |\n|---|--:|\n\
         | first and last handshake after the recovery, s | {first} – {last} |\n\
         | handshakes | {handshakes} |\n\
         | in the busiest second | {peak} |\n\
         | in an average second | {mean:.1} |\n\
         | busiest to average | {ratio:.2} |\n\
         | the application's own requests to Clerk in its busiest second | {asked} |\n\
         | pages refused | {refused} |\n\
         | of these 401 | {unauthorized} |\n\
         | sessions with a fresh token in the end | {renewed} |\n"
    )
}
