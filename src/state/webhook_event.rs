//! What Clerk's webhooks say, and what follows from it.

mod changes;
mod effects;

use std::fmt;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;
use serde_json::{Value, json};

pub use self::effects::{EventError, EventRules};
use crate::state::json;
use crate::state::profile::Membership;

/// By so much Clerk's clock may be ahead of ours.
const TOLERANCE: Duration = Duration::from_secs(300);

/// An event, out of the body of a webhook whose
/// [signature](clerk_verify::webhook_signature::WebhookVerifier::verify) is good.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct WebhookEvent {
    /// What happened, as `session.revoked`.
    pub kind: String,
    /// To what: the session, the user, the organisation.
    pub data: Value,
    /// When, as Clerk says; see [`happened`](Self::happened).
    pub timestamp: Option<Timestamp>,
    /// The instance it happened in.
    pub instance_id: Option<String>,
    /// The request that made it happen.
    pub event_attributes: Option<Value>,
}

impl WebhookEvent {
    /// What Clerk would have told by a webhook, and told when it was asked; when it happened, if that is known.
    pub(crate) fn about(kind: &str, data: Value, timestamp: Option<Timestamp>) -> Self {
        let kind = kind.to_owned();
        Self { kind, data, timestamp, instance_id: None, event_attributes: None }
    }

    /// That there is no such user any more, as Clerk told at that time.
    pub(crate) fn end_of_user(user: &UserId, at: Timestamp) -> Self {
        Self::about("user.deleted", json!({ "id": user }), Some(at))
    }

    /// That a user's place is theirs no more, as Clerk told at that time.
    pub(crate) fn end_of_place(user: &UserId, place: &Membership, at: Timestamp) -> Self {
        let data = json!({
            "public_user_data": { "user_id": user },
            "organization": { "id": place.organization },
            "updated_at": place.updated_at.as_millis(),
        });
        Self::about("organizationMembership.deleted", data, Some(at))
    }

    /// Reads the body of a webhook. What of it cannot be read is left out, above all what users write into
    /// their metadata: it must not keep the rest from being heard.
    ///
    /// # Errors
    ///
    /// [`NoEvent`] when it is not a JSON object with a `type`.
    pub fn parse(body: &[u8]) -> Result<Self, NoEvent> {
        let Some(Value::Object(mut told)) = json::read(body) else { return Err(NoEvent) };
        let text = |value| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Ok(Self {
            kind: text(told.remove("type")).ok_or(NoEvent)?,
            timestamp: told.get("timestamp").and_then(json::whole).map(Timestamp::from_number),
            instance_id: text(told.remove("instance_id")),
            data: told.remove("data").unwrap_or_default(),
            event_attributes: told.remove("event_attributes").filter(|told| !told.is_null()),
        })
    }

    /// When it happened; as far as that is known, and never later than its delivery allows.
    #[must_use]
    pub fn happened(&self, received: Timestamp) -> Timestamp {
        let latest = received.plus(TOLERANCE);
        self.timestamp.map_or(received, |at| at.min(latest))
    }
}

impl fmt::Debug for WebhookEvent {
    /// Without what it says: some events carry one-time codes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("WebhookEvent");
        event.field("kind", &self.kind).field("timestamp", &self.timestamp);
        event.field("instance_id", &self.instance_id).finish_non_exhaustive()
    }
}

/// The body of a webhook that is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it is not a JSON object with a type")]
pub struct NoEvent;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_needs_a_type_and_no_more() {
        let event = WebhookEvent::parse(br#"{"type":"user.created"}"#).expect("an event");
        assert_eq!(event.kind, "user.created");
        for body in [
            "",
            "hello",
            "{}",
            "[]",
            r#"{"data":{}}"#,
            r#"{"type":7}"#,
            r#"["session.revoked",{"id":"sess_1"},null,null,null]"#,
        ] {
            assert_eq!(WebhookEvent::parse(body.as_bytes()), Err(NoEvent), "{body}");
        }
    }

    #[test]
    fn what_else_is_odd_about_the_envelope_is_passed_over() {
        for timestamp in ["\"1790000000000\"", "null", "[]", "1e400"] {
            let body = format!(
                r#"{{"type":"session.revoked","data":{{"id":"sess_1"}},"timestamp":{timestamp},"instance_id":7}}"#
            );
            let event = WebhookEvent::parse(body.as_bytes()).expect("an event");
            assert_eq!((event.timestamp, event.instance_id), (None, None), "{timestamp}");
            assert_eq!(event.data["id"], "sess_1");
        }
    }

    #[test]
    fn it_prints_nothing_of_what_it_says() {
        let body =
            br#"{"type":"email.created","data":{"otp":"424242"},"event_attributes":{"ip":"1.2"}}"#;
        let text = format!("{:?}", WebhookEvent::parse(body).expect("an event"));
        assert!(text.contains("email.created") && !text.contains("42") && !text.contains("1.2"));
    }
}
