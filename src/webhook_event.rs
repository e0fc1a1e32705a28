//! What Clerk's webhooks say, and what follows from it.

mod changes;
mod effects;

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

pub use self::effects::{EventRules, Incomplete};
use crate::clock::Timestamp;
use crate::id::UserId;
use crate::profile::Membership;

/// By so much Clerk's clock may be ahead of ours.
const TOLERANCE: Duration = Duration::from_secs(300);

/// An event, out of the body of a webhook whose
/// [signature](crate::webhook_signature::WebhookVerifier::verify) is good.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[non_exhaustive]
pub struct WebhookEvent {
    /// What happened, as `session.revoked`.
    #[serde(rename = "type")]
    pub kind: String,
    /// To what: the session, the user, the organisation.
    #[serde(default)]
    pub data: Value,
    /// When, in Unix milliseconds or seconds; see [`happened`](Self::happened).
    pub timestamp: Option<i64>,
    /// The instance it happened in.
    pub instance_id: Option<String>,
    /// The request that made it happen.
    pub event_attributes: Option<Value>,
}

impl WebhookEvent {
    /// What Clerk would have told by a webhook, and told when it was asked; when it happened, if that is known.
    pub(crate) fn about(kind: &str, data: Value, timestamp: Option<i64>) -> Self {
        let kind = kind.to_owned();
        Self { kind, data, timestamp, instance_id: None, event_attributes: None }
    }

    /// That there is no such user any more, as Clerk told at that time.
    pub(crate) fn end_of_user(user: &UserId, at: Timestamp) -> Self {
        Self::about("user.deleted", json!({ "id": user }), Some(at.as_millis()))
    }

    /// That a user's place is theirs no more, as Clerk told at that time.
    pub(crate) fn end_of_place(user: &UserId, place: &Membership, at: Timestamp) -> Self {
        let data = json!({
            "public_user_data": { "user_id": user },
            "organization": { "id": place.organization },
            "updated_at": place.updated_at.as_millis(),
        });
        Self::about("organizationMembership.deleted", data, Some(at.as_millis()))
    }

    /// Reads the body of a webhook.
    ///
    /// # Errors
    ///
    /// When it is not JSON with a `type`.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// When it happened; as far as that is known, and never later than its delivery allows.
    #[must_use]
    pub fn happened(&self, received: Timestamp) -> Timestamp {
        let latest = received.plus(TOLERANCE);
        self.timestamp.map_or(received, |at| Timestamp::from_number(at).min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_needs_a_type_and_no_more() {
        let event = WebhookEvent::parse(br#"{"type":"user.created"}"#).expect("an event");
        assert_eq!(event.kind, "user.created");
        for body in ["", "hello", "{}", "[]", r#"{"data":{}}"#] {
            assert!(WebhookEvent::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
