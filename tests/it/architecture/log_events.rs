//! The table of log events in `docs/operations.md` against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::architecture::sources;

type Events = BTreeMap<String, BTreeSet<String>>;

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The events of a source with their levels, and the number of log calls without one.
fn events(source: &str) -> (Events, usize) {
    let (mut events, mut nameless) = (Events::new(), 0);
    for call in source.split("tracing::").skip(1) {
        let Some(level) = LEVELS.iter().find(|level| call.starts_with(&format!("{level}!(")))
        else {
            continue;
        };
        match call.split_once("event = \"").and_then(|(_, rest)| rest.split_once('"')) {
            Some((name, _)) => {
                events.entry(name.to_owned()).or_default().insert(level.to_uppercase());
            }
            None => nameless += 1,
        }
    }
    (events, nameless)
}

/// The rows of the table: event and levels.
fn table(page: &str) -> Events {
    let (_, section) = page.split_once("\n## Log events\n").expect("the section");
    let section = section.split("\n## ").next().expect("split has a first part");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `clerk."));
    rows.filter_map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next()?.trim_end_matches('`');
        let levels = cells.next()?.split(", ").map(str::to_owned).collect();
        let explained = cells.clone().count() == 2 && cells.all(|cell| cell.len() > 5);
        assert!(explained, "clerk.{name} needs a meaning and what to do");
        Some((format!("clerk.{name}"), levels))
    })
    .collect()
}

#[test]
fn every_log_event_has_its_row_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "crates"].map(|folder| root.join(folder)) {
        if folder.is_dir() {
            sources(&folder, "", &mut found);
        }
    }
    let mut logged = Events::new();
    for (path, source) in &found {
        let (events, nameless) = events(source);
        assert_eq!(nameless, 0, "{path}: a log call has no `event = \"clerk.…\"`");
        for (name, levels) in events {
            logged.entry(name).or_default().extend(levels);
        }
    }
    let page = fs::read_to_string(root.join("docs/operations.md")).expect("the page");
    let table = table(&page);
    let missing: Vec<_> = logged.iter().filter(|(name, _)| !table.contains_key(*name)).collect();
    assert!(missing.is_empty(), "add to the table in docs/operations.md: {missing:?}");
    let gone: Vec<_> = table.keys().filter(|name| !logged.contains_key(*name)).collect();
    assert!(gone.is_empty(), "remove from the table in docs/operations.md: {gone:?}");
    assert_eq!(table, logged, "the levels differ");
}

#[test]
fn events_are_read_from_every_form_of_a_log_call() {
    let source = r#"
        tracing::warn!(event = "clerk.one", %error, "text");
        tracing::info!(
            target: TARGET,
            event = "clerk.two",
        );
        tracing::error!("no name");
        use tracing::Level;
        tracing::info!(event = "clerk.one");
    "#;
    let (events, nameless) = events(source);
    assert_eq!(nameless, 1);
    assert_eq!(events["clerk.one"], ["INFO", "WARN"].map(str::to_owned).into());
    assert_eq!(events["clerk.two"], ["INFO"].map(str::to_owned).into());
}
