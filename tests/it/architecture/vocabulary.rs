//! Names: a type's name has one meaning in the whole workspace and is a standard term, and a test's
//! name is a short sentence.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::architecture::{code, sources};

/// Names that say too little to a stranger. The right-hand side says what to use instead.
const REPLACED: &[(&str, &str)] = &[
    ("Answers", "BackendResponses, Responder"),
    ("Asking", "RequestFacts"),
    ("Bearer", "TokenIdentity"),
    ("Bucket", "RateLimiter"),
    ("Calendar", "OutageHistory"),
    ("Call", "ApiRequest"),
    ("Endings", "PendingSignOuts"),
    ("Fault", "TransportError"),
    ("Feeds", "SyncStatus"),
    ("Fixed", "SharedParts"),
    ("Flights", "SingleFlight"),
    ("Gate", "Authenticator"),
    ("Heard", "Resolved, AuthenticatedView"),
    ("Hearing", "PendingLookup"),
    ("Judged", "Judgement"),
    ("Keeper", "Persister"),
    ("Known", "CachedToken"),
    ("Ledger", "SeenSessions"),
    ("Life", "ProofOfLife"),
    ("Link", "StoreClient"),
    ("Mints", "MintRate"),
    ("Namer", "KeyedHasher"),
    ("Occasion", "Trigger"),
    ("Outbox", "DenialQueue"),
    ("Pace", "GraceUsage"),
    ("Passage", "Decision"),
    ("Reply", "ApiResponse"),
    ("Roll", "PeerRegistry, UserPage"),
    ("Scene", "RequestContext"),
    ("Snag", "LoopCause"),
    ("Tenancy", "GraceBinding"),
    ("Told", "MachineLookup"),
    ("Trouble", "FailureKind, SyncError"),
    ("Upstream", "Transport"),
    ("Walk", "SyncRun"),
    ("Word", "ReportKind"),
];

/// Where each type of the workspace is defined. Associated types and types of functions are indented
/// and do not count.
fn definitions() -> BTreeMap<String, Vec<String>> {
    let mut found = Vec::new();
    for folder in ["src", "crates"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        sources(&root, "", &mut found);
    }
    let mut types = BTreeMap::<String, Vec<String>>::new();
    let shipped = |path: &str| !path.contains("/tests/") && !path.contains("-support/");
    for (path, source) in found.iter().filter(|(path, _)| shipped(path)) {
        for name in code(source).lines().filter_map(defined) {
            types.entry(name.to_owned()).or_default().push(path.clone());
        }
    }
    types
}

/// The name of the type that a line defines.
fn defined(line: &str) -> Option<&str> {
    let item = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let (keyword, rest) = item.split_once(' ')?;
    let name = rest.split(|c: char| c != '_' && !c.is_alphanumeric()).next()?;
    ["struct", "enum", "trait", "type", "union"].contains(&keyword).then_some(name)
}

#[test]
fn no_type_is_named_twice() {
    let types = definitions();
    assert!(types.len() > 300, "the sources were not found");
    let twice: Vec<_> = types.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "give each type a name of its own: {twice:#?}");
}

#[test]
fn no_type_has_a_replaced_name() {
    let types = definitions();
    for (name, instead) in REPLACED {
        let places = types.get(*name);
        assert_eq!(places, None, "{name}: write {instead}");
    }
}

/// The most characters that the name of a function in `tests` and `crates` may have.
const LONGEST_NAME: usize = 60;

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the sources");
    let paths = entries.map(|entry| entry.expect("an entry of the sources").path());
    let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    let folders = folders.into_iter().filter(|folder| !folder.ends_with("target"));
    let below = folders.flat_map(|folder| rust_files(&folder));
    let files = files.into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs"));
    files.chain(below).collect()
}

/// The name of the function that a line declares.
fn function(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let name = rest.split(|c: char| c != '_' && !c.is_alphanumeric()).next()?;
    (before.is_empty() || before.ends_with(' ')).then_some(name)
}

#[test]
fn function_names_in_tests_are_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [rust_files(&root.join("tests")), rust_files(&root.join("crates"))].concat();
    assert!(files.len() > 150, "the sources were not found");
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable source");
        for name in text.lines().filter_map(function) {
            assert!(name.len() <= LONGEST_NAME, "shorten {name} in {}", file.display());
        }
    }
}

#[test]
fn functions_are_read_from_every_form_of_a_line() {
    let rows = [
        ("fn start() {", Some("start")),
        ("    pub(crate) async fn start_with<T>(", Some("start_with")),
        ("    let often = 1;", None),
        ("use self::fn_names;", None),
    ];
    for (line, name) in rows {
        assert_eq!(function(line), name, "{line}");
    }
}

#[test]
fn definitions_are_read_from_every_form_of_a_line() {
    let rows = [
        ("pub struct Session {", Some("Session")),
        ("pub(crate) enum Verdict {", Some("Verdict")),
        ("trait Store: Send {", Some("Store")),
        ("type Pending<T> = Box<T>;", Some("Pending")),
        ("    type Output = ();", None),
        ("fn structure() {}", None),
        ("pub use clerk_verify::key;", None),
    ];
    for (line, name) in rows {
        assert_eq!(defined(line), name, "{line}");
    }
}
