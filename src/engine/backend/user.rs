//! What Clerk says of a user of whom nothing is known here: `GET /v1/users/{id}`, and
//! `GET /v1/users/{id}/organization_memberships`, where an instance without organisations answers 403.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clerk_verify::id::UserId;
use clerk_verify::transport::{ApiRequest, ApiResponse};
use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::profiles::ProfileError;
use super::super::rate_limiter::RateLimiter;
use super::{BackendApi, STRANGERS};
use crate::state::profile::{Membership, Profile};

/// As many of a user's organisations as Clerk tells at once.
const PLACES: usize = 500;
/// Their names and metadata may be long.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// A longer id is none.
const MAX_ID: usize = 128;
/// For how long to ask nothing when Clerk says "too much" and not until when.
const PAUSE: Duration = Duration::from_secs(5);
/// Longer pauses are not believed.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(super) struct Users {
    bucket: RateLimiter,
    /// Clerk does not want to be asked before.
    paused_until: Mutex<Option<Instant>>,
}

impl Users {
    pub(super) fn new() -> Self {
        Self { bucket: RateLimiter::new(STRANGERS), paused_until: Mutex::default() }
    }

    fn is_paused(&self) -> bool {
        let until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn pause(&self, reply: &ApiResponse) {
        let secs = reply.header(&RETRY_AFTER).and_then(|secs| secs.parse().ok());
        let pause = secs.map_or(PAUSE, Duration::from_secs).min(MAX_PAUSE);
        let until = Instant::now() + pause;
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

impl BackendApi {
    /// A user as Clerk describes them, and the organisations they belong to; `None` when Clerk says that it knows
    /// none of that id, which is its word only if the secret key is this instance's. The caller sees to it that
    /// nobody is asked for twice at once.
    pub(in crate::engine) async fn user(
        &self,
        id: &UserId,
        keep_private: bool,
    ) -> Result<Option<Described>, ProfileError> {
        if !is_id(id.as_str()) {
            return Ok(None);
        }
        if self.users.is_paused() || !self.users.bucket.take() {
            return Err(ProfileError::Limited);
        }
        let both = self.both(id, keep_private);
        let timely = tokio::time::timeout(self.wire.access.deadline, both).await;
        timely.unwrap_or(Err(ProfileError::Unanswered))
    }

    /// Half of it would look like somebody who belongs nowhere.
    async fn both(
        &self,
        id: &UserId,
        keep_private: bool,
    ) -> Result<Option<Described>, ProfileError> {
        let path = format!("v1/users/{id}");
        let Some(user) = self.asked(&path, None).await? else { return Ok(None) };
        let profile = Profile::of(&user, keep_private).ok().filter(|profile| profile.id == *id);
        let profile = profile.ok_or(ProfileError::Unanswered)?;
        let path = format!("{path}/organization_memberships");
        let query = format!("limit={PLACES}&offset=0");
        // They were described a moment before.
        let places = self.asked(&path, Some(&query)).await?.ok_or(ProfileError::Unanswered)?;
        Described::new(profile, &places).map(Some).ok_or(ProfileError::Unanswered)
    }

    /// The document; `None` when Clerk says that there is none.
    async fn asked(&self, path: &str, query: Option<&str>) -> Result<Option<Value>, ProfileError> {
        let mut url = self.wire.url(path);
        url.set_query(query);
        let call = ApiRequest { max_bytes: MAX_BYTES, ..ApiRequest::get(url) };
        let reply = self.wire.send(call).await.ok_or(ProfileError::Unanswered)?;
        let told = crate::state::json::read(&reply.body).unwrap_or_default();
        let code = told["errors"][0]["code"].as_str().unwrap_or_default();
        match (reply.status, code) {
            (StatusCode::OK, _) if !told.is_null() => Ok(Some(told)),
            (StatusCode::NOT_FOUND, "resource_not_found") => Ok(None),
            (StatusCode::FORBIDDEN, "organization_not_enabled_in_instance") => {
                Ok(Some(json!({ "data": [] })))
            }
            (StatusCode::TOO_MANY_REQUESTS, _) => {
                self.users.pause(&reply);
                Err(ProfileError::Limited)
            }
            (StatusCode::UNAUTHORIZED, _) => {
                self.wire.secret_is_refused();
                Err(ProfileError::SecretKeyRefused)
            }
            _ => Err(ProfileError::Unanswered),
        }
    }
}

/// What Clerk says of a user.
#[derive(Debug)]
pub(in crate::engine) struct Described {
    pub(in crate::engine) profile: Profile,
    pub(in crate::engine) memberships: Vec<Membership>,
    /// They belong to no other organisation.
    pub(in crate::engine) whole: bool,
}

impl Described {
    /// None when they are not told in Clerk's way.
    fn new(profile: Profile, places: &Value) -> Option<Self> {
        let (list, total) = (places["data"].as_array()?, places["total_count"].as_u64());
        let whole = list.len() < PLACES && total.is_some_and(|total| total <= list.len() as u64);
        let own = list.iter().filter_map(|place| Membership::of(place).ok());
        let own = own.filter(|(user, _)| *user == profile.id);
        let memberships = own.map(|(_, place)| place).collect();
        Some(Self { profile, memberships, whole })
    }
}

/// Nothing else is part of an address.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(plain)
}
