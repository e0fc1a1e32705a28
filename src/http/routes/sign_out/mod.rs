//! Sign-out in this application, whatever Clerk's state.
//!
//! Clerk's own sign-out has no effect while Clerk is down: after the outage the users are signed in
//! again. A session that ends here stays ended, in this process and in those that share its state
//! directory. The driver ends it at Clerk as soon as Clerk's Backend API answers.
//!
//! There are two ways. The route `POST /auth/sign-out` needs no code: a form, or a request of a
//! script, signs the sender out. [`ClerkResilience::sign_out`](crate::ClerkResilience::sign_out)
//! does the same in a handler that has more to do. Both reach Clerk ten times a second, the newest
//! first.

mod page;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use axum::routing::any_service;
use clerk_verify::token::Located;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use tower::Service;

use crate::engine::{Examined, Shared};
use crate::http::origin::{Origins, RequestTarget};

/// Removes the session's cookies from the browser, as part of the response to a sign-out.
/// [`ClerkResilience::sign_out`](crate::ClerkResilience::sign_out) returns it. As a response of its
/// own it is 204.
///
/// ```no_run
/// use axum::response::{IntoResponse, Redirect};
/// use clerk_resilience::{Auth, ClerkResilience};
///
/// async fn sign_out(clerk: ClerkResilience, auth: Auth) -> impl IntoResponse {
///     (clerk.sign_out(&auth), Redirect::to("/"))
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "the browser keeps its cookies unless this is part of the response"]
pub struct SignedOut {
    cookies: Vec<HeaderValue>,
}

impl SignedOut {
    pub(crate) fn of(shared: &Shared) -> Self {
        Self { cookies: shared.forget_cookies() }
    }
}

impl IntoResponseParts for SignedOut {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        for cookie in self.cookies {
            parts.headers_mut().append(SET_COOKIE, cookie);
        }
        Ok(parts)
    }
}

impl IntoResponse for SignedOut {
    fn into_response(self) -> Response {
        (self, StatusCode::NO_CONTENT).into_response()
    }
}

/// `POST /auth/sign-out` as a tower service, for hyper, or for another path.
///
/// The service ends the session of the request's token, up to 24 hours after the token's `exp`, and
/// removes the cookies. An older or invalid token ends no session, but the cookies are removed
/// anyway.
///
/// | request | response |
/// |---|---|
/// | another method | 405 |
/// | without a bearer token, and not from the same origin by `Sec-Fetch-Site` or `Origin` | 403, cookies stay |
/// | the token's key is unknown | 503, cookies removed |
/// | a form (`Accept: text/html`), with a secret key | 303 to `/` |
/// | a form, without a secret key | 200 with a page that ends the session at Clerk |
/// | a program | 204 |
///
/// A repeated sign-out only removes the cookies. Without a secret key the layer cannot end the
/// session at Clerk. The page for forms then loads clerk-js from the Frontend API and calls
/// `Clerk.signOut()`, under its own `Content-Security-Policy`. An outer layer that replaces that
/// policy must allow the script. A program's session stays active at Clerk.
///
/// # Examples
///
/// A button in the application needs no script:
///
/// ```html
/// <form method="post" action="/auth/sign-out"><button>Sign out</button></form>
/// ```
///
/// Another path, for an application that does not merge
/// [`ClerkResilience::routes`](crate::ClerkResilience::routes):
///
/// ```
/// use axum::{Router, routing::any_service};
/// use clerk_resilience::ClerkResilience;
///
/// fn app(clerk: &ClerkResilience) -> Router {
///     Router::new().route("/sign-out", any_service(clerk.sign_out_service()))
/// }
/// # let _ = app;
/// ```
///
/// A sign-out during an outage holds at once, also in grace:
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
/// use clerk_resilience::{Auth, GracePolicy, SimClerkExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sim = SimClerk::in_memory();
/// let clerk = sim.layer(|builder| builder.grace(GracePolicy::balanced()));
/// let app = Router::new()
///     .route("/me", get(async |_: Auth| "hello"))
///     .route_layer(clerk.clone())
///     .merge(clerk.routes());
/// let session = sim.sign_in("user_1");
/// let (me, sign_out) = (sim.get("/me", &session), sim.post("/auth/sign-out", &session));
/// assert_eq!(sim.send(&app, &me).await.status(), 200);
///
/// sim.break_with(SimSurface::CLERK, SimFault::status(503));
/// sim.pass(Duration::from_secs(120)).await;
/// assert_eq!(sim.send(&app, &me).await.status(), 200, "in grace");
/// assert_eq!(sim.send(&app, &sign_out).await.status(), 204);
/// assert_eq!(sim.send(&app, &me).await.status(), 401);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SignOutService {
    shared: Arc<Shared>,
    origins: Arc<Origins>,
}

impl SignOutService {
    pub(crate) fn new(shared: Arc<Shared>, origins: Arc<Origins>) -> Self {
        Self { shared, origins }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response {
        let (method, headers) = (request.method(), request.headers());
        if method != Method::POST {
            return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")]).into_response();
        }
        let (known, now) = (self.shared.core.load(), self.shared.now());
        let token = self.shared.locate(headers, now);
        // Browsers send cookies and `Authorization: Basic` automatically. No site can make them
        // send a bearer token.
        if !matches!(token, Located::Header(_))
            && !self.origins.is_same_origin(RequestTarget::of(request))
        {
            let words = "Signing out takes a request from a page of the same origin.\n";
            return (StatusCode::FORBIDDEN, words).into_response();
        }
        let examined = self.shared.examine(token.token(), &known, now);
        let examined = match examined {
            old if old.is_of_the_past() => Examined::Absent,
            examined => examined,
        };
        let (form, ends_at_clerk) = (is_form(headers), self.shared.backend.is_some());
        let status = match &examined {
            Examined::UnknownKey(..) => StatusCode::SERVICE_UNAVAILABLE,
            _ if form && !ends_at_clerk => StatusCode::OK,
            _ if form => StatusCode::SEE_OTHER,
            _ => StatusCode::NO_CONTENT,
        };
        if let Some(verified) = examined.verified() {
            self.shared.sign_out(verified.session());
        }
        let body = if form && !ends_at_clerk {
            page::response(&self.shared.site, status)
        } else {
            status.into_response()
        };
        let mut response = (SignedOut::of(&self.shared), body).into_response();
        let fields = response.headers_mut();
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SEE_OTHER {
            fields.insert(LOCATION, HeaderValue::from_static("/"));
        }
        response
    }
}

/// Returns true for a browser that shows the response. Programs do not accept HTML first.
fn is_form(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
}

impl<B> Service<Request<B>> for SignOutService {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

/// The route `/auth/sign-out`.
pub(crate) fn routes(shared: &Arc<Shared>, origins: &Arc<Origins>) -> Router {
    let service = SignOutService::new(Arc::clone(shared), Arc::clone(origins));
    Router::new().route("/auth/sign-out", any_service(service))
}
