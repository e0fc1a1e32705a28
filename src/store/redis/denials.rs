//! Denials as text, and how all of them are read.

use redis::{Cmd, cmd};

use super::Inner;
use super::keys::Keys;
use super::script::{self, Call};
use crate::clock::Timestamp;
use crate::revocation::{Denial, Kind};
use crate::store::inbox::StoreError;

/// So many are read at once.
const PAGE: usize = 10_000;
/// So many are written at once.
const BATCH: usize = 1_000;

/// None for a kind that this version does not know; what it finds of those it leaves alone.
pub(super) fn read(kind: &str, id: &str, at: Timestamp) -> Option<Denial> {
    Denial::of(Kind::parse(kind)?, id, at)
}

/// Adds denials to a call: how many, then of each the place of its kind, its kind, id and time.
pub(super) fn put(call: &mut Call<'_>, denials: &[Denial]) {
    call.arg(denials.len());
    for denial in denials {
        let (kind, id, at) = denial.parts();
        call.arg(Keys::place(kind)).arg(kind.name()).arg(&*id).arg(at.as_millis());
    }
}

/// The places of the kinds whose denials end, and what is over of them.
pub(super) fn over(now: Timestamp) -> impl Iterator<Item = (usize, Timestamp)> {
    let ending = Kind::ALL.into_iter().filter_map(|kind| Some((kind, kind.afterlife()?)));
    ending.map(move |(kind, afterlife)| (Keys::place(kind), now.minus(afterlife)))
}

/// A page of a set: where the next one begins, and ids with their times. What is in the set all the
/// while is read, whatever else comes and goes.
type Page = (u64, Vec<(String, f64)>);

fn page_of(set: &str, from: u64) -> Cmd {
    let mut page = cmd("ZSCAN");
    page.arg(set).arg(from).arg("COUNT").arg(PAGE);
    page
}

/// A time as a sorted set has it: exact for the next 280,000 years, and the end of time after that.
#[expect(clippy::cast_possible_truncation, reason = "it saturates")]
fn time(score: f64) -> Timestamp {
    Timestamp::from_millis(score as i64)
}

/// Reads all pages of all sets; `$ask` gets `$page`.
macro_rules! all {
    ($keys:expr, $page:ident => $ask:expr) => {{
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let (set, mut from) = ($keys.denied(kind), 0);
            loop {
                let $page = page_of(&set, from);
                let (next, rows): Page = $ask;
                all.extend(
                    rows.iter().filter_map(|(id, score)| Denial::of(kind, id, time(*score))),
                );
                from = next;
                if from == 0 {
                    break;
                }
            }
        }
        all
    }};
}

impl Inner {
    /// Blocks.
    pub(super) fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        let mut wire = self.link.blocking()?;
        Ok(all!(self.keys, page => wire.ask(&page)?))
    }

    pub(super) async fn all_denials(&self) -> Result<Vec<Denial>, StoreError> {
        Ok(all!(self.keys, page => self.link.ask(&page).await?))
    }

    pub(super) async fn deny(&self, denials: &[Denial]) -> Result<(), StoreError> {
        for batch in denials.chunks(BATCH) {
            let mut call = script::DENY.call(&self.keys);
            put(&mut call, batch);
            let () = self.link.run(&call).await?;
        }
        Ok(())
    }
}
