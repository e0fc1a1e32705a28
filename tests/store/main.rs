//! One contract for every engine of the store, and what SQLite alone promises.

mod contract;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::{SessionId, UserId};
use clerk_resilience::revocation::Denial;
use clerk_resilience::store::{Entry, Rest};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_780_000_000 + secs)
}

/// An event that came at the start of time.
pub(crate) fn entry(id: &str, rest: Rest) -> Entry {
    Entry {
        id: id.to_owned(),
        kind: "session.revoked".to_owned(),
        happened: at(-1),
        received: at(0),
        denials: Vec::new(),
        rest,
    }
}

pub(crate) fn hooks(data: &str) -> Rest {
    Rest::Hooks(data.to_owned())
}

pub(crate) fn session(id: &str, until: i64) -> Denial {
    Denial::Session(SessionId::from(id), at(until))
}

pub(crate) fn user(id: &str, up_to: i64) -> Denial {
    Denial::User(UserId::from(id), at(up_to))
}
