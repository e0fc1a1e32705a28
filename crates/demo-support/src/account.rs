//! Browsers that hold their own session: they renew it, and they end it.

use axum::response::Html;
use clerk_resilience::authenticate::{Proxy, Site};
use clerk_resilience::id::SessionId;
use url::Url;

/// Where a browser finds a Clerk instance, which may be under another name than a server does.
/// Present in requests of browsers that hold their own session.
#[derive(Clone, Debug)]
pub struct Doors {
    pub frontend_api: Url,
    /// The application's own address.
    pub application: Url,
}

impl Doors {
    /// The sign-in page. A redirect to it carries the page to return to.
    pub fn sign_in(&self) -> String {
        let mut url = self.frontend_api.clone();
        url.set_path("sign-in");
        url.into()
    }

    pub fn site(&self, site: Site) -> Site {
        site.proxy(Proxy::Address(self.frontend_api.clone()))
    }

    /// Where the page renews its session's token, as clerk-js does.
    pub fn tokens(&self, session: &SessionId) -> Url {
        let mut url = self.frontend_api.clone();
        url.set_path(&format!("v1/client/sessions/{session}/tokens"));
        url
    }
}

pub async fn signed_out() -> Html<&'static str> {
    Html(include_str!("signed_out.html"))
}
