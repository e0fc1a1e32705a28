//! The names of what is kept at the server.

use crate::state::revocation::Kind;
use crate::store::inbox::StoreError;

/// The scripts know these by their places, in this order; behind them come the kinds of denials. With their
/// types at the server: what is of another type is put aside.
const NAMES: [(&str, &str); 10] = [
    ("done", SORTED),
    ("due", SORTED),
    ("dead", SORTED),
    ("event", HASH),
    ("data", HASH),
    ("attempts", HASH),
    ("why", HASH),
    ("people", HASH),
    ("feed", "stream"),
    ("claims", HASH),
];
/// These are used by their names alone.
const MORE: [(&str, &str); 5] = [
    ("members", SORTED),
    ("told", HASH),
    ("records", HASH),
    ("sightings", SORTED),
    ("sighted", HASH),
];
const SORTED: &str = "zset";
const HASH: &str = "hash";

/// All keys of one namespace.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    pub(super) all: Vec<String>,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Result<Self, StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if namespace.is_empty() || !namespace.chars().all(plain) {
            let problem = "a namespace is made of letters, digits, `.`, `_` and `-`";
            return Err(StoreError::Failed(problem.to_owned()));
        }
        let prefix = format!("clerk-resilience:{{{namespace}}}:");
        let names = NAMES.iter().map(|(name, _)| format!("{prefix}{name}"));
        let kinds = Kind::ALL.iter().map(|kind| format!("{prefix}denied:{}", kind.name()));
        let all = names.chain(kinds).collect();
        Ok(Self { prefix, all })
    }

    /// Each key that there may be, and its type.
    pub(super) fn types(&self) -> impl Iterator<Item = (String, &'static str)> {
        let named = NAMES.into_iter().chain(MORE).map(|(name, kind)| (self.named(name), kind));
        named.chain(Kind::ALL.into_iter().map(|kind| (self.denied(kind), SORTED)))
    }

    pub(super) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The set of the denials of a kind.
    pub(super) fn denied(&self, kind: Kind) -> String {
        self.named(&format!("denied:{}", kind.name()))
    }

    /// Where the scripts find the set of the denials of a kind, counted from one as they do.
    pub(super) fn place(kind: Kind) -> usize {
        NAMES.len() + kind as usize + 1
    }
}
