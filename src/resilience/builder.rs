//! The choices.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::{ClerkResilience, assemble};
use crate::audit::{GraceEvent, Recorder};
use crate::authenticate::Site;
use crate::clock::Clock;
use crate::config::{ClerkConfig, ConfigError};
use crate::engine::{Driver, Event, Hook, Transition, TransitionHook};
use crate::middleware::{PublicPathError, PublicPaths};
use crate::policy::{ClientUat, GracePolicy, RoutePolicy, SessionEvidence};
use crate::respond::{Answers, Page, PageText, Renderer};
use crate::snapshot::DenyList;
use crate::store::Store;
use crate::ticket::TicketKeys;
use crate::token::AzpPolicy;
use crate::upstream::Upstream;
use crate::webhook_signature::WebhookSecret;

/// A probe waits a little longer than a slow answer takes, so that slow is told from silent.
const PROBE_DEADLINE: Duration = Duration::from_millis(2_500);

/// Choices for a [`ClerkResilience`]. Everything has a default; [`build`](Self::build) checks what
/// was chosen.
#[derive(Debug)]
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
    pub(super) upstream: Option<Arc<dyn Upstream>>,
    pub(super) token_capacity: usize,
    pub(super) ledger_capacity: usize,
    pub(super) probe_deadline: Duration,
    pub(super) strict_health: bool,
    pub(super) handshakes: bool,
    pub(super) client_uat: ClientUat,
    pub(super) deny_list: DenyList,
    pub(super) tickets: Option<TicketKeys>,
    pub(super) recorder: Option<Recorder>,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) hooks: Vec<Hook>,
    pub(super) on_transition: Option<TransitionHook>,
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
            upstream: None,
            token_capacity: 8 * 1024,
            ledger_capacity: 64 * 1024,
            probe_deadline: PROBE_DEADLINE,
            strict_health: false,
            handshakes: true,
            client_uat: ClientUat::default(),
            deny_list: DenyList::Own,
            recorder: None,
            store: None,
            hooks: Vec::new(),
            on_transition: None,
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

    /// What to do with tokens without `azp` when authorized parties are named. Default:
    /// [`AzpPolicy::IfPresent`], because the cookies of a browser that comes back from Clerk have none;
    /// [`Counts::without_azp`](crate::Counts::without_azp) counts them.
    pub fn azp(mut self, policy: AzpPolicy) -> Self {
        self.azp = policy;
        self
    }

    /// An `aud` that is accepted. Default: any. A token without `aud` passes, as in Clerk's SDK.
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

    /// Lets `/auth/health` answer 503 while Clerk is down, for monitors that only see the status.
    /// Default: 200 as long as tokens can be verified.
    pub fn strict_health(mut self, strict: bool) -> Self {
        self.strict_health = strict;
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

    /// How many sessions are remembered as evidence for grace. Default 65536, about 100 bytes each.
    pub fn ledger_capacity(mut self, capacity: usize) -> Self {
        self.ledger_capacity = capacity;
        self
    }

    /// Another source of time. Default: [`SystemClock`](crate::clock::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Says that denials are made elsewhere too, and that the application reads them from a store of
    /// its own. Grace then depends on it: without a complete reading within 60 s there is none; see
    /// [`ClerkResilience::deny_list_complete`].
    pub fn fed_deny_list(mut self) -> Self {
        self.deny_list = DenyList::Fed { complete: None };
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

    /// Where webhooks are kept. Default: a [`MemoryStore`](crate::store::MemoryStore), whose events do not
    /// outlive the process. Takes a [signing secret](ClerkConfig::webhook_secret), unless instances share
    /// it, as a `RedisStore`.
    ///
    /// Through a store that instances share, whatever one of them revokes all refuse within a second. Grace
    /// then depends on it: when it was not read for 60 s there is none, as with a
    /// [fed deny list](Self::fed_deny_list).
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
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

    /// Another wire to Clerk. Default: [`HttpUpstream`](crate::fetch::HttpUpstream).
    pub fn upstream(mut self, upstream: impl Upstream) -> Self {
        self.upstream = Some(Arc::new(upstream));
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
        let deadlines = Duration::from_millis(100)..=Duration::from_secs(30);
        if !deadlines.contains(&self.probe_deadline) {
            return Err(invalid("probe_deadline", "choose from 100 ms to 30 s"));
        }
        if let (Some(secret), kind) = (&self.config.secret_key, self.config.publishable_key.kind())
            && secret.kind() != kind
        {
            tracing::warn!(
                event = "clerk.config.mixed",
                "CLERK_PUBLISHABLE_KEY and CLERK_SECRET_KEY are of different modes (live and test); they cannot belong to one instance"
            );
        }
        Ok(())
    }

    fn check_webhooks(&self) -> Result<(), ConfigError> {
        let without = |first| ConfigError::Contradiction {
            first,
            second: "CLERK_WEBHOOK_SIGNING_SECRET",
            problem: "webhooks are received only when their signing secret is set; set it, or name none of it",
        };
        if self.config.webhook_secrets.is_empty() {
            let alone = self.store.as_ref().filter(|store| store.fleet().is_none());
            let store = alone.map_or(Ok(()), |_| Err(without("store")));
            let hooks = self.hooks.first().map_or(Ok(()), |_| Err(without("on_event")));
            return store.and(hooks);
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
