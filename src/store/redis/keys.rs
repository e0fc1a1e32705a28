//! The names of what is kept at the server.

use crate::revocation::Kind;
use crate::store::inbox::StoreError;

/// The scripts know these by their places, in this order; behind them come the kinds of denials.
const NAMES: [&str; 9] =
    ["done", "due", "dead", "event", "data", "attempts", "why", "people", "feed"];

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
        let names = NAMES.iter().map(|name| format!("{prefix}{name}"));
        let kinds = Kind::ALL.iter().map(|kind| format!("{prefix}denied:{}", kind.name()));
        let all = names.chain(kinds).collect();
        Ok(Self { prefix, all })
    }

    /// Each key that has a type of its own, and the type.
    pub(super) fn types(&self) -> impl Iterator<Item = (String, &'static str)> {
        let typed = |name| match name {
            "done" | "due" | "dead" | "members" => (self.named(name), "zset"),
            "feed" => (self.named(name), "stream"),
            _ => (self.named(name), "hash"),
        };
        let more = ["members", "told", "records"];
        let denied = Kind::ALL.into_iter().map(|kind| (self.denied(kind), "zset"));
        NAMES.into_iter().chain(more).map(typed).chain(denied)
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
