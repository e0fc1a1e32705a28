//! What keeps a walk waiting, or ends it.

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
        "the store belongs to another instance of Clerk's than CLERK_PUBLISHABLE_KEY; name another store, or set the variables of that instance"
    )]
    Foreign,
    #[error(
        "Clerk does not tell whether CLERK_SECRET_KEY and CLERK_PUBLISHABLE_KEY are of one instance"
    )]
    Unproven,
    #[error("Clerk's Backend API wants to be asked later")]
    Busy(Option<Duration>),
    #[error("Clerk's Backend API answered {0}")]
    Failed(StatusCode),
    #[error("Clerk's Backend API answered with something that is no such list")]
    Nonsense,
    #[error("Clerk's Backend API does not answer: {0}")]
    Silent(#[from] TransportError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SyncError {
    /// Nothing comes of waiting until somebody corrects it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused | Self::Another | Self::Foreign)
    }
}

/// What a store brings, in time.
pub(super) async fn within<T>(pending: Pending<T>) -> Result<T, SyncError> {
    let timely = tokio::time::timeout(STORE_DEADLINE, pending).await;
    Ok(timely.unwrap_or(Err(StoreError::Busy))?)
}
