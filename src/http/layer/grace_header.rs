//! The response header field `Clerk-Grace`, which states the grace of a request.

use std::time::SystemTime;

use clerk_verify::clock::Timestamp;
use http::{HeaderName, HeaderValue};

use crate::decide::Grace;

pub(super) const GRACE: HeaderName = HeaderName::from_static("clerk-grace");

/// Returns a value such as `outage; until="Fri, 29 May 2026 21:21:00 GMT"`. The date contains a
/// comma; the quotes protect it when fields are joined and split.
pub(super) fn value(grace: &Grace) -> Option<HeaderValue> {
    let until = grace.until.since(Timestamp::default());
    let until = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH.checked_add(until)?);
    HeaderValue::try_from(format!("{}; until=\"{until}\"", grace.reason.name())).ok()
}
