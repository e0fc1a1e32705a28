//! The house rules, read from the sources: a module imports only from the floors below its own, no two
//! files import each other, and the pure floors have no async, lock, clock or I/O.
//!
//! The reader knows Rust as rustfmt formats it, no more. Comments and `#[cfg(test)]` parts are free.

mod log_events;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Who may import whom: a module sees the rows above its own row in this table. A module that is not named
/// belongs to the one that it lies in.
const FLOORS: [&[&str]; 12] = [
    &["state/json", "http/origin"],
    &["state/health", "state/profile", "state/revocation", "state/seal", "state/status_page"],
    &[
        "state",
        "decide/policy",
        "state/reconcile",
        "state/snapshot",
        "state/ticket",
        "state/webhook_event",
    ],
    &["decide"],
    &["audit", "fetch", "probe", "http/response", "status", "store"],
    &["engine"],
    &["http/outcome"],
    &[
        "http",
        "http/extract",
        "http/routes/health",
        "http/layer",
        "http/routes/sign_out",
        "http/routes/webhooks",
    ],
    &["config"],
    &["doctor", "resilience"],
    &["sim_layer"],
    &["lib"],
];

/// Floors on which everything is values in, values out.
const PURE: usize = 4;
/// A package that is pure as a whole.
const PURE_PACKAGE: &str = "crates/clerk-verify/src";
const PACKAGES: [&str; 3] = ["src", PURE_PACKAGE, "crates/clerk-sim/src"];
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
/// The one file of the pure package that reads a clock.
const CLOCK: (&str, [&str; 2]) = ("clock.rs", ["Instant::now", "SystemTime"]);

/// Files of one folder that import each other, to be untied. None may be added.
const CIRCLES: &[&[&str]] = &[
    &[
        "decide",
        "decide/auth",
        "decide/grace",
        "decide/machine",
        "decide/question",
        "decide/rejection",
        "decide/revoked",
    ],
    &[
        "engine/backend",
        "engine/backend/machine",
        "engine/backend/nonce",
        "engine/backend/refresh",
        "engine/backend/user",
        "engine/denial_queue",
        "engine/inbox",
        "engine/profiles",
        "engine/profiles/kept",
        "engine/reconcile",
        "engine/reconcile/page",
        "engine/reconcile/questions",
        "engine/reconcile/sync_task",
        "engine/shared",
        "engine/store_client",
        "engine/tickets",
    ],
    &["engine/fleet", "engine/fleet/denials", "engine/fleet/views"],
    &["engine/records/documents", "engine/records/keys", "engine/records/outages"],
    &["http/extract", "http/extract/guard"],
    &[
        "http/layer/effects",
        "http/layer/future",
        "http/layer/lease",
        "http/layer/page",
        "http/layer/service",
        "http/layer/session_refresh",
        "http/layer/unknown_key",
        "http/layer/wait",
    ],
    &[
        "probe",
        "probe/backend_api",
        "probe/egress",
        "probe/frontend_api",
        "probe/jwks",
        "probe/status_page",
    ],
    &["resilience/assemble", "resilience/builder"],
    &[
        "state/status_page",
        "state/status_page/better_stack",
        "state/status_page/incident_io",
        "state/status_page/instatus",
        "state/status_page/statuspage",
    ],
    &["store/fleet", "store/inbox", "store/sighting"],
    &["store/memory", "store/memory/gathering"],
    &["store/redis", "store/redis/replicas"],
    &["store/sqlite/sightings", "store/sqlite/statements"],
    &[
        "authenticate",
        "authenticate/accepts",
        "authenticate/address",
        "authenticate/context",
        "authenticate/flow",
        "authenticate/redirect",
        "authenticate/refresh",
        "authenticate/resolve",
    ],
    &[
        "answer",
        "backend",
        "builder",
        "clerk",
        "frontend",
        "handshake",
        "machine",
        "member",
        "memory",
        "mint",
        "refresh",
        "respond",
        "session",
        "sign_in",
        "socket",
        "socket/serve",
        "state",
        "status_page",
        "token",
        "user",
    ],
];

/// `health/mod.rs` as `health`, `health/peer_registry.rs` as `health/roll`, `lib.rs` as the empty path.
fn module(path: &str) -> &str {
    let path = path.trim_end_matches(".rs");
    if path == "lib" || path == "mod" { "" } else { path.trim_end_matches("/mod") }
}

/// The floor of a module, and the name there: the longest that it lies below. What is on no floor is
/// above all of them.
fn room<'a>(floors: &[&[&str]], module: &'a str) -> (usize, &'a str) {
    let mut name = if module.is_empty() { "lib" } else { module };
    loop {
        if let Some(row) = floors.iter().position(|modules| modules.contains(&name)) {
            return (row, name);
        }
        match name.rsplit_once('/') {
            Some((above, _)) => name = above,
            None => return (floors.len(), module),
        }
    }
}

/// What is wrong with a file, given by its path below `src` and its text.
fn faults(floors: &[&[&str]], pure: usize, path: &str, source: &str) -> Vec<String> {
    let (own, name) = room(floors, module(path));
    if own == floors.len() {
        return vec![format!("{path}: place `{name}` on a floor in FLOORS")];
    }
    let code = code(source);
    let mut faults = Vec::new();
    for import in imports(&code, module(path)) {
        let (target, import) = room(floors, &import);
        if import != name && target >= own {
            faults.push(format!("{path}: `{import}` is not on a floor below"));
        }
    }
    if own < pure {
        faults.extend(impure(path, &code));
    }
    faults
}

fn impure(path: &str, code: &str) -> Vec<String> {
    let excused = |word| path == CLOCK.0 && CLOCK.1.contains(word);
    let found = IMPURE.iter().filter(|word| code.contains(**word) && !excused(word));
    found.map(|word| format!("{path}: `{word}` on a pure floor")).collect()
}

/// The source without comments and without the items under `#[cfg(test)]`.
pub(crate) fn code(source: &str) -> String {
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

/// A path as it stands, with the names that follow: `use`d groups give one path for each leaf.
fn leaves(code: &str, at: usize) -> Vec<String> {
    let text = &code[at..];
    let end =
        text.find(|c: char| c != '_' && c != ':' && !c.is_alphanumeric()).unwrap_or(text.len());
    let head = text[..end].trim_end_matches(':');
    let (Some(prefix), Some(group)) =
        (text[..end].strip_suffix("::"), text[end..].strip_prefix('{'))
    else {
        return vec![head.replace("::", "/")];
    };
    let prefix = prefix.replace("::", "/");
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                let member = group[start..at].trim_start();
                if !member.is_empty() {
                    let inner = leaves(group, at - member.len());
                    found.extend(inner.into_iter().map(|leaf| match leaf.as_str() {
                        "self" => prefix.clone(),
                        leaf => format!("{prefix}/{leaf}"),
                    }));
                }
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    found
}

/// Every path below `crate` that a module names, those with `super` and `self` resolved.
fn imports(code: &str, module: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(word) {
            let before = code[..at].chars().next_back();
            if before.is_none_or(|c| c != ':' && c != '_' && c != '$' && !c.is_alphanumeric()) {
                let resolved = leaves(code, at).into_iter().map(|leaf| absolute(&leaf, module));
                found.extend(resolved);
            }
        }
    }
    found.retain(|path| !path.is_empty());
    found
}

/// `super/a` in `x/y` as `x/a`.
fn absolute(path: &str, module: &str) -> String {
    let mut base: Vec<&str> = module.split('/').filter(|name| !name.is_empty()).collect();
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next_if(|name| ["crate", "super", "self"].contains(name)) {
        match name {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            _ => {}
        }
    }
    base.extend(names);
    base.join("/")
}

/// The files of a package by module, with the code of each.
struct Package(BTreeMap<String, String>);

impl Package {
    fn of(files: &[(String, String)]) -> Self {
        Self(files.iter().map(|(path, text)| (module(path).to_owned(), code(text))).collect())
    }

    /// The file that defines what a path names: the longest module in it, and then what that module
    /// re-exports from a child.
    fn home(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        'follow: for _ in 0..8 {
            let mut module = path.as_str();
            while !self.0.contains_key(module) {
                module = module.rsplit_once('/').map_or("", |(above, _)| above);
            }
            let rest = path[module.len()..].trim_start_matches('/');
            let Some(name) = rest.split('/').next().filter(|name| !name.is_empty()) else {
                return Some(module.to_owned());
            };
            for leaf in self.exports(module) {
                if leaf.rsplit('/').next() == Some(name) {
                    path = leaf;
                    continue 'follow;
                }
            }
            return Some(module.to_owned());
        }
        None
    }

    /// What a module's `pub use` statements name.
    fn exports(&self, module: &str) -> Vec<String> {
        let code = &self.0[module];
        let mut found = Vec::new();
        for (at, word) in code.match_indices(" use ") {
            let line = code[..at].rsplit('\n').next().unwrap_or_default();
            if line.starts_with("pub") {
                found.extend(leaves(code, at + word.len()));
            }
        }
        found.iter().map(|leaf| Self::resolved(leaf, module)).collect()
    }

    /// A path as a `use` statement writes it: from the root, from here, or from a child.
    fn resolved(leaf: &str, module: &str) -> String {
        let first = leaf.split('/').next().unwrap_or_default();
        if ["crate", "super", "self"].contains(&first) {
            absolute(leaf, module)
        } else {
            join(module, leaf)
        }
    }

    /// The files that a file takes something from. What it re-exports it does not use.
    fn uses(&self, module: &str) -> BTreeSet<String> {
        let mut code = String::new();
        let mut exporting = false;
        for line in self.0[module].lines() {
            exporting |= line.starts_with("pub") && line.contains(" use ");
            if !exporting {
                code.push_str(line);
                code.push('\n');
            }
            exporting &= !line.ends_with(';');
        }
        let mut paths = imports(&code, module);
        for child in self.children(module) {
            let name = format!("{child}::");
            for (at, _) in code.match_indices(&name) {
                let before = code[..at].chars().next_back();
                if before.is_none_or(|c| c != ':' && c != '_' && !c.is_alphanumeric()) {
                    paths.extend(leaves(&code, at).iter().map(|leaf| join(module, leaf)));
                }
            }
        }
        let homes = paths.iter().filter_map(|path| self.home(path));
        homes.filter(|home| home != module && !home.is_empty()).collect()
    }

    fn children<'a>(&'a self, module: &'a str) -> impl Iterator<Item = &'a str> {
        let below = self.0.keys().filter_map(move |other| match module {
            "" => Some(other.as_str()),
            _ => other.strip_prefix(module)?.strip_prefix('/'),
        });
        below.filter(|name| !name.is_empty() && !name.contains('/'))
    }

    /// The groups of files that reach each other, each sorted.
    fn circles(&self) -> Vec<Vec<String>> {
        let uses: BTreeMap<_, _> =
            self.0.keys().map(|module| (module, self.uses(module))).collect();
        let reach = |from: &String| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(module) = next.pop() {
                next.extend(uses[module].iter().filter(|other| seen.insert((*other).clone())));
            }
            seen
        };
        let reached: BTreeMap<_, _> = self.0.keys().map(|module| (module, reach(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, seen) in &reached {
            let circle: Vec<String> =
                seen.iter().filter(|other| reached[other].contains(*module)).cloned().collect();
            if !circle.is_empty() {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }
}

fn join(module: &str, leaf: &str) -> String {
    if module.is_empty() { leaf.to_owned() } else { format!("{module}/{leaf}") }
}

/// Every `.rs` file below a folder, as its path from there and its text; programs and the files of
/// tests are not part of the house.
pub(crate) fn sources(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("an entry of the sources").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        let below = format!("{prefix}{name}");
        let free = ["bin", "main.rs", "tests"].contains(&below.as_str());
        if free || below.ends_with("/tests.rs") {
        } else if path.is_dir() {
            sources(&path, &format!("{below}/"), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((below, fs::read_to_string(&path).expect("a readable source")));
        }
    }
}

fn package(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut found);
    assert!(found.iter().any(|(path, _)| path == "lib.rs"), "the sources were not found");
    found
}

#[test]
fn every_module_imports_only_from_below() {
    let found = package("src");
    let faults: Vec<_> =
        found.iter().flat_map(|(path, source)| faults(&FLOORS, PURE, path, source)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_pure_package_is_pure() {
    let found = package(PURE_PACKAGE);
    let faults: Vec<_> = found.iter().flat_map(|(path, text)| impure(path, &code(text))).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_files_import_each_other() {
    let circles: Vec<_> =
        PACKAGES.iter().flat_map(|folder| Package::of(&package(folder)).circles()).collect();
    let known: Vec<Vec<String>> =
        CIRCLES.iter().map(|circle| circle.iter().map(ToString::to_string).collect()).collect();
    let lines: Vec<_> = circles.iter().map(|circle| format!("{circle:?}")).collect();
    assert_eq!(circles, known, "the circles are now\n{}", lines.join("\n"));
}

#[test]
fn an_import_circle_is_found() {
    type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);
    let rows: [Row; 6] = [
        (&[("lib.rs", "mod a;\nmod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "struct B;")], &[]),
        (
            &[("lib.rs", ""), ("a.rs", "use crate::b::B;"), ("b.rs", "fn f(_: crate::a::A) {}")],
            &["a", "b"],
        ),
        // What a module only re-exports, its children may take from each other through it.
        (
            &[
                ("lib.rs", ""),
                ("a/mod.rs", "mod x;\nmod y;\npub use x::X;"),
                ("a/x.rs", "pub struct X;"),
                ("a/y.rs", "use super::X;"),
            ],
            &[],
        ),
        (
            &[("lib.rs", ""), ("a/mod.rs", "mod x;\nuse x::X;"), ("a/x.rs", "use super::A;")],
            &["a", "a/x"],
        ),
        (
            &[
                ("lib.rs", ""),
                ("a/mod.rs", "fn f() { x::f(); }"),
                ("a/x.rs", "use crate::a::{A, B};"),
            ],
            &["a", "a/x"],
        ),
        (
            &[
                ("lib.rs", ""),
                ("a/mod.rs", "pub use self::x::X;\npub(crate) use y::{\n    Y,\n    Z,\n};"),
                ("a/x.rs", "use super::{Y, w::W};"),
                ("a/y.rs", "fn f() -> super::X { x() }"),
                ("a/w.rs", ""),
            ],
            &["a/x", "a/y"],
        ),
    ];
    for (files, circle) in rows {
        let files: Vec<_> =
            files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
        let found = Package::of(&files).circles().concat();
        assert_eq!(found, circle, "{files:?}");
    }
}

/// A house for the tests of the reader.
const EXAMPLE: [&[&str]; 7] = [
    &["state/health", "state/revocation"],
    &["state", "state/snapshot", "state/ticket"],
    &["decide"],
    &["fetch", "http/response", "probe"],
    &["engine"],
    &["http"],
    &["lib"],
];
const EXAMPLE_PURE: usize = 3;

#[test]
fn imports_from_below_and_from_within_are_allowed() {
    let rows = [
        ("state/snapshot.rs", "use crate::state::{health::{A, B}, revocation::Denial};"),
        ("state/snapshot.rs", "use super::health::A;"),
        (
            "state/health/peer_registry.rs",
            "use super::Surface;\nuse crate::state::health::verdict;",
        ),
        ("state/health/mod.rs", "mod roll;\npub use roll::Roll;"),
        ("engine/driver.rs", "pub async fn run() { tokio::spawn(f()).await; Mutex::new(()); }"),
        ("engine/driver.rs", "use crate::http::response::Page;"),
        ("http/layer.rs", "use crate::engine::Core;\nuse super::response::Page;"),
        ("lib.rs", "pub mod state;\npub use crate::http::Layer;"),
        ("decide.rs", "/// See [`crate::engine`], async fn.\nfn f() {} // `crate::http`\n"),
        (
            "decide.rs",
            "#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::engine::D;\n}\n",
        ),
        ("decide.rs", "#[cfg(test)]\n#[allow(x)]\nmod tests;\n"),
    ];
    for (path, source) in rows {
        let faults = faults(&EXAMPLE, EXAMPLE_PURE, path, source);
        assert_eq!(faults, Vec::<String>::new(), "{path}:\n{source}");
    }
}

#[test]
fn every_forbidden_import_is_found() {
    let rows = [
        ("state/health.rs", "use crate::state::snapshot::Snapshot;", "`state/snapshot`"),
        ("state/health.rs", "use crate::state::{\n    ticket::T,\n};", "`state/ticket`"),
        ("state/health.rs", "use super::ticket::T;", "`state/ticket`"),
        ("state/ticket.rs", "use crate::{state::health::{A, B}, decide};", "`decide`"),
        ("decide.rs", "fn f() -> crate::Auth { todo() }", "`Auth`"),
        ("engine/driver.rs", "use crate::http::layer::Layer;", "`http`"),
        ("http/response.rs", "use super::layer::Layer;", "`http`"),
        ("probe/jwks.rs", "use crate::fetch::Http;", "`fetch`"),
        ("decide/mod.rs", "use super::engine;", "`engine`"),
        ("decide/grace.rs", "use super::super::engine;", "`engine`"),
        ("state/health/mod.rs", "async fn f() {}", "`async fn`"),
        ("decide.rs", "fn f() { let _ = std::fs::read(p); }", "`std::fs`"),
        ("state/health/peer_registry.rs", "fn f() { SystemTime::now(); }", "`SystemTime`"),
        ("state/health.rs", "static LOCK: Mutex<()> = Mutex::new(());", "`Mutex`"),
        ("decide.rs", "#[cfg(test)]\nmod tests {\n    f();\n}\nfn g() { h().await }", "`.await`"),
        ("decide.rs", "#[cfg(test)]\nuse a::b;\nuse crate::engine::D;\n", "`engine`"),
        ("helper.rs", "", "place `helper`"),
        ("helper/mod.rs", "use crate::decide::Auth;", "place `helper`"),
    ];
    for (path, source, fault) in rows {
        let faults = faults(&EXAMPLE, EXAMPLE_PURE, path, source);
        assert!(faults.len() == 1 && faults[0].contains(fault), "{path}:\n{source}\n{faults:?}");
    }
}
