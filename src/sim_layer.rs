//! Builds the layer with a simulated Clerk for tests (feature `sim`).
//!
//! An outage test needs one transport, one clock, a status page and an egress canary for both
//! sides. If one of them is missing, a test can pass for the wrong reason, so [`SimClerkExt`]
//! connects them all.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use clerk_sim::{SimClerk, SimOrganization, SimSession};
use clerk_verify::clock::{Clock as _, Timestamp};
use clerk_verify::id::UserId;
use clerk_verify::webhook_signature::WebhookSecret;
use http::header::{AUTHORIZATION, COOKIE, HOST};
use http::{HeaderName, HeaderValue, Method, Request};
use serde_json::{Value, json};
use tower::Service as _;

use crate::config::{ClerkConfig, ConfigError};
use crate::resilience::{Builder, ClerkResilience};

const WEBHOOK_PATH: &str = "/auth/webhooks";
const WEBHOOK_SECRET: &str = "whsec_c2ltdWxhdGVkLWNsZXJrLXdlYmhvb2tz";
/// Headers of a browser's page navigation.
const NAVIGATION: [(&str, &str); 4] = [
    ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "none"),
];

mod sealed {
    pub trait Sealed {}
    impl Sealed for clerk_sim::SimClerk {}
}

/// Builds the layer for a [`SimClerk`], and the requests that a test sends to the application.
///
/// A request has a `String` body, and a test can [send](Self::send) it again later, for example
/// after its token expired. Time follows tokio: with `#[tokio::test(start_paused = true)]` a
/// virtual hour passes at once. Leave `start_paused` out in a test with a store that uses threads
/// or sockets.
///
/// | situation | call |
/// |---|---|
/// | a user signs in | `sim.sign_in("user_1")` |
/// | an API request, a page | [`get`](Self::get), [`post`](Self::post), [`page`](Self::page) |
/// | an expired token | keep the request, [`pass`](Self::pass) 70 s, send it again |
/// | an outage of Clerk | `sim.break_with(SimSurface::CLERK, SimFault::status(503))`, then pass 2 min |
/// | silence of Clerk | `SimFault::Hang`, and a red component of the status page |
/// | the application's network is cut | `sim.break_with(SimSurface::ALL, SimFault::Refused)` |
/// | the end | `sim.heal_all()`, then pass 2 min |
/// | a ban, a sign-out at Clerk | [`user_banned`](Self::user_banned), [`session_ended`](Self::session_ended) |
///
/// # Examples
///
/// An outage, and a revocation during it:
/// virtual hour passes at once.
///
/// ```
/// use std::time::Duration;
///
/// use axum::{Router, routing::get};
/// use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
/// use clerk_resilience::{Auth, GracePolicy, SimClerkExt as _};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sim = SimClerk::in_memory();
/// let clerk = sim.layer(|builder| builder.grace(GracePolicy::balanced()));
/// let app = Router::new()
///     .route("/me", get(async |auth: Auth| auth.user_id().to_string()))
///     .route_layer(clerk.clone())
///     .merge(clerk.routes());
/// let session = sim.sign_in("user_1");
/// let request = sim.get("/me", &session);
/// assert_eq!(sim.send(&app, &request).await.status(), 200);
///
/// sim.break_with(SimSurface::CLERK, SimFault::status(503));
/// sim.pass(Duration::from_secs(120)).await;
/// assert_eq!(sim.send(&app, &request).await.status(), 200);
///
/// let webhook = sim.session_ended(&session);
/// assert_eq!(sim.send(&app, &webhook).await.status(), 204);
/// assert_eq!(sim.send(&app, &request).await.status(), 401);
/// # }
/// ```
///
/// The egress canary is the host of the status page. Faults on [`SimSurface::CLERK`] simulate an
/// outage of Clerk. Silence on [`SimSurface::ALL`] simulates a cut network of the application.
///
/// [`SimSurface::CLERK`]: clerk_sim::SimSurface::CLERK
/// [`SimSurface::ALL`]: clerk_sim::SimSurface::ALL
pub trait SimClerkExt: sealed::Sealed {
    /// Returns a configuration for this instance: publishable and secret key, addresses, status
    /// page, egress canary, and the [signing secret](Self::webhook_secret) of webhooks. The method
    /// reads no environment variables.
    fn config(&self) -> ClerkConfig;

    /// Builds the layer with [`config`](Self::config), and with the transport and clock of this
    /// instance. `choose` sets further options. Grace is off unless `choose` sets a policy.
    ///
    /// # Panics
    ///
    /// Panics if [`try_layer`](Self::try_layer) returns an error, with that error's message.
    #[track_caller]
    fn layer(&self, choose: impl FnOnce(Builder) -> Builder) -> ClerkResilience {
        match self.try_layer(choose) {
            Ok(clerk) => clerk,
            Err(error) => panic!("clerk-resilience: {error}"),
        }
    }

    /// Builds the layer as [`layer`](Self::layer) does, and returns an error instead of a panic.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] of [`Builder::build`]: no tokio runtime, options that exclude each other, or
    /// a clock that the simulated Clerk does not follow.
    fn try_layer(
        &self,
        choose: impl FnOnce(Builder) -> Builder,
    ) -> Result<ClerkResilience, ConfigError>;

    /// Waits while the layer's driver runs. The time is virtual under tokio's paused time, else
    /// real.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }

    /// Returns an `Authorization` value, `Bearer …`, with a session token issued now. The token
    /// expires after 60 s.
    fn bearer(&self, session: &SimSession) -> HeaderValue;

    /// Returns the `Cookie` header of a browser that is signed in with this session. The session
    /// token is issued now and expires after 60 s; `__client_uat` holds the time of the sign-in.
    fn cookies(&self, session: &SimSession) -> HeaderValue;

    /// Builds an API client's request: this method and path, with [`bearer`](Self::bearer).
    ///
    /// # Panics
    ///
    /// Panics if `path` is not a valid request target.
    fn request(&self, method: Method, path: &str, session: &SimSession) -> Request<String> {
        request(method, path, [(AUTHORIZATION, self.bearer(session))])
    }

    /// Builds a `GET` request for this path, with [`bearer`](Self::bearer).
    ///
    /// # Panics
    ///
    /// Panics if `path` is not a valid request target.
    fn get(&self, path: &str, session: &SimSession) -> Request<String> {
        self.request(Method::GET, path, session)
    }

    /// Builds a `POST` request to this path, with [`bearer`](Self::bearer) and an empty body.
    ///
    /// # Panics
    ///
    /// Panics if `path` is not a valid request target.
    fn post(&self, path: &str, session: &SimSession) -> Request<String> {
        self.request(Method::POST, path, session)
    }

    /// Builds a browser's page navigation: `GET` of this path on `app.example.com`, with
    /// [`cookies`](Self::cookies), or without cookies if `session` is `None`.
    ///
    /// A page gets other responses than a program: HTML, a redirect to the sign-in page, or one to
    /// Clerk's handshake. Test both if the application has pages.
    ///
    /// # Panics
    ///
    /// Panics if `path` is not a valid request target.
    fn page(&self, path: &str, session: Option<&SimSession>) -> Request<String> {
        let navigation = NAVIGATION
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let host = (HOST, HeaderValue::from_static("app.example.com"));
        let cookies = session.map(|session| (COOKIE, self.cookies(session)));
        request(Method::GET, path, navigation.into_iter().chain([host]).chain(cookies))
    }

    /// Sends a copy of a request to an application in the same process, and returns the response.
    fn send(
        &self,
        app: &Router,
        request: &Request<String>,
    ) -> impl Future<Output = Response> + Send {
        let answer = app.clone().call(request.clone());
        async { answer.await.unwrap_or_else(|never| match never {}) }
    }

    /// Returns the secret that signs this instance's webhooks.
    ///
    /// Every simulated instance has the same secret. It is public, and for tests only.
    fn webhook_secret(&self) -> WebhookSecret {
        WebhookSecret::parse(WEBHOOK_SECRET).expect("the secret is well-formed")
    }

    /// Builds a signed webhook request to `POST /auth/webhooks`, as Clerk sends it. `kind` is the
    /// event type, such as `user.created`; the event happens now. Faults do not affect it.
    ///
    /// ```
    /// # use clerk_resilience::SimClerkExt as _;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let sim = clerk_resilience::sim::SimClerk::in_memory();
    /// let user = sim.update_user("user_1", serde_json::json!({ "first_name": "Ada" }));
    /// let webhook = sim.webhook("user.created", &user);
    /// assert!(webhook.headers().contains_key("svix-signature"));
    /// # }
    /// ```
    fn webhook(&self, kind: &str, data: &Value) -> Request<String>;

    /// Ends a session at Clerk, and returns the webhook that reports the end.
    fn session_ended(&self, session: &SimSession) -> Request<String>;

    /// Bans a user at Clerk, ends all sessions of the user, and returns the webhook that reports
    /// the ban.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::{Auth, SimClerkExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder);
    /// let app = Router::new()
    ///     .route("/me", get(async |_: Auth| "hello"))
    ///     .route_layer(clerk.clone())
    ///     .merge(clerk.routes());
    /// let request = sim.get("/me", &sim.sign_in("user_1"));
    /// assert_eq!(sim.send(&app, &sim.user_banned("user_1")).await.status(), 204);
    /// assert_eq!(sim.send(&app, &request).await.status(), 401);
    /// # }
    /// ```
    fn user_banned(&self, user: impl Into<UserId>) -> Request<String>;

    /// Adds the user of a session to an organization, or changes the user's role in it. The
    /// organization becomes the session's active one. Returns the webhook that reports the
    /// membership.
    fn member_added(&self, session: &SimSession, organization: &SimOrganization)
    -> Request<String>;

    /// Ends the membership of a session's user and clears the session's active organization.
    /// Returns the webhook that reports the end of the membership.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use clerk_resilience::guard::Named;
    /// use clerk_resilience::sim::{SimClerk, SimOrganization};
    /// use clerk_resilience::{RequireRole, SimClerkExt};
    ///
    /// struct Admin;
    /// impl Named for Admin {
    ///     const NAME: &'static str = "org:admin";
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder);
    /// let app = Router::new()
    ///     .route("/settings", get(async |_: RequireRole<Admin>| "settings"))
    ///     .route_layer(clerk.clone())
    ///     .merge(clerk.routes());
    /// let session = sim.sign_in("user_1");
    /// let organization = SimOrganization::new("org_1", "acme").role("admin");
    ///
    /// let webhook = sim.member_added(&session, &organization);
    /// assert_eq!(sim.send(&app, &webhook).await.status(), 204);
    /// let request = sim.get("/settings", &session);
    /// assert_eq!(sim.send(&app, &request).await.status(), 200);
    ///
    /// let webhook = sim.member_removed(&session, &organization);
    /// assert_eq!(sim.send(&app, &webhook).await.status(), 204);
    /// assert_eq!(sim.send(&app, &request).await.status(), 401, "the token names org_1");
    /// # }
    /// ```
    fn member_removed(
        &self,
        session: &SimSession,
        organization: &SimOrganization,
    ) -> Request<String>;
}

impl SimClerkExt for SimClerk {
    fn config(&self) -> ClerkConfig {
        let page = self.status_page_url().join("api/v2/summary.json").expect("a constant path");
        ClerkConfig::new(self.publishable_key().clone())
            .secret_key(self.secret_key().clone())
            .frontend_api(self.frontend_api_url())
            .backend_api(self.backend_api_url())
            .status_page(Some(page))
            .egress_canary(self.status_page_url())
            .webhook_secret(self.webhook_secret())
    }

    fn try_layer(
        &self,
        choose: impl FnOnce(Builder) -> Builder,
    ) -> Result<ClerkResilience, ConfigError> {
        let builder = ClerkResilience::builder(self.config());
        choose(builder.transport(self.transport()).clock(self.clock())).build()
    }

    fn bearer(&self, session: &SimSession) -> HeaderValue {
        sensitive(&format!("Bearer {}", self.mint(session)))
    }

    fn cookies(&self, session: &SimSession) -> HeaderValue {
        let (token, suffix) = (self.mint(session), self.cookie_suffix());
        let since = session.since.as_secs();
        sensitive(&format!(
            "__session={token}; __session_{suffix}={token}; \
             __client_uat={since}; __client_uat_{suffix}={since}"
        ))
    }

    fn webhook(&self, kind: &str, data: &Value) -> Request<String> {
        let now = self.clock().now().wall;
        let body = json!({
            "object": "event", "type": kind, "data": data, "timestamp": now.as_millis(),
        });
        signed(&self.webhook_secret(), now, body.to_string())
    }

    fn session_ended(&self, session: &SimSession) -> Request<String> {
        self.revoke(session);
        let data = json!({
            "object": "session", "id": session.id, "user_id": session.user, "status": "ended",
        });
        self.webhook("session.ended", &data)
    }

    fn user_banned(&self, user: impl Into<UserId>) -> Request<String> {
        let user = user.into();
        for session in self.sessions().iter().filter(|session| session.user == user) {
            self.revoke(session);
        }
        self.webhook("user.updated", &self.update_user(user, json!({ "banned": true })))
    }

    fn member_added(
        &self,
        session: &SimSession,
        organization: &SimOrganization,
    ) -> Request<String> {
        self.add_membership(session, organization.clone());
        self.set_organization(session, Some(organization.clone()));
        let member = self.join(session.user.clone(), organization);
        let new = member["created_at"] == member["updated_at"];
        let kind = if new { "created" } else { "updated" };
        self.webhook(&format!("organizationMembership.{kind}"), &member)
    }

    fn member_removed(
        &self,
        session: &SimSession,
        organization: &SimOrganization,
    ) -> Request<String> {
        let member = self.join(session.user.clone(), organization);
        self.leave(&session.user, &organization.id);
        self.set_organization(session, None);
        self.webhook("organizationMembership.deleted", &member)
    }
}

fn request(
    method: Method,
    path: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Request<String> {
    let mut request = Request::new(String::new());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("the path is a valid request target");
    request.headers_mut().extend(headers);
    request
}

fn signed(secret: &WebhookSecret, now: Timestamp, body: String) -> Request<String> {
    let id = format!("msg_{:016x}", fastrand::u64(..));
    let signature = secret.sign(&id, now.as_secs(), body.as_bytes());
    let fields = [
        ("content-type", "application/json".to_owned()),
        ("svix-id", id),
        ("svix-timestamp", now.as_secs().to_string()),
        ("svix-signature", signature),
    ];
    let fields = fields.map(|(name, text)| {
        let value = HeaderValue::try_from(text).expect("the value is plain ASCII");
        (HeaderName::from_static(name), value)
    });
    request(Method::POST, WEBHOOK_PATH, fields).map(|_| body)
}

fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(text).expect("a token is plain ASCII");
    value.set_sensitive(true);
    value
}
