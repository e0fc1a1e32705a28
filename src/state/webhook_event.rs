//! Clerk's webhook events, and the denials and profile changes that follow from them.

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

/// Maximum time by which Clerk's clock may be ahead of the local clock.
const TOLERANCE: Duration = Duration::from_secs(300);

/// An event, parsed from the body of a webhook.
///
/// Verify the [signature](clerk_verify::webhook_signature::WebhookVerifier::verify) of the body
/// first: this type does not.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct WebhookEvent {
    /// The event type, such as `session.revoked`.
    pub kind: String,
    /// The object of the event, such as the session, the user or the organization.
    pub data: Value,
    /// When the event happened, according to Clerk; see [`happened`](Self::happened).
    pub timestamp: Option<Timestamp>,
    /// The Clerk instance of the event.
    pub instance_id: Option<String>,
    /// The request that caused the event.
    pub event_attributes: Option<Value>,
}

impl WebhookEvent {
    /// An event as Clerk's webhook would report it, built from a response of the Backend API.
    pub(crate) fn about(kind: &str, data: Value, timestamp: Option<Timestamp>) -> Self {
        let kind = kind.to_owned();
        Self { kind, data, timestamp, instance_id: None, event_attributes: None }
    }

    /// The event that a user no longer exists, as Clerk reported at `at`.
    pub(crate) fn end_of_user(user: &UserId, at: Timestamp) -> Self {
        Self::about("user.deleted", json!({ "id": user }), Some(at))
    }

    /// The event that a membership no longer exists, as Clerk reported at `at`.
    pub(crate) fn end_of_place(user: &UserId, place: &Membership, at: Timestamp) -> Self {
        let data = json!({
            "public_user_data": { "user_id": user },
            "organization": { "id": place.organization },
            "updated_at": place.updated_at.as_millis(),
        });
        Self::about("organizationMembership.deleted", data, Some(at))
    }

    /// Parses the body of a webhook.
    ///
    /// Unreadable members become `null` or are dropped, because users write parts of a body in
    /// their metadata. Those parts must not block the rest of the event.
    ///
    /// # Errors
    ///
    /// [`NoEvent`] if the body is not a JSON object with a string `type`.
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

    /// When the event happened: the event's own timestamp, but at most 300 s after `received`.
    /// Without a timestamp, `received`.
    #[must_use]
    pub fn happened(&self, received: Timestamp) -> Timestamp {
        let latest = received.plus(TOLERANCE);
        self.timestamp.map_or(received, |at| at.min(latest))
    }
}

impl fmt::Debug for WebhookEvent {
    /// Prints no `data` and no `event_attributes`, because some events contain one-time codes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("WebhookEvent");
        event.field("kind", &self.kind).field("timestamp", &self.timestamp);
        event.field("instance_id", &self.instance_id).finish_non_exhaustive()
    }
}

/// A webhook body that is not an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the webhook body is not a JSON object with a type")]
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
    fn other_oddities_of_the_envelope_are_ignored() {
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
    fn debug_output_hides_the_content() {
        let body =
            br#"{"type":"email.created","data":{"otp":"424242"},"event_attributes":{"ip":"1.2"}}"#;
        let text = format!("{:?}", WebhookEvent::parse(body).expect("an event"));
        assert!(text.contains("email.created") && !text.contains("42") && !text.contains("1.2"));
    }
}
