//! The figures, and what is printed.

use serde_json::Value;

use crate::deviations::{DEVIATIONS, Deviation};
use crate::groups::{GROUPS, check};
use crate::vectors::Rows;
use crate::verdict::{Verdict, refuses};

/// How the rows of one group fared.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) total: usize,
    pub(crate) passed: usize,
    /// The rows that differ under a rule: their names, and the rule's.
    pub(crate) deviating: Vec<(String, &'static str, String)>,
    pub(crate) failed: Vec<(String, String)>,
    pub(crate) not_implemented: usize,
}

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) groups: Vec<Group>,
}

impl Report {
    pub(crate) fn of(rows: &Rows) -> Self {
        let place = |name: &str| GROUPS.iter().position(|(known, _)| *known == name);
        let mut groups: Vec<_> = rows.iter().map(|(name, rows)| run(name, rows)).collect();
        groups.sort_by_key(|group| place(&group.name).unwrap_or(usize::MAX));
        Self { groups }
    }

    pub(crate) fn failures(&self) -> usize {
        self.groups.iter().map(|group| group.failed.len()).sum()
    }

    /// The sum of one figure over all groups.
    pub(crate) fn sum(&self, figure: impl Fn(&Group) -> usize) -> usize {
        self.groups.iter().map(figure).sum()
    }

    pub(crate) fn print(&self) {
        for group in &self.groups {
            for (row, rule, detail) in &group.deviating {
                println!("deviates  {} {row}: {rule}: {detail}", group.name);
            }
        }
        for group in &self.groups {
            for (row, detail) in &group.failed {
                println!("FAILED    {} {row}: {detail}", group.name);
            }
        }
        println!();
        for group in &self.groups {
            println!("{}: {}/{}{}", group.name, group.passed, group.total, group.remarks());
        }
        let waiting: Vec<_> = self
            .groups
            .iter()
            .filter(|group| group.not_implemented > 0)
            .map(|g| &*g.name)
            .collect();
        if !waiting.is_empty() {
            println!("not implemented yet: {}", waiting.join(", "));
        }
        println!(
            "total: {}/{} passed, {} deviate under a rule, {} failed, {} not implemented",
            self.sum(|group| group.passed),
            self.sum(|group| group.total),
            self.sum(|group| group.deviating.len()),
            self.failures(),
            self.sum(|group| group.not_implemented),
        );
    }
}

impl Group {
    fn remarks(&self) -> String {
        let mut remarks = Vec::new();
        for (count, what) in [
            (self.deviating.len(), "deviate"),
            (self.failed.len(), "FAILED"),
            (self.not_implemented, "not implemented"),
        ] {
            if count > 0 {
                remarks.push(format!("{count} {what}"));
            }
        }
        if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join(", ")) }
    }
}

fn run(name: &str, rows: &[Value]) -> Group {
    let mut group = Group { name: name.to_owned(), total: rows.len(), ..Group::default() };
    for row in rows {
        let id = row["id"].as_str().unwrap_or("?").to_owned();
        match check(name)(row) {
            Verdict::Pass => group.passed += 1,
            Verdict::NotImplemented => group.not_implemented += 1,
            Verdict::Differs(how) => {
                let excused = |deviation: &&Deviation| {
                    // Nothing that is refused there gets in here, but for the rules that say so.
                    let lets_in = how.accepted && refuses(&row["expected"]);
                    deviation.aspects.contains(&how.aspect)
                        && (deviation.lets_in || !lets_in)
                        && (deviation.applies)(name, row)
                };
                match DEVIATIONS.iter().find(excused) {
                    Some(rule) => group.deviating.push((id, rule.name, how.detail)),
                    None => group.failed.push((id, format!("{:?}: {}", how.aspect, how.detail))),
                }
            }
        }
    }
    group
}
