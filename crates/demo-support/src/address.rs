//! Where a Clerk instance is.

use clerk_resilience::ClerkConfig;
use clerk_resilience::sim::SimClerk;
use url::Url;

#[derive(Clone, Debug)]
pub struct Address {
    pub frontend_api: Url,
    pub backend_api: Url,
}

impl Address {
    pub fn of(sim: &SimClerk) -> Self {
        Self { frontend_api: sim.frontend_api_url(), backend_api: sim.backend_api_url() }
    }

    /// An address of the Frontend API.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.frontend_api.clone();
        url.set_path(path);
        url
    }
}

/// The configuration of an application of this instance.
pub fn config(sim: &SimClerk) -> ClerkConfig {
    ClerkConfig::new(sim.publishable_key().clone())
        .secret_key(sim.secret_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url())
        .status_page(sim.status_page_url().join("api/v2/summary.json").ok())
}
