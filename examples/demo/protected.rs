//! The application behind the layer, as a process that can be killed and started anew.

use axum::Router;
use clerk_resilience::{Builder, ClerkResilience, ConfigError};
use tokio::task::JoinHandle;

use crate::app::{self, Notes};

/// One life of the protected application.
#[derive(Debug)]
pub(crate) struct Protected {
    pub(crate) clerk: ClerkResilience,
    pub(crate) router: Router,
    driver: JoinHandle<()>,
}

impl Protected {
    pub(crate) fn start(builder: Builder, notes: Notes) -> Result<Self, ConfigError> {
        let (clerk, driver) = builder.pair()?;
        let router = app::protected(&clerk, notes);
        Ok(Self { clerk, router, driver: tokio::spawn(driver) })
    }

    /// Ends it without a last word, as a crash does: what was not written by now is lost.
    pub(crate) async fn kill(&mut self) {
        self.driver.abort();
        // An aborted task ends in an error by design.
        let _ = (&mut self.driver).await;
    }
}
