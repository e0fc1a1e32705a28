//! What people do with a session in a browser of their own: they renew it, and they end it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::RawQuery;
use axum::response::{Html, IntoResponse, Redirect, Response};
use clerk_resilience::ClerkResilience;
use clerk_resilience::authenticate::{Proxy, Site};
use clerk_resilience::id::SessionId;
use clerk_resilience::key::{PublishableKey, SecretKey};
use clerk_resilience::token::CookieNames;
use clerk_resilience::upstream::{Call, Upstream};
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use url::Url;

/// How long it takes until Clerk is told again of a session that ended.
const AGAIN: Duration = Duration::from_secs(5);
const YEAR: u32 = 31_536_000;
const SIGNED_OUT: &str = include_str!("signed_out.html");

/// Where a browser finds a Clerk instance, which may be under another name than a server does.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    pub(crate) frontend_api: Url,
    /// The application's own address.
    pub(crate) application: Url,
}

impl Doors {
    /// The page to sign in on, which sends back to the application.
    pub(crate) fn sign_in(&self) -> String {
        let mut url = self.frontend_api.clone();
        url.set_path("sign-in");
        url.query_pairs_mut().append_pair("redirect_url", self.application.as_str());
        url.into()
    }

    pub(crate) fn site(&self, site: Site) -> Site {
        site.proxy(Proxy::Address(self.frontend_api.clone()))
    }
}

/// Present in requests of browsers that hold their own session.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) clerk: ClerkResilience,
    pub(crate) doors: Doors,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) backend_api: Url,
    pub(crate) publishable: PublishableKey,
    pub(crate) secret: SecretKey,
}

impl Account {
    /// Where the page renews its session's token, as clerk-js does.
    pub(crate) fn tokens(&self, session: &SessionId) -> Url {
        let mut url = self.doors.frontend_api.clone();
        url.set_path(&format!("v1/client/sessions/{session}/tokens"));
        url
    }

    /// Ends a session: here from the next request on, whatever Clerk does, and at Clerk as soon as
    /// it answers. In an outage Clerk would otherwise take the browser back in afterwards.
    pub(crate) async fn sign_out(&self, session: SessionId) -> Response {
        self.clerk.revoke_session(session.clone());
        let mut page = "./signed-out";
        if !self.tell_clerk(&session).await {
            tokio::spawn(self.clone().keep_telling(session));
            page = "./signed-out?untold";
        }
        let mut response = Redirect::to(page).into_response();
        let suffix = CookieNames::of(&self.publishable).suffix().to_owned();
        for end in [String::new(), format!("_{suffix}")] {
            for (name, value, age) in [("__session", "", 0), ("__client_uat", "0", YEAR)] {
                let line = format!("{name}{end}={value}; Path=/; Max-Age={age}; SameSite=Lax");
                let line = HeaderValue::try_from(line).expect("names and numbers");
                response.headers_mut().append(SET_COOKIE, line);
            }
        }
        response
    }

    async fn keep_telling(self, session: SessionId) {
        while !self.tell_clerk(&session).await {
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Whether Clerk knows now that the session has ended.
    async fn tell_clerk(&self, session: &SessionId) -> bool {
        let mut url = self.backend_api.clone();
        url.set_path(&format!("v1/sessions/{session}/revoke"));
        let call = Call::get(url).post().bearer(self.secret.expose());
        let reply = self.upstream.call(call).await;
        reply.is_ok_and(|reply| reply.status.is_success() || reply.status == StatusCode::NOT_FOUND)
    }
}

pub(crate) async fn signed_out(RawQuery(query): RawQuery) -> Html<String> {
    let words = match query.as_deref() {
        Some("untold") => {
            "This session has ended here. Clerk is not answering at the moment, and is told as soon as it does."
        }
        _ => "This session has ended, here and at Clerk. Your notes are kept.",
    };
    Html(SIGNED_OUT.replace("{words}", words))
}
