//! [`Builder`]: the options of a layer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use clerk_verify::authenticate::Site;
use clerk_verify::clock::Clock;
use clerk_verify::token::AzpPolicy;
use clerk_verify::transport::Transport;
use clerk_verify::webhook_signature::WebhookSecret;
use http::Request;
use tower::{BoxError, Layer, Service};
use url::Url;

use super::{ClerkResilience, assemble};
use crate::audit::{GraceEvent, Recorder};
use crate::config::{ClerkConfig, ConfigError};
use crate::decide::policy::{ClientUat, GracePolicy, RoutePolicy, SessionEvidence};
use crate::engine::{Driver, Event, FromEvent, Hook, Transition, TransitionHook};
use crate::http::layer::{Cors, EmptyService, PublicPathError, PublicPaths};
use crate::http::response::{ErrorPage, PageText, Renderer, Responder};
use crate::http::routes::health::{Readers, Showing};
use crate::state::snapshot::DenyList;
use crate::state::ticket::TicketKeys;
use crate::state::webhook_event::EventRules;
use crate::store::Store;

/// Deadline of a probe. It exceeds the limit of a slow answer, so that a slow answer is not a
/// timeout.
const PROBE_DEADLINE: Duration = Duration::from_millis(2_500);

/// The options of a [`ClerkResilience`]. Every option has a default; [`build`](Self::build) checks
/// them.
///
/// A call here replaces what [`ClerkConfig`] or a variable says. Calls of `egress_canary`,
/// `webhook_secret`, `audience`, `on` and `on_event` add to it instead.
///
/// | purpose | options |
/// |---|---|
/// | who may pass | [`public`](Self::public), [`policy`](Self::policy), [`authorized_parties`](Self::authorized_parties), [`azp`](Self::azp), [`audience`](Self::audience), [`leeway`](Self::leeway), [`client_uat`](Self::client_uat) |
/// | grace | [`grace`](Self::grace), [`tickets`](Self::tickets), [`external_deny_list`](Self::external_deny_list), [`audit`](Self::audit), [`grace_header`](Self::grace_header) |
/// | what survives | [`state_dir`](Self::state_dir), [`store`](Self::store) |
/// | webhooks | [`webhook_secret`](Self::webhook_secret), [`on`](Self::on), [`on_event`](Self::on_event), [`revoke_when_locked`](Self::revoke_when_locked), [`revoke_on_password_change`](Self::revoke_on_password_change), [`reconcile_on_demand`](Self::reconcile_on_demand) |
/// | responses | [`page_text`](Self::page_text), [`page`](Self::page), [`cors`](Self::cors), [`handshakes`](Self::handshakes) |
/// | origins | [`public_origins`](Self::public_origins), [`trust_forwarded`](Self::trust_forwarded), [`site`](Self::site) |
/// | operation | [`egress_canary`](Self::egress_canary), [`on_transition`](Self::on_transition), [`private_health`](Self::private_health), [`strict_health`](Self::strict_health), [`probe_deadline`](Self::probe_deadline) |
/// | memory | [`token_cache`](Self::token_cache), [`session_capacity`](Self::session_capacity), [`profile_cache`](Self::profile_cache) |
/// | tests | [`clock`](Self::clock), [`transport`](Self::transport); [`SimClerkExt`](crate::SimClerkExt) sets both |
///
/// # Examples
///
/// ```no_run
/// use clerk_resilience::{ClerkConfig, ClerkResilience, ConfigError, GracePolicy};
///
/// # #[tokio::main] async fn main() -> Result<(), ConfigError> {
/// let clerk = ClerkResilience::builder(ClerkConfig::from_env()?)
///     .public(["/", "/sign-in", "/sign-in/{*rest}"])
///     .authorized_parties(["https://app.example.com"])
///     .grace(GracePolicy::balanced())
///     .state_dir("/var/lib/example/clerk")
///     .build()?;
/// # drop(clerk); Ok(())
/// # }
/// ```
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[must_use = "nothing happens until .build() or .pair()"]
pub struct Builder {
    pub(super) config: ClerkConfig,
    pub(super) grace: GracePolicy,
    pub(super) route: RoutePolicy,
    pub(super) public: Result<PublicPaths, PublicPathError>,
    pub(super) azp: AzpPolicy,
    pub(super) audiences: Vec<String>,
    pub(super) leeway: Duration,
    pub(super) answers: Responder,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) token_capacity: usize,
    pub(super) session_capacity: usize,
    pub(super) probe_deadline: Duration,
    pub(super) showing: Showing,
    pub(super) handshakes: bool,
    pub(super) trust_forwarded: bool,
    pub(super) client_uat: ClientUat,
    pub(super) deny_list: DenyList,
    pub(super) tickets: Option<TicketKeys>,
    pub(super) recorder: Option<Recorder>,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) hooks: Vec<Hook>,
    pub(super) reconcile_on_demand: bool,
    pub(super) event_rules: EventRules,
    pub(super) profile_capacity: usize,
    pub(super) keep_private: bool,
    pub(super) on_transition: Option<TransitionHook>,
    pub(super) cors: Option<Cors>,
}

impl Builder {
    pub(super) fn new(config: ClerkConfig) -> Self {
        Self {
            grace: config.grace.clone(),
            tickets: config.tickets.clone(),
            config,
            route: RoutePolicy::required(),
            public: Ok(PublicPaths::default()),
            azp: AzpPolicy::IfPresent,
            audiences: Vec::new(),
            leeway: Duration::from_secs(5),
            answers: Responder::default(),
            clock: None,
            transport: None,
            token_capacity: 8 * 1024,
            session_capacity: 64 * 1024,
            probe_deadline: PROBE_DEADLINE,
            showing: Showing::default(),
            handshakes: true,
            trust_forwarded: false,
            client_uat: ClientUat::default(),
            deny_list: DenyList::Local,
            recorder: None,
            store: None,
            hooks: Vec::new(),
            reconcile_on_demand: false,
            event_rules: EventRules::default(),
            profile_capacity: 10_000,
            keep_private: false,
            on_transition: None,
            cors: None,
        }
    }

    /// Sets the grace policy, and replaces every setting of `CLERK_RESILIENCE_GRACE` and its
    /// companion variables. Default: the policy of these variables, else [`GracePolicy::disabled`].
    ///
    /// An operator can then no longer switch grace off by the environment. Leave this call out to
    /// keep that switch, and set limits by variables such as `CLERK_RESILIENCE_MAX_GRACE`.
    ///
    /// ```
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::{GracePolicy, SimClerkExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder.grace(GracePolicy::balanced().max_grace("30min")));
    /// # drop(clerk);
    /// let mistake = sim.try_layer(|builder| builder.grace(GracePolicy::balanced().max_grace("30")));
    /// assert!(mistake.is_err(), "the number has no unit");
    /// # }
    /// ```
    pub fn grace(mut self, policy: GracePolicy) -> Self {
        self.grace = policy;
        self
    }

    /// Sets the policy of routes without their own. Default: [`RoutePolicy::required`].
    ///
    /// ```
    /// use clerk_resilience::{Builder, GraceAccess, RoutePolicy};
    ///
    /// /// No grace anywhere, except where a route says so.
    /// fn choose(builder: Builder) -> Builder {
    ///     builder.policy(RoutePolicy::required().grace(GraceAccess::Never))
    /// }
    /// # let _ = choose;
    /// ```
    pub fn policy(mut self, policy: RoutePolicy) -> Self {
        self.route = policy;
        self
    }

    /// Sets the paths that need no session, for applications that wrap all routes with
    /// `.layer(..)`. [`PublicPaths`] describes the syntax. All other paths are protected.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::{Auth, SimClerkExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder.public(["/", "/posts/{id}"]));
    /// let app = Router::new()
    ///     .route("/", get(async |auth: Option<Auth>| auth.is_some().to_string()))
    ///     .route("/posts/{id}", get(async || "a post"))
    ///     .route("/me", get(async |_: Auth| "hello"))
    ///     .layer(clerk);
    /// assert_eq!(sim.send(&app, &sim.page("/posts/1", None)).await.status(), 200);
    /// assert_ne!(sim.send(&app, &sim.page("/me", None)).await.status(), 200);
    /// # }
    /// ```
    pub fn public<I: IntoIterator<Item: Into<String>>>(mut self, patterns: I) -> Self {
        self.public = PublicPaths::new(patterns);
        self
    }

    /// Sets the origins for which tokens may be issued; see [`ClerkConfig::authorized_parties`].
    pub fn authorized_parties<I: IntoIterator<Item: Into<String>>>(mut self, parties: I) -> Self {
        self.config = self.config.authorized_parties(parties);
        self
    }

    /// Sets the origins at which browsers reach this application; see
    /// [`ClerkConfig::public_origins`].
    pub fn public_origins<I: IntoIterator<Item: Into<String>>>(mut self, origins: I) -> Self {
        self.config = self.config.public_origins(origins);
        self
    }

    /// Trusts `X-Forwarded-Host`, `X-Forwarded-Proto` and `Forwarded` from every peer. Enable this
    /// only if every request passes a proxy that overwrites these fields.
    ///
    /// Default: false. The layer then trusts these fields only from a loopback, private or
    /// link-local peer. The request's extensions must hold the peer's address as
    /// `ConnectInfo<SocketAddr>` or `SocketAddr`. `axum::serve` records the peer with
    /// `into_make_service_with_connect_info::<SocketAddr>()`. See `docs/design.md`, *Proxies*.
    ///
    /// ```no_run
    /// use std::net::SocketAddr;
    /// use axum::Router;
    ///
    /// # async fn serve(app: Router) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    /// # }
    /// ```
    pub fn trust_forwarded(mut self, trust: bool) -> Self {
        self.trust_forwarded = trust;
        self
    }

    /// Sets the treatment of tokens without `azp` if authorized parties are configured. Default:
    /// [`AzpPolicy::IfPresent`], because the token of a browser that returns from Clerk has no
    /// `azp`. [`Counts::without_azp`](crate::Counts::without_azp) counts these tokens.
    pub fn azp(mut self, policy: AzpPolicy) -> Self {
        self.azp = policy;
        self
    }

    /// Adds an accepted audience (`aud`). Default: any audience. A token without `aud` passes, as
    /// in Clerk's SDK. An empty text is an error at build.
    ///
    /// Call it once for each audience. Session tokens have an `aud` only if the instance adds one;
    /// JWT templates often do.
    ///
    /// ```
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::SimClerkExt;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// assert!(sim.try_layer(|builder| builder.audience("https://api.example.com")).is_ok());
    /// assert!(sim.try_layer(|builder| builder.audience("")).is_err());
    /// # }
    /// ```
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets the allowed difference between this host's clock and Clerk's. Default 5 s, as in
    /// Clerk's SDK; at most 60 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets a private directory for state that survives restarts; see [`ClerkConfig::state_dir`].
    pub fn state_dir(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.config = self.config.state_dir(path);
        self
    }

    /// Adds a canary, an address that always answers; see [`ClerkConfig::egress_canary`].
    pub fn egress_canary(mut self, url: Url) -> Self {
        self.config = self.config.egress_canary(url);
        self
    }

    /// Sets the texts and links of the error page.
    ///
    /// Default: English texts without an application name. [`PageText`] has an example.
    pub fn page_text(mut self, text: PageText) -> Self {
        self.answers.text = text;
        self
    }

    /// Replaces the built-in error page. The layer sends the result as HTML.
    ///
    /// `render` is called for each rejected page request, so it must not block. [`ErrorPage`] has
    /// an example.
    pub fn page(
        mut self,
        render: impl Fn(&ErrorPage<'_>) -> String + Send + Sync + 'static,
    ) -> Self {
        self.answers.renderer = Some(Renderer(Arc::new(render)));
        self
    }

    /// Adds the header field `Clerk-Grace` to responses in grace, for example `Clerk-Grace: outage;
    /// until="Fri, 29 May 2026 21:21:00 GMT"`.
    ///
    /// The first word is the [reason](crate::GraceReason::name). The date is the latest time at
    /// which the layer accepts the token. Pages of other origins can read the field only if the
    /// application lists it in `Access-Control-Expose-Headers`. Default: false, because the field
    /// shows the holder of a stolen token how long it works.
    pub fn grace_header(mut self, say: bool) -> Self {
        self.answers.names_grace = say;
        self
    }

    /// Lets `/auth/health` answer 503 while Clerk is down, for monitors that read only the status.
    /// Default: false; the status is 200 as long as tokens can be verified.
    pub fn strict_health(mut self, strict: bool) -> Self {
        self.showing.strict = strict;
        self
    }

    /// Shows Clerk's state and grace at `/auth/health` only to requests with this token in
    /// `Authorization: Bearer`. The token must have at least 16 random characters.
    ///
    /// All other requests to `/auth/health` get the document of `/auth/health/ready`, also with
    /// `?strict`. Default: public. An attacker with a stolen token could then wait for an outage.
    ///
    /// ```
    /// use std::time::Duration;
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::SimClerkExt;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder.private_health("c0ffee5ca1ab1e0ddba11"));
    /// let app = clerk.routes();
    /// sim.pass(Duration::from_secs(10)).await;
    /// let response = sim.send(&app, &sim.page("/auth/health", None)).await;
    /// assert_eq!(response.status(), 200, "the document of /auth/health/ready");
    /// # }
    /// ```
    pub fn private_health(mut self, token: impl AsRef<str>) -> Self {
        self.showing.readers = Some(Readers::with(token.as_ref()));
        self
    }

    /// Sets whether the layer redirects a browser to Clerk's handshake for a fresh session token.
    /// This applies if the token has expired, or is missing although a user is signed in. Default:
    /// true, while Clerk is healthy. Only page requests to routes that require a session are
    /// redirected.
    pub fn handshakes(mut self, handshakes: bool) -> Self {
        self.handshakes = handshakes;
        self
    }

    /// Sets the use of `__client_uat` with session cookies. Default:
    /// [`ClientUat::RequiredForPages`].
    pub fn client_uat(mut self, policy: ClientUat) -> Self {
        self.client_uat = policy;
        self
    }

    /// Sets how the application is configured at Clerk; see [`ClerkConfig::site`].
    pub fn site(mut self, change: impl FnOnce(Site) -> Site) -> Self {
        self.config = self.config.site(change);
        self
    }

    /// Sets the deadline of each call to Clerk. A call that exceeds it has failed. Default 2.5 s;
    /// 100 ms to 30 s.
    ///
    /// A response slower than 1.5 s counts as slow, so keep the deadline above that: a shorter one
    /// turns a slow Clerk into a silent one.
    pub fn probe_deadline(mut self, deadline: Duration) -> Self {
        self.probe_deadline = deadline;
        self
    }

    /// Sets the capacity of the cache of verified tokens. Default 8192, about 2 KiB each.
    ///
    /// A token in the cache is compared byte for byte, and its signature is not verified again. Its
    /// times, revocations and the presence of its key are checked for each request. Choose twice
    /// the number of sessions that are active within a minute.
    pub fn token_cache(mut self, capacity: usize) -> Self {
        self.token_capacity = capacity;
        self
    }

    /// Sets how many seen sessions are stored as evidence for grace. Default 65536, about 100 bytes
    /// each. With a shared store the minimum is 131072, because each instance stores the sessions
    /// of all.
    pub fn session_capacity(mut self, capacity: usize) -> Self {
        self.session_capacity = capacity;
        self
    }

    /// Sets the clock. Default: [`SystemClock`](clerk_verify::clock::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Declares that the application also reads denials from its own store. Grace then requires a
    /// complete read of that store within 60 s; see [`ClerkResilience::deny_list_complete`].
    ///
    /// ```no_run
    /// use std::time::{Duration, Instant};
    /// use clerk_resilience::{ClerkConfig, ClerkResilience};
    ///
    /// # async fn denied_sessions() -> Result<Vec<String>, std::io::Error> { Ok(Vec::new()) }
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = ClerkConfig::from_env()?;
    /// let clerk = ClerkResilience::builder(config).external_deny_list().build()?;
    /// loop {
    ///     let began = Instant::now();
    ///     if let Ok(sessions) = denied_sessions().await {
    ///         for session in sessions {
    ///             clerk.revoke_session(session);
    ///         }
    ///         clerk.deny_list_complete(began.elapsed());
    ///     }
    ///     tokio::time::sleep(Duration::from_secs(10)).await;
    /// }
    /// # }
    /// ```
    pub fn external_deny_list(mut self) -> Self {
        self.deny_list = DenyList::External { complete: None };
        self
    }

    /// Sets the ticket keys. A ticket is a cookie with a MAC, as evidence that a session was seen
    /// valid.
    ///
    /// A ticket counts in every process with the same keys, like that process's own record of the
    /// session. Tickets are for applications on several machines without a shared state directory.
    /// These keys replace `CLERK_RESILIENCE_TICKET_KEYS`. Default: the keys of that variable; no
    /// tickets without keys.
    ///
    /// ```
    /// use clerk_resilience::Builder;
    /// use clerk_resilience::{TicketKeyError, TicketKeys};
    ///
    /// /// `keys` holds the same value on every machine, the newest key first.
    /// fn with_tickets(builder: Builder, keys: &str) -> Result<Builder, TicketKeyError> {
    ///     Ok(builder.tickets(TicketKeys::parse(keys)?))
    /// }
    /// # let _ = with_tickets;
    /// ```
    pub fn tickets(mut self, keys: TicketKeys) -> Self {
        self.tickets = Some(keys);
        self
    }

    /// Sets a function that receives every decision about grace, for an audit log. The function
    /// runs while a request waits, so it must not block.
    ///
    /// [`audit`](crate::audit) has an example that hands events to a task.
    pub fn audit(mut self, record: impl Fn(&GraceEvent) + Send + Sync + 'static) -> Self {
        self.recorder = Some(Recorder(Arc::new(record)));
        self
    }

    /// Adds a signing secret of Clerk's webhooks; see [`ClerkConfig::webhook_secret`].
    pub fn webhook_secret(mut self, secret: WebhookSecret) -> Self {
        self.config = self.config.webhook_secret(secret);
        self
    }

    /// Sets the store of webhooks and [profiles](ClerkResilience::profiles).
    ///
    /// Default: a [`MemoryStore`](crate::store::MemoryStore) if webhooks are received, else no
    /// store. The memory store loses its events with the process.
    ///
    /// With a store that instances share, such as `RedisStore`, a revocation reaches every instance
    /// within one second. Grace then requires that the store was read within 60 s, as with an
    /// [external deny list](Self::external_deny_list).
    ///
    /// ```
    /// use clerk_resilience::sim::SimClerk;
    /// use clerk_resilience::store::MemoryStore;
    /// use clerk_resilience::{Profiles, SimClerkExt};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
    /// let sim = SimClerk::in_memory();
    /// let clerk = sim.layer(|builder| builder.store(MemoryStore::new()));
    /// let profiles: Profiles = clerk.profiles();
    /// # drop(profiles);
    /// # }
    /// ```
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets whether a webhook about a locked user revokes that user's tokens and grace. Clerk locks
    /// users after too many wrong passwords, for example.
    ///
    /// Default: false, as at Clerk, because anyone who knows a user name can lock that user out.
    /// The session stays active at Clerk, so Clerk may issue the next token. This option requires a
    /// [signing secret](ClerkConfig::webhook_secret), or a [store](Self::store) and a secret key
    /// for [reconciliation](ClerkResilience::reconcile).
    pub fn revoke_when_locked(mut self, revoke: bool) -> Self {
        self.event_rules.locked = revoke;
        self
    }

    /// Sets whether a webhook about a new password revokes the user's earlier tokens and their
    /// grace.
    ///
    /// Default: false, because Clerk itself can end the other sessions when a user changes the
    /// password, and sends webhooks about them. A session that stays active at Clerk gets the next
    /// token. The option stores a mark for each user with a webhook. This option requires a
    /// [signing secret](ClerkConfig::webhook_secret), or a [store](Self::store) and a secret key.
    pub fn revoke_on_password_change(mut self, revoke: bool) -> Self {
        self.event_rules.new_password = revoke;
        self
    }

    /// Sets the capacity of the in-memory cache of [profiles](ClerkResilience::profiles). A cached
    /// profile needs no store call. Default about 10,000, about 2 KiB each plus their metadata.
    pub fn profile_cache(mut self, capacity: usize) -> Self {
        self.profile_capacity = capacity;
        self
    }

    /// Keeps `private_metadata` in profiles, in memory and in the store. Default: false, because
    /// the metadata may be secret. Hooks never receive it.
    pub fn keep_private_metadata(mut self, keep: bool) -> Self {
        self.keep_private = keep;
        self
    }

    /// Adds a hook for some kinds of webhooks, such as `user.created`. Requires a [signing
    /// secret](ClerkConfig::webhook_secret).
    ///
    /// The layer answers a delivery first and then calls the hooks, one event at a time. A hook
    /// fails if it returns an error, panics or takes longer than 25 s. The layer retries after 5 s,
    /// then doubles the delay, up to 12 attempts. After that the event becomes a [dead
    /// letter](ClerkResilience::dead_letters). A hook must therefore tolerate repeated events,
    /// which have the same id, and events out of order.
    ///
    /// The store keeps the data of the named kinds only, without `private_metadata`, until the
    /// hooks are done. `email.created` and `sms.created` contain one-time codes, so that naming
    /// them is an error.
    ///
    /// ```
    /// use clerk_resilience::{Builder, Event};
    ///
    /// # async fn open_ticket(_: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// fn with_billing(builder: Builder) -> Builder {
    ///     builder.on_event(["subscription.pastDue"], async |event: Event| {
    ///         // The id is the same for each retry, so a second ticket can be recognized by it.
    ///         open_ticket(&event.id).await
    ///     })
    /// }
    /// # let _ = with_billing;
    /// ```
    pub fn on_event<I, F, R, E>(mut self, kinds: I, hook: F) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let call = Arc::new(move |event| {
            let heard = hook(event);
            let heard: Pin<Box<dyn Future<Output = Result<(), String>> + Send>> =
                Box::pin(async move { heard.await.map_err(|error| error.to_string()) });
            heard
        });
        self.hooks.push(Hook { kinds: kinds.into_iter().map(Into::into).collect(), call });
        self
    }

    /// Adds a hook for events of a type, which also names the kinds of webhooks.
    ///
    /// This crate defines `UserChanged`, `UserDeleted`, `SessionEnded`, `MembershipChanged` and
    /// `MembershipEnded`. An application can define its own types with [`FromEvent`].
    ///
    /// ```no_run
    /// # use clerk_resilience::{ClerkConfig, ClerkResilience, UserChanged, UserDeleted};
    /// # async fn save(_: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// # async fn forget(_: &str) -> Result<(), std::io::Error> { Ok(()) }
    /// # fn build(config: ClerkConfig) -> Result<ClerkResilience, clerk_resilience::ConfigError> {
    /// ClerkResilience::builder(config)
    ///     .on(async |told: UserChanged| save(told.profile.id.as_str()).await)
    ///     .on(async |told: UserDeleted| forget(told.user.as_str()).await)
    ///     .build()
    /// # }
    /// ```
    pub fn on<T, F, R, E>(self, hook: F) -> Self
    where
        T: FromEvent + Send + 'static,
        F: Fn(T) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        self.on_event(T::KINDS.iter().copied(), move |event| {
            let heard = T::from_event(&event).map(&hook);
            async move {
                let heard = heard.map_err(|error| error.to_string())?;
                heard.await.map_err(|error| error.to_string())
            }
        })
    }

    /// Disables automatic reconciliation; only [`reconcile`](ClerkResilience::reconcile) starts
    /// one.
    ///
    /// Default: with a [store](Self::store) and a secret key, the layer also reconciles at the
    /// start, after each outage and every hour. The hourly run reads changed users. A run after an
    /// outage, and one run a day, reads everything. One of the instances that share a store runs
    /// for all.
    pub fn reconcile_on_demand(mut self) -> Self {
        self.reconcile_on_demand = true;
        self
    }

    /// Sets a function that the layer calls when the verdict on Clerk changes, for example to send
    /// an alert. The calls run beside all requests, one after another, each with a deadline of 25
    /// s.
    ///
    /// If instances with a shared [store](Self::store) reach the same verdict within a minute, one
    /// of them calls the function. If the store does not answer, several may call it.
    ///
    /// [`Transition`] has an example.
    pub fn on_transition<F, R>(mut self, hook: F) -> Self
    where
        F: Fn(Transition) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let call = Arc::new(move |change| {
            let told: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(hook(change));
            told
        });
        self.on_transition = Some(TransitionHook(call));
        self
    }

    /// Sets the CORS layer that answers preflights, such as tower-http's `CorsLayer`. The layer
    /// wraps an [`EmptyService`]: a preflight reaches the application only on public and optional
    /// routes. Default: preflights get 204 without grants, and the first one is logged.
    ///
    /// The CORS layer set here answers only preflights. Other responses get their CORS header
    /// fields from a CORS layer outside of this one, which then also answers preflights. Use one or
    /// the other:
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use clerk_resilience::ClerkResilience;
    /// use tower_http::cors::CorsLayer;
    ///
    /// # fn app(clerk: ClerkResilience, cors: CorsLayer) -> Router {
    /// Router::new()
    ///     .route("/feed", get(async || "feed"))
    ///     .layer(clerk)
    ///     .layer(cors) // runs first
    /// # }
    /// ```
    pub fn cors<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<EmptyService>,
        L::Service: Service<Request<Body>, Response = http::Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.cors = Some(Cors::new(&layer));
        self
    }

    /// Sets the transport to Clerk. Default: [`HttpUpstream`](crate::fetch::HttpUpstream).
    ///
    /// A transport of a simulated Clerk needs the simulation's [clock](Self::clock), or the build
    /// fails. A transport that wraps another forwards
    /// [`Transport::clock`](clerk_verify::transport::Transport::clock).
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Checks the options, and starts the driver on the current tokio runtime.
    ///
    /// The driver runs until the last handle and layer are dropped. The layer serves requests at
    /// once: until keys are loaded, and if no saved key helps, the response is 503.
    /// [`ClerkResilience::ready`] waits for them. A store is read here, which may block.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`], which names the option or variable and the fix. Outside a tokio
    /// runtime returns [`ConfigError::NoRuntime`].
    pub fn build(self) -> Result<ClerkResilience, ConfigError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let (clerk, driver) = self.pair()?;
        drop(runtime.spawn(driver));
        Ok(clerk)
    }

    /// Checks the options, and returns the driver, for applications that spawn their own tasks.
    ///
    /// Without a running driver nothing is probed: the verdict stays [`Verdict::Unknown`], no keys
    /// are fetched, and there is no grace.
    ///
    /// ```no_run
    /// use clerk_resilience::{ClerkConfig, ClerkResilience};
    ///
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (clerk, driver) = ClerkResilience::builder(ClerkConfig::from_env()?).pair()?;
    /// let mut tasks = tokio::task::JoinSet::new();
    /// tasks.spawn(driver);
    /// # drop(clerk); Ok(())
    /// # }
    /// ```
    ///
    /// [`Verdict::Unknown`]: crate::Verdict::Unknown
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`build`](Self::build), except [`ConfigError::NoRuntime`].
    pub fn pair(self) -> Result<(ClerkResilience, Driver), ConfigError> {
        self.check()?;
        assemble::pair(self)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |name: &str, problem: &str| ConfigError::Invalid {
            name: name.to_owned(),
            problem: problem.to_owned(),
        };
        self.config.check()?;
        self.grace.check()?;
        if self.audiences.iter().any(|audience| audience.trim().is_empty()) {
            return Err(invalid("audience", "the audience is empty; set one, or remove the call"));
        }
        if self.tickets.is_some() && self.grace.evidence == SessionEvidence::TokenAlone {
            return Err(ConfigError::Contradiction {
                first: "tickets",
                second: "dangerously_trust_the_token_alone",
                problem: "a ticket is evidence, and the other option requires none; remove one of them",
            });
        }
        if self.leeway > Duration::from_secs(60) {
            return Err(invalid(
                "leeway",
                "tokens live for 60 s, and a larger leeway would more than double that; synchronise the clock instead",
            ));
        }
        if self.route.accepts_api_keys() && self.config.secret_key.is_none() {
            return Err(invalid(
                "CLERK_SECRET_KEY",
                "the policy accepts API keys, which only Clerk's Backend API can verify; set it to the secret key from the API keys page of the Clerk dashboard",
            ));
        }
        self.check_webhooks()?;
        if self.showing.readers.as_ref().is_some_and(Readers::can_be_guessed) {
            return Err(invalid(
                "private_health",
                "the token is too short; use at least 16 random characters, for example from `openssl rand -hex 16`",
            ));
        }
        let deadlines = Duration::from_millis(100)..=Duration::from_secs(30);
        if !deadlines.contains(&self.probe_deadline) {
            return Err(invalid("probe_deadline", "choose from 100 ms to 30 s"));
        }
        if self.config.has_mixed_modes() {
            tracing::warn!(
                event = "clerk.config.mixed",
                "CLERK_PUBLISHABLE_KEY and CLERK_SECRET_KEY are of different modes (live and test); they cannot belong to one instance"
            );
        }
        Ok(())
    }

    fn check_webhooks(&self) -> Result<(), ConfigError> {
        let shared = self.store.as_ref().is_some_and(|store| store.fleet().is_some());
        if shared && matches!(self.deny_list, DenyList::External { .. }) {
            return Err(ConfigError::Contradiction {
                first: "fed_deny_list",
                second: "store",
                problem: "a shared store already provides the deny list; remove one of them",
            });
        }
        let without = |first| ConfigError::Contradiction {
            first,
            second: "CLERK_WEBHOOK_SIGNING_SECRET",
            problem: "the layer receives webhooks only with their signing secret; set the secret, or remove this option",
        };
        if self.config.webhook_secrets.is_empty() {
            let hooks = self.hooks.first().map_or(Ok(()), |_| Err(without("on_event")));
            // Reconciliation applies the same event rules as webhooks.
            let read_back = self.store.is_some() && self.config.secret_key.is_some();
            let EventRules { locked, new_password, .. } = self.event_rules;
            let (locked, new_password) = (locked && !read_back, new_password && !read_back);
            let locked = if locked { Err(without("revoke_when_locked")) } else { Ok(()) };
            let password =
                if new_password { Err(without("revoke_on_password_change")) } else { Ok(()) };
            return hooks.and(locked).and(password);
        }
        let mut kinds = self.hooks.iter().flat_map(|hook| &hook.kinds);
        let secret = kinds.find(|kind| matches!(kind.as_str(), "email.created" | "sms.created"));
        secret.map_or(Ok(()), |kind| {
            Err(ConfigError::Invalid {
                name: "on_event".to_owned(),
                problem: format!(
                    "{kind} contains one-time codes, which are never stored; remove it"
                ),
            })
        })
    }
}
