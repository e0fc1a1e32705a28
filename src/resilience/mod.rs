//! [`ClerkResilience`]: the tower layer, and the handle that controls it.

mod assemble;
mod builder;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clerk_verify::id::{KeyId, OrgId, SessionId, UserId};
use tokio::sync::watch;
use tower::Layer;

pub use builder::Builder;

use crate::config::ClerkConfig;
use crate::decide::Auth;
use crate::decide::policy::RoutePolicy;
use crate::engine::{Counts, Profiles, Progress, Shared, Signal};
use crate::http::layer::{Authenticate, Authenticator, PublicPaths};
use crate::http::routes::health::{self, HealthQuery, HealthService, Showing};
use crate::http::routes::sign_out::{self, SignOutService, SignedOut};
use crate::http::routes::webhooks::{self, WebhookService};
use crate::state::health::{CallOutcome, ReportKind, Surface, Verdict};
use crate::state::revocation::Denial;
use crate::state::snapshot::{DenyList, Snapshot, SyncStatus};
use crate::status::ClerkStatus;
use crate::store::{DeadLetter, StoreError};

/// Maximum lead of Clerk's clock over this host's clock: the leeway of tokens.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);

/// The tower layer, and a handle to its state. Clones are cheap and share one driver.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use clerk_resilience::{Auth, ClerkConfig, ClerkResilience};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let clerk = ClerkResilience::new(ClerkConfig::from_env()?);
/// let app: Router = Router::new()
///     .route("/me", get(async |auth: Auth| auth.user_id().to_string()))
///     .route_layer(clerk.clone())
///     .merge(clerk.routes());
/// # let _ = app; Ok(()) }
/// ```
///
/// `.route_layer(clerk)` protects the routes above it; requests to unknown paths still get 404.
/// `.layer(clerk)` protects every path, unknown ones included, and [`Builder::public`] names the
/// exceptions.
///
/// # In operation
///
/// ```no_run
/// use std::time::Duration;
/// use clerk_resilience::{ClerkConfig, ClerkResilience, Verdict};
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clerk = ClerkResilience::new(ClerkConfig::from_env()?);
/// if let Err(error) = clerk.ready(Duration::from_secs(5)).await {
///     eprintln!("{error}"); // serve anyway: the layer answers 503 until keys are loaded
/// }
/// let mut verdicts = clerk.subscribe();
/// tokio::spawn(async move {
///     while verdicts.changed().await.is_ok() {
///         let verdict = *verdicts.borrow_and_update();
///         if verdict == Verdict::Outage {
///             eprintln!("Clerk is down");
///         }
///     }
/// });
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ClerkResilience {
    authenticator: Arc<Authenticator>,
    showing: Showing,
}

impl ClerkResilience {
    /// Builds the layer with its defaults and starts the driver on the current tokio runtime.
    ///
    /// The layer verifies tokens locally, also while Clerk is down. If the layer cannot verify a
    /// credential, it answers 503. Grace is disabled unless `CLERK_RESILIENCE_GRACE` enables it.
    ///
    /// # Panics
    ///
    /// Panics if the configuration contradicts itself, or outside a tokio runtime. The message
    /// names the fix. [`builder`](Self::builder) returns these problems as errors.
    #[must_use]
    #[track_caller]
    pub fn new(config: ClerkConfig) -> Self {
        match Self::builder(config).build() {
            Ok(clerk) => clerk,
            Err(error) => panic!("clerk-resilience: {error}"),
        }
    }

    /// Returns a [`Builder`] for a layer with other options. Nothing happens until
    /// [`build`](Builder::build).
    pub fn builder(config: ClerkConfig) -> Builder {
        Builder::new(config)
    }

    /// Returns the same layer with another policy, for one route or router. Paths that
    /// [`Builder::public`] names are public only for the application-wide layer, not for this one.
    ///
    /// ```no_run
    /// # use axum::{Router, routing::{get, post}};
    /// # use clerk_resilience::{ClerkResilience, GraceAccess, RoutePolicy};
    /// # fn app(clerk: ClerkResilience) -> Router {
    /// let api = Router::new()
    ///     .route("/feed", get(async || "feed"))
    ///     .route_layer(clerk.clone());
    /// let admins = RoutePolicy::required().grace(GraceAccess::Never).role("org:admin");
    /// let billing = Router::new()
    ///     .route("/pay", post(async || "paid"))
    ///     .route_layer(clerk.policy(admins));
    /// let open = Router::new()
    ///     .route("/pricing", get(async || "prices"))
    ///     .route_layer(clerk.policy(RoutePolicy::optional()));
    /// api.merge(billing).merge(open)
    /// # }
    /// ```
    #[must_use]
    pub fn policy(&self, route: RoutePolicy) -> Self {
        if route.accepts_api_keys() && self.authenticator.shared.backend.is_none() {
            tracing::error!(
                event = "clerk.secret_key.missing",
                "a route accepts API keys, but CLERK_SECRET_KEY is not set, so the layer answers 503 to every API key; set it to the secret key from the API keys page of the Clerk dashboard"
            );
        }
        let authenticator = Authenticator {
            shared: Arc::clone(&self.authenticator.shared),
            answers: Arc::clone(&self.authenticator.answers),
            public: PublicPaths::default(),
            visits: Arc::clone(&self.authenticator.visits),
            preflights: Arc::clone(&self.authenticator.preflights),
            route,
        };
        Self { authenticator: Arc::new(authenticator), showing: self.showing.clone() }
    }

    /// Returns the built-in routes: `GET /auth/health`, `/auth/health/live`, `/auth/health/ready`
    /// and `POST /auth/sign-out`. With a [signing secret](ClerkConfig::webhook_secret), `POST
    /// /auth/webhooks` receives webhooks; without one, it answers 503.
    ///
    /// Merge these routes beside the protected routes, not behind the layer. An application with
    /// state merges them after its `.with_state(..)`.
    ///
    /// ```
    /// use axum::{Router, extract::State, routing::get};
    /// use clerk_resilience::{Auth, ClerkResilience};
    ///
    /// #[derive(Clone)]
    /// struct AppState {
    ///     greeting: &'static str,
    /// }
    ///
    /// fn app(clerk: &ClerkResilience, state: AppState) -> Router {
    ///     let hello = async |State(state): State<AppState>, _: Auth| state.greeting;
    ///     Router::new()
    ///         .route("/", get(hello))
    ///         .route_layer(clerk.clone())
    ///         .with_state(state)
    ///         .merge(clerk.routes())
    /// }
    /// # let _ = app;
    /// ```
    pub fn routes(&self) -> Router {
        let shared = &self.authenticator.shared;
        shared.warn_of_local_sign_out();
        let routes = health::routes(shared, &self.showing);
        routes
            .merge(sign_out::routes(shared, &self.authenticator.answers.origins))
            .merge(webhooks::routes(shared))
    }

    /// Returns `POST /auth/webhooks` as a plain tower service; `None` without a [signing
    /// secret](ClerkConfig::webhook_secret).
    #[must_use]
    pub fn webhook_service(&self) -> Option<WebhookService> {
        WebhookService::new(&self.authenticator.shared)
    }

    /// Lists dead letters: malformed webhooks, and events whose hooks failed 12 times. The newest
    /// is first; at most 1000 are returned. The store keeps each for 30 days.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the store does not answer within 2 s.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        match &self.authenticator.shared.webhooks {
            Some(webhooks) => webhooks.dead().await,
            None => Ok(Vec::new()),
        }
    }

    /// Retries the hooks of a dead letter now. Returns false if no dead letter has this id, or if
    /// the webhook is malformed.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the store does not answer within 2 s.
    pub async fn replay(&self, id: &str) -> Result<bool, StoreError> {
        match &self.authenticator.shared.webhooks {
            Some(webhooks) => webhooks.requeue(id, self.authenticator.shared.now().wall).await,
            None => Ok(false),
        }
    }

    /// Requests a reconciliation: the layer reads from Clerk the changes that webhooks missed.
    ///
    /// A run repairs profiles, bans, locks, memberships and roles. A run also finds deleted users
    /// and ended memberships. The first run reads all users; later runs read the changes since the
    /// last run. Ended sessions need no repair, because Clerk renews none of their tokens, which
    /// live for a minute.
    ///
    /// A run starts once Clerk is healthy. It sends at most four requests a second, or one a second
    /// for a development instance, and obeys `Retry-After`. After a restart a run continues at its
    /// stored cursor.
    ///
    /// A user's absence from a list never counts as a deletion. The layer verifies each missing
    /// user by name, and only with a secret key that is proven to belong to this instance.
    ///
    /// Returns `None` without a [store](Builder::store) or a secret key. The receiver reports the
    /// progress; the run is complete when `ended` has grown.
    ///
    /// ```
    /// use clerk_resilience::ClerkResilience;
    ///
    /// async fn repair(clerk: &ClerkResilience) -> Option<u64> {
    ///     let mut progress = clerk.reconcile()?;
    ///     let before = progress.borrow().ended;
    ///     let done = progress.wait_for(|progress| progress.ended > before).await.ok()?;
    ///     Some(done.gone)
    /// }
    /// # let _ = repair;
    /// ```
    #[expect(clippy::must_use_candidate, reason = "it begins whether somebody watches or not")]
    pub fn reconcile(&self) -> Option<watch::Receiver<Progress>> {
        Some(self.authenticator.shared.reconciler.as_ref()?.wish())
    }

    /// Returns the look-up of user profiles, which also works while Clerk is down. Handlers can
    /// also take [`UserProfile`](crate::UserProfile).
    ///
    /// ```
    /// use clerk_resilience::{Auth, ClerkResilience, ProfileError};
    ///
    /// type Email = Result<Option<String>, ProfileError>;
    ///
    /// async fn email(clerk: &ClerkResilience, auth: &Auth) -> Email {
    ///     let known = clerk.profiles().get(auth.user_id()).await?;
    ///     Ok(known.and_then(|known| known.profile.email))
    /// }
    /// # let _ = email;
    /// ```
    #[must_use]
    pub fn profiles(&self) -> Profiles {
        Profiles::of(&self.authenticator.shared)
    }

    /// Returns `POST /auth/sign-out` as a plain tower service.
    #[must_use]
    pub fn sign_out_service(&self) -> SignOutService {
        self.authenticator.shared.warn_of_local_sign_out();
        let origins = Arc::clone(&self.authenticator.answers.origins);
        SignOutService::new(Arc::clone(&self.authenticator.shared), origins)
    }

    /// Returns the health endpoint as a plain tower service.
    #[must_use]
    pub fn health_service(&self) -> HealthService {
        let shared = Arc::clone(&self.authenticator.shared);
        HealthService::new(shared, HealthQuery::Health, self.showing.clone())
    }

    /// Returns what the layer knows about Clerk now.
    #[must_use]
    pub fn status(&self) -> ClerkStatus {
        ClerkStatus::new(self.snapshot(), self.authenticator.shared.now())
    }

    /// Returns the current snapshot, for this repository's own tests.
    #[doc(hidden)]
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.authenticator.shared.core.load())
    }

    /// Returns the current verdict on Clerk. It is computed from the current snapshot, without I/O,
    /// and falls back to [`Verdict::Unknown`] if the driver has not observed minting for 60 s.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.authenticator.shared.core.load().verdict(self.authenticator.shared.now())
    }

    /// Returns the counters since the layer was built. The call reads atomics and costs nothing.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.authenticator.shared.core.counters.read()
    }

    /// Subscribes to the verdict. The receiver holds the current verdict and wakes on each change.
    ///
    /// ```
    /// use clerk_resilience::{ClerkResilience, Verdict};
    ///
    /// /// Pauses a background job while Clerk is not healthy.
    /// async fn until_healthy(clerk: &ClerkResilience) -> bool {
    ///     clerk.subscribe().wait_for(|verdict| *verdict == Verdict::Healthy).await.is_ok()
    /// }
    /// # let _ = until_healthy;
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Verdict> {
        self.authenticator.shared.core.verdicts.subscribe()
    }

    /// Waits until tokens can be verified and the verdict on Clerk is known.
    ///
    /// # Errors
    ///
    /// Returns [`NotReady`] after `timeout`. The application may serve requests anyway: the layer
    /// answers 503 where it cannot verify a credential.
    pub async fn ready(&self, timeout: Duration) -> Result<(), NotReady> {
        let shared = &self.authenticator.shared;
        let (mut verdicts, mut refreshes) = (self.subscribe(), shared.core.refreshes.subscribe());
        let wait = async {
            while !self.is_ready() {
                tokio::select! {
                    _ = verdicts.changed() => {}
                    _ = refreshes.changed() => {}
                }
            }
        };
        let timely = tokio::time::timeout(timeout, wait).await;
        timely.map_err(|_| NotReady { keys: self.can_verify() })
    }

    fn is_ready(&self) -> bool {
        self.can_verify() && self.verdict() != Verdict::Unknown
    }

    fn can_verify(&self) -> bool {
        let shared: &Shared = &self.authenticator.shared;
        shared.core.load().keys.usable(shared.now().wall, shared.rules.max_key_age)
    }

    /// Reports the result of a call to Clerk that the application made itself, for example
    /// `clerk.report(Surface::BackendApi, CallOutcome::Answered(status))`. The method never blocks,
    /// so the application can report every call.
    ///
    /// A reported failure triggers an early probe, at most one a minute. Reported failures on
    /// [`BackendApi`](Surface::BackendApi), [`Handshake`](Surface::Handshake) or
    /// [`Jwks`](Surface::Jwks) can be the second signal of an outage. This requires two 5xx
    /// responses in a row, within a minute and at least 2 s apart. A 429 counts as well, except on
    /// the Backend API, where the application's own quota may be the cause. Reports do not count if
    /// a probe of that surface succeeded since, or within 25 s.
    ///
    /// Reports alone prove no outage: minting must also fail in the layer's own probes. A reported
    /// success cancels earlier reports for the same surface, and nothing else.
    ///
    /// Report only responses that came from Clerk's host over TLS, and no failures that users can
    /// cause.
    pub fn report(&self, surface: Surface, outcome: CallOutcome) {
        self.authenticator
            .shared
            .tell(Signal::CallReported(surface, ReportKind::of(surface, outcome)));
    }

    /// Declares an outage without proof, for at most 4 hours. The usual conditions of grace apply.
    /// It concerns this instance alone and ends with the process. Use it in a drill, or where an
    /// operator knows more than the probes:
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::{Auth, GracePolicy, SimClerkExt, Verdict};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder.grace(GracePolicy::balanced()));
    /// sim.pass(Duration::from_secs(10)).await;
    /// clerk.force_outage(Duration::from_secs(600));
    /// sim.pass(Duration::from_secs(1)).await;
    /// assert_eq!(clerk.verdict(), Verdict::Outage);
    ///
    /// clerk.clear_override();
    /// sim.pass(Duration::from_secs(1)).await;
    /// assert_ne!(clerk.verdict(), Verdict::Outage);
    /// # }
    /// ```
    pub fn force_outage(&self, ttl: Duration) {
        self.authenticator.shared.tell(Signal::Force(Some(Verdict::Outage), ttl));
    }

    /// Declares Clerk healthy, for at most 4 hours. The layer then gives no grace. This is the off
    /// switch for an incident in which grace itself is the risk; `CLERK_RESILIENCE_GRACE=off` and a
    /// restart is the lasting one.
    pub fn force_healthy(&self, ttl: Duration) {
        self.authenticator.shared.tell(Signal::Force(Some(Verdict::Healthy), ttl));
    }

    /// Clears the declaration of [`force_outage`](Self::force_outage) or
    /// [`force_healthy`](Self::force_healthy).
    pub fn clear_override(&self) {
        self.authenticator.shared.tell(Signal::Force(None, Duration::ZERO));
    }

    /// Reports that the application has passed every denial older than `age` to this instance.
    ///
    /// Call this method after each complete read of the store that feeds
    /// [`revoke_session`](Self::revoke_session) and [`revoke_user`](Self::revoke_user). `age` is
    /// the time since that read began. With an [external deny list](Builder::external_deny_list),
    /// the layer gives no grace if the last complete read is older than 60 s.
    pub fn deny_list_complete(&self, age: Duration) {
        let began = self.authenticator.shared.now().back(age);
        self.authenticator.shared.feed(|feeds| SyncStatus {
            deny_list: match feeds.deny_list {
                own @ (DenyList::Local | DenyList::LostAt(_)) => own,
                // With a shared store, only the store reports completeness.
                fed if feeds.store.shared => fed,
                DenyList::External { .. } => DenyList::External { complete: Some(began) },
            },
            ..feeds
        });
    }

    /// Records that the application itself verified a webhook of Clerk's just now, or completed a
    /// reconciliation. [`GracePolicy::webhooks_within`](crate::GracePolicy::webhooks_within)
    /// requires this.
    pub fn record_webhook(&self) {
        self.authenticator.shared.heard_webhook();
    }

    /// Ends a session in this application, from the next request on and for 30 days. With a secret
    /// key, the driver also ends the session at Clerk, as soon as its Backend API answers.
    ///
    /// Neither grace, a restart nor a recovery restores the session. A repeated call changes
    /// nothing and sends nothing. Include the result in the response: it removes the session's
    /// cookies.
    ///
    /// Without a secret key the session stays active at Clerk, and the browser stays signed in
    /// there; the layer logs one warning. In that case, call `Clerk.signOut()` in the browser.
    ///
    /// [`SignedOut`] has an example.
    pub fn sign_out(&self, auth: &Auth) -> SignedOut {
        self.authenticator.shared.warn_of_local_sign_out();
        self.authenticator.shared.sign_out(auth.session());
        SignedOut::of(&self.authenticator.shared)
    }

    /// Revokes a session in this application, from the next request on and for 30 days, whatever
    /// its tokens claim. The state directory stores the revocation. Another call within a day
    /// changes nothing. The session stays active at Clerk; [`sign_out`](Self::sign_out) ends it
    /// there too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use axum::{Router, routing::get};
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::{Auth, SimClerkExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder);
    /// let app = Router::new().route("/me", get(async |_: Auth| "hello")).layer(clerk.clone());
    /// let session = sim.sign_in("user_1");
    /// let request = sim.get("/me", &session);
    /// assert_eq!(sim.send(&app, &request).await.status(), 200);
    ///
    /// clerk.revoke_session(session.id.clone());
    /// assert_eq!(sim.send(&app, &request).await.status(), 401);
    /// # }
    /// ```
    pub fn revoke_session(&self, id: impl Into<SessionId>) {
        self.authenticator.shared.deny_for_long(|until| Denial::Session(id.into(), until));
    }

    /// Rejects every token that this key signed, from the next request on and for 30 days, even if
    /// Clerk still publishes the key. Use this for a stolen key that Clerk cannot withdraw.
    ///
    /// If `CLERK_JWT_KEY` holds the same key, that key is rejected too, once the published keys are
    /// loaded. The rejection stays when Clerk no longer publishes the key.
    ///
    /// The id is the `kid` in the header of a token, `ins_…`. Until Clerk signs with another key,
    /// every session is rejected.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::{Auth, SimClerkExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder);
    /// let app = Router::new().route("/", get(async |_: Auth| "hello")).layer(clerk.clone());
    /// let request = sim.get("/", &sim.sign_in("user_1"));
    /// assert_eq!(sim.send(&app, &request).await.status(), 200);
    ///
    /// clerk.distrust_key(sim.key_id());
    /// assert_eq!(sim.send(&app, &request).await.status(), 401);
    /// # }
    /// ```
    pub fn distrust_key(&self, id: impl Into<KeyId>) {
        self.authenticator.shared.deny_for_long(|until| Denial::Key(id.into(), until));
    }

    /// Rejects every token of a user that was issued up to now, or within the next 5 s, because
    /// Clerk's clock may be ahead. This covers session tokens, and the user's API keys and OAuth
    /// tokens. The earlier of a token's `oiat` and `iat` counts.
    ///
    /// Call it when an administrator of the application blocks a user, and before Clerk's own ban
    /// reaches this instance by webhook. The user can sign in again unless Clerk refuses it.
    pub fn revoke_user(&self, id: impl Into<UserId>) {
        let (id, now) = (id.into(), self.authenticator.shared.latest().plus(CLOCK_LEEWAY));
        self.authenticator.shared.revoke(|set| set.with_user(&id, now));
    }

    /// Rejects a user's tokens with this active organisation that were issued up to now, or within
    /// the next 5 s. Call this method when the user was removed from the organisation. Tokens with
    /// another active organisation, or with none, pass.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use clerk_resilience::sim::{SimClerk, SimOrganization};
    /// use clerk_resilience::{Auth, SimClerkExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder);
    /// let app = Router::new().route("/", get(async |_: Auth| "hello")).layer(clerk.clone());
    /// let member = sim.sign_in("user_1");
    /// let personal = sim.get("/", &member);
    /// sim.set_organization(&member, Some(SimOrganization::new("org_1", "acme")));
    /// let at_work = sim.get("/", &member);
    ///
    /// clerk.revoke_member("user_1", "org_1");
    /// assert_eq!(sim.send(&app, &at_work).await.status(), 401);
    /// assert_eq!(sim.send(&app, &personal).await.status(), 200);
    /// # }
    /// ```
    pub fn revoke_member(&self, user: impl Into<UserId>, organization: impl Into<OrgId>) {
        let (user, organization) = (user.into(), organization.into());
        let now = self.authenticator.shared.latest().plus(CLOCK_LEEWAY);
        self.authenticator.shared.revoke(|set| set.with_member(&user, &organization, now));
    }

    /// Rejects all users' tokens with this active organisation that were issued up to now, or
    /// within the next 5 s. The same applies to API keys of the organisation.
    pub fn revoke_organization(&self, id: impl Into<OrgId>) {
        let (id, now) = (id.into(), self.authenticator.shared.latest().plus(CLOCK_LEEWAY));
        self.authenticator.shared.revoke(|set| set.with_organization(&id, now));
    }
}

impl<S> Layer<S> for ClerkResilience {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        Authenticate::new(inner, Arc::clone(&self.authenticator))
    }
}

/// The layer was not ready within the timeout: either keys or Clerk's state are still missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", if *.keys { "Clerk's health is not known yet; check that the driver is running" } else { "no keys are loaded yet; check that Clerk is reachable and that the driver is running" })]
pub struct NotReady {
    keys: bool,
}
