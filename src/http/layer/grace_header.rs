//! `Clerk-Grace`: a response says that it was made in grace, to whoever asked for that.

use std::time::SystemTime;

use clerk_verify::clock::Timestamp;
use http::{HeaderName, HeaderValue};

use crate::decide::Grace;

pub(super) const GRACE: HeaderName = HeaderName::from_static("clerk-grace");

/// `outage; until="Fri, 29 May 2026 21:21:00 GMT"`. The date has a comma, so it stands in quotes, or
/// whoever joins and splits fields would break it.
pub(super) fn value(grace: &Grace) -> Option<HeaderValue> {
    let until = grace.until.since(Timestamp::default());
    let until = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH.checked_add(until)?);
    HeaderValue::try_from(format!("{}; until=\"{until}\"", grace.reason.name())).ok()
}
