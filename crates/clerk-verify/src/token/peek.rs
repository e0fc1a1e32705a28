//! The unverified contents of a token. They may send a browser to Clerk or sign it out; they never
//! sign a user in.

use serde_json::Value;

use super::expectations::check_session_category;
use super::jws::{Header, Jws, object};
use super::kind::OAUTH_TYPES;
use crate::clock::Timestamp;

#[derive(Debug)]
pub(crate) struct Peek {
    /// `iss` when it is present and not empty. A value that is not text matches no issuer.
    pub(super) issuer: Option<String>,
    pub(crate) session_id: Option<String>,
    /// `iat`, if it is a number.
    pub(super) issued_at: Option<f64>,
    expires_at: Option<f64>,
    session: bool,
}

impl Peek {
    /// Decodes a token; `None` when it cannot be decoded.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let jws = Jws::parse(token).ok()?;
        let claims: serde_json::Map<String, Value> = object(&jws.payload).ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|s| !s.is_empty());
        let issuer = match claims.get("iss") {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(Value::String(issuer)) => Some(issuer.clone()).filter(|issuer| !issuer.is_empty()),
            Some(_) => Some(String::from("\0")),
        };
        Some(Self {
            issuer,
            session_id: text("sid").map(str::to_owned),
            issued_at: claims.get("iat").and_then(number),
            expires_at: claims.get("exp").and_then(number),
            session: is_session(&jws.header().ok()?, text("sub")),
        })
    }

    /// Returns true when `iat` is before a time in Unix seconds; false without `iat`.
    pub(crate) fn issued_before(&self, seconds: f64) -> bool {
        self.issued_at.is_some_and(|issued| issued < seconds)
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact")]
    pub(super) fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires| expires <= now.as_secs() as f64)
    }

    /// Returns true when the token has the form of a session token.
    pub(crate) fn is_session(&self) -> bool {
        self.session
    }
}

/// Returns true when the token is not a machine token, an OAuth access token or a JWT template.
fn is_session(header: &Header<'_>, subject: Option<&str>) -> bool {
    let machine = subject.is_some_and(|sub| sub.starts_with("mch_"));
    let oauth = header.media_type.text().is_some_and(|typ| OAUTH_TYPES.contains(&typ));
    !machine && !oauth && check_session_category(header).is_ok()
}

/// Parses a number, or a text that contains one.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}
