//! A browser's cookies for the application, and what they say of its session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::clock::Timestamp;
use http::HeaderMap;
use http::header::SET_COOKIE;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const SESSION: &str = "__session";

/// Cookies of one application.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
    expires: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Cookie {
    name: String,
    value: String,
    /// When the browser forgets it.
    until: Option<Instant>,
}

impl Jar {
    /// The cookies of a browser with this token.
    pub(crate) fn with_session(token: &str, signed_in: Timestamp) -> Self {
        let mut jar = Self::default();
        jar.set("__client_uat", &signed_in.as_secs().to_string(), None);
        jar.set_session(token);
        jar
    }

    pub(crate) fn set_session(&mut self, token: &str) {
        self.set(SESSION, token, None);
    }

    pub(crate) fn session(&self) -> Option<&str> {
        let found = self.cookies.iter().find(|cookie| cookie.name == SESSION);
        found.map(|cookie| cookie.value.as_str())
    }

    /// When the token expires.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Takes what an answer sets.
    pub(crate) fn take(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()) {
            let mut parts = line.split(';');
            let Some((name, value)) = parts.next().and_then(|cookie| cookie.split_once('=')) else {
                continue;
            };
            let age = parts.find_map(|part| part.trim().strip_prefix("Max-Age="));
            let age = age.and_then(|age| age.parse().ok()).map(Duration::from_secs);
            self.set(name, value, age.map(|age| Instant::now() + age));
        }
    }

    /// The `Cookie` header.
    pub(crate) fn header(&self) -> String {
        let now = Instant::now();
        let kept = |cookie: &&Cookie| cookie.until.is_none_or(|until| until > now);
        let pair = |cookie: &Cookie| format!("{}={}", cookie.name, cookie.value);
        let pairs: Vec<String> = self.cookies.iter().filter(kept).map(pair).collect();
        pairs.join("; ")
    }

    fn set(&mut self, name: &str, value: &str, until: Option<Instant>) {
        if name == SESSION {
            self.expires = expires(value);
        }
        self.cookies.retain(|cookie| cookie.name != name);
        self.cookies.push(Cookie { name: name.to_owned(), value: value.to_owned(), until });
    }
}

fn expires(token: &str) -> Option<Timestamp> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims["exp"].as_i64().map(Timestamp::from_secs)
}
