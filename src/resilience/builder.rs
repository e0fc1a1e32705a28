//! The choices.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use url::Url;

use super::ClerkResilience;
use crate::authenticate::{Proxy, Site};
use crate::clock::{Clock, Moment, SystemClock};
use crate::config::{ClerkConfig, ConfigError};
use crate::decide::Rules;
use crate::engine::{Driver, Exchange, Fixed, Inherited, Shared, State, Work};
use crate::fetch::HttpUpstream;
use crate::health::{Health, Verdict};
use crate::key::{InstanceKind, PublishableKey};
use crate::middleware::{Gate, Nonces, PublicPathError, PublicPaths, Visits};
use crate::policy::{ClientUat, GracePolicy, MAX_GRACE, RoutePolicy};
use crate::probe::{Prober, Targets};
use crate::respond::{Answers, Page, PageText, Renderer};
use crate::revocation::Revocations;
use crate::snapshot::{Keys, Snapshot};
use crate::store::StateDir;
use crate::token::{AzpPolicy, Expectations};
use crate::upstream::Upstream;

/// A probe waits a little longer than a slow answer takes, so that slow is told from silent.
const PROBE_DEADLINE: Duration = Duration::from_millis(2_500);
const MAX_BRIDGE: Duration = Duration::from_secs(60);

/// Choices for a [`ClerkResilience`]. Everything has a default; [`build`](Self::build) checks what
/// was chosen.
#[derive(Debug)]
#[must_use = "nothing happens until .build() or .pair()"]
pub struct Builder {
    config: ClerkConfig,
    grace: GracePolicy,
    route: RoutePolicy,
    public: Result<PublicPaths, PublicPathError>,
    azp: AzpPolicy,
    audiences: Vec<String>,
    leeway: Duration,
    answers: Answers,
    clock: Option<Arc<dyn Clock>>,
    upstream: Option<Arc<dyn Upstream>>,
    token_capacity: usize,
    ledger_capacity: usize,
    probe_deadline: Duration,
    strict_health: bool,
    handshakes: bool,
    client_uat: ClientUat,
    site: Option<Site>,
}

impl Builder {
    pub(super) fn new(config: ClerkConfig) -> Self {
        Self {
            config,
            grace: GracePolicy::disabled(),
            route: RoutePolicy::required(),
            public: Ok(PublicPaths::default()),
            azp: AzpPolicy::default(),
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
            site: None,
        }
    }

    /// The bounds of grace. Default: [`GracePolicy::disabled`].
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
    /// [`AzpPolicy::Required`].
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

    /// How the application is set up at Clerk: satellite domains, a proxy, organisations in
    /// addresses. Default: the instance's primary application, with the proxy of the configuration.
    pub fn site(mut self, site: Site) -> Self {
        self.site = Some(site);
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

    /// Another source of time. Default: [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Another wire to Clerk. Default: [`HttpUpstream`].
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
        let public = self.public?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let upstream = match self.upstream {
            Some(upstream) => upstream,
            None => Arc::new(HttpUpstream::new().map_err(ConfigError::Client)?),
        };
        let config = self.config;
        let instance = config.publishable_key.issuer();
        let sign_in = config.sign_in_url.as_deref().map(sign_in_address).transpose()?;
        let now = clock.now();

        // A directory that cannot be used is no reason not to serve.
        let (dir, inherited) = match config.state_dir.map(StateDir::open) {
            None => (None, Inherited::default()),
            Some(Ok(dir)) => {
                let inherited = Inherited::load(&dir, &instance, now.wall);
                (Some(dir), inherited)
            }
            Some(Err(error)) => (None, Inherited::refused(error)),
        };
        let (keys, health, revocations) = take_up(&inherited, &config.pinned, now);

        let mut expectations = Expectations::session_tokens(instance.clone());
        expectations.authorized_parties = config.authorized_parties;
        expectations.azp = self.azp;
        expectations.audiences = self.audiences;
        expectations.leeway = self.leeway;
        let rules = Rules { grace: self.grace, ..Rules::default() };
        let initial = Snapshot {
            keys: keys.clone(),
            health: health.report(now),
            revocations,
            renewed: (health.verdict(now) != Verdict::Unknown).then_some(now),
            ..Snapshot::default()
        };
        let (shared, signals) = Shared::new(Fixed {
            key: config.publishable_key,
            rules,
            expectations,
            clock: Arc::clone(&clock),
            token_capacity: self.token_capacity,
            ledger_capacity: self.ledger_capacity,
            patience: self.probe_deadline + Duration::from_millis(500),
            initial,
        });
        report(&inherited, &shared);
        if let Some(record) = &inherited.outages {
            shared.core.ledger.restore(record.sightings(), now.wall);
        }
        let production = shared.key.kind() == InstanceKind::Production;
        let site = self.site.unwrap_or_else(|| own_site(&shared.key, &config.frontend_api));
        let exchange = config.secret_key.clone().map(|secret| {
            let upstream = Arc::clone(&upstream);
            Exchange::new(upstream, config.backend_api.clone(), secret, self.probe_deadline)
        });
        let visits = Visits {
            site: site.nonces(exchange.is_some()),
            scheme: if production { "https" } else { "http" },
            handshakes: self.handshakes,
            client_uat: self.client_uat,
            exchange,
            nonces: Nonces::default(),
        };
        let targets = Targets {
            frontend_api: config.frontend_api,
            backend_api: config.backend_api,
            secret_key: config.secret_key,
            status_page: config.status_page,
            canaries: config.canaries,
            deadline: self.probe_deadline,
        };
        let work = Work {
            core: Arc::clone(&shared.core),
            prober: Prober { upstream, clock, targets: Arc::new(targets) },
            health,
            pinned: config.pinned,
            keys,
            state: State::new(dir, instance),
        };
        let gate = Gate {
            shared: Arc::new(shared),
            answers: Arc::new(Answers { sign_in, ..self.answers }),
            route: self.route,
            public,
            visits: Arc::new(visits),
        };
        let clerk = ClerkResilience { gate: Arc::new(gate), strict_health: self.strict_health };
        Ok((clerk, Driver::new(work, signals)))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |name: &str, problem: &str| ConfigError::Invalid {
            name: name.to_owned(),
            problem: problem.to_owned(),
        };
        self.config.check()?;
        if self.grace.max_grace > MAX_GRACE {
            return Err(invalid("max_grace", "no grace is longer than 24 hours; choose less"));
        }
        if self.grace.bridge > MAX_BRIDGE {
            return Err(invalid(
                "bridge",
                "it is an allowance for clocks, not a grace; choose at most 60 s",
            ));
        }
        if self.leeway > Duration::from_secs(60) {
            return Err(invalid(
                "leeway",
                "tokens live for 60 s, more leeway than that would double their life; synchronise the clock instead",
            ));
        }
        if let Some(Err(error)) = self.site.as_ref().map(Site::check) {
            return Err(invalid("site", &error.to_string()));
        }
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
}

/// The instance's primary application; a Frontend API at another address is a proxy.
fn own_site(key: &PublishableKey, frontend_api: &Url) -> Site {
    let site = Site::new(key.clone());
    match Url::parse(&key.issuer()) {
        Ok(own) if own == *frontend_api => site,
        _ => site.proxy(Proxy::Address(frontend_api.clone())),
    }
}

fn sign_in_address(text: &str) -> Result<HeaderValue, ConfigError> {
    let ok = text.starts_with('/') || Url::parse(text).is_ok_and(|url| url.has_host());
    HeaderValue::try_from(text).ok().filter(|_| ok).ok_or_else(|| ConfigError::Invalid {
        name: "CLERK_SIGN_IN_URL".to_owned(),
        problem: "it must be an address such as https://accounts.example.com/sign-in, or a path"
            .to_owned(),
    })
}

fn take_up(
    inherited: &Inherited,
    pinned: &crate::jwks::KeySet,
    now: Moment,
) -> (Keys, Health, Revocations) {
    let saved = inherited.keys.as_ref();
    let keys = Keys {
        set: saved.map_or_else(|| pinned.clone(), |(set, _)| pinned.joined_with(set)),
        confirmed: saved.map(|(_, confirmed)| *confirmed),
        refresh_after: None,
        refreshing: false,
        pinned: !pinned.is_empty(),
    };
    match &inherited.outages {
        None => (keys, Health::default(), Revocations::default()),
        Some(record) => {
            let health =
                Health::resume(record.outages(), record.outage_seen(), record.saved(), now);
            (keys, health, record.revocations())
        }
    }
}

fn report(inherited: &Inherited, shared: &Shared) {
    for error in &inherited.failures {
        shared.core.counters.state_failed();
        tracing::warn!(event = "clerk.state.refused", %error, "a saved file is not used");
    }
}
