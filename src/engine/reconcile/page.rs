//! Applies a page of a Clerk list with the same effects as the corresponding webhooks.

use std::time::Duration;

use clerk_verify::clock::Timestamp;
use serde_json::Value;

use super::sync_error::{SyncError, within};
use super::sync_task::SyncTask;
use crate::engine::instance::Owner;
use crate::state::json;
use crate::state::reconcile::{MEMBERS, SyncCursor, USERS};
use crate::state::revocation::Kind;
use crate::state::webhook_event::WebhookEvent;

/// The counts of one page, for [`Progress`](super::Progress).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SyncPage {
    pub(super) users: u64,
    pub(super) memberships: u64,
    pub(super) memberships_total: Option<u64>,
    pub(super) compared: u64,
}

impl SyncTask {
    pub(super) async fn users(
        &self,
        offset: u64,
        course: &mut SyncCursor,
    ) -> Result<SyncPage, SyncError> {
        let asked = self.now();
        let users = self.ask.users(offset).await?;
        if offset == 0 && course.synced().is_none() {
            let total = self.ask.count().await?;
            self.show(|now| now.total = total);
        }
        let changed: Vec<_> = users.iter().filter_map(changed_at).collect();
        let count = u64::try_from(users.len()).unwrap_or(USERS);
        self.take_in(users.into_iter().map(described), asked).await?;
        course.read_users(&changed, count, asked);
        Ok(SyncPage { users: count, ..SyncPage::default() })
    }

    pub(super) async fn members(
        &self,
        offset: u64,
        course: &mut SyncCursor,
    ) -> Result<SyncPage, SyncError> {
        let asked = self.now();
        let Some(page) = self.ask.members(offset).await? else {
            course.read_members(0, asked);
            return Ok(SyncPage::default());
        };
        if offset == 0 {
            self.roles().await?;
        }
        let count = u64::try_from(page.list.len()).unwrap_or(MEMBERS);
        self.take_in(page.list.into_iter().map(|place| placed(place, asked)), asked).await?;
        course.read_members(count, asked);
        let memberships_total = Some(page.total);
        Ok(SyncPage { memberships: count, memberships_total, ..SyncPage::default() })
    }

    /// Reads roles and permissions, whose changes end the grace of older tokens.
    async fn roles(&self) -> Result<(), SyncError> {
        for (list, what) in
            [("organization_roles", "role"), ("organization_permissions", "permission")]
        {
            let asked = self.now();
            let told = self.ask.of_all_organizations(list).await?;
            self.take_in(told.into_iter().map(|one| since(what, one, asked)), asked).await?;
        }
        Ok(())
    }

    /// Applies events: denials take effect at once, then everything is stored. A page that cannot
    /// be stored is read again. The events are dated by the time of the request, not later. Nothing
    /// is applied unless the secret key is proven to belong to this instance.
    pub(super) async fn take_in(
        &self,
        events: impl Iterator<Item = WebhookEvent>,
        asked: Timestamp,
    ) -> Result<(), SyncError> {
        match self.with().instance.owner().await {
            Owner::Ours => {}
            Owner::Another => return Err(SyncError::Another),
            Owner::Untold => return Err(SyncError::Unproven),
        }
        let (store, people) = (&self.with().store, &self.with().people);
        let (mut changes, mut denials) = (Vec::new(), Vec::new());
        for event in events {
            // An event that does not name its subject has no effect.
            changes.extend(event.changes(asked, self.with().keep_private).unwrap_or_default());
            denials.extend(event.denials(asked, self.with().rules).unwrap_or_default());
        }
        self.core.deny(&denials, store.is_durable());
        if !denials.is_empty() {
            within(store.deny(denials)).await?;
        }
        people.hear(&changes);
        within(store.merge(changes.clone())).await?;
        people.hear(&changes);
        Ok(())
    }
}

pub(super) fn described(user: Value) -> WebhookEvent {
    WebhookEvent::about("user.updated", user, None)
}

pub(super) fn placed(membership: Value, asked: Timestamp) -> WebhookEvent {
    since("organizationMembership", membership, asked)
}

/// Builds an event of the kind `updated` if the object changed recently after its creation, else of
/// the kind `created`. Recently means that grace may still rely on the previous state.
fn since(what: &str, data: Value, asked: Timestamp) -> WebhookEvent {
    let [created, updated] = ["created_at", "updated_at"].map(|name| time(&data, name));
    let memory = Kind::Outdated.afterlife().unwrap_or(Duration::MAX);
    let lately = |at| at >= asked.minus(memory);
    let changed = updated.is_some_and(lately) && created != updated;
    let happened = if changed { "updated" } else { "created" };
    WebhookEvent::about(&format!("{what}.{happened}"), data, updated)
}

fn changed_at(user: &Value) -> Option<Timestamp> {
    time(user, "updated_at")
}

fn time(object: &Value, name: &str) -> Option<Timestamp> {
    object.get(name).and_then(json::whole).map(Timestamp::from_number)
}
