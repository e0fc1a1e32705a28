//! Where a Clerk instance is.

use clerk_resilience::sim::SimClerk;
use url::Url;

#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) frontend_api: Url,
    pub(crate) backend_api: Url,
}

impl Address {
    pub(crate) fn of(sim: &SimClerk) -> Self {
        Self { frontend_api: sim.frontend_api_url(), backend_api: sim.backend_api_url() }
    }

    /// An address of the Frontend API.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.frontend_api.clone();
        url.set_path(path);
        url
    }
}
