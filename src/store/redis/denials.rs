//! Denials on the server, and their encoding as text.

use clerk_verify::clock::Timestamp;

use super::RedisInner;
use super::keys::RedisKeys;
use super::pages::{self, PagePosition};
use super::script::{self, ScriptCall};
use crate::state::revocation::{Denial, Kind};
use crate::store::inbox::StoreError;

/// Number of denials per script call. One call occupies the server for two or three milliseconds.
const BATCH: usize = 250;

/// Parses a denial. Returns `None` for a kind that this version does not know; such denials are
/// left on the server.
pub(super) fn read(kind: &str, id: &str, at: Timestamp) -> Option<Denial> {
    Denial::of(Kind::parse(kind)?, id, at)
}

/// Adds denials to a script call: their number, then for each the index of its set, its kind, id
/// and time.
pub(super) fn put(call: &mut ScriptCall<'_>, denials: &[Denial]) {
    call.arg(denials.len());
    for denial in denials {
        let (kind, id, at) = denial.parts();
        call.arg(RedisKeys::place(kind)).arg(kind.name()).arg(&*id).arg(at.as_millis());
    }
}

/// Returns the index of each kind whose denials expire, with the time before which they have
/// expired.
pub(super) fn over(now: Timestamp) -> impl Iterator<Item = (usize, Timestamp)> {
    let ending = Kind::ALL.into_iter().filter_map(|kind| Some((kind, kind.afterlife()?)));
    ending.map(move |(kind, afterlife)| (RedisKeys::place(kind), now.minus(afterlife)))
}

impl RedisInner {
    /// Reads all denials. Blocks the thread.
    pub(super) fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        self.link.at_once(async |link| {
            let (mut all, mut place) = (Vec::new(), Some(PagePosition::first(String::new())));
            while let Some(from) = place {
                let (page, next) = pages::read(link, &self.keys, from).await?;
                all.extend(page);
                place = next;
            }
            Ok(all)
        })
    }

    pub(super) async fn deny(&self, denials: &[Denial]) -> Result<(), StoreError> {
        for batch in denials.chunks(BATCH) {
            let mut call = script::DENY.call(&self.keys);
            put(&mut call, batch);
            let () = self.promise(&call).await?;
        }
        Ok(())
    }
}
