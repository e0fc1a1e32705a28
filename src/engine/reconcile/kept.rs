//! Finds stored users and memberships that were deleted at Clerk.
//!
//! No list of Clerk names deleted objects, and a list that shifts while it is read may skip an
//! object. A missing object is therefore requested by its id, and only that response counts.

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;
use serde_json::Value;

use super::page::{SyncPage, described, placed};
use super::questions::is_plain;
use super::sync_error::{SyncError, within};
use super::sync_task::SyncTask;
use crate::state::profile::{Membership, Person, is_new};
use crate::state::reconcile::{SyncCursor, USERS};
use crate::state::webhook_event::WebhookEvent;
use crate::store::FeedMark;

/// If Clerk knows none of at least this many stored users, the store belongs to another
/// application.
const CROWD: usize = 3;

impl SyncTask {
    pub(super) async fn kept(
        &self,
        after: Option<String>,
        begun: Timestamp,
        course: &mut SyncCursor,
    ) -> Result<SyncPage, SyncError> {
        let roll = within(self.with().store.users(after.map(FeedMark))).await?;
        let alive = |(id, person): &(UserId, Person)| person.deleted().is_none() && is_plain(id);
        let people: Vec<_> = roll.people.into_iter().filter(alive).collect();
        for some in people.chunks(usize::try_from(USERS).unwrap_or(100)) {
            self.compare(some, begun).await?;
        }
        course.read_kept(roll.next.map(|mark| mark.0), self.now());
        Ok(SyncPage { compared: people.len() as u64, ..SyncPage::default() })
    }

    async fn compare(&self, some: &[(UserId, Person)], begun: Timestamp) -> Result<(), SyncError> {
        let ids: Vec<_> = some.iter().map(|(id, _)| id).collect();
        let asked = self.now();
        let users = self.ask.these(&ids).await?;
        let there: Vec<_> = users.iter().filter_map(|user| user["id"].as_str()).collect();
        let there: Vec<bool> = ids.iter().map(|id| there.contains(&id.as_str())).collect();
        self.take_in(users.into_iter().map(described), asked).await?;
        if some.len() >= CROWD && !there.contains(&true) {
            // This many users are rarely deleted at once, so the store rather belongs to another
            // application.
            tracing::warn!(
                event = "clerk.reconcile.strangers",
                count = some.len(),
                "Clerk knows none of these users of the store; nothing is concluded from that. Is it the store of another application, or of another instance?"
            );
            return Ok(());
        }
        for ((id, person), there) in some.iter().zip(there) {
            if !there && (person.is_new(asked) || !self.exists(id).await?) {
                continue;
            }
            // The list of all memberships was read after `begun`.
            let unseen = |place: &&Membership| {
                place.heard_at.is_none_or(|heard| heard < begun) && !is_new(place.updated_at, asked)
            };
            let missing: Vec<_> = person.memberships().filter(unseen).collect();
            if !missing.is_empty() {
                self.look_for(id, &missing).await?;
            }
        }
        Ok(())
    }

    /// Requests this user from Clerk. A user that Clerk does not know was deleted, because the
    /// store received the user from Clerk.
    async fn exists(&self, id: &UserId) -> Result<bool, SyncError> {
        let asked = self.now();
        let event = match self.ask.user(id).await? {
            Ok(user) => {
                self.take_in([described(user)].into_iter(), asked).await?;
                return Ok(true);
            }
            Err(told) => WebhookEvent::end_of_user(id, told.unwrap_or(asked).min(asked)),
        };
        self.take_in([event].into_iter(), asked).await?;
        self.found_gone("user", 1);
        Ok(false)
    }

    /// Requests the memberships of this user from Clerk. An incomplete list proves no missing
    /// membership.
    async fn look_for(&self, id: &UserId, missing: &[&Membership]) -> Result<(), SyncError> {
        let asked = self.now();
        let Some(places) = self.ask.places(id).await? else { return Ok(()) };
        // The earlier of Clerk's clock and ours dates the deletion, so that a later change wins.
        let at = places.at.unwrap_or(asked).min(asked);
        let in_it = |place: &Value, organization: &str| place["organization"]["id"] == organization;
        let left = missing.iter().filter(|place| {
            let organization = place.organization.as_str();
            places.is_whole() && !places.list.iter().any(|found| in_it(found, organization))
        });
        let left: Vec<_> = left.map(|place| WebhookEvent::end_of_place(id, place, at)).collect();
        let count = left.len() as u64;
        let found = places.list.into_iter().map(|place| placed(place, asked));
        self.take_in(found.chain(left), asked).await?;
        if count > 0 {
            self.found_gone("membership", count);
        }
        Ok(())
    }

    fn found_gone(&self, what: &'static str, count: u64) {
        self.show(|now| now.gone += count);
        tracing::info!(event = "clerk.reconcile.gone", what, count, "no webhook reported it");
    }
}
