//! The application behind the layer, as a process that can be killed and started anew.

use std::time::Duration;

use axum::Router;
use clerk_resilience::{Builder, ClerkResilience, ConfigError};
use demo_support::app::{self, Notes};
use tokio::task::JoinHandle;

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

    /// Ends it in good order: with the last handle gone, the driver writes what it knows and stops.
    pub(crate) async fn end(self) {
        let Self { clerk, router, driver } = self;
        drop((clerk, router));
        // A request that is still under way holds a handle; there is no point in waiting for it.
        let _ = tokio::time::timeout(Duration::from_secs(3), driver).await;
    }
}
