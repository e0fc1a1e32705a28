//! The choices.

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
use crate::http::response::{Answers, Page, PageText, Renderer};
use crate::http::routes::health::{Readers, Showing};
use crate::state::snapshot::DenyList;
use crate::state::ticket::TicketKeys;
use crate::state::webhook_event::EventRules;
use crate::store::Store;

/// A probe waits a little longer than a slow answer takes, so that slow is told from silent.
const PROBE_DEADLINE: Duration = Duration::from_millis(2_500);

/// Choices for a [`ClerkResilience`]. Everything has a default; [`build`](Self::build) checks what
/// was chosen.
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
    pub(super) answers: Answers,
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
            answers: Answers::default(),
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

    /// The bounds of grace. Default: what `CLERK_RESILIENCE_GRACE` and its companions say, else
    /// [`GracePolicy::disabled`]. This choice replaces all of theirs.
    pub fn grace(mut self, policy: GracePolicy) -> Self {
        self.grace = policy;
        self
    }

    /// The policy of routes that have none of their own. Default: [`RoutePolicy::required`].
    pub fn policy(mut self, policy: RoutePolicy) -> Self {
        self.route = policy;
        self
    }

    /// The paths that need no session, for applications that wrap everything with `.layer(..)`; see
    /// [`PublicPaths`] for their syntax. Everything that is not named is protected.
    pub fn public<I: IntoIterator<Item: Into<String>>>(mut self, patterns: I) -> Self {
        self.public = PublicPaths::new(patterns);
        self
    }

    /// The origins that tokens may be issued to; see [`ClerkConfig::authorized_parties`].
    pub fn authorized_parties<I: IntoIterator<Item: Into<String>>>(mut self, parties: I) -> Self {
        self.config = self.config.authorized_parties(parties);
        self
    }

    /// The origins at which browsers see this application; see [`ClerkConfig::public_origins`].
    pub fn public_origins<I: IntoIterator<Item: Into<String>>>(mut self, origins: I) -> Self {
        self.config = self.config.public_origins(origins);
        self
    }

    /// Lets `X-Forwarded-Host`, `X-Forwarded-Proto` and `Forwarded` count whatever the peer is. Switch
    /// this on only if every request comes through a proxy that overwrites these fields. Default: they
    /// count if the request's extensions hold the peer's address, as `ConnectInfo<SocketAddr>` or
    /// `SocketAddr`, and the peer is loopback, private or link-local. `axum::serve` records the peer with
    /// `into_make_service_with_connect_info::<SocketAddr>()`. See `docs/design.md`, *Proxies*.
    pub fn trust_forwarded(mut self, trust: bool) -> Self {
        self.trust_forwarded = trust;
        self
    }

    /// What to do with tokens without `azp` when authorized parties are named. Default:
    /// [`AzpPolicy::IfPresent`], because the cookies of a browser that comes back from Clerk have none;
    /// [`Counts::without_azp`](crate::Counts::without_azp) counts them.
    pub fn azp(mut self, policy: AzpPolicy) -> Self {
        self.azp = policy;
        self
    }

    /// An `aud` that is accepted. Default: any. A token without `aud` passes, as in Clerk's SDK. An
    /// empty text is an error when the layer is built.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// How far this host's clock and Clerk's may differ. Default 5 s, as in Clerk's SDK; at most
    /// 60 s.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// A private directory for what must survive a restart; see [`ClerkConfig::state_dir`].
    pub fn state_dir(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.config = self.config.state_dir(path);
        self
    }

    /// One more address that should always answer; see [`ClerkConfig::egress_canary`].
    pub fn egress_canary(mut self, url: Url) -> Self {
        self.config = self.config.egress_canary(url);
        self
    }

    /// The words and links of the page that people see.
    pub fn page_text(mut self, text: PageText) -> Self {
        self.answers.text = text;
        self
    }

    /// A page of the application's own, instead of the built-in one. The result is sent as HTML.
    pub fn page(mut self, render: impl Fn(&Page<'_>) -> String + Send + Sync + 'static) -> Self {
        self.answers.renderer = Some(Renderer(Arc::new(render)));
        self
    }

    /// Lets responses in grace say so, for clients that show it: `Clerk-Grace: outage; until="Fri, 29 May
    /// 2026 21:21:00 GMT"`. The word is the [reason](crate::GraceReason::name); the date is when this
    /// token is honoured no more, at the latest. Pages of other origins see it only if the application
    /// names it in `Access-Control-Expose-Headers`. Default: not said, for it tells whoever holds a stolen
    /// token how long it lasts.
    pub fn grace_header(mut self, say: bool) -> Self {
        self.answers.names_grace = say;
        self
    }

    /// Lets `/auth/health` answer 503 while Clerk is down, for monitors that only see the status.
    /// Default: 200 as long as tokens can be verified.
    pub fn strict_health(mut self, strict: bool) -> Self {
        self.showing.strict = strict;
        self
    }

    /// Shows how Clerk is, and whether grace is given, to requests with `Authorization: Bearer` and this
    /// token alone; at least 16 characters, random ones. To all others `/auth/health` says what
    /// `/auth/health/ready` says, even when it is asked strictly. Default: everybody sees it, and so may
    /// whoever waits for an outage to use a stolen token.
    pub fn private_health(mut self, token: impl AsRef<str>) -> Self {
        self.showing.readers = Some(Readers::with(token.as_ref()));
        self
    }

    /// Whether a browser whose session token has expired, or is missing though somebody is signed in,
    /// is sent to Clerk for a fresh one. Default: yes, while Clerk is healthy. Only page visits to
    /// routes that demand a session are sent.
    pub fn handshakes(mut self, handshakes: bool) -> Self {
        self.handshakes = handshakes;
        self
    }

    /// What `__client_uat` means for session cookies. Default: [`ClientUat::RequiredForPages`].
    pub fn client_uat(mut self, policy: ClientUat) -> Self {
        self.client_uat = policy;
        self
    }

    /// How the application is set up at Clerk; see [`ClerkConfig::site`].
    pub fn site(mut self, change: impl FnOnce(Site) -> Site) -> Self {
        self.config = self.config.site(change);
        self
    }

    /// How long a question to Clerk may take before it counts as failed. Default 2.5 s; from 100 ms
    /// to 30 s.
    pub fn probe_deadline(mut self, deadline: Duration) -> Self {
        self.probe_deadline = deadline;
        self
    }

    /// How many verified tokens are remembered. Default 8192, about 2 KiB each.
    pub fn token_cache(mut self, capacity: usize) -> Self {
        self.token_capacity = capacity;
        self
    }

    /// How many sessions are remembered as evidence for grace. Default 65536, about 100 bytes each; with a store that
    /// instances share at least 131072, for each hears of the sessions of all.
    pub fn session_capacity(mut self, capacity: usize) -> Self {
        self.session_capacity = capacity;
        self
    }

    /// Another source of time. Default: [`SystemClock`](clerk_verify::clock::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Says that denials are made elsewhere too, and that the application reads them from a store of
    /// its own. Grace then depends on it: without a complete reading within 60 s there is none; see
    /// [`ClerkResilience::deny_list_complete`].
    pub fn external_deny_list(mut self) -> Self {
        self.deny_list = DenyList::External { complete: None };
        self
    }

    /// Gives browsers a ticket, a cookie under a MAC, as evidence that their session was seen valid;
    /// it counts as the ledger does, in every process that has the keys. For applications on several
    /// machines that do not share a state directory. Default: the keys in `CLERK_RESILIENCE_TICKET_KEYS`,
    /// which this choice replaces; without any, no tickets.
    pub fn tickets(mut self, keys: TicketKeys) -> Self {
        self.tickets = Some(keys);
        self
    }

    /// Hands every decision about grace to the application, for its audit log. It is called while a
    /// request waits, so it must not wait for anything itself.
    pub fn audit(mut self, record: impl Fn(&GraceEvent) + Send + Sync + 'static) -> Self {
        self.recorder = Some(Recorder(Arc::new(record)));
        self
    }

    /// A secret that signs Clerk's webhooks; see [`ClerkConfig::webhook_secret`].
    pub fn webhook_secret(mut self, secret: WebhookSecret) -> Self {
        self.config = self.config.webhook_secret(secret);
        self
    }

    /// Where webhooks and [profiles](ClerkResilience::profiles) are kept. Default: a
    /// [`MemoryStore`](crate::store::MemoryStore) for webhooks, whose events do not outlive the process, and none
    /// where no webhooks are received.
    ///
    /// Through a store that instances share, as a `RedisStore`, whatever one of them revokes all refuse within a
    /// second. Grace then depends on it: when it was not read for 60 s there is none, as with a
    /// [fed deny list](Self::fed_deny_list).
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Whether the tokens of a user who is locked, as after too many wrong passwords, are refused when
    /// Clerk's webhook tells of it, and with them grace. The session goes on at Clerk, which may give it the next
    /// token. Default: no, as at Clerk; whoever knows a user's name can lock that
    /// user out. Takes a [signing secret](ClerkConfig::webhook_secret), or a [store](Self::store) and a secret key,
    /// for what is [read back](ClerkResilience::reconcile).
    pub fn revoke_when_locked(mut self, revoke: bool) -> Self {
        self.event_rules.locked = revoke;
        self
    }

    /// Whether a new password makes the tokens of before refused, and ends their grace, when Clerk's webhook tells
    /// of it. A session that goes on at Clerk gets the next token. Default: no;
    /// when a user wishes that, Clerk ends them itself and tells so. It costs a mark for each user of
    /// whom a webhook comes. Takes a [signing secret](ClerkConfig::webhook_secret), or a [store](Self::store) and a
    /// secret key.
    pub fn revoke_on_password_change(mut self, revoke: bool) -> Self {
        self.event_rules.new_password = revoke;
        self
    }

    /// How many [profiles](ClerkResilience::profiles) are remembered in this process, so that no store has to be
    /// asked for them. Default about 10,000, some 2 KiB each and their metadata.
    pub fn profile_cache(mut self, capacity: usize) -> Self {
        self.profile_capacity = capacity;
        self
    }

    /// Keeps `private_metadata` in profiles, in memory and in the store. Default: no; it may be worth a
    /// secret's care, and few pages need it. Hooks never hear of it.
    pub fn keep_private_metadata(mut self, keep: bool) -> Self {
        self.keep_private = keep;
        self
    }

    /// What the application does about some kinds of webhooks, as `user.created`. Takes a
    /// [signing secret](ClerkConfig::webhook_secret).
    ///
    /// Hooks hear of an event after it was answered, one event at a time, whatever else it does. One
    /// that fails, panics or takes longer than 25 s hears of it again: after 5 s, then twice as long each
    /// time, 12 times in all; then the event is a [dead letter](ClerkResilience::dead_letters). So a hook
    /// has to bear an event that it has seen, by its id, and events out of order.
    ///
    /// Only of the kinds named here is data kept, without `private_metadata`, and until the hooks are
    /// done. `email.created` and `sms.created` carry one-time codes and cannot be named.
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

    /// The same for events as values of a type, which also says which kinds they are: one of this crate's
    /// (`UserChanged`, `UserDeleted`, `SessionOver`, `MembershipChanged`, `MembershipEnded`) or of the
    /// application's own, see [`FromEvent`].
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

    /// Reads back from Clerk only when [`reconcile`](ClerkResilience::reconcile) is called. Default: also
    /// at the start, after each outage and every hour, if there is a [store](Self::store) and a secret key:
    /// the users who changed, and everything after an outage and once a day. A fleet that shares a store does it
    /// once.
    pub fn reconcile_on_demand(mut self) -> Self {
        self.reconcile_on_demand = true;
        self
    }

    /// What the application does when the verdict on Clerk changes, as to tell somebody. It is called beside
    /// all requests, one change after the other, each within 25 s. Of instances that share a
    /// [store](Self::store) and come to the same verdict within a minute one calls it; in doubt, several.
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

    /// The CORS layer that answers preflights, as tower-http's `CorsLayer`. It runs over an
    /// [`EmptyService`]: a preflight never reaches the application, except on public and optional
    /// routes. Default: the layer answers preflights with 204 and grants nothing, and logs the first.
    ///
    /// This layer answers preflights alone. Other responses get their CORS fields from a CORS layer
    /// outside of this one, which then answers preflights too; use one or the other for preflights:
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

    /// Another wire to Clerk. Default: [`HttpUpstream`](crate::fetch::HttpUpstream).
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Checks the choices and starts the driver on the present runtime.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the option or variable, and says what to do.
    pub fn build(self) -> Result<ClerkResilience, ConfigError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let (clerk, driver) = self.pair()?;
        drop(runtime.spawn(driver));
        Ok(clerk)
    }

    /// Checks the choices and hands out the driver, for those who run their own tasks.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
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
            return Err(invalid("audience", "it is empty; name an audience, or do not give one"));
        }
        if self.tickets.is_some() && self.grace.evidence == SessionEvidence::TokenAlone {
            return Err(ConfigError::Contradiction {
                first: "tickets",
                second: "dangerously_trust_the_token_alone",
                problem: "a ticket is evidence, and the other says that none is needed; drop one of them",
            });
        }
        if self.leeway > Duration::from_secs(60) {
            return Err(invalid(
                "leeway",
                "tokens live for 60 s, more leeway than that would double their life; synchronise the clock instead",
            ));
        }
        if self.route.accepts_api_keys() && self.config.secret_key.is_none() {
            return Err(invalid(
                "CLERK_SECRET_KEY",
                "the policy accepts API keys, and what one stands for only Clerk's Backend API can tell; set it to the secret key from the API keys page of the Clerk dashboard",
            ));
        }
        self.check_webhooks()?;
        if self.showing.readers.as_ref().is_some_and(Readers::can_be_guessed) {
            return Err(invalid(
                "private_health",
                "its token can be guessed; use at least 16 random characters, as `openssl rand -hex 16` makes them",
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
                problem: "a store that instances share feeds the deny list itself; name one of them",
            });
        }
        let without = |first| ConfigError::Contradiction {
            first,
            second: "CLERK_WEBHOOK_SIGNING_SECRET",
            problem: "webhooks are received only when their signing secret is set; set it, or name no hooks",
        };
        if self.config.webhook_secrets.is_empty() {
            let hooks = self.hooks.first().map_or(Ok(()), |_| Err(without("on_event")));
            // What is read back is judged by the same rules.
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
                    "{kind} carries one-time codes, which are never kept; leave it out"
                ),
            })
        })
    }
}
