//! The profile changes that follow from an event.

use clerk_verify::clock::Timestamp;
use serde_json::Value;

use super::WebhookEvent;
use crate::state::profile::{Change, Membership, Profile, ProfileParseError};

impl WebhookEvent {
    /// Returns the profile changes that the event reports, as received at `received`.
    ///
    /// | event | change |
    /// |---|---|
    /// | `user.created`, `user.updated` | the user's profile |
    /// | `session.*` with a `user` | the user's profile |
    /// | `user.deleted` | the deletion of the user |
    /// | `organizationMembership.created`, `organizationMembership.updated` | the user's membership |
    /// | `organizationMembership.deleted` | the end of the user's membership |
    /// | any other | none |
    ///
    /// The name of an organization is stored with each membership and stays until the membership
    /// changes. `organization.updated` changes nothing, because the event lists no memberships.
    /// `private_metadata` is dropped unless `keep_private` is true.
    ///
    /// # Errors
    ///
    /// [`ProfileParseError`] if the event does not identify its user or organization. An unreadable
    /// user in a session event is ignored, because the event is about the session.
    pub fn changes(
        &self,
        received: Timestamp,
        keep_private: bool,
    ) -> Result<Vec<Change>, ProfileParseError> {
        let described = |user: &Value| -> Result<Change, ProfileParseError> {
            let profile = Profile::of(user, keep_private)?.heard(received);
            Ok(Change::User(Box::new(profile)))
        };
        let change = match self.kind.as_str() {
            "user.created" | "user.updated" => described(&self.data)?,
            "user.deleted" => {
                Change::UserDeleted(Profile::of(&self.data, false)?.id, self.happened(received))
            }
            "organizationMembership.created" | "organizationMembership.updated" => {
                let (user, membership) = Membership::of(&self.data)?;
                Change::Joined(user, Box::new(membership.heard(received)))
            }
            "organizationMembership.deleted" => self.left(received)?,
            kind if kind.starts_with("session.") => match described(&self.data["user"]) {
                Ok(change) => change,
                Err(_) => return Ok(Vec::new()),
            },
            _ => return Ok(Vec::new()),
        };
        Ok(vec![change])
    }

    /// The end of a membership.
    ///
    /// The later of `updated_at` and the envelope's time counts. The envelope's time may be in
    /// whole seconds, and then precede the last change of the membership.
    fn left(&self, received: Timestamp) -> Result<Change, ProfileParseError> {
        let (user, membership) = Membership::of(&self.data)?;
        let membership = membership.heard(received);
        let since = membership.updated_at.max(self.happened(received));
        Ok(Change::Left(user, membership.organization, since))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clerk_verify::id::{OrgId, UserId};
    use serde_json::json;

    use super::*;
    use crate::state::profile::Person;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn told(event: &Value) -> Result<Vec<Change>, ProfileParseError> {
        let event = WebhookEvent::parse(event.to_string().as_bytes()).expect("an event");
        event.changes(NOW, false)
    }

    fn place(kind: &str, timestamp: i64, updated_at: i64) -> Value {
        json!({ "type": format!("organizationMembership.{kind}"), "timestamp": timestamp, "data": {
            "organization": { "id": "org_1" }, "public_user_data": { "user_id": "user_1" },
            "role": "org:admin", "updated_at": updated_at,
        } })
    }

    #[test]
    fn user_and_session_events_describe_the_user() {
        let user = json!({ "id": "user_1", "updated_at": 1_789_999_999 });
        let mut profile = Profile::new(UserId::from("user_1"), Timestamp::from_secs(1_789_999_999));
        profile.heard_at = Some(NOW);
        let wanted = Ok(vec![Change::User(Box::new(profile))]);
        for kind in ["user.created", "user.updated"] {
            assert_eq!(told(&json!({ "type": kind, "data": user })), wanted, "{kind}");
        }
        for kind in ["session.created", "session.pending", "session.revoked"] {
            let data = json!({ "id": "sess_1", "user": user });
            assert_eq!(told(&json!({ "type": kind, "data": data })), wanted, "{kind}");
        }
    }

    #[test]
    fn a_user_event_needs_a_user_and_a_session_event_does_not() {
        for kind in
            ["user.created", "user.updated", "user.deleted", "organizationMembership.deleted"]
        {
            assert!(told(&json!({ "type": kind, "data": {} })).is_err(), "{kind}");
        }
        for user in [json!(null), json!({}), json!(7)] {
            let event =
                json!({ "type": "session.ended", "data": { "id": "sess_1", "user": user } });
            assert_eq!(told(&event), Ok(Vec::new()), "{user}");
        }
        for kind in ["organization.updated", "organization.deleted", "role.updated", "new.thing"] {
            assert_eq!(told(&json!({ "type": kind, "data": {} })), Ok(Vec::new()), "{kind}");
        }
    }

    #[test]
    fn a_departure_applies_with_a_time_in_seconds() {
        let changed = NOW.as_millis() - 500;
        let joined = place("updated", changed, changed);
        for sent in [NOW.as_millis() - 400, NOW.as_secs() - 1] {
            let mut person = Person::default();
            for event in [&joined, &place("deleted", sent, changed), &joined] {
                told(event).expect("told").iter().for_each(|change| {
                    person.take(change);
                });
            }
            assert_eq!(person.memberships().count(), 0, "{sent}");
        }
    }

    #[test]
    fn nothing_is_newer_than_clocks_may_differ() {
        let far = 99_999_999_999_999_i64;
        let latest = NOW.plus(Duration::from_secs(300));
        let user = json!({ "type": "user.updated", "data": { "id": "user_1", "updated_at": far } });
        match &told(&user).expect("told")[..] {
            [Change::User(profile)] => assert_eq!(profile.updated_at, latest),
            other => panic!("{other:?}"),
        }
        let left = Change::Left(UserId::from("user_1"), OrgId::from("org_1"), latest);
        assert_eq!(told(&place("deleted", far, far)), Ok(vec![left]));
        match &told(&place("updated", far, far)).expect("told")[..] {
            [Change::Joined(_, membership)] => assert_eq!(membership.updated_at, latest),
            other => panic!("{other:?}"),
        }
    }
}
