//! What the layer costs a request: thread CPU time and allocations, in process, on one axum router
//! with one handler. Run with `cargo bench --bench request`; it reports and never fails on timing.
//!
//! Every row sends the same kind of request, built inside the measured loop. The rows take turns in
//! each round. The clock is the operating system's, as in
//! production. Allocations are counted by the global allocator; what the counting itself costs is
//! part of every figure.

use std::alloc::System;
use std::time::Duration;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::clock::SystemClock;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::sim::{SimClerk, SimOrganization, SimSession, TokenBuilder};
use clerk_resilience::token::Expectations;
use clerk_resilience::verify::verify;
use clerk_resilience::{
    Auth, Builder, ClerkConfig, ClerkResilience, GracePolicy, RoutePolicy, Verdict,
};
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::ServiceExt as _;
use tower::layer::util::Identity;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The figure of a row is the best of so many passes, each of which is the median of its rounds: the
/// median leaves out the odd slow round, and the best pass a time in which a neighbour was busy.
const PASSES: usize = 5;
const ROUNDS: usize = 9;
/// Operations of one row in one round. No more signals than the driver's queue holds may arise.
const BLOCK: usize = 250;
const KNOWN: usize = 10_000;
const BASE: &str = "no layer";
const BASE_IN_TURN: &str = "no layer, 10,000 tokens in turn";
const BASE_NO_TOKEN: &str = "no layer, no token";
const KNOWN_TOKEN: &str = "known token";
const KNOWN_IN_TURN: &str = "10,000 known tokens, in turn";
const FIRST_SEEN: &str = "token seen for the first time";
const RAW: &str = "raw RSA check, parsed key";
const LONG: Duration = Duration::from_secs(60 * 60);

/// One row of the table.
struct Row {
    name: &'static str,
    work: Work,
    rounds: Vec<Cost>,
}

enum Work {
    /// Requests with these credentials, in turn.
    Requests { app: Router, credentials: Vec<Credential>, expected: StatusCode, next: usize },
    /// A function of each of these tokens, in turn.
    Tokens { tokens: Vec<String>, check: Box<dyn Fn(&str) -> bool> },
}

type Credential = Option<(HeaderName, HeaderValue)>;

/// Of one operation.
#[derive(Clone, Copy)]
struct Cost {
    nanos: f64,
    allocations: f64,
    bytes: f64,
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time after zero")
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn cost(spent: Duration, stats: &stats_alloc::Stats) -> Cost {
    let each = |total: usize| total as f64 / BLOCK as f64;
    Cost {
        nanos: spent.as_secs_f64() * 1e9 / BLOCK as f64,
        allocations: each(stats.allocations + stats.reallocations),
        bytes: each(stats.bytes_allocated),
    }
}

impl Row {
    fn requests(
        name: &'static str,
        app: &Router,
        credentials: Vec<Credential>,
        expected: StatusCode,
    ) -> Self {
        let work = Work::Requests { app: app.clone(), credentials, expected, next: 0 };
        Self { name, work, rounds: Vec::new() }
    }

    fn tokens(
        name: &'static str,
        tokens: &[String],
        check: impl Fn(&str) -> bool + 'static,
    ) -> Self {
        let work = Work::Tokens { tokens: tokens.to_vec(), check: Box::new(check) };
        Self { name, work, rounds: Vec::new() }
    }

    async fn run(&mut self, template: &HeaderMap) -> Cost {
        let uri = Uri::from_static("/me");
        match &mut self.work {
            Work::Requests { app, credentials, expected, next } => {
                let region = Region::new(ALLOCATOR);
                let start = cpu_time();
                for _ in 0..BLOCK {
                    let mut request = Request::new(Body::empty());
                    *request.uri_mut() = uri.clone();
                    *request.headers_mut() = template.clone();
                    if let Some((name, value)) = &credentials[*next] {
                        touch(value);
                        request.headers_mut().insert(name, value.clone());
                    }
                    *next = (*next + 1) % credentials.len();
                    let response = app.clone().oneshot(request).await.expect("infallible");
                    assert_eq!(response.status(), *expected, "{}", self.name);
                }
                cost(cpu_time().saturating_sub(start), &region.change())
            }
            Work::Tokens { tokens, check } => {
                let region = Region::new(ALLOCATOR);
                let start = cpu_time();
                let good = tokens.iter().cycle().take(BLOCK).filter(|token| check(token)).count();
                assert_eq!(good, BLOCK, "{}", self.name);
                cost(cpu_time().saturating_sub(start), &region.change())
            }
        }
    }

    /// The row without the layer that sends the same kind of request.
    fn base(&self) -> Option<&'static str> {
        match &self.work {
            Work::Tokens { .. } => None,
            Work::Requests { credentials, .. } => Some(match credentials.as_slice() {
                [None] => BASE_NO_TOKEN,
                [_] => BASE,
                _ => BASE_IN_TURN,
            }),
        }
    }

    fn figure(&self) -> Cost {
        let by_time = |a: &Cost, b: &Cost| a.nanos.total_cmp(&b.nanos);
        let median = |pass: &[Cost]| {
            let mut pass = pass.to_vec();
            pass.sort_by(by_time);
            pass[pass.len() / 2]
        };
        self.rounds.chunks(ROUNDS).map(median).min_by(by_time).expect("a pass")
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let sim = SimClerk::builder().clock(SystemClock::new()).build();
    let known = mint(&sim, KNOWN);
    let fresh = mint(&sim, (PASSES * ROUNDS + 1) * BLOCK);
    println!(
        "token: {} bytes; best of {PASSES} passes, each the median of {ROUNDS} rounds of {BLOCK}\n",
        known[0].len()
    );

    let mut rows = rows(&sim, &known, &fresh).await;
    let template = template();
    for round in 0..=PASSES * ROUNDS {
        for row in &mut rows {
            let cost = row.run(&template).await;
            if round > 0 {
                row.rounds.push(cost);
            }
            drain().await;
        }
    }
    report(&rows);
}

/// A server has just read the field from a socket, so it is in the cache.
fn touch(value: &HeaderValue) {
    let sum = value.as_bytes().iter().step_by(64).fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    std::hint::black_box(sum);
}

/// Lets the driver catch up, outside the measurement.
async fn drain() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

fn template() -> HeaderMap {
    HeaderMap::from_iter([
        (HOST, HeaderValue::from_static("app.example.com")),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101")),
    ])
}

/// Tokens of so many users, of the size and form of Clerk's version 2.
fn mint(sim: &SimClerk, count: usize) -> Vec<String> {
    (0..count).map(|_| token(sim, |token| token.lifetime(LONG))).collect()
}

fn token(sim: &SimClerk, choose: impl FnOnce(TokenBuilder<'_>) -> TokenBuilder<'_>) -> String {
    let user: String = std::iter::repeat_with(fastrand::alphanumeric).take(27).collect();
    token_of(sim, &sim.sign_in(format!("user_{user}")), choose)
}

fn token_of(
    sim: &SimClerk,
    session: &SimSession,
    choose: impl FnOnce(TokenBuilder<'_>) -> TokenBuilder<'_>,
) -> String {
    let organization = ["billing:manage", "billing:read", "reports:read", "teams:manage"]
        .iter()
        .fold(SimOrganization::new("org_2YQ8kzTnVtXcLrWbM4dHs9PgJfE", "acme"), |o, permission| {
            o.permission(format!("org:{permission}"))
        })
        .role("admin");
    let builder = sim
        .token(session)
        .organization(organization)
        .authorized_party("https://app.example.com")
        .claim("pla", "o:enterprise");
    choose(builder).sign()
}

fn bearer(token: &str) -> (HeaderName, HeaderValue) {
    (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).expect("a field"))
}

fn bearers(tokens: &[String]) -> Vec<Credential> {
    tokens.iter().map(|token| Some(bearer(token))).collect()
}

fn cookie(token: &str) -> (HeaderName, HeaderValue) {
    let text = format!("theme=dark; __client_uat=1780000000; __session={token}; locale=en");
    (COOKIE, HeaderValue::try_from(text).expect("a field"))
}

async fn layer(sim: &SimClerk, choose: impl FnOnce(Builder) -> Builder) -> ClerkResilience {
    let config = ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url())
        .status_page(None)
        .authorized_parties(["https://app.example.com"]);
    let builder = ClerkResilience::builder(config)
        .transport(sim.transport())
        .grace(GracePolicy::balanced().requests_per_minute(u32::MAX));
    let clerk = choose(builder).build().expect("a good configuration");
    clerk.ready(Duration::from_secs(10)).await.expect("a healthy Clerk");
    clerk
}

fn route() -> Router {
    Router::new().route("/me", get(async || "ok"))
}

async fn rows(sim: &SimClerk, known: &[String], fresh: &[String]) -> Vec<Row> {
    const OK: StatusCode = StatusCode::OK;
    let good = || vec![Some(bearer(&known[0]))];
    let forged = vec![Some(bearer(&token(sim, |token| token.lifetime(LONG).forged())))];

    // Two tokens of one session: it was seen with the first, and the second has expired.
    let session = sim.sign_in("user_2NNEqL2nrIRdJ194ndJqAHwEfxC");
    let (ago, minute) = (Duration::from_secs(80), Duration::from_secs(60));
    let seen = token_of(sim, &session, |token| token.ago(ago).lifetime(5 * minute));
    let expired = token_of(sim, &session, |token| token.ago(ago).lifetime(minute));

    let clerk = layer(sim, |builder| builder).await;
    let healthy = route().route_layer(clerk.clone());
    let optional = route().route_layer(clerk.policy(RoutePolicy::optional()));
    let taking = Router::new()
        .route("/me", get(async |auth: Auth| auth.session_id().map_or("", |_| "ok")))
        .route_layer(clerk.clone());

    // Large enough that all of them fit.
    let roomy = layer(sim, |builder| builder.token_cache(16 * KNOWN)).await;
    let roomy = Row::requests("", &route().route_layer(roomy), bearers(known), OK);
    let roomy = warm(roomy, known.len()).await;

    // The cache of usual size is full, so that each new token takes an older one's place.
    let full = route().route_layer(layer(sim, |builder| builder).await);
    warm(Row::requests("", &full, bearers(known), OK), known.len()).await;

    let clerk = layer(sim, |builder| builder).await;
    let outage = route().route_layer(clerk.clone());
    warm(Row::requests("", &outage, vec![Some(bearer(&seen))], OK), 1).await;
    clerk.force_outage(LONG);
    while clerk.verdict() != Verdict::Outage {
        drain().await;
    }

    let (parsed, stock, keys) = (parsed(sim), stock(sim), keys(sim));
    let mut expect = Expectations::session_tokens(sim.publishable_key().issuer());
    expect.authorized_parties = vec!["https://app.example.com".to_owned()];

    vec![
        Row::requests(BASE, &route(), good(), OK),
        Row::requests(BASE_IN_TURN, &route(), bearers(known), OK),
        Row::requests(BASE_NO_TOKEN, &route(), vec![None], OK),
        Row::requests(
            "a layer that does nothing",
            &route().route_layer(Identity::new()),
            good(),
            OK,
        ),
        Row::requests(KNOWN_TOKEN, &healthy, good(), OK),
        Row::requests("known token, in a cookie", &healthy, vec![Some(cookie(&known[0]))], OK),
        Row::requests("known token, handler takes `Auth`", &taking, good(), OK),
        Row { name: KNOWN_IN_TURN, ..roomy },
        Row::requests(FIRST_SEEN, &full, bearers(fresh), OK),
        Row::requests("no token: 401", &healthy, vec![None], StatusCode::UNAUTHORIZED),
        Row::requests("bad signature: 401", &healthy, forged, StatusCode::UNAUTHORIZED),
        Row::requests(
            "outage, no token: 503",
            &outage,
            vec![None],
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        Row::requests("outage, expired token in grace", &outage, vec![Some(bearer(&expired))], OK),
        Row::requests("optional route, no token", &optional, vec![None], OK),
        Row::requests("optional route, known token", &optional, good(), OK),
        Row::tokens(RAW, fresh, parsed),
        Row::tokens("`verify`, all checks but time", fresh, move |token| {
            verify(token, &keys, &expect).is_ok()
        }),
        Row::tokens("`jsonwebtoken::decode`", fresh, stock),
    ]
}

/// Sends every request once.
async fn warm(mut row: Row, count: usize) -> Row {
    for _ in 0..count.div_ceil(BLOCK) {
        row.run(&template()).await;
        drain().await;
    }
    row
}

/// What no verification can do without: the signature, over a key that was parsed once.
fn parsed(sim: &SimClerk) -> impl Fn(&str) -> bool + 'static {
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let (n, e) = components(sim);
    let components = RsaPublicKeyComponents { n: decode(&n), e: decode(&e) };
    let key: ParsedPublicKey =
        components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).expect("a good key");
    move |token| {
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let mut bytes = [0; 256];
        let decoded = URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes);
        decoded.is_ok() && key.verify_sig(signed.as_bytes(), &bytes).is_ok()
    }
}

fn stock(sim: &SimClerk) -> impl Fn(&str) -> bool + 'static {
    #[derive(Clone, serde::Deserialize)]
    #[expect(dead_code, reason = "they are read for what it costs")]
    struct Claims {
        sub: String,
        sid: String,
        azp: String,
        iat: i64,
        fva: Vec<i32>,
        fea: String,
        pla: String,
        o: std::collections::HashMap<String, String>,
    }
    let (n, e) = components(sim);
    let key = DecodingKey::from_rsa_components(&n, &e).expect("a good key");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[sim.publishable_key().issuer()]);
    move |token| jsonwebtoken::decode::<Claims>(token, &key, &validation).is_ok()
}

fn keys(sim: &SimClerk) -> KeySet {
    KeySet::parse(sim.jwks().to_string().as_bytes()).expect("a key set")
}

fn components(sim: &SimClerk) -> (String, String) {
    let jwks = sim.jwks();
    let text = |name: &str| jwks["keys"][0][name].as_str().expect("text").to_owned();
    (text("n"), text("e"))
}

fn report(rows: &[Row]) {
    let find = |name: &str| rows.iter().find(|row| row.name == name).expect("a row");
    println!("| what | ns | × base | added ns | allocations | added | bytes |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        let cost = row.figure();
        let [times, nanos, allocations] = match row.base().map(|base| find(base).figure()) {
            None => ["–", "–", "–"].map(str::to_owned),
            Some(base) => [
                format!("{:.2}", cost.nanos / base.nanos),
                format!("{:.0}", cost.nanos - base.nanos),
                format!("{:.0}", cost.allocations - base.allocations),
            ],
        };
        println!(
            "| {} | {:.0} | {times} | {nanos} | {:.0} | {allocations} | {:.0} |",
            row.name, cost.nanos, cost.allocations, cost.bytes,
        );
    }

    let added = |name: &str| {
        let row = find(name);
        let (cost, base) = (row.figure(), find(row.base().expect("a request")).figure());
        (cost.nanos - base.nanos, cost.allocations - base.allocations)
    };
    let raw = find(RAW).figure().nanos;
    let figures = [
        ("known token adds", added(KNOWN_TOKEN).0 / 1e3, 0.7, "µs"),
        ("10,000 known tokens in turn add", added(KNOWN_IN_TURN).0 / 1e3, 0.7, "µs"),
        ("known token adds", added(KNOWN_TOKEN).1, 6.0, "allocations"),
        ("token seen for the first time adds", added(FIRST_SEEN).0 / raw, 1.15, "× the raw check"),
    ];
    println!();
    for (what, value, most, unit) in figures {
        let aim = if value <= most { "met" } else { "missed" };
        println!("{what} {value:.2} {unit}; aim ≤ {most}: {aim}");
    }
}
