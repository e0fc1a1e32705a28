//! What Clerk says of a user of whom nothing is known here.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::time::Instant;

use super::super::bucket::Bucket;
use super::super::profiles::ProfileUntold;
use super::{BackendApi, STRANGERS};
use crate::id::UserId;
use crate::profile::Profile;
use crate::upstream::{Call, Reply};

/// A longer id is none.
const MAX_ID: usize = 128;
/// For how long to ask nothing when Clerk says "too much" and not until when.
const PAUSE: Duration = Duration::from_secs(5);
/// Longer pauses are not believed.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(super) struct Users {
    bucket: Bucket,
    /// Clerk does not want to be asked before.
    paused_until: Mutex<Option<Instant>>,
}

impl Users {
    pub(super) fn new() -> Self {
        Self { bucket: Bucket::new(STRANGERS), paused_until: Mutex::default() }
    }

    fn is_paused(&self) -> bool {
        let until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn pause(&self, reply: &Reply) {
        let secs = reply.header(&RETRY_AFTER).and_then(|secs| secs.parse().ok());
        let pause = secs.map_or(PAUSE, Duration::from_secs).min(MAX_PAUSE);
        let until = Instant::now() + pause;
        *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

impl BackendApi {
    /// A user as Clerk describes them; `None` when Clerk knows none of that id. The caller sees to it
    /// that nobody is asked for twice at once.
    pub(in crate::engine) async fn user(
        &self,
        id: &UserId,
        keep_private: bool,
    ) -> Result<Option<Profile>, ProfileUntold> {
        if !is_id(id.as_str()) {
            return Ok(None);
        }
        if self.users.is_paused() || !self.users.bucket.take() {
            return Err(ProfileUntold::Limited);
        }
        let url = self.wire.url(&format!("v1/users/{id}"));
        let reply = self.wire.send(Call::get(url)).await.ok_or(ProfileUntold::Unanswered)?;
        match reply.status {
            StatusCode::OK => described(&reply, id, keep_private).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::TOO_MANY_REQUESTS => {
                self.users.pause(&reply);
                Err(ProfileUntold::Limited)
            }
            StatusCode::UNAUTHORIZED => {
                self.wire.secret_is_refused();
                Err(ProfileUntold::SecretKeyRefused)
            }
            _ => Err(ProfileUntold::Unanswered),
        }
    }
}

/// Nothing else is part of an address.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(plain)
}

fn described(reply: &Reply, id: &UserId, keep_private: bool) -> Result<Profile, ProfileUntold> {
    let user = serde_json::from_slice(&reply.body).map_err(|_| ProfileUntold::Unanswered)?;
    let profile = Profile::of(&user, keep_private).ok();
    profile.filter(|profile| profile.id == *id).ok_or(ProfileUntold::Unanswered)
}
