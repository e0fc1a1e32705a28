//! Sightings in the store, for the next process and for other instances.
//!
//! A sighting allows grace, so each one is verified like a record. While Clerk is healthy, a
//! session's sighting is written again only when it is two minutes newer. This limits the writes
//! and preserves most of the time that grace looks back to. During trouble, all sightings are
//! exchanged within seconds.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};

use super::Trust;
use crate::decide::Sighting;
use crate::engine::seen_sessions::{SeenSessions, SessionDigest, Writer};
use crate::engine::store_client::StoreClient;
use crate::state::health::{Surface, Verdict};
use crate::store::{FeedMark, Sightings, StoreError, StoredSighting};

/// Purpose of the MAC.
const PURPOSE: &str = "sighting";
const TICK: Duration = Duration::from_secs(1);
/// Interval of the exchange while Clerk is healthy.
const EVERY: Duration = Duration::from_secs(15);
/// While Clerk is healthy, a sighting is written only if it is this much newer than the stored one.
const NEWER: Duration = Duration::from_secs(2 * 60);
/// Number of sightings per call to the store.
const BATCH: usize = 1_000;
/// Maximum time to read sightings.
const READING: Duration = Duration::from_secs(10);

/// Exchanges sightings between [`SeenSessions`] and the store.
#[derive(Debug)]
pub(super) struct SightingWriter {
    link: StoreClient,
    trust: Trust,
    /// The sightings that the store holds, as far as this process knows.
    told: Arc<SeenSessions>,
    /// All sightings that are newer by at least this much were written. `None` if that must be
    /// checked.
    told_all: Option<Duration>,
    heard: FeedMark,
}

impl SightingWriter {
    /// Starts with the sightings that were read before the first request.
    pub(super) fn new(link: StoreClient, trust: Trust, left: Sightings) -> Self {
        let told = Arc::new(link.core.seen_sessions.alike());
        let register = Self { link, trust, told, told_all: None, heard: left.mark };
        let now = register.link.now();
        believe(
            &left.sighted,
            &register.trust,
            [&register.link.core.seen_sessions, &register.told],
            now,
        );
        register
    }

    /// Exchanges sightings until the task is dropped.
    pub(super) async fn share(&mut self) {
        let mut last: Option<Moment> = None;
        loop {
            let (now, alarmed) = (self.link.now(), self.is_alarmed());
            if alarmed || last.is_none_or(|at| now.since(at) >= EVERY) {
                self.tell(if alarmed { Duration::ZERO } else { NEWER }).await;
                self.hear().await;
                last = Some(now);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn is_alarmed(&self) -> bool {
        let core = &self.link.core;
        let health = &core.load().health;
        let minting = [Surface::SessionMint, Surface::Handshake];
        health.verdict != Verdict::Healthy
            || minting.into_iter().any(|surface| health.surface(surface).failures() > 0)
            || core.peers.borrow().suspicious() > 0
    }

    /// Writes the sightings that are newer than the stored ones by at least `newer`, until the
    /// store fails.
    pub(super) async fn tell(&mut self, newer: Duration) {
        let news = self.link.core.seen_sessions.take_news(Writer::Store);
        if news || self.told_all.is_none_or(|told| told > newer) {
            self.told_all = None;
            self.told_all = self.catch_up(newer).await.map(|()| newer);
        }
    }

    /// Returns `None` if the store did not accept all sightings.
    async fn catch_up(&self, newer: Duration) -> Option<()> {
        let (core, told, now) = (self.link.core.clone(), self.told.clone(), self.link.now().wall);
        let due = aside(move || core.seen_sessions.beyond(&told, newer, now)).await;
        for batch in due?.chunks(BATCH) {
            let (some, trust) = (batch.to_vec(), self.trust.clone());
            let sealed = aside(move || some.iter().map(|seen| seal(*seen, &trust)).collect());
            self.link.written(self.link.store.record_sightings(sealed.await?)).await.ok()?;
            for (session, seen) in batch {
                self.told.merge(*session, *seen);
            }
        }
        Some(())
    }

    /// Reads sightings of other instances. If the store lost its data, all sightings are written
    /// again.
    async fn hear(&mut self) {
        if !self.link.is_shared() {
            return;
        }
        let Ok(Sightings { sighted, mark, whole }) = self.read().await else {
            return self.link.core.counters.store_failed();
        };
        if whole {
            self.told = Arc::new(self.link.core.seen_sessions.alike());
            self.told_all = None;
        }
        let (core, told) = (self.link.core.clone(), self.told.clone());
        let (trust, now) = (self.trust.clone(), self.link.now());
        let heard =
            aside(move || believe(&sighted, &trust, [&core.seen_sessions, &told], now)).await;
        if heard.is_some() {
            self.heard = mark;
        }
    }

    async fn read(&self) -> Result<Sightings, StoreError> {
        let reading = self.link.fleet()?.sighted(Some(self.heard.clone()));
        tokio::time::timeout(READING, reading).await.unwrap_or(Err(StoreError::Busy))
    }
}

/// Runs work over many sightings on a thread that may block.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Merges the sightings whose MAC is valid.
fn believe(sighted: &[StoredSighting], trust: &Trust, ledgers: [&SeenSessions; 2], now: Moment) {
    for sighted in sighted {
        let StoredSighting { session, claims_as_of, last_valid, mark } = sighted;
        let Some(session) = SessionDigest::from_hex(session) else { continue };
        let seen = Sighting { last_valid: *last_valid, claims_as_of: *claims_as_of };
        if trust.is_good(PURPOSE, &message(session, seen), mark) {
            for seen_sessions in ledgers {
                seen_sessions.adopt(session, seen, now.wall);
            }
        }
    }
}

fn seal((session, seen): (SessionDigest, Sighting), trust: &Trust) -> StoredSighting {
    StoredSighting {
        session: session.to_hex(),
        claims_as_of: seen.claims_as_of,
        last_valid: seen.last_valid,
        mark: trust.mark(PURPOSE, &message(session, seen)),
    }
}

/// Encodes the fields under the MAC. Each field has a fixed length, so the encoding is unambiguous.
fn message(session: SessionDigest, seen: Sighting) -> Vec<u8> {
    let times = [seen.claims_as_of, seen.last_valid].map(Timestamp::as_millis);
    [&session.to_bytes()[..], &times[0].to_be_bytes(), &times[1].to_be_bytes()].concat()
}
