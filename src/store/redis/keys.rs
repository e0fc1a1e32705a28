//! The names and types of the keys on the server.

use crate::state::revocation::Kind;
use crate::store::inbox::StoreError;

/// `RedisKeys` that the scripts address by index, in this order, followed by the sets of denials. Each has
/// its type at the server; a key of another type is renamed.
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
/// `RedisKeys` that are addressed only by name, with their types.
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
pub(super) struct RedisKeys {
    prefix: String,
    pub(super) all: Vec<String>,
}

impl RedisKeys {
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

    /// Returns each possible key and its type.
    pub(super) fn types(&self) -> impl Iterator<Item = (String, &'static str)> {
        let named = NAMES.into_iter().chain(MORE).map(|(name, kind)| (self.named(name), kind));
        named.chain(Kind::ALL.into_iter().map(|kind| (self.denied(kind), SORTED)))
    }

    pub(super) fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns the key of the set that holds denials of this kind.
    pub(super) fn denied(&self, kind: Kind) -> String {
        self.named(&format!("denied:{}", kind.name()))
    }

    /// Returns the script index of the set that holds denials of this kind, counted from one as in
    /// Lua.
    pub(super) fn place(kind: Kind) -> usize {
        NAMES.len() + kind as usize + 1
    }
}
