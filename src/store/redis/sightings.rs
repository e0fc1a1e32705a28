//! Sightings on the server: a hash of sightings by session, and a sorted set of sessions by
//! position.
//!
//! The position of a sighting is the order in which it was recorded.

use std::sync::LazyLock;

use clerk_verify::clock::Timestamp;
use redis::{Cmd, Script, ScriptInvocation, cmd};

use super::RedisInner;
use super::link::RedisConnection;
use crate::decide::policy::MAX_GRACE;
use crate::store::fleet::FeedMark;
use crate::store::inbox::StoreError;
use crate::store::sighting::{SESSIONS, Sightings, StoredSighting};

static WITNESS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("witness.lua")));
static FORGET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("forget.lua")));

/// Number of sightings that one call reads.
const PAGE: usize = 5_000;
/// Number of sightings that one call writes or deletes.
const BATCH: usize = 1_000;

/// Sessions with their positions.
type SightingPlaces = Vec<(Vec<u8>, f64)>;

/// The position at which reading begins.
struct Start {
    origin: String,
    place: f64,
    whole: bool,
}

impl Start {
    /// Parses a mark. A mark of data that was lost since counts as none.
    fn of(after: Option<&FeedMark>, origin: &str) -> Self {
        let (known, place) = after.and_then(|mark| mark.0.split_once('/')).unwrap_or_default();
        let whole = after.is_none() || known != origin;
        let place = if whole { 0.0 } else { place.parse().unwrap_or_default() };
        Self { origin: origin.to_owned(), place, whole }
    }

    fn mark(&self) -> FeedMark {
        FeedMark(format!("{}/{:.0}", self.origin, self.place))
    }
}

impl RedisInner {
    /// Reads all sightings. Blocks the thread.
    pub(super) fn sightings(&self) -> Result<Sightings, StoreError> {
        self.link.at_once(async |link| self.sighted_since(None, link).await)
    }

    pub(super) async fn sighted(&self, after: Option<&FeedMark>) -> Result<Sightings, StoreError> {
        self.mended(self.sighted_since(after, &self.link).await).await
    }

    /// Reads the sightings after a mark, page by page. A sighting that changes meanwhile gets a new
    /// position and is read again.
    async fn sighted_since(
        &self,
        after: Option<&FeedMark>,
        link: &RedisConnection,
    ) -> Result<Sightings, StoreError> {
        let origin: Option<Vec<u8>> = link.ask(&self.origin()).await?;
        let mut from = Start::of(after, &String::from_utf8_lossy(&origin.unwrap_or_default()));
        let (whole, mut sighted) = (from.whole, Vec::new());
        loop {
            let places: SightingPlaces = link.ask(&self.places(&from)).await?;
            let Some((_, last)) = places.last() else { break };
            from.place = *last;
            let found: Vec<Option<Vec<u8>>> = link.ask(&self.found(&places)).await?;
            let found = places.into_iter().zip(found);
            sighted.extend(found.filter_map(|((session, _), row)| parse(session, &row?)));
        }
        Ok(Sightings { sighted, mark: from.mark(), whole })
    }

    pub(super) async fn witness(&self, sightings: &[StoredSighting]) -> Result<(), StoreError> {
        for batch in sightings.chunks(BATCH) {
            let mut call = self.about_sightings(&WITNESS);
            call.arg(SESSIONS);
            for StoredSighting { session, claims_as_of, last_valid, mark } in batch {
                call.arg(session).arg(claims_as_of.as_millis()).arg(last_valid.as_millis());
                call.arg(mark.as_slice());
            }
            let () = self.run(&call).await?;
        }
        Ok(())
    }

    pub(super) async fn forget_sightings(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut call = self.about_sightings(&FORGET);
        call.arg(now.minus(MAX_GRACE).as_millis()).arg(BATCH);
        while self.run::<bool>(&call).await? {}
        Ok(())
    }

    fn about_sightings<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        call.key(self.keys.named("sightings")).key(self.keys.named("sighted"));
        call
    }

    fn origin(&self) -> Cmd {
        let mut get = cmd("HGET");
        get.arg(self.keys.named("sighted")).arg("origin");
        get
    }

    fn places(&self, from: &Start) -> Cmd {
        let mut range = cmd("ZRANGEBYSCORE");
        range.arg(self.keys.named("sightings")).arg(format!("({:.0}", from.place)).arg("+inf");
        range.arg("WITHSCORES").arg("LIMIT").arg(0).arg(PAGE);
        range
    }

    fn found(&self, places: &SightingPlaces) -> Cmd {
        let mut get = cmd("HMGET");
        get.arg(self.keys.named("sighted"));
        for (session, _) in places {
            get.arg(session);
        }
        get
    }
}

/// Parses a sighting: two times and the MAC, separated by spaces.
fn parse(session: Vec<u8>, row: &[u8]) -> Option<StoredSighting> {
    let session = String::from_utf8(session).ok()?;
    let mut parts = row.splitn(3, |byte| *byte == b' ');
    let mut time = || {
        let text = std::str::from_utf8(parts.next()?).ok()?;
        text.parse().ok().map(Timestamp::from_millis)
    };
    let (claims_as_of, last_valid) = (time()?, time()?);
    Some(StoredSighting { session, claims_as_of, last_valid, mark: parts.next()?.to_vec() })
}
