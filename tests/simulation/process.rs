//! One instance of the application: the real layer with its real driver, a handful of routes, and
//! what they let out about who reached them.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use clerk_resilience::internals::ticket::TicketKeys;
use clerk_resilience::sim::SimClock;
use clerk_resilience::{
    Access, Auth, ClerkConfig, ClerkResilience, FreshAuth, Grace, GraceAccess, GracePolicy,
    Reverification, RoutePolicy,
};
use http::{HeaderMap, Request};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::network::{CANARY, ClerkTransport, Network};
use crate::plan::{Ask, Bounds, Ending, From, Plan, Route, Via};

pub(crate) const HOST: &str = "app.example.com";
const TICKET_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// What a handler saw of the session.
#[derive(Clone, Debug)]
pub(crate) struct Reached(pub(crate) Option<Seen>);

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) grace: Option<Grace>,
}

impl Seen {
    fn of(auth: &Auth) -> Self {
        let session = auth.session_id().map(ToString::to_string).unwrap_or_default();
        Self { user: auth.user_id().to_string(), session, grace: auth.grace().cloned() }
    }
}

/// Whether grace is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Enabled,
    ReportOnly,
    Disabled,
}

pub(crate) struct Process {
    pub(crate) clerk: ClerkResilience,
    driver: JoinHandle<()>,
    app: Router,
}

/// What a process is started with.
pub(crate) struct Setting<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) mode: Mode,
    pub(crate) network: &'a Arc<Mutex<Network>>,
    pub(crate) clock: &'a SimClock,
    pub(crate) state: Option<PathBuf>,
}

impl Process {
    pub(crate) fn start(instance: usize, setting: &Setting<'_>) -> Self {
        let transport = ClerkTransport { network: Arc::clone(setting.network), instance };
        let plan = setting.plan;
        let mut builder = ClerkResilience::builder(config())
            .clock(setting.clock.clone())
            .transport(transport)
            .token_cache(1_024)
            .session_capacity(1_024)
            .grace(policy(plan.bounds, setting.mode));
        if plan.canary {
            builder = builder.egress_canary(CANARY.parse().expect("an address"));
        }
        if plan.fed {
            builder = builder.external_deny_list();
        }
        if plan.hooked {
            builder = builder.webhook_secret(crate::delivery::secret(false));
        }
        if plan.tickets {
            builder = builder.tickets(TicketKeys::parse(TICKET_KEY).expect("a key"));
        }
        if let Some(dir) = &setting.state {
            builder = builder.state_dir(dir);
        }
        let (clerk, driver) = builder.pair().expect("a good configuration");
        let app = routes(&clerk);
        Self { clerk, driver: tokio::spawn(driver), app }
    }

    /// The answer, which is there at once unless the request waits for Clerk.
    pub(crate) fn ask(
        &self,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        let app = self.app.clone();
        Box::pin(async move { app.oneshot(request).await.expect("infallible") })
    }

    pub(crate) async fn stop(self, ending: Ending) {
        if ending == Ending::Crash {
            self.driver.abort();
        }
        drop((self.clerk, self.app));
        drop(self.driver.await);
        // Writes go one after the other, so this one waits for the last.
        tokio::task::spawn_blocking(|| ()).await.expect("it does nothing");
    }
}

fn config() -> ClerkConfig {
    let address = |host: &str| format!("https://{host}.sim.example/").parse().expect("an address");
    let page: url::Url = address("status");
    let key = clerk_resilience::key::PublishableKey::for_host(
        "clerk.sim.example",
        clerk_resilience::key::InstanceKind::Production,
    );
    let secret = clerk_resilience::key::SecretKey::parse("sk_live_simulated");
    ClerkConfig::new(key.expect("a host"))
        .secret_key(secret.expect("a key"))
        .frontend_api(address("clerk"))
        .backend_api(address("api"))
        .status_page(Some(page.join("api/v2/summary.json").expect("an address")))
}

fn policy(b: Bounds, mode: Mode) -> GracePolicy {
    let span = |secs: i64| Duration::from_secs(secs.unsigned_abs());
    let policy = GracePolicy::balanced()
        .max_grace(span(b.max_grace))
        .bridge(span(b.bridge))
        .episode_budget(span(b.episode))
        .day_budget(span(b.day))
        .max_age(span(b.max_age))
        .max_idle(span(b.max_idle))
        .requests_per_minute(b.per_minute);
    let policy = match b.webhooks {
        Some(within) => policy.webhooks_within(span(within)),
        None => policy,
    };
    match mode {
        Mode::Enabled => policy,
        Mode::ReportOnly => policy.report_only(),
        Mode::Disabled => GracePolicy::disabled(),
    }
}

fn routes(clerk: &ClerkResilience) -> Router {
    async fn some(auth: Auth) -> Extension<Reached> {
        Extension(Reached(Some(Seen::of(&auth))))
    }
    async fn fresh(auth: FreshAuth) -> Extension<Reached> {
        Extension(Reached(Some(Seen::of(&auth))))
    }
    async fn maybe(auth: Option<Auth>) -> Extension<Reached> {
        Extension(Reached(auth.as_ref().map(Seen::of)))
    }
    let with = |access| clerk.policy(RoutePolicy::required().grace(access));
    let route = |route: Route, handler| Router::new().route(route.path(), handler);
    let recent = RoutePolicy::required().access(Access::reverification(Reverification::STRICT));
    route(Route::Read, get(some).post(some))
        .merge(route(Route::Pay, get(fresh).post(fresh)))
        .route_layer(clerk.clone())
        .merge(route(Route::Full, get(some).post(some)).route_layer(with(GraceAccess::Full)))
        .merge(route(Route::Never, get(some).post(some)).route_layer(with(GraceAccess::Never)))
        .merge(
            route(Route::Open, get(maybe).post(maybe))
                .route_layer(clerk.policy(RoutePolicy::optional())),
        )
        .merge(route(Route::Recent, get(some).post(some)).route_layer(clerk.policy(recent)))
        .merge(clerk.routes())
}

/// The request as the layer receives it; `ticket` is the cookie of a jar.
pub(crate) fn request(ask: &Ask, ticket: Option<&str>) -> Request<Body> {
    let method = if ask.post { "POST" } else { "GET" };
    let request = Request::builder().method(method).uri(ask.route.path()).body(Body::empty());
    let mut request = request.expect("a request");
    let headers = request.headers_mut();
    put(headers, "host", HOST);
    let text = ask.token.map(test_support::token::Token::text);
    let mut cookies = Vec::new();
    match (&text, ask.via) {
        (Some(text), Via::Bearer) => put(headers, "authorization", &format!("Bearer {text}")),
        (Some(text), _) => cookies.push(format!("__session={text}; __client_uat=1")),
        (None, _) => {}
    }
    cookies.extend(ticket.map(str::to_owned));
    if !cookies.is_empty() {
        put(headers, "cookie", &cookies.join("; "));
    }
    if ask.via == Via::Page {
        put(headers, "sec-fetch-dest", "document");
        put(headers, "sec-fetch-mode", "navigate");
        put(headers, "accept", "text/html");
    }
    match ask.from {
        From::Nowhere => {}
        From::SameOrigin => put(headers, "sec-fetch-site", "same-origin"),
        From::Elsewhere => put(headers, "origin", "https://evil.example"),
    }
    if ask.upgrade {
        put(headers, "upgrade", "websocket");
    }
    request
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.insert(name, value.parse().expect("a header value"));
}

/// Breaks what a process wrote.
pub(crate) fn damage(dir: &Path) {
    for name in ["keys.json", "outages.json"] {
        let path = dir.join(name);
        if path.exists() {
            std::fs::write(path, "{ damaged").expect("ours");
        }
    }
}

/// Takes away what a process wrote.
pub(crate) fn lose(dir: &Path) {
    for name in ["keys.json", "outages.json"] {
        drop(std::fs::remove_file(dir.join(name)));
    }
}
