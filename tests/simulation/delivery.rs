//! What Clerk tells by webhook: signed, and sometimes late, twice, out of order or forged.

use axum::body::Body;
use clerk_resilience::webhook_signature::WebhookSecret;
use http::Request;
use serde_json::{Value, json};
use test_support::token::at;

use crate::plan::Millis;
use crate::process::HOST;

const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
const STRANGERS: &str = "whsec_AgICAgICAgICAgICAgICAgICAgICAgIC";

/// A message of Clerk's, or of somebody who would like to be Clerk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: u64,
    pub(crate) about: About,
    /// When it happened; it may be delivered long after.
    pub(crate) happened: Millis,
    pub(crate) forged: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum About {
    SessionOver(u16, u16),
    Banned(u16),
    Deleted(u16),
    /// A user is locked, which ends nothing.
    Locked(u16),
}

impl Delivery {
    fn body(&self) -> Value {
        let told = at(0).as_millis() + self.happened;
        let updated = |user: u16, what: &str| {
            let data = json!({ "id": format!("user_{user}"), what: true, "updated_at": told });
            json!({ "type": "user.updated", "timestamp": told, "data": data })
        };
        match self.about {
            About::SessionOver(user, session) => {
                let data = json!({ "id": format!("sess_{user}_{session}") });
                json!({ "type": "session.revoked", "timestamp": told, "data": data })
            }
            About::Deleted(user) => {
                let data = json!({ "id": format!("user_{user}"), "deleted": true });
                json!({ "type": "user.deleted", "timestamp": told, "data": data })
            }
            About::Banned(user) => updated(user, "banned"),
            About::Locked(user) => updated(user, "locked"),
        }
    }

    /// The delivery, signed at this time by Clerk's clock.
    pub(crate) fn request(&self, now: Millis) -> Request<Body> {
        let (body, id) = (self.body().to_string(), format!("msg_{}", self.id));
        let secs = at(now / 1_000).as_secs();
        let signature = secret(self.forged).sign(&id, secs, body.as_bytes());
        let request = Request::post("/auth/webhooks").header("host", HOST);
        let request = request.header("svix-id", id).header("svix-timestamp", secs.to_string());
        request.header("svix-signature", signature).body(body.into()).expect("a request")
    }
}

/// The secret that the application shares with Clerk, or a stranger's.
pub(crate) fn secret(forged: bool) -> WebhookSecret {
    WebhookSecret::parse(if forged { STRANGERS } else { SECRET }).expect("a secret")
}
