//! What Clerk's webhooks say, and what follows from it.

mod changes;

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};
use crate::revocation::Denial;

/// A session is denied for so long after its end, longer than any grace.
const AFTERLIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// A session that does not say when it ends.
const LONG: Duration = Duration::from_secs(30 * 24 * 60 * 60);
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

    /// What is to be denied from now on.
    ///
    /// | event | denied |
    /// |---|---|
    /// | `session.ended`, `session.removed`, `session.revoked` | the session, until a day after `expire_at` |
    /// | `user.deleted` | all of the user's tokens, for good |
    /// | `user.updated` with `banned` or `deprovisioned` | the user's tokens that were issued up to then |
    /// | any other | nothing |
    ///
    /// Every denial may come late, twice or out of order: of two about the same thing the later one
    /// counts. A ban that is lifted needs no event: the tokens of a new sign-in are younger than it. A
    /// user who is `locked` may go on, as at Clerk.
    ///
    /// # Errors
    ///
    /// [`Incomplete`] when the event does not say what it is about.
    pub fn denials(&self, received: Timestamp) -> Result<Vec<Denial>, Incomplete> {
        let denial = match self.kind.as_str() {
            "session.ended" | "session.removed" | "session.revoked" => {
                self.session_over(received)?
            }
            "user.deleted" => Denial::User(UserId::from(self.subject()?), FOR_GOOD),
            "user.updated" if self.says("banned") || self.says("deprovisioned") => {
                let changed = self.time("updated_at")?.unwrap_or(Timestamp::default());
                let up_to = changed.max(self.happened(received)).min(received.plus(TOLERANCE));
                Denial::User(UserId::from(self.subject()?), up_to)
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![denial])
    }

    fn session_over(&self, received: Timestamp) -> Result<Denial, Incomplete> {
        let end = self.time("expire_at")?.unwrap_or(received.plus(LONG)).max(received);
        Ok(Denial::Session(SessionId::from(self.subject()?), end.plus(AFTERLIFE)))
    }

    fn subject(&self) -> Result<&str, Incomplete> {
        let id = self.data.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        id.ok_or(Incomplete("data.id"))
    }

    fn says(&self, name: &str) -> bool {
        self.data.get(name) == Some(&Value::Bool(true))
    }

    /// Absent is well, anything but a number is not.
    fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Incomplete> {
        match self.data.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                value.as_i64().map(Timestamp::from_number).map(Some).ok_or(Incomplete(name))
            }
        }
    }
}

const FOR_GOOD: Timestamp = Timestamp::from_millis(i64::MAX);

/// An event that ends something, and does not say what, or when.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event ends something, but its {0} is missing or no such value")]
pub struct Incomplete(&'static str);

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

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn denials(body: &str) -> Result<Vec<Denial>, Incomplete> {
        WebhookEvent::parse(body.as_bytes()).expect("an event").denials(NOW)
    }

    #[test]
    fn a_session_that_is_over_is_denied_a_day_longer_than_it_would_have_lived() {
        let end = NOW.plus(Duration::from_secs(60));
        for kind in ["ended", "removed", "revoked"] {
            let expires = end.as_millis();
            let body = format!(
                r#"{{"type":"session.{kind}","data":{{"id":"sess_1","expire_at":{expires},"user":null}}}}"#
            );
            let denial = Denial::Session(SessionId::from("sess_1"), end.plus(AFTERLIFE));
            assert_eq!(denials(&body), Ok(vec![denial]));
        }
        let past = r#"{"type":"session.ended","data":{"id":"sess_1","expire_at":1}}"#;
        let denial = Denial::Session(SessionId::from("sess_1"), NOW.plus(AFTERLIFE));
        assert_eq!(denials(past), Ok(vec![denial]));
    }

    #[test]
    fn seconds_and_milliseconds_are_told_apart_by_their_size() {
        for timestamp in ["1789999990", "1789999990000"] {
            let body = format!(
                r#"{{"type":"user.updated","timestamp":{timestamp},"data":{{"id":"user_1","banned":true}}}}"#
            );
            let denial = Denial::User(UserId::from("user_1"), Timestamp::from_secs(1_789_999_990));
            assert_eq!(denials(&body), Ok(vec![denial]));
        }
    }

    #[test]
    fn an_event_from_the_future_denies_no_further_than_clocks_may_differ() {
        let body = r#"{"type":"user.updated","timestamp":99999999999999,"data":{"id":"user_1","deprovisioned":true,"updated_at":99999999999999}}"#;
        let denial = Denial::User(UserId::from("user_1"), NOW.plus(TOLERANCE));
        assert_eq!(denials(body), Ok(vec![denial]));
    }

    #[test]
    fn a_deleted_user_is_denied_for_good_and_a_locked_one_is_not() {
        let deleted = denials(r#"{"type":"user.deleted","data":{"id":"user_1"}}"#);
        assert_eq!(deleted, Ok(vec![Denial::User(UserId::from("user_1"), FOR_GOOD)]));
        for body in [
            r#"{"type":"user.updated","data":{"id":"user_1","locked":true,"banned":false}}"#,
            r#"{"type":"session.pending","data":{"id":"sess_1"}}"#,
            r#"{"type":"passkey.rotated","data":{"id":"pk_1"}}"#,
            r#"{"type":"email.created"}"#,
        ] {
            assert_eq!(denials(body), Ok(Vec::new()), "{body}");
        }
    }

    #[test]
    fn an_event_that_ends_something_must_say_what() {
        for body in [
            r#"{"type":"session.revoked"}"#,
            r#"{"type":"session.revoked","data":{"id":""}}"#,
            r#"{"type":"session.revoked","data":{"id":"sess_1","expire_at":"soon"}}"#,
            r#"{"type":"user.deleted","data":{"deleted":true}}"#,
            r#"{"type":"user.updated","data":{"id":7,"banned":true}}"#,
        ] {
            assert!(denials(body).is_err(), "{body}");
        }
    }
}
