//! Stored users on the server, one JSON document each.
//!
//! A document is replaced only if it has not changed since the new version was computed from it.

use clerk_verify::id::UserId;
use redis::cmd;

use super::RedisInner;
use super::script::{self, ScriptCall};
use crate::state::profile::{Change, Person};
use crate::store::fleet::FeedMark;
use crate::store::inbox::{StoreError, UserPage};

/// Number of attempts when other instances change the same users at the same time.
const TRIES: u32 = 32;

/// `COUNT` of one `HSCAN` over users. The server returns a small hash as a whole.
const ROLL: usize = 100;

/// A page of users: the cursor of the next page, and documents by user id.
type RosterPage = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// A user's document before and after a change.
pub(super) struct Rewrite {
    id: UserId,
    before: Vec<u8>,
    after: String,
}

/// Adds the documents to a script call: their number, then for each the user id, the old and the
/// new document.
pub(super) fn put(call: &mut ScriptCall<'_>, rewrites: &[Rewrite]) {
    call.arg(rewrites.len());
    for Rewrite { id, before, after } in rewrites {
        call.arg(id.as_str()).arg(before).arg(after);
    }
}

/// The result of a script that found a document changed in the meantime.
pub(super) const CHANGED: &str = "changed";

/// Returns the error for a document that changed on every attempt.
pub(super) fn contended() -> StoreError {
    StoreError::Busy
}

pub(super) fn tries() -> std::ops::Range<u32> {
    0..TRIES
}

impl RedisInner {
    pub(super) async fn person(&self, id: &UserId) -> Result<Option<Person>, StoreError> {
        let text = self.document(id).await?;
        Ok(parse(&text))
    }

    pub(super) async fn merge(&self, changes: &[Change]) -> Result<(), StoreError> {
        for _ in tries() {
            let rewrites = self.rewrites(changes).await?;
            if rewrites.is_empty() {
                return Ok(());
            }
            let mut call = script::MERGE.call(&self.keys);
            put(&mut call, &rewrites);
            let said: String = self.run(&call).await?;
            if said != CHANGED {
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Computes the documents after the changes. Several changes may concern one user.
    pub(super) async fn rewrites(&self, changes: &[Change]) -> Result<Vec<Rewrite>, StoreError> {
        let mut users: Vec<&UserId> = changes.iter().map(Change::user).collect();
        users.sort_unstable();
        users.dedup();
        let mut rewrites = Vec::new();
        for id in users {
            let before = self.document(id).await?;
            let mut person = parse(&before).unwrap_or_default();
            let mut news = false;
            for change in changes.iter().filter(|change| change.user() == id) {
                news |= person.take(change);
            }
            if news {
                let after = serde_json::to_string(&person).map_err(|_| unwritable())?;
                rewrites.push(Rewrite { id: id.clone(), before, after });
            }
        }
        Ok(rewrites)
    }

    /// Returns the users after a mark, which is the server's `HSCAN` cursor.
    pub(super) async fn roll(&self, after: Option<FeedMark>) -> Result<UserPage, StoreError> {
        let from = after.map_or_else(|| "0".to_owned(), |mark| mark.0);
        let mut scan = cmd("HSCAN");
        scan.arg(self.keys.named("people")).arg(from).arg("COUNT").arg(ROLL);
        let (next, page): RosterPage = self.ask(&scan).await?;
        let read = |(id, text): (Vec<u8>, Vec<u8>)| {
            Some((UserId::from(String::from_utf8(id).ok()?), parse(&text)?))
        };
        let people = page.into_iter().filter_map(read).collect();
        Ok(UserPage { people, next: (next != "0").then_some(FeedMark(next)) })
    }

    /// Returns a user's document; empty if there is none.
    async fn document(&self, id: &UserId) -> Result<Vec<u8>, StoreError> {
        let mut get = cmd("HGET");
        get.arg(self.keys.named("people")).arg(id.as_str());
        let text: Option<Vec<u8>> = self.ask(&get).await?;
        Ok(text.unwrap_or_default())
    }
}

fn parse(text: &[u8]) -> Option<Person> {
    let text = Some(text).filter(|text| !text.is_empty())?;
    serde_json::from_slice(text).inspect_err(unreadable).ok()
}

fn unwritable() -> StoreError {
    StoreError::Failed("a user cannot be serialized".to_owned())
}

/// Reports a document that cannot be parsed. The user starts empty, so that the document does not
/// block later changes such as a ban. The parser's message may quote the document and is omitted.
fn unreadable(_: &serde_json::Error) {
    tracing::warn!(
        event = "clerk.store.unreadable_person",
        "a stored user cannot be parsed; the user starts empty"
    );
}
