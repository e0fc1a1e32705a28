//! Ends streams and leases of a caller outside of grace when the caller is revoked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;

use super::leased_body::{LeasedBody, is_stream};
use crate::decide::{Caller, has_ended};
use crate::engine::Core;
use crate::http::outcome::RequestOutcome;

/// Interval at which open connections are checked against the revocations.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// Watches the revocations for a caller whose token was valid. The token's expiry ends nothing.
#[derive(Clone, Debug)]
pub(super) struct RevocationWatch {
    core: Arc<Core>,
    caller: Caller,
}

impl RevocationWatch {
    /// Returns `None` for a request without a caller.
    pub(super) fn of(outcome: &RequestOutcome) -> Option<Self> {
        let caller = outcome.caller.clone()?;
        Some(Self { core: Arc::clone(&outcome.shared.core), caller })
    }

    /// Completes within [`EVERY`] of a revocation of the session, its token, its user, its
    /// membership or its key.
    pub(super) async fn revoked(self) {
        while !has_ended(&self.caller, &self.core.load()) {
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Ends a stream on revocation. A body of known length is not wrapped.
    pub(super) fn bind(self, response: Response) -> Response {
        let upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if upgrade || !is_stream(response.body()) {
            return response;
        }
        response.map(|body| Body::new(LeasedBody::new(body, self.revoked())))
    }
}
