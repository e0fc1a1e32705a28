//! The handle: the layer that applications wrap themselves in, and the controls beside it.

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
use crate::http::routes::health::{self, HealthService, Question, Showing};
use crate::http::routes::sign_out::{self, SignOutService, SignedOut};
use crate::http::routes::webhooks::{self, WebhookService};
use crate::state::health::{CallOutcome, ReportKind, Surface, Verdict};
use crate::state::revocation::Denial;
use crate::state::snapshot::{DenyList, Snapshot, SyncStatus};
use crate::store::{DeadLetter, StoreError};

/// Clerk's clock may be ahead of ours by as much as the leeway of tokens.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);

/// The layer, and a handle to what stands behind it. Cheap to clone; all clones share one driver.
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
#[derive(Clone, Debug)]
pub struct ClerkResilience {
    authenticator: Arc<Authenticator>,
    showing: Showing,
}

impl ClerkResilience {
    /// The complete and safe layer: tokens are verified here, old keys are tolerated, what cannot be
    /// told is an honest 503, and grace is off, unless `CLERK_RESILIENCE_GRACE` says otherwise. Starts the
    /// driver on the present runtime.
    ///
    /// # Panics
    ///
    /// When the configuration contradicts itself, or outside a tokio runtime; the message says what
    /// to do. [`builder`](Self::builder) returns these as errors.
    #[must_use]
    #[track_caller]
    pub fn new(config: ClerkConfig) -> Self {
        match Self::builder(config).build() {
            Ok(clerk) => clerk,
            Err(error) => panic!("clerk-resilience: {error}"),
        }
    }

    /// The same with choices.
    pub fn builder(config: ClerkConfig) -> Builder {
        Builder::new(config)
    }

    /// The same layer with another policy, for one route or router. Paths that were named
    /// [public](Builder::public) are public to the whole application's layer, not to this one.
    ///
    /// ```no_run
    /// # use axum::{Router, routing::{get, post}};
    /// # use clerk_resilience::{ClerkResilience, GraceAccess, RoutePolicy};
    /// # fn app(clerk: ClerkResilience) -> Router {
    /// let api = Router::new()
    ///     .route("/feed", get(async || "feed"))
    ///     .route_layer(clerk.clone());
    /// let billing = Router::new()
    ///     .route("/pay", post(async || "paid"))
    ///     .route_layer(clerk.policy(RoutePolicy::required().grace(GraceAccess::Never).role("org:admin")));
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
                "a route accepts API keys, but CLERK_SECRET_KEY is not set, so that every one of them is answered 503; set it to the secret key from the API keys page of the Clerk dashboard"
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

    /// `GET /auth/health`, `/auth/health/live` and `/auth/health/ready`, and `POST /auth/sign-out`, and with
    /// a [signing secret](ClerkConfig::webhook_secret) `POST /auth/webhooks`, to be merged *beside* the
    /// protected routes. An application with state merges after its `.with_state(..)`.
    pub fn routes(&self) -> Router {
        let shared = &self.authenticator.shared;
        shared.warn_of_local_sign_out();
        let routes = health::routes(shared, &self.showing);
        routes
            .merge(sign_out::routes(shared, &self.authenticator.answers.origins))
            .merge(webhooks::routes(shared))
    }

    /// `POST /auth/webhooks` as a plain tower service; `None` without a
    /// [signing secret](ClerkConfig::webhook_secret).
    #[must_use]
    pub fn webhook_service(&self) -> Option<WebhookService> {
        WebhookService::new(&self.authenticator.shared)
    }

    /// Webhooks that could not be understood, and those that hooks failed at for good; the newest first,
    /// at most 1000. Each is kept for 30 days.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store does not answer within 2 s.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        match &self.authenticator.shared.webhooks {
            Some(webhooks) => webhooks.dead().await,
            None => Ok(Vec::new()),
        }
    }

    /// Lets the hooks hear of a dead letter again, now. False when there is none by that id, or when it
    /// could not be understood in the first place.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store does not answer within 2 s.
    pub async fn replay(&self, id: &str) -> Result<bool, StoreError> {
        match &self.authenticator.shared.webhooks {
            Some(webhooks) => webhooks.requeue(id, self.authenticator.shared.now().wall).await,
            None => Ok(false),
        }
    }

    /// Reads back what changed at Clerk since this was done last, all users at the first time, so that what
    /// webhooks missed is repaired: profiles, bans, locks; memberships and roles; users who were deleted and
    /// memberships that ended. It begins once Clerk is well, asks at most four times a second, or once a second in a
    /// development instance, waits for as long as Clerk wants it to, and goes on after a restart where it was.
    /// Sessions that ended need no repair: Clerk renews none of their tokens, which live for a minute.
    ///
    /// Nobody is taken for gone because a list lacks them: each is asked for by name, and only with a secret key
    /// that is proven to be this instance's.
    ///
    /// `None` without a [store](Builder::store) or a secret key. The receiver shows how far it came; it is done when
    /// `ended` has grown.
    #[expect(clippy::must_use_candidate, reason = "it begins whether somebody watches or not")]
    pub fn reconcile(&self) -> Option<watch::Receiver<Progress>> {
        Some(self.authenticator.shared.reconciler.as_ref()?.wish())
    }

    /// What is known of users, whether Clerk answers or not. Handlers can also take
    /// [`UserProfile`](crate::UserProfile).
    #[must_use]
    pub fn profiles(&self) -> Profiles {
        Profiles::of(&self.authenticator.shared)
    }

    /// `POST /auth/sign-out` as a plain tower service.
    #[must_use]
    pub fn sign_out_service(&self) -> SignOutService {
        self.authenticator.shared.warn_of_local_sign_out();
        let origins = Arc::clone(&self.authenticator.answers.origins);
        SignOutService::new(Arc::clone(&self.authenticator.shared), origins)
    }

    /// The health endpoint as a plain tower service.
    #[must_use]
    pub fn health_service(&self) -> HealthService {
        let shared = Arc::clone(&self.authenticator.shared);
        HealthService::new(shared, Question::Health, self.showing.clone())
    }

    /// What is known right now: keys, health, revocations.
    #[must_use]
    pub fn status(&self) -> Arc<Snapshot> {
        Arc::clone(&self.authenticator.shared.core.load())
    }

    /// The verdict on Clerk, as it can be believed right now.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.authenticator.shared.core.load().verdict(self.authenticator.shared.now())
    }

    /// What happened so far, in numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.authenticator.shared.core.counters.read()
    }

    /// Follows the verdict. The receiver holds the present one and wakes at each change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Verdict> {
        self.authenticator.shared.core.verdicts.subscribe()
    }

    /// Waits until tokens can be verified and something is known of Clerk.
    ///
    /// # Errors
    ///
    /// [`NotReady`] when that takes longer than `timeout`. The application may serve all the same:
    /// what cannot be told is answered 503.
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

    /// Tells how a call of the application's own to Clerk ended, as in `clerk.report(Surface::BackendApi,
    /// CallOutcome::Answered(status))`. It costs nothing and never waits, so every call may be told.
    ///
    /// Trouble makes the layer ask Clerk at once, at most once a minute. Answers of 5xx (and of 429, but for
    /// the Backend API, where it may be the application's own quota) on [`BackendApi`](Surface::BackendApi),
    /// [`Handshake`](Surface::Handshake) or [`Jwks`](Surface::Jwks), two in a row within a minute and 2 s
    /// apart, are a second signal beside minting, in Clerk's own voice, unless an own probe of that surface
    /// was answered well since, or within 25 s. That alone proves nothing: minting must fail by the layer's
    /// own probes. Good answers take back what was told of their surface before, and excuse nothing else.
    ///
    /// Tell only of answers that came from Clerk's host over TLS, and not of what users make fail.
    pub fn report(&self, surface: Surface, outcome: CallOutcome) {
        self.authenticator
            .shared
            .tell(Signal::CallReported(surface, ReportKind::of(surface, outcome)));
    }

    /// Declares an outage that is not proven, for at most 4 hours. Grace follows its usual bounds.
    pub fn force_outage(&self, ttl: Duration) {
        self.authenticator.shared.tell(Signal::Force(Some(Verdict::Outage), ttl));
    }

    /// Declares Clerk healthy, for at most 4 hours: no grace, whatever the evidence.
    pub fn force_healthy(&self, ttl: Duration) {
        self.authenticator.shared.tell(Signal::Force(Some(Verdict::Healthy), ttl));
    }

    /// Takes a declaration back.
    pub fn clear_override(&self) {
        self.authenticator.shared.tell(Signal::Force(None, Duration::ZERO));
    }

    /// Tells that this instance now knows every denial that was made before `began`: call it after each
    /// complete reading of the store that feeds [`revoke_session`](Self::revoke_session) and
    /// [`revoke_user`](Self::revoke_user), with the age of what was read. Without it a
    /// [fed deny list](Builder::fed_deny_list) forbids grace after 60 s.
    pub fn deny_list_complete(&self, age: Duration) {
        let began = self.authenticator.shared.now().back(age);
        self.authenticator.shared.feed(|feeds| SyncStatus {
            deny_list: match feeds.deny_list {
                own @ (DenyList::Local | DenyList::LostAt(_)) => own,
                // Whoever shares a store hears from there, and from nowhere else, what is complete.
                fed if feeds.store.shared => fed,
                DenyList::External { .. } => DenyList::External { complete: Some(began) },
            },
            ..feeds
        });
    }

    /// Tells that a webhook of Clerk's was verified just now by the application itself, or that a reconciliation is complete:
    /// what [`GracePolicy::webhooks_within`](crate::GracePolicy::webhooks_within) asks for.
    pub fn record_webhook(&self) {
        self.authenticator.shared.heard_webhook();
    }

    /// Ends a session here, from the next request on and for 30 days; at Clerk, as soon as its Backend
    /// API answers, if there is a secret key. No grace, no restart and no recovery brings it back. A
    /// session that is refused already stays as it is: a repeated call changes nothing and sends nothing.
    /// Make the result part of the response: it takes the cookies away.
    ///
    /// Without a secret key the session lives on at Clerk, and the browser stays signed in there; the
    /// layer warns of that once. End the session at Clerk with `Clerk.signOut()` in the browser.
    pub fn sign_out(&self, auth: &Auth) -> SignedOut {
        self.authenticator.shared.warn_of_local_sign_out();
        self.authenticator.shared.sign_out(auth.session());
        SignedOut::of(&self.authenticator.shared)
    }

    /// Refuses a session from the next request on, for 30 days, whatever its tokens say; kept in the
    /// state directory. Another call within a day changes nothing. The session lives on at Clerk;
    /// [`sign_out`](Self::sign_out) ends it there too.
    pub fn revoke_session(&self, id: impl Into<SessionId>) {
        self.authenticator.shared.deny_for_long(|until| Denial::Session(id.into(), until));
    }

    /// Refuses every token that this key signed, from the next request on and for 30 days, even if Clerk
    /// still publishes it: for a key that was stolen while Clerk cannot take it back. The same key in
    /// `CLERK_JWT_KEY` is refused with it, once the published keys were read, and stays so when Clerk publishes
    /// it no more.
    pub fn distrust_key(&self, id: impl Into<KeyId>) {
        self.authenticator.shared.deny_for_long(|until| Denial::Key(id.into(), until));
    }

    /// Refuses every token of a user that was issued up to now, or in the next 5 s, by which Clerk's
    /// clock may be ahead: session tokens, and the API keys and OAuth tokens that stand for the user.
    /// The earlier of a token's `oiat` and `iat` counts.
    pub fn revoke_user(&self, id: impl Into<UserId>) {
        let (id, now) = (id.into(), self.authenticator.shared.latest().plus(CLOCK_LEEWAY));
        self.authenticator.shared.revoke(|set| set.with_user(&id, now));
    }

    /// Refuses a user's tokens that were issued up to now, or in the next 5 s, with this organisation as
    /// the active one: the user was removed from it. Tokens for another organisation, or for none, pass.
    pub fn revoke_member(&self, user: impl Into<UserId>, organization: impl Into<OrgId>) {
        let (user, organization) = (user.into(), organization.into());
        let now = self.authenticator.shared.latest().plus(CLOCK_LEEWAY);
        self.authenticator.shared.revoke(|set| set.with_member(&user, &organization, now));
    }

    /// Refuses everybody's tokens that were issued up to now, or in the next 5 s, with this organisation
    /// as the active one, and API keys that stand for it.
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

/// What was still missing when patience ran out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", if *.keys { "nothing is known of Clerk's health yet; is the driver running?" } else { "there are no keys yet; is Clerk reachable from here, and is the driver running?" })]
pub struct NotReady {
    keys: bool,
}
