//! An answer, taken apart.

use std::fmt::Write as _;
use std::time::Duration;

use axum::response::Response;
use clerk_resilience::Rejection;
use http::header::SET_COOKIE;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::process::{Reached, Seen};

/// What came of a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line, header fields and body, as text.
    pub(crate) bytes: String,
    pub(crate) seen: Option<Seen>,
    /// How long it took.
    pub(crate) took: Duration,
    /// It was not there at once.
    pub(crate) waited: bool,
    /// Why it is not the application's.
    pub(crate) reason: &'static str,
}

impl Answer {
    pub(crate) async fn of(
        response: Response,
        began: Instant,
        waited: bool,
    ) -> (Self, Option<String>) {
        let (parts, body) = response.into_parts();
        let took = began.elapsed();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let mut bytes = format!("{}\n", parts.status.as_u16());
        for (name, value) in &parts.headers {
            let value = value.to_str().unwrap_or("?");
            writeln!(bytes, "{name}: {value}").expect("text");
        }
        bytes.push_str(&String::from_utf8_lossy(&body));
        let ticket = parts.headers.get_all(SET_COOKIE).iter().find_map(|cookie| {
            let text = cookie.to_str().ok()?;
            text.starts_with("__Host-clerk_ticket=").then(|| text.split(';').next())?
        });
        let seen = parts.extensions.get::<Reached>().and_then(|reached| reached.0.clone());
        let ticket = ticket.map(str::to_owned);
        let reason = parts.extensions.get::<Rejection>().map_or("", |rejection| rejection.reason());
        (Self { status: parts.status.as_u16(), bytes, seen, took, waited, reason }, ticket)
    }

    pub(crate) fn in_grace(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.grace.is_some())
    }
}
