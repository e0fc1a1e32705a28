//! Plain verification, as Clerk's own server libraries do it. It sends no request to Clerk while
//! the token is valid and the keys are cached. It drops the keys after five minutes, *before* it
//! fetches new ones. An expired token gets 401, or for a page a redirect to Clerk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use clerk_resilience::clock::{Clock, Moment};
use clerk_resilience::handshake;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::key::{PublishableKey, SecretKey};
use clerk_resilience::token::{CookieNames, Expectations, Timing, locate};
use clerk_resilience::transport::{ApiRequest, Transport};
use clerk_resilience::verify::verify;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::address::Address;
use crate::user::PlainUser;

const KEYS_LIVE: Duration = Duration::from_secs(300);
const LEEWAY: Duration = Duration::from_secs(5);
/// Those libraries set no timeout; the runtime ends the call after this time.
const PATIENCE: Duration = Duration::from_secs(300);
const ATTEMPTS: u32 = 5;

/// The state of the middleware.
#[derive(Debug)]
pub struct Plain {
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    pub address: Address,
    pub publishable: PublishableKey,
    pub secret: SecretKey,
    pub cache: Mutex<Option<(KeySet, Moment)>>,
}

enum Failure {
    Unauthorized,
    /// Valid but for its expiry.
    Expired(String),
}

/// The middleware.
pub async fn verify_session(
    State(plain): State<Arc<Plain>>,
    mut request: Request,
    next: Next,
) -> Response {
    let document = request.headers().get("sec-fetch-dest").is_some_and(|to| to == "document");
    let navigates = document && request.method() == Method::GET;
    if let Some(token) = arriving(&request).filter(|_| navigates) {
        return plain.arrive(here(&request), &token).await;
    }
    match plain.user(request.headers()).await {
        Ok(user) => {
            request.extensions_mut().insert(user);
            next.run(request).await
        }
        Err(Failure::Expired(token)) if navigates => {
            plain.handshake(&request, &token).into_response()
        }
        Err(_) => (StatusCode::UNAUTHORIZED, "Unauthenticated\n").into_response(),
    }
}

impl Plain {
    async fn user(&self, headers: &HeaderMap) -> Result<PlainUser, Failure> {
        let names = CookieNames::of(&self.publishable);
        let located = locate(headers, &names, &self.publishable, self.clock.now().wall);
        let token = located.token().ok_or(Failure::Unauthorized)?;
        let keys = self.keys().await.ok_or(Failure::Unauthorized)?;
        let expect = Expectations::session_tokens(self.publishable.issuer());
        let verified = verify(token, &keys, &expect).map_err(|_| Failure::Unauthorized)?;
        match verified.timing(self.clock.now().wall, LEEWAY) {
            Timing::Current => Ok(PlainUser(verified.session().user_id.clone())),
            Timing::Expired { .. } => Err(Failure::Expired(token.to_owned())),
            _ => Err(Failure::Unauthorized),
        }
    }

    async fn keys(&self) -> Option<KeySet> {
        if let Some(keys) = self.cached() {
            return Some(keys);
        }
        for attempt in 0..ATTEMPTS {
            if let Some(keys) = self.fetch().await {
                let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
                *cache = Some((keys.clone(), self.clock.now()));
                return Some(keys);
            }
            tokio::time::sleep(Duration::from_millis(125 << attempt)).await;
        }
        None
    }

    /// Drops expired keys even if no new ones are available.
    fn cached(&self) -> Option<KeySet> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        cache.take_if(|(_, fetched)| now.since(*fetched) >= KEYS_LIVE);
        cache.as_ref().map(|(keys, _)| keys.clone())
    }

    async fn fetch(&self) -> Option<KeySet> {
        let url = self.address.backend_api.join("v1/jwks").ok()?;
        let call = ApiRequest::get(url).bearer(self.secret.expose()).deadline(PATIENCE);
        let reply = self.transport.call(call).await.ok()?;
        if reply.status.is_success() { KeySet::parse(&reply.body).ok() } else { None }
    }

    /// Sets the cookies of a handshake and redirects to the page without the handshake parameter.
    async fn arrive(&self, clean: Option<Url>, token: &str) -> Response {
        let keys = self.keys().await;
        let verified = keys.and_then(|keys| handshake::verify(token, &keys).ok());
        let (Some(cookies), Some(clean)) = (verified, clean) else {
            return (StatusCode::UNAUTHORIZED, "Unauthenticated\n").into_response();
        };
        let mut response = Redirect::temporary(clean.as_str()).into_response();
        for line in &cookies.directives {
            if let Ok(line) = HeaderValue::try_from(line) {
                response.headers_mut().append(SET_COOKIE, line);
            }
        }
        response
    }

    /// Redirects a page to Clerk for a fresh token.
    fn handshake(&self, request: &Request, token: &str) -> Redirect {
        let mut url = self.address.at("v1/client/handshake");
        let back = here(request).unwrap_or_else(|| self.address.frontend_api.clone());
        url.query_pairs_mut()
            .append_pair("redirect_url", back.as_str())
            .append_pair("__session", token);
        Redirect::temporary(url.as_str())
    }
}

/// The token of Clerk's handshake in the URL.
fn arriving(request: &Request) -> Option<String> {
    let query = request.uri().query()?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "__clerk_handshake").map(|(_, token)| token.into_owned())
}

/// The URL of the page as the browser knows it, from the headers of a proxy in front if any.
fn here(request: &Request) -> Option<Url> {
    let field = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = field("x-forwarded-host").or_else(|| field("host"))?;
    let scheme = field("x-forwarded-proto").unwrap_or("http");
    let original = request.extensions().get::<OriginalUri>();
    let path = original.map_or(request.uri(), |OriginalUri(uri)| uri).path();
    Url::parse(&format!("{scheme}://{host}{path}")).ok()
}
