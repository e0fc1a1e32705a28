//! The denials that follow from an event.

use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, SessionId, UserId};
use serde_json::Value;

use super::{TOLERANCE, WebhookEvent};
use crate::state::json;
use crate::state::revocation::Denial;

/// How long a session stays denied after its end: longer than any grace.
const AFTERLIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Tolerance for clock differences between Clerk's servers. One server may sign a token just after
/// another bans the user.
const LEEWAY: Duration = Duration::from_secs(5);
/// Assumed remaining lifetime of a session whose event has no `expire_at`.
const LONG: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const FOR_GOOD: Timestamp = Timestamp::from_millis(i64::MAX);

/// Optional denials beyond what Clerk itself enforces. Default: none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EventRules {
    /// Locking a user denies the user's existing tokens.
    ///
    /// Clerk locks a user after too many wrong passwords, and existing sessions continue at Clerk.
    /// With this rule, anyone who knows a username can end that user's sessions.
    pub locked: bool,
    /// A new password denies the tokens that were issued before it.
    ///
    /// Clerk ends those sessions only if the user asks for it, and then reports each session in its
    /// own event.
    pub new_password: bool,
}

impl WebhookEvent {
    /// Returns the denials that follow from the event, as received at `received`.
    ///
    /// | event | denied |
    /// |---|---|
    /// | `session.ended`, `session.removed`, `session.revoked` | the session, until a day after `expire_at` |
    /// | `user.deleted` | all of the user's tokens, permanently |
    /// | `user.updated` with `banned` or `deprovisioned` | the user's tokens issued up to *then* plus 5 s |
    /// | `user.updated` with `locked`, only with [`EventRules::locked`] | the same |
    /// | `user.updated`, only with [`EventRules::new_password`] | the user's tokens issued up to `password_last_updated_at` |
    /// | `organizationMembership.deleted` | the user's tokens issued up to *then* with that active organization |
    /// | `organization.deleted` | all users' tokens issued up to *then* with that active organization |
    /// | `organizationMembership.updated` | *grace* for the user's tokens issued up to *then* with that active organization, because the role may have changed |
    /// | `role.updated`, `role.deleted` | *grace* for tokens issued up to *then* with that role |
    /// | `permission.updated`, `permission.deleted` | *grace* for tokens issued up to *then* that grant that permission |
    /// | any other | nothing |
    ///
    /// *Then* is the later of `updated_at` and the envelope's time, and at most 300 s after
    /// `received`. Denials may arrive late, twice and out of order: of two for the same subject,
    /// the later counts. Lifting a ban needs no event, because the tokens of a new sign-in are
    /// issued after the ban. The same holds for a user who joins an organization again.
    ///
    /// Tokens identify roles and permissions by key. An event without a key, such as
    /// `role.deleted`, applies to all of them. After a change of a role's key, the event applies to
    /// the new key only.
    ///
    /// # Errors
    ///
    /// [`EventError`] if the event does not identify its subject.
    pub fn denials(
        &self,
        received: Timestamp,
        rules: EventRules,
    ) -> Result<Vec<Denial>, EventError> {
        let denial = match self.kind.as_str() {
            "session.ended" | "session.removed" | "session.revoked" => {
                self.session_over(received)?
            }
            "user.deleted" => Denial::User(UserId::from(self.text("id")?), FOR_GOOD),
            "user.updated" => match self.sign_out_up_to(received, rules) {
                Some(up_to) => Denial::User(UserId::from(self.text("id")?), up_to),
                None => return Ok(Vec::new()),
            },
            "organizationMembership.deleted" => {
                let (user, organization) = self.member()?;
                Denial::Member(user, organization, self.up_to(received))
            }
            "organizationMembership.updated" => {
                let (user, organization) = self.member()?;
                Denial::Outdated(user, organization, self.up_to(received))
            }
            "organization.deleted" => {
                Denial::Organization(OrgId::from(self.text("id")?), self.up_to(received))
            }
            "role.updated" | "role.deleted" => Denial::Role(self.key(), self.up_to(received)),
            "permission.updated" | "permission.deleted" => {
                Denial::Permission(self.key(), self.up_to(received))
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![denial])
    }

    fn session_over(&self, received: Timestamp) -> Result<Denial, EventError> {
        let end = self.time("expire_at").unwrap_or(received.plus(LONG)).max(received);
        Ok(Denial::Session(SessionId::from(self.text("id")?), end.plus(AFTERLIFE)))
    }

    /// The time up to which a user's tokens are denied; `None` if they are not denied.
    fn sign_out_up_to(&self, received: Timestamp, rules: EventRules) -> Option<Timestamp> {
        let shut_out = self.says("banned")
            || self.says("deprovisioned")
            || (rules.locked && self.says("locked"));
        let password = self.time("password_last_updated_at").filter(|_| rules.new_password);
        let password = password.map(|at| at.min(received.plus(TOLERANCE)));
        shut_out.then(|| self.up_to(received).plus(LEEWAY)).max(password)
    }

    /// The time of the change: *then* in [`denials`](Self::denials).
    fn up_to(&self, received: Timestamp) -> Timestamp {
        let changed = self.time("updated_at").unwrap_or_default();
        changed.max(self.happened(received)).min(received.plus(TOLERANCE))
    }

    fn member(&self) -> Result<(UserId, OrgId), EventError> {
        let user = UserId::from(self.text("public_user_data.user_id")?);
        Ok((user, OrgId::from(self.text("organization.id")?)))
    }

    /// The key by which tokens identify a role or a permission.
    fn key(&self) -> Option<String> {
        self.text("key").ok().map(str::to_owned)
    }

    fn text(&self, path: &'static str) -> Result<&str, EventError> {
        let value = path.split('.').try_fold(&self.data, |data, name| data.get(name));
        let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or(EventError(path))
    }

    fn says(&self, name: &str) -> bool {
        self.data.get(name) == Some(&Value::Bool(true))
    }

    /// A time of `data`. An invalid time counts as missing and does not fail the event.
    fn time(&self, name: &str) -> Option<Timestamp> {
        self.data.get(name).and_then(json::whole).map(Timestamp::from_number)
    }
}

/// An event that should deny something, but does not identify its subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event does not identify its subject: its data.{0} is missing or invalid")]
pub struct EventError(&'static str);

#[cfg(test)]
mod tests;
