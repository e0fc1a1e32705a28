//! The figures in `docs/conformance.md`.

use std::fmt::Write as _;
use std::path::Path;

use crate::deviations::DEVIATIONS;
use crate::report::Report;

const BEGIN: &str = "<!-- figures: begin -->\n";
const END: &str = "<!-- figures: end -->";

/// True when the document holds the figures of this report and a reason for every rule. With
/// `CONFORMANCE_WRITE=1` the figures are written first.
pub(crate) fn agrees(report: &Report) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
    let text = std::fs::read_to_string(&path).expect("docs/conformance.md");
    let (before, rest) = text.split_once(BEGIN).expect("where the figures begin");
    let (found, after) = rest.split_once(END).expect("where the figures end");
    let figures = figures(report);
    let mut agrees = true;
    for rule in DEVIATIONS {
        if !after.contains(&format!("**`{}`**", rule.name)) {
            println!("docs/conformance.md has no reason for the rule {}", rule.name);
            agrees = false;
        }
    }
    if found == figures {
        return agrees;
    }
    if std::env::var_os("CONFORMANCE_WRITE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{figures}{END}{after}")).expect("writable");
        return agrees;
    }
    println!("the figures in docs/conformance.md are not these; run with CONFORMANCE_WRITE=1");
    false
}

fn figures(report: &Report) -> String {
    let mut text =
        String::from("| group | rows | as recorded | under a rule | not implemented |\n");
    text.push_str("|---|---:|---:|---:|---:|\n");
    let mut line = |name: &str, figures: [usize; 4]| {
        let [total, passed, deviating, missing] = figures;
        writeln!(text, "| {name} | {total} | {passed} | {deviating} | {missing} |").expect("text");
    };
    for group in &report.groups {
        let figures = [group.total, group.passed, group.deviating.len(), group.not_implemented];
        line(&format!("`{}`", group.name), figures);
    }
    line(
        "all",
        [
            report.sum(|group| group.total),
            report.sum(|group| group.passed),
            report.sum(|group| group.deviating.len()),
            report.sum(|group| group.not_implemented),
        ],
    );
    text.push_str("\n| rule | rows |\n|---|---:|\n");
    for rule in DEVIATIONS {
        let count = report
            .sum(|group| group.deviating.iter().filter(|(_, name, _)| *name == rule.name).count());
        writeln!(text, "| `{}` | {count} |", rule.name).expect("text");
    }
    text
}
