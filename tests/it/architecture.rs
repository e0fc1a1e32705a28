//! The house rules, read from the sources: a module imports only from the floors below its own, and
//! the lower floors neither wait, lock, read a clock nor do I/O.
//!
//! The reader knows Rust as rustfmt leaves it, no more. Comments and `#[cfg(test)]` parts are free.

use std::fs;
use std::path::Path;

/// Who may import whom: a module sees the rows above its own row in this table.
const FLOORS: [&[&str]; 14] = [
    &["clock"],
    &["access", "config_error", "error", "id", "json", "key", "origin", "transport"],
    &[
        "health",
        "jwks",
        "profile",
        "proof",
        "revocation",
        "seal",
        "status_page",
        "token",
        "webhook_signature",
    ],
    &[
        "handshake",
        "machine",
        "policy",
        "reconcile",
        "snapshot",
        "ticket",
        "verify",
        "webhook_event",
    ],
    &["authenticate", "decide"],
    &["audit", "fetch", "probe", "respond", "store"],
    &["engine"],
    &["outcome"],
    &["extract", "guard", "health_route", "middleware", "sign_out", "webhook"],
    // The face of the crate, in three steps so that it has no circles either.
    &["config"],
    &["doctor", "resilience"],
    &["sim"],
    &["sim_layer"],
    &["lib"],
];

/// The simulated Clerk stands outside the house: it sees these floors, and only `sim_layer` and `lib`
/// may name it.
const SIM_SEES: usize = 3;

/// Floors on which everything is values in, values out.
const PURE: usize = 5;
const IMPURE: [&str; 9] = [
    ".await",
    "Instant::now",
    "Mutex",
    "RwLock",
    "SystemTime",
    "async fn",
    "std::fs",
    "std::net",
    "tokio::",
];
/// The one place below where a clock is read.
const CLOCK: (&str, [&str; 2]) = ("clock", ["Instant::now", "SystemTime"]);

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// What is wrong with a file, given by its path below `src` and its text.
fn faults(path: &str, source: &str) -> Vec<String> {
    let modules: Vec<&str> =
        path.trim_end_matches(".rs").split('/').filter(|name| *name != "mod").collect();
    let Some(own) = floor(modules[0]) else {
        return vec![format!("{path}: place `{}` on a floor in FLOORS", modules[0])];
    };
    let sees = if modules[0] == "sim" { SIM_SEES } else { own };
    let code = code(source);
    let mut faults = Vec::new();
    for name in roots(&code) {
        // What is not a module is an item of the crate's root.
        let target = floor(name).unwrap_or(FLOORS.len());
        if name != modules[0] && target >= sees {
            faults.push(format!("{path}: `crate::{name}` is not on a floor below"));
        }
    }
    let escape = "super::".repeat(modules.len());
    if modules[0] != "lib" && code.contains(&escape) {
        faults.push(format!("{path}: `{escape}` leaves the module; say `crate::`"));
    }
    let excused = |word| modules == [CLOCK.0] && CLOCK.1.contains(word);
    if own < PURE {
        for word in IMPURE.iter().filter(|word| code.contains(**word) && !excused(word)) {
            faults.push(format!("{path}: `{word}` on floor {own}, which is pure"));
        }
    }
    faults
}

/// The source without comments and without the items under `#[cfg(test)]`.
fn code(source: &str) -> String {
    let mut code = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let end = line.replace("#[cfg(test)]", "}");
            let item = lines.find(|line| !line.trim_start().starts_with("#[")).unwrap_or_default();
            if item.ends_with('{') {
                lines.find(|line| *line == end);
            }
        } else if !line.trim_start().starts_with("//") {
            code.push_str(line.split(" // ").next().unwrap_or_default());
            code.push('\n');
        }
    }
    code
}

/// The first names after `crate::`, those of a braced group one by one.
fn roots(code: &str) -> Vec<&str> {
    let first = |path: &str| path.find(|c: char| c != '_' && !c.is_alphanumeric());
    let mut roots = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            roots.push(&rest[..first(rest).unwrap_or(rest.len())]);
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    let path = group[start..at].trim();
                    roots.push(&path[..first(path).unwrap_or(path.len())]);
                    start = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        roots.retain(|name| !name.is_empty());
    }
    roots
}

/// Every `.rs` file below, as its path from `src` and its text; the binaries and the files of tests
/// are not part of the house.
pub(crate) fn sources(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("an entry of the sources").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        let below = format!("{prefix}{name}");
        if below == "bin" || below == "main.rs" || below.ends_with("/tests.rs") {
        } else if path.is_dir() {
            sources(&path, &format!("{below}/"), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((below, fs::read_to_string(&path).expect("a readable source")));
        }
    }
}

#[test]
fn every_module_keeps_to_its_floor() {
    let mut found = Vec::new();
    for folder in ["src", "crates/clerk-verify/src"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut found);
    }
    assert!(found.iter().any(|(path, _)| path == "lib.rs"), "the sources were not found");
    let faults: Vec<_> = found.iter().flat_map(|(path, source)| faults(path, source)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn imports_from_below_and_from_within_are_allowed() {
    let rows = [
        ("snapshot.rs", "use crate::jwks::KeySet;\nuse crate::{clock::Moment, health::{A, B}};"),
        ("token/claims.rs", "use super::Token;\nuse crate::token::verify;\nuse crate::id::UserId;"),
        ("token/mod.rs", "mod claims;\npub use claims::Claims;"),
        ("engine/driver.rs", "pub async fn run() { tokio::spawn(f()).await; Mutex::new(()); }"),
        ("resilience/builder.rs", "use crate::config::ClerkConfig;\nuse crate::engine::Driver;"),
        ("sim/mod.rs", "use crate::transport::Call;\nuse crate::jwks::KeySet;"),
        ("sim_layer.rs", "use crate::resilience::Builder;\nuse crate::sim::SimClerk;"),
        ("lib.rs", "pub mod clock;\npub use crate::resilience::ClerkResilience;"),
        ("clock.rs", "fn now() { SystemTime::now(); Instant::now(); }"),
        ("jwks.rs", "/// See [`crate::engine`], async fn.\nfn f() {} // `crate::decide`\n"),
        ("jwks.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::engine::D;\n}\n"),
        ("jwks.rs", "#[cfg(test)]\n#[allow(x)]\nmod tests;\n"),
    ];
    for (path, source) in rows {
        assert_eq!(faults(path, source), Vec::<String>::new(), "{path}:\n{source}");
    }
}

#[test]
fn every_way_off_a_floor_is_caught() {
    let rows = [
        ("clock.rs", "use crate::jwks::KeySet;", "`crate::jwks`"),
        ("jwks.rs", "use crate::health::Health;", "`crate::health`"),
        ("jwks.rs", "use crate::{\n    clock::Moment,\n    engine::Driver,\n};", "`crate::engine`"),
        ("jwks.rs", "use crate::{clock::{A, B}, decide};", "`crate::decide`"),
        ("decide.rs", "fn f() -> crate::Auth { todo() }", "`crate::Auth`"),
        ("engine/driver.rs", "use crate::middleware::Layer;", "`crate::middleware`"),
        ("probe/jwks.rs", "use crate::fetch::Http;", "`crate::fetch`"),
        ("config.rs", "use crate::resilience::Builder;", "`crate::resilience`"),
        ("sim/mod.rs", "use crate::snapshot::Snapshot;", "`crate::snapshot`"),
        ("sim/mod.rs", "use crate::sim_layer::SimClerkExt;", "`crate::sim_layer`"),
        ("resilience/mod.rs", "use crate::sim::SimClerk;", "`crate::sim`"),
        ("clock.rs", "use super::jwks::KeySet;", "`super::`"),
        ("token/mod.rs", "use super::decide;", "`super::`"),
        ("token/claims.rs", "use super::super::decide;", "`super::super::`"),
        ("health/mod.rs", "async fn f() {}", "`async fn`"),
        ("decide.rs", "fn f() { let _ = std::fs::read(p); }", "`std::fs`"),
        ("token/verify.rs", "fn f() { SystemTime::now(); }", "`SystemTime`"),
        ("clock.rs", "static LOCK: Mutex<()> = Mutex::new(());", "`Mutex`"),
        ("jwks.rs", "#[cfg(test)]\nmod tests {\n    f();\n}\nfn g() { h().await }", "`.await`"),
        ("jwks.rs", "#[cfg(test)]\nuse a::b;\nuse crate::engine::D;\n", "`crate::engine`"),
        ("helper.rs", "", "place `helper`"),
        ("helper/mod.rs", "use crate::clock::Clock;", "place `helper`"),
    ];
    for (path, source, fault) in rows {
        let faults = faults(path, source);
        assert!(faults.len() == 1 && faults[0].contains(fault), "{path}:\n{source}\n{faults:?}");
    }
}
