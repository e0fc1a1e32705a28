//! What follows from an event.

use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, SessionId, UserId};
use serde_json::Value;

use super::{TOLERANCE, WebhookEvent};
use crate::state::json;
use crate::state::revocation::Denial;

/// A session is denied for so long after its end, longer than any grace.
const AFTERLIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Clerk's machines do not agree on the time to the second: one of them may have made a token just after
/// another shut its user out.
const LEEWAY: Duration = Duration::from_secs(5);
/// A session that does not say when it ends.
const LONG: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const FOR_GOOD: Timestamp = Timestamp::from_millis(i64::MAX);

/// What is to follow from events beyond what Clerk itself makes of them. Default: nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EventRules {
    /// A user who is locked, for having entered a wrong password too often, loses the sessions there
    /// are. At Clerk they go on; whoever knows a user's name can then end that user's sessions.
    pub locked: bool,
    /// A new password ends the sessions of before. At Clerk it does so when the user wishes, and the
    /// sessions are then told of one by one.
    pub new_password: bool,
}

impl WebhookEvent {
    /// What is to be denied from now on.
    ///
    /// | event | denied |
    /// |---|---|
    /// | `session.ended`, `session.removed`, `session.revoked` | the session, until a day after `expire_at` |
    /// | `user.deleted` | all of the user's tokens, for good |
    /// | `user.updated` with `banned` or `deprovisioned` | the user's tokens that were issued up to then, and 5 s more |
    /// | `user.updated` with `locked`, by [`EventRules::locked`] alone | the same |
    /// | `user.updated`, by [`EventRules::new_password`] alone | the user's tokens that were issued up to `password_last_updated_at` |
    /// | `organizationMembership.deleted` | the user's tokens that were issued up to then with that organisation as the active one |
    /// | `organization.deleted` | everybody's such tokens |
    /// | `organizationMembership.updated` | *grace* for the user's such tokens: the role may be another |
    /// | `role.updated`, `role.deleted` | *grace* for tokens that were issued up to then with that role |
    /// | `permission.updated`, `permission.deleted` | *grace* for tokens that were issued up to then and grant that permission |
    /// | any other | nothing |
    ///
    /// Every denial may come late, twice or out of order: of two about the same thing the later one
    /// counts. A ban that is lifted needs no event: the tokens of a new sign-in are younger than it; so
    /// are those of a user who joins an organisation anew.
    ///
    /// *Then* is the later of `updated_at` and the envelope's time, and at most 300 s from now. A token
    /// knows roles and permissions by their keys: an event that names none, as `role.deleted` does, is
    /// taken to be about all of them. A role whose key was changed is known by its new key only.
    ///
    /// # Errors
    ///
    /// [`EventError`] when the event does not say what it is about.
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

    /// Up to when a user's tokens are denied, if they are.
    fn sign_out_up_to(&self, received: Timestamp, rules: EventRules) -> Option<Timestamp> {
        let shut_out = self.says("banned")
            || self.says("deprovisioned")
            || (rules.locked && self.says("locked"));
        let password = self.time("password_last_updated_at").filter(|_| rules.new_password);
        let password = password.map(|at| at.min(received.plus(TOLERANCE)));
        shut_out.then(|| self.up_to(received).plus(LEEWAY)).max(password)
    }

    /// When the thing was changed.
    fn up_to(&self, received: Timestamp) -> Timestamp {
        let changed = self.time("updated_at").unwrap_or_default();
        changed.max(self.happened(received)).min(received.plus(TOLERANCE))
    }

    fn member(&self) -> Result<(UserId, OrgId), EventError> {
        let user = UserId::from(self.text("public_user_data.user_id")?);
        Ok((user, OrgId::from(self.text("organization.id")?)))
    }

    /// The name by which tokens know a role or a permission.
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

    /// What is no time does not keep the rest from being heard.
    fn time(&self, name: &str) -> Option<Timestamp> {
        self.data.get(name).and_then(json::whole).map(Timestamp::from_number)
    }
}

/// An event that ends or changes something, and does not say what.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event ends or changes something, but its data.{0} is missing or no such value")]
pub struct EventError(&'static str);

#[cfg(test)]
mod tests;
