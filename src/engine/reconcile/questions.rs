//! Requests of reconciliation to Clerk's Backend API, one at a time.
//!
//! | request | `operationId` in Clerk's `OpenAPI` document `bapi/2026-05-12.yml` |
//! |---|---|
//! | `GET /v1/users?order_by=-updated_at&limit&offset`, `GET /v1/users?user_id=…` (up to 100) | `GetUserList` |
//! | `GET /v1/users/{id}`: 404 if the user does not exist | `GetUser` |
//! | `GET /v1/users/count` | `GetUsersCount` |
//! | `GET /v1/organization_memberships?order_by=+created_at&limit&offset` | `InstanceGetOrganizationMemberships` |
//! | `GET /v1/users/{id}/organization_memberships?limit&offset` | `UsersGetOrganizationMemberships` |
//! | `GET /v1/organization_roles?limit&offset` | `ListOrganizationRoles` |
//! | `GET /v1/organization_permissions?limit&offset` | `ListOrganizationPermissions` |
//!
//! `limit` is 500 at most. Lists of users are plain arrays; the other lists have `data` and
//! `total_count`. An instance without organizations answers 403 with the code
//! `organization_not_enabled_in_instance`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;
use clerk_verify::key::InstanceKind;
use clerk_verify::transport::{ApiRequest, ApiResponse};
use http::StatusCode;
use http::header::{DATE, RETRY_AFTER};
use serde_json::Value;
use tokio::time::Instant;

use super::sync_error::SyncError;
use crate::engine::backend::{API_VERSION, BackendAccess};
use crate::engine::counters::Counters;
use crate::state::reconcile::{MEMBERS, USERS};

/// Pause between two requests: at most four a second of the hundred that Clerk allows a production
/// instance, and one a second of the ten that Clerk allows a development instance.
const PACE: Duration = Duration::from_millis(250);
const PACE_IN_DEVELOPMENT: Duration = Duration::from_secs(1);
/// Limits for a response. A page may be large, and Clerk may need time to produce it.
const MAX_BYTES: usize = 16 * 1024 * 1024;
const DEADLINE: Duration = Duration::from_secs(15);
/// Maximum number of a user's memberships in one response.
const PLACES: usize = 500;
/// Clerk's error code for a missing object. A proxy's own 404 lacks it.
const NOT_FOUND: &str = "resource_not_found";

#[derive(Debug)]
pub(super) struct Questions {
    access: BackendAccess,
    grace_usage: Duration,
    counters: Arc<Counters>,
    /// The earliest time of the next request.
    next: Mutex<Instant>,
}

/// A list of memberships.
#[derive(Debug)]
pub(super) struct MembershipPlaces {
    pub(super) list: Vec<Value>,
    /// Number of memberships in total, as Clerk reports it.
    pub(super) total: u64,
    /// The date of the response, by Clerk's clock.
    pub(super) at: Option<Timestamp>,
}

impl MembershipPlaces {
    /// Whether the list is complete.
    pub(super) fn is_whole(&self) -> bool {
        self.list.len() < PLACES && self.total <= self.list.len() as u64
    }
}

impl Questions {
    pub(super) fn new(access: BackendAccess, kind: InstanceKind, counters: Arc<Counters>) -> Self {
        let grace_usage = match kind {
            InstanceKind::Production => PACE,
            InstanceKind::Development => PACE_IN_DEVELOPMENT,
        };
        Self { access, grace_usage, counters, next: Mutex::new(Instant::now()) }
    }

    /// Returns a page of users, the last changed first.
    pub(super) async fn users(&self, offset: u64) -> Result<Vec<Value>, SyncError> {
        let query = format!("order_by=-updated_at&limit={USERS}&offset={offset}");
        list(&self.ask("users", &query).await?)
    }

    /// Returns those of the given users, at most a hundred, that exist.
    pub(super) async fn these(&self, ids: &[&UserId]) -> Result<Vec<Value>, SyncError> {
        let mut query = format!("limit={USERS}");
        for id in ids {
            query.push_str("&user_id=");
            query.push_str(id.as_str());
        }
        list(&self.ask("users", &query).await?)
    }

    /// Returns a user. `Err` means that the user does not exist, as of a time by Clerk's clock.
    pub(super) async fn user(
        &self,
        id: &UserId,
    ) -> Result<Result<Value, Option<Timestamp>>, SyncError> {
        let reply = self.ask(&format!("users/{id}"), "").await?;
        match reply.status {
            StatusCode::NOT_FOUND if says(&reply, NOT_FOUND) => Ok(Err(told_at(&reply))),
            _ => json(&reply).map(Ok),
        }
    }

    /// Returns the number of users, which serves only the progress report.
    pub(super) async fn count(&self) -> Result<Option<u64>, SyncError> {
        match json(&self.ask("users/count", "").await?) {
            Err(busy @ SyncError::Busy(_)) => Err(busy),
            told => Ok(told.ok().and_then(|told| told["total_count"].as_u64())),
        }
    }

    /// Returns a page of all memberships, the oldest first. `None` if the instance has no
    /// organizations.
    pub(super) async fn members(&self, offset: u64) -> Result<Option<MembershipPlaces>, SyncError> {
        let query = format!("order_by=%2Bcreated_at&limit={MEMBERS}&offset={offset}");
        places(&self.ask("organization_memberships", &query).await?)
    }

    /// Returns a user's memberships. `None` if the instance has no organizations, or if the user
    /// does not exist.
    pub(super) async fn places(&self, id: &UserId) -> Result<Option<MembershipPlaces>, SyncError> {
        let path = format!("users/{id}/organization_memberships");
        let reply = self.ask(&path, &format!("limit={PLACES}&offset=0")).await?;
        let nobody = reply.status == StatusCode::NOT_FOUND && says(&reply, NOT_FOUND);
        if nobody { Ok(None) } else { places(&reply) }
    }

    /// Returns the instance's roles or permissions; an empty list if Clerk does not show them.
    pub(super) async fn of_all_organizations(&self, list: &str) -> Result<Vec<Value>, SyncError> {
        let reply = self.ask(list, &format!("limit={PLACES}&offset=0")).await?;
        let hidden = matches!(reply.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
        let told = if hidden { None } else { places(&reply)? };
        Ok(told.map(|told| told.list).unwrap_or_default())
    }

    async fn ask(&self, path: &str, query: &str) -> Result<ApiResponse, SyncError> {
        tokio::time::sleep_until(self.turn()).await;
        let mut url = self.access.address.clone();
        let base = self.access.address.path().trim_end_matches('/');
        url.set_path(&format!("{base}/v1/{path}"));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let call = ApiRequest::get(url).bearer(self.access.secret.expose()).deadline(DEADLINE);
        let call = call.header(API_VERSION.0, API_VERSION.1);
        self.counters.asked_upstream();
        Ok(self.access.transport.call(ApiRequest { max_bytes: MAX_BYTES, ..call }).await?)
    }

    fn turn(&self) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(Instant::now());
        *next = turn + self.grace_usage;
        turn
    }
}

/// Whether an id is safe within a URL: 1 to 128 letters, digits, `_` or `-`, as all of Clerk's ids
/// are.
pub(super) fn is_plain(id: &UserId) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=128).contains(&id.as_str().len()) && id.as_str().bytes().all(plain)
}

fn list(reply: &ApiResponse) -> Result<Vec<Value>, SyncError> {
    match json(reply)? {
        Value::Array(list) => Ok(list),
        _ => Err(SyncError::Nonsense),
    }
}

fn places(reply: &ApiResponse) -> Result<Option<MembershipPlaces>, SyncError> {
    // The instance has no organizations, or this key may not list them.
    if reply.status == StatusCode::FORBIDDEN {
        return Ok(None);
    }
    let mut told = json(reply)?;
    let total = told["total_count"].as_u64().ok_or(SyncError::Nonsense)?;
    match told["data"].take() {
        Value::Array(list) => Ok(Some(MembershipPlaces { list, total, at: told_at(reply) })),
        _ => Err(SyncError::Nonsense),
    }
}

fn says(reply: &ApiResponse, code: &str) -> bool {
    let told: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    told["errors"][0]["code"] == code
}

fn json(reply: &ApiResponse) -> Result<Value, SyncError> {
    match reply.status {
        StatusCode::OK => crate::state::json::read(&reply.body).ok_or(SyncError::Nonsense),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(SyncError::Refused),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Err(SyncError::Busy(asked_for(reply)))
        }
        status => Err(SyncError::Failed(status)),
    }
}

/// Parses `Retry-After`: seconds, or a time that is compared with the response's `Date`.
fn asked_for(reply: &ApiResponse) -> Option<Duration> {
    let text = reply.header(&RETRY_AFTER)?.trim();
    if let Ok(secs) = text.parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(reply.header(&DATE)?).ok()?;
    at.duration_since(now).ok()
}

fn told_at(reply: &ApiResponse) -> Option<Timestamp> {
    let at = httpdate::parse_http_date(reply.header(&DATE)?).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(Timestamp::from_millis)
}
