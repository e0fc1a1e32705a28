//! Denials as text, and how all of them are read.

use redis::{Cmd, cmd};

use super::Inner;
use super::keys::Keys;
use super::script::{self, Call};
use crate::clock::Timestamp;
use crate::id::{KeyId, SessionId, TokenId, UserId};
use crate::revocation::Denial;
use crate::store::inbox::StoreError;

const SESSION: &str = "session";
const USER: &str = "user";
const TOKEN: &str = "token";
const KEY: &str = "key";
/// All kinds that this version knows; others that it finds it leaves alone.
pub(super) const KINDS: [&str; 4] = [SESSION, USER, TOKEN, KEY];
/// The denials of these kinds end at their times.
const ENDING: [&str; 3] = [SESSION, TOKEN, KEY];
/// So many are read at once.
const PAGE: usize = 10_000;
/// So many are written at once.
const BATCH: usize = 1_000;

fn written(denial: &Denial) -> (&'static str, &str, Timestamp) {
    match denial {
        Denial::Session(id, until) => (SESSION, id.as_str(), *until),
        Denial::User(id, up_to) => (USER, id.as_str(), *up_to),
        Denial::Token(id, until) => (TOKEN, id.as_str(), *until),
        Denial::Key(id, until) => (KEY, id.as_str(), *until),
    }
}

/// None for a kind that this version does not know.
pub(super) fn read(kind: &str, id: &str, at: Timestamp) -> Option<Denial> {
    match kind {
        SESSION => Some(Denial::Session(SessionId::from(id), at)),
        USER => Some(Denial::User(UserId::from(id), at)),
        TOKEN => Some(Denial::Token(TokenId::from(id), at)),
        KEY => Some(Denial::Key(KeyId::from(id), at)),
        _ => None,
    }
}

/// Adds denials to a call: how many, then of each the place of its kind, its kind, id and time.
pub(super) fn put(call: &mut Call<'_>, denials: &[Denial]) {
    call.arg(denials.len());
    for denial in denials {
        let (kind, id, at) = written(denial);
        call.arg(Keys::place(kind)).arg(kind).arg(id).arg(at.as_millis());
    }
}

/// The places of the kinds whose denials end.
pub(super) fn ending() -> impl Iterator<Item = Option<usize>> {
    ENDING.into_iter().map(Keys::place)
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
        for kind in KINDS {
            let (set, mut from) = ($keys.denied(kind), 0);
            loop {
                let $page = page_of(&set, from);
                let (next, rows): Page = $ask;
                all.extend(rows.iter().filter_map(|(id, score)| read(kind, id, time(*score))));
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
