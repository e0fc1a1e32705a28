//! Errors that delay or end a reconciliation run.

use std::time::Duration;

use clerk_verify::transport::TransportError;
use http::StatusCode;

use crate::store::{Pending, StoreError};

const STORE_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    #[error(
        "Clerk's Backend API refuses CLERK_SECRET_KEY; copy it again from the API keys page of the Clerk dashboard"
    )]
    Refused,
    #[error(
        "CLERK_SECRET_KEY belongs to another instance than CLERK_PUBLISHABLE_KEY; copy both from the same API keys page of the Clerk dashboard"
    )]
    Another,
    #[error(
        "the store belongs to another Clerk instance than CLERK_PUBLISHABLE_KEY; name another store, or set the variables of that instance"
    )]
    Foreign,
    #[error(
        "could not verify that CLERK_SECRET_KEY and CLERK_PUBLISHABLE_KEY belong to one instance"
    )]
    Unproven,
    #[error("Clerk's Backend API asked to retry later")]
    Busy(Option<Duration>),
    #[error("Clerk's Backend API answered {0}")]
    Failed(StatusCode),
    #[error("Clerk's Backend API answered with an unexpected body")]
    Nonsense,
    #[error("Clerk's Backend API does not answer: {0}")]
    Silent(#[from] TransportError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SyncError {
    /// Whether the run cannot succeed until the operator corrects the configuration.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused | Self::Another | Self::Foreign)
    }
}

/// Awaits a store call, for at most 10 s.
pub(super) async fn within<T>(pending: Pending<T>) -> Result<T, SyncError> {
    let timely = tokio::time::timeout(STORE_DEADLINE, pending).await;
    Ok(timely.unwrap_or(Err(StoreError::Busy))?)
}
