//! One contract for every engine of the store, and what SQLite and Redis alone promise.

mod contract;
#[cfg(all(feature = "sqlite", target_os = "linux"))]
mod disk;
mod fleet;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::{OrgId, SessionId, UserId};
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::profile::{Change, Membership, Profile};
use clerk_resilience::store::{FollowUp, InboxEvent, StoredSighting};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_780_000_000 + secs)
}

/// An event that came at the start of time.
pub(crate) fn entry(id: &str, rest: FollowUp) -> InboxEvent {
    InboxEvent {
        id: id.to_owned(),
        kind: "session.revoked".to_owned(),
        happened: at(-1),
        received: at(0),
        denials: Vec::new(),
        changes: Vec::new(),
        rest,
    }
}

pub(crate) fn hooks(data: &str) -> FollowUp {
    FollowUp::Hooks(data.to_owned())
}

pub(crate) fn session(id: &str, until: i64) -> Denial {
    Denial::Session(SessionId::from(id), at(until))
}

pub(crate) fn user(id: &str, up_to: i64) -> Denial {
    Denial::User(UserId::from(id), at(up_to))
}

/// Seen so many seconds after the start of time, with claims of then.
pub(crate) fn sighted(session: &str, claims: i64, seen: i64) -> StoredSighting {
    let mark = format!("{claims} {seen} \u{0}\n").into_bytes();
    StoredSighting {
        session: session.to_owned(),
        claims_as_of: at(claims),
        last_valid: at(seen),
        mark,
    }
}

/// `user_1`, described by their first name alone.
pub(crate) fn named(name: &str, secs: i64) -> Change {
    let mut profile = Profile::new(UserId::from("user_1"), at(secs));
    profile.first_name = Some(name.to_owned());
    Change::User(Box::new(profile))
}

/// `user_1` in `org_1`.
pub(crate) fn joined(role: &str, secs: i64) -> Change {
    let membership = Membership::new(OrgId::from("org_1"), role, at(secs));
    Change::Joined(UserId::from("user_1"), Box::new(membership))
}
