//! What is known of users, a JSON document each. A document is replaced only while it is still the one
//! that its successor was made from.

use clerk_verify::id::UserId;
use redis::cmd;

use super::Inner;
use super::script::{self, Call};
use crate::state::profile::{Change, Person};
use crate::store::fleet::FeedMark;
use crate::store::inbox::{StoreError, UserPage};

/// Somebody else changes the same users at the same time, again and again.
const TRIES: u32 = 32;

/// So many are told of at once, as the server counts; it tells of a small table as a whole.
const ROLL: usize = 100;

/// A page of the table: where the next one begins, and documents by user.
type Page = (String, Vec<(Vec<u8>, Vec<u8>)>);

/// A user's document before and after.
pub(super) struct Rewrite {
    id: UserId,
    before: Vec<u8>,
    after: String,
}

/// Adds the documents to a call: how many, then of each the user, what it was and what it is to be.
pub(super) fn put(call: &mut Call<'_>, rewrites: &[Rewrite]) {
    call.arg(rewrites.len());
    for Rewrite { id, before, after } in rewrites {
        call.arg(id.as_str()).arg(before).arg(after);
    }
}

/// What a script says when a document is another by now.
pub(super) const CHANGED: &str = "changed";

/// The error when that does not end.
pub(super) fn contended() -> StoreError {
    StoreError::Busy
}

pub(super) fn tries() -> std::ops::Range<u32> {
    0..TRIES
}

impl Inner {
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

    /// The documents as the changes make them; several changes may be about one user.
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

    /// Those behind a mark, which is the server's own.
    pub(super) async fn roll(&self, after: Option<FeedMark>) -> Result<UserPage, StoreError> {
        let from = after.map_or_else(|| "0".to_owned(), |mark| mark.0);
        let mut scan = cmd("HSCAN");
        scan.arg(self.keys.named("people")).arg(from).arg("COUNT").arg(ROLL);
        let (next, page): Page = self.ask(&scan).await?;
        let read = |(id, text): (Vec<u8>, Vec<u8>)| {
            Some((UserId::from(String::from_utf8(id).ok()?), parse(&text)?))
        };
        let people = page.into_iter().filter_map(read).collect();
        Ok(UserPage { people, next: (next != "0").then_some(FeedMark(next)) })
    }

    /// Empty when there is none.
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
    StoreError::Failed("what is known of a user cannot be written down".to_owned())
}

/// It is begun anew: Clerk tells again, and one document must not keep out what is told of a ban. The
/// parser's words are left out, which may quote it.
fn unreadable(_: &serde_json::Error) {
    tracing::warn!(
        event = "clerk.store.unreadable_person",
        "what is kept of a user is not readable, and begun anew"
    );
}
