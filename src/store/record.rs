//! The content of the state files `keys.json` and `outages.json`.
//!
//! Each record names the Clerk instance that it belongs to. Loading ignores the record of another
//! instance or of another format version.

use std::fmt;

use clerk_verify::clock::{Moment, Timestamp};
use clerk_verify::id::SessionId;
use clerk_verify::jwks::KeySet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::state_dir::{StateDir, StateDirError};
use crate::state::health::{Health, Interval, Outages};
use crate::state::revocation::{Kind, Revocations};

const VERSION: u32 = 1;

/// `keys.json`: the last good key set.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct KeysRecord {
    version: u32,
    instance: String,
    confirmed_ms: i64,
    jwks: serde_json::Value,
}

impl KeysRecord {
    const FILE: &str = "keys.json";

    pub(crate) fn new(instance: &str, keys: &KeySet, confirmed: Timestamp) -> Self {
        Self {
            version: VERSION,
            instance: instance.to_owned(),
            confirmed_ms: confirmed.as_millis(),
            jwks: keys.to_jwks(),
        }
    }

    pub(crate) fn load(dir: &StateDir, instance: &str) -> Result<Option<Self>, StateDirError> {
        let record: Option<Self> = load(dir, Self::FILE)?;
        Ok(record.filter(|r| r.version == VERSION && r.instance == instance))
    }

    pub(crate) fn save(&self, dir: &StateDir) -> Result<(), StateDirError> {
        save(dir, Self::FILE, self)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn parse(json: &[u8], instance: &str) -> Option<Self> {
        let record: Option<Self> = serde_json::from_slice(json).ok();
        record.filter(|r| r.version == VERSION && r.instance == instance)
    }

    /// Returns the keys and when Clerk last confirmed them. Returns `None` if that time is in the
    /// future.
    pub(crate) fn keys(&self, now: Timestamp) -> Option<(KeySet, Timestamp)> {
        let confirmed = Timestamp::from_millis(self.confirmed_ms);
        let keys = KeySet::parse(self.jwks.to_string().as_bytes()).ok()?;
        (confirmed <= now.plus(crate::state::health::CLOCK_TOLERANCE)).then_some((keys, confirmed))
    }
}

/// `outages.json`: outages, sightings, revocations and pending sign-outs.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct OutageRecord {
    version: u32,
    instance: String,
    saved_ms: i64,
    /// When minting last failed, if an outage was proven or draining.
    outage_seen_ms: Option<i64>,
    episode_start_ms: Option<i64>,
    intervals: Vec<(i64, Option<i64>)>,
    sightings: Vec<SightingRecord>,
    revoked_sessions: Vec<(String, i64)>,
    revoked_tokens: Vec<(String, i64)>,
    revoked_users: Vec<(String, i64)>,
    #[serde(default)]
    distrusted_keys: Vec<(String, i64)>,
    /// Denials of all other kinds: name of the kind, id and time.
    #[serde(default)]
    denials: Vec<(String, String, i64)>,
    /// Sessions that were signed out here and must still be ended at Clerk.
    #[serde(default)]
    ending: Vec<String>,
    /// The users of these sessions, in the same order, as hexadecimal digests. Older files lack
    /// them.
    #[serde(default)]
    ending_users: Vec<String>,
}

/// Digest of a user id in these files: half of a SHA-256. All zeros if the user is unknown.
pub(crate) type UserDigest = [u8; 16];

/// A session that was signed out here and must still be ended at Clerk.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct PendingSignOut {
    pub(crate) session: SessionId,
    pub(crate) user: UserDigest,
}

impl fmt::Debug for PendingSignOut {
    /// Omits the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSignOut").finish_non_exhaustive()
    }
}

/// A session's digest, when the session was last seen valid, and the date of its claims then. Times
/// are in milliseconds since 1970.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct SightingRecord(pub(crate) String, pub(crate) i64, pub(crate) i64);

impl OutageRecord {
    const FILE: &str = "outages.json";

    pub(crate) fn new(
        instance: &str,
        saved: Timestamp,
        outage_seen: Option<Timestamp>,
        outages: &Outages,
        sightings: Vec<SightingRecord>,
        revocations: &Revocations,
    ) -> Self {
        let interval = |i: &Interval| (i.start.as_millis(), i.end.map(Timestamp::as_millis));
        Self {
            version: VERSION,
            instance: instance.to_owned(),
            saved_ms: saved.as_millis(),
            outage_seen_ms: outage_seen.map(Timestamp::as_millis),
            episode_start_ms: outages.episode_start().map(Timestamp::as_millis),
            intervals: outages.intervals().iter().map(interval).collect(),
            sightings,
            revoked_sessions: rows(revocations.sessions()),
            revoked_tokens: rows(revocations.tokens()),
            revoked_users: rows(revocations.users()),
            distrusted_keys: rows(revocations.keys()),
            denials: others(revocations),
            ending: Vec::new(),
            ending_users: Vec::new(),
        }
    }

    pub(crate) fn ending(mut self, sign_outs: &[PendingSignOut]) -> Self {
        let session = |one: &PendingSignOut| one.session.as_str().to_owned();
        let user = |one: &PendingSignOut| format!("{:032x}", u128::from_be_bytes(one.user));
        self.ending = sign_outs.iter().map(session).collect();
        self.ending_users = sign_outs.iter().map(user).collect();
        self
    }

    pub(crate) fn to_end(&self) -> impl Iterator<Item = PendingSignOut> {
        let digest = |text: &String| u128::from_str_radix(text, 16).map(u128::to_be_bytes);
        let user = move |n| self.ending_users.get(n).and_then(|text| digest(text).ok());
        self.ending.iter().enumerate().map(move |(n, id)| PendingSignOut {
            session: SessionId::from(id.as_str()),
            user: user(n).unwrap_or_default(),
        })
    }

    pub(crate) fn load(dir: &StateDir, instance: &str) -> Result<Option<Self>, StateDirError> {
        let record: Option<Self> = load(dir, Self::FILE)?;
        Ok(record.filter(|r| r.version == VERSION && r.instance == instance))
    }

    pub(crate) fn save(&self, dir: &StateDir) -> Result<(), StateDirError> {
        save(dir, Self::FILE, self)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn parse(json: &[u8], instance: &str) -> Option<Self> {
        let record: Option<Self> = serde_json::from_slice(json).ok();
        record.filter(|r| r.version == VERSION && r.instance == instance)
    }

    pub(crate) fn saved(&self) -> Timestamp {
        Timestamp::from_millis(self.saved_ms)
    }

    pub(crate) fn outage_seen(&self) -> Option<Timestamp> {
        self.outage_seen_ms.map(Timestamp::from_millis)
    }

    pub(crate) fn outages(&self) -> Outages {
        let at = Timestamp::from_millis;
        let intervals = self.intervals.iter();
        let intervals =
            intervals.map(|(start, end)| Interval { start: at(*start), end: end.map(at) });
        Outages::restore(intervals.collect(), self.episode_start_ms.map(at))
    }

    /// Returns the outages, and ends a current one that this process may not resume. Such an outage
    /// ends at the time when the record was written, or `now` if that is earlier.
    pub(crate) fn outages_as_of(&self, now: Moment) -> Outages {
        let mut outages = self.outages();
        if !self.outage_seen().is_some_and(|seen| Health::may_resume(seen, now)) {
            outages.end(self.saved().min(now.wall));
        }
        outages
    }

    pub(crate) fn sightings(&self) -> &[SightingRecord] {
        &self.sightings
    }

    pub(crate) fn revocations(&self) -> Revocations {
        let mut set = Revocations::default();
        self.denials().for_each(|(kind, id, at)| set.put(kind, id, at));
        set
    }

    pub(crate) fn denials(&self) -> impl Iterator<Item = (Kind, &str, Timestamp)> {
        let lists = [
            (Kind::Session, &self.revoked_sessions),
            (Kind::Token, &self.revoked_tokens),
            (Kind::User, &self.revoked_users),
            (Kind::Key, &self.distrusted_keys),
        ];
        let rows = lists.into_iter().flat_map(|(kind, rows)| {
            rows.iter().map(move |(id, at)| (kind, id.as_str(), Timestamp::from_millis(*at)))
        });
        let others = self.denials.iter().filter_map(|(kind, id, at)| {
            Some((Kind::parse(kind)?, id.as_str(), Timestamp::from_millis(*at)))
        });
        rows.chain(others)
    }
}

fn rows<'a>(of: impl Iterator<Item = (&'a str, Timestamp)>) -> Vec<(String, i64)> {
    of.map(|(id, at)| (id.to_owned(), at.as_millis())).collect()
}

fn others(revocations: &Revocations) -> Vec<(String, String, i64)> {
    let own_lists = [Kind::Session, Kind::Token, Kind::User, Kind::Key];
    let kinds = Kind::ALL.into_iter().filter(|kind| !own_lists.contains(kind));
    let rows = kinds.flat_map(|kind| revocations.of(kind).map(move |row| (kind, row)));
    rows.map(|(kind, (id, at))| (kind.name().to_owned(), id.to_owned(), at.as_millis())).collect()
}

/// Loads a record. A file that cannot be parsed counts as missing; the next save replaces it.
fn load<T: DeserializeOwned>(dir: &StateDir, name: &str) -> Result<Option<T>, StateDirError> {
    let Some(bytes) = dir.read(name)? else { return Ok(None) };
    let record = serde_json::from_slice(&bytes).ok();
    if record.is_none() {
        tracing::warn!(event = "clerk.state.damaged", file = name, "ignored a damaged file");
    }
    Ok(record)
}

fn save<T: Serialize>(dir: &StateDir, name: &str, record: &T) -> Result<(), StateDirError> {
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    dir.write(name, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is read at every write: a map that is copied for each denial would take minutes here.
    #[test]
    fn the_longer_of_two_denials_of_a_session_counts() {
        let (now, none) = (Timestamp::from_secs(1), Revocations::default());
        let mut record =
            OutageRecord::new("one", now, None, &Outages::default(), Vec::new(), &none);
        let rows = |until: i64| (0..100_000).map(move |n| (format!("sess_{n}"), until));
        record.revoked_sessions = rows(2_000).chain(rows(1_000)).collect();
        let read = record.revocations();
        assert_eq!(read.sessions().count(), 100_000);
        assert!(read.sessions().all(|(_, until)| until == Timestamp::from_secs(2)));
    }
}
