//! The ledger in the store: whom this process saw, for the next one and for the other instances.
//!
//! A sighting opens grace, so that it is believed as a record is, each by itself. While Clerk is well it
//! is told again when it is two minutes newer: that is half of what crowds would cost, and most of what
//! grace looks back to. When something is wrong all is told, and heard, within seconds.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};

use super::Trust;
use crate::decide::Sighting;
use crate::engine::seen_sessions::{SeenSessions, SessionDigest, Writer};
use crate::engine::store_client::StoreClient;
use crate::state::health::{Surface, Verdict};
use crate::store::{FeedMark, Sightings, StoreError, StoredSighting};

/// What the mark is for.
const PURPOSE: &str = "sighting";
const TICK: Duration = Duration::from_secs(1);
/// While Clerk is well, so often is told, and heard.
const EVERY: Duration = Duration::from_secs(15);
/// And what is so much newer than what was told.
const NEWER: Duration = Duration::from_secs(2 * 60);
/// So many are told at once.
const BATCH: usize = 1_000;
/// Reading is over by then.
const READING: Duration = Duration::from_secs(10);

/// Tells the store of the ledger, and the ledger of what others told the store.
#[derive(Debug)]
pub(super) struct SightingWriter {
    link: StoreClient,
    trust: Trust,
    /// What the store has, as far as that is known here.
    told: Arc<SeenSessions>,
    /// All that was so much newer has been told. None when it has to be looked through.
    told_all: Option<Duration>,
    heard: FeedMark,
}

impl SightingWriter {
    /// Begins with what was read before the first request.
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

    /// Tells and hears, for good.
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

    /// Tells what is newer than what was told, by so much; as far as the store takes it.
    pub(super) async fn tell(&mut self, newer: Duration) {
        let news = self.link.core.seen_sessions.take_news(Writer::Store);
        if news || self.told_all.is_none_or(|told| told > newer) {
            self.told_all = None;
            self.told_all = self.catch_up(newer).await.map(|()| newer);
        }
    }

    /// None when the store did not take it all.
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

    /// Hears what others told since. A store that lost what it had is told again.
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

/// Crowds are looked through where nothing waits for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Takes in the sightings whose mark is good.
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

/// Each part has its length by itself.
fn message(session: SessionDigest, seen: Sighting) -> Vec<u8> {
    let times = [seen.claims_as_of, seen.last_valid].map(Timestamp::as_millis);
    [&session.to_bytes()[..], &times[0].to_be_bytes(), &times[1].to_be_bytes()].concat()
}
