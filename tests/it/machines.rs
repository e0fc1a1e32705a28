//! Machines: API keys, machine-to-machine tokens and OAuth access tokens, through the layer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::key::SecretKey;
use clerk_resilience::sim::{SimClerk, SimFault, SimMachine, SimSurface, TokenBuilder};
use clerk_resilience::token::{Expectations, InvalidToken, TokenKind};
use clerk_resilience::verify::{Unverified, verify};
use clerk_resilience::{
    Auth, Builder, Caller, ClerkResilience, FreshAuth, Machine, Rejection, RoutePolicy, Verdict,
};
use http::StatusCode;
use test_support::world::{Answer, Log, World, anonymous, bearer, config};
use tokio::time::Instant;
use tower::ServiceExt as _;

const BOTH: [TokenKind; 2] = [TokenKind::Session, TokenKind::ApiKey];

/// Routes for machines alone, for sessions alone, and for both.
fn app(clerk: &ClerkResilience) -> Router {
    async fn machine(machine: Machine) -> String {
        format!("{} {}", machine.kind().name(), machine.subject())
    }
    async fn user(auth: Auth) -> String {
        auth.user_id().to_string()
    }
    async fn anyone(caller: Caller) -> String {
        match caller {
            Caller::User(auth) => format!("user {}", auth.user_id()),
            Caller::Machine(machine) => format!("machine {}", machine.subject()),
            _ => "somebody".to_owned(),
        }
    }
    async fn perhaps(caller: Option<Caller>) -> String {
        caller.map_or("nobody".to_owned(), |_| "somebody".to_owned())
    }
    let policy = RoutePolicy::required;
    let with = |path: &str, route, policy: RoutePolicy| {
        Router::new().route(path, route).route_layer(clerk.policy(policy))
    };
    let machines = policy().accepts(TokenKind::MACHINES);
    with("/machine", get(machine), machines.clone())
        .merge(with("/user", get(user), policy()))
        .merge(with("/both", get(anyone), policy().accepts(BOTH)))
        .merge(with("/both/machine", get(machine), policy().accepts(BOTH)))
        .merge(with("/both/user", get(user), policy().accepts(BOTH)))
        .merge(with("/both/fresh", get(async |_: FreshAuth| "fresh"), policy().accepts(BOTH)))
        .merge(with("/optional", get(perhaps), RoutePolicy::optional().accepts(BOTH)))
        .merge(with("/admin", get(machine), machines.role("org:admin")))
}

struct Machines {
    world: World,
    app: Router,
}

impl Machines {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(choose: impl FnOnce(Builder) -> Builder) -> Self {
        let world = World::with(choose).await;
        let app = app(&world.clerk);
        Self { world, app }
    }

    async fn ask(&self, path: &str, token: &str) -> Answer {
        World::ask(&self.app, bearer("GET", path, token)).await
    }

    /// The status, and the reason of a refusal, which outer layers see.
    async fn verdict(&self, path: &str, token: &str) -> (u16, String) {
        let response = self.app.clone().oneshot(bearer("GET", path, token)).await;
        let response = response.expect("infallible");
        let rejection = response.extensions().get::<Rejection>();
        let reason = rejection.map(|rejection| rejection.reason().to_owned());
        (response.status().as_u16(), reason.unwrap_or_default())
    }

    fn key(&self) -> String {
        self.world.sim.issue(SimMachine::api_key("user_1").scope("read"))
    }

    fn asked(&self) -> u64 {
        self.world.clerk.counts().backend_questions
    }

    fn break_with(&self, fault: SimFault) {
        self.world.sim.break_with(SimSurface::BackendApi, fault);
    }
}

fn m2m(sim: &SimClerk) -> TokenBuilder<'_> {
    let token = sim.token(&sim.sign_in("user_1")).claim("sub", "mch_1");
    token.header("cat", "cl_B7d4PD333AAA").without_claim("sid")
}

fn oauth(sim: &SimClerk) -> TokenBuilder<'_> {
    sim.token(&sim.sign_in("user_1")).header("typ", "at+jwt").claim("scope", "read write")
}

#[tokio::test(start_paused = true)]
async fn each_kind_passes_only_where_it_is_accepted() {
    let machines = Machines::new().await;
    let sim = &machines.world.sim;
    let session = sim.mint(&sim.sign_in("user_9"));
    let key = machines.key();
    let opaque = sim.issue(SimMachine::machine_to_machine("mch_2"));
    let access = sim.issue(SimMachine::oauth("user_3", "client_1"));
    let mismatch = (401, "token-type-mismatch".to_owned());
    for (token, described) in [
        (&key, "api_key user_1"),
        (&opaque, "m2m_token mch_2"),
        (&access, "oauth_token user_3"),
        (&m2m(sim).sign(), "m2m_token mch_1"),
        (&oauth(sim).sign(), "oauth_token user_1"),
    ] {
        let answer = machines.ask("/machine", token).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, described));
        assert_eq!(machines.verdict("/user", token).await, mismatch, "{described}");
    }
    assert_eq!(machines.verdict("/machine", &session).await, mismatch);
    assert_eq!(machines.ask("/both", &session).await.body, "user user_9");
    assert_eq!(machines.ask("/both", &key).await.body, "machine user_1");
    assert_eq!(machines.verdict("/both", &opaque).await, mismatch);
    assert_eq!(machines.verdict("/both", &m2m(sim).sign()).await, mismatch);
    assert_eq!(machines.world.clerk.counts().machines, 6);
}

#[test]
fn a_session_route_accepts_no_other_kind_of_token() {
    let sim = SimClerk::builder().build();
    let keys = KeySet::parse(sim.jwks().to_string().as_bytes()).expect("keys");
    let issuer = sim.publishable_key().issuer();
    let sessions = Expectations::session_tokens(issuer);
    let token = || sim.token(&sim.sign_in("user_1"));
    for (good, token) in [
        (true, token()),
        (true, token().header("cat", serde_json::Value::Null)),
        (false, token().header("cat", "cl_B7d4PD222AAA")),
        (false, token().header("cat", serde_json::Value::Null).claim("sub", "mch_1")),
        (false, token().header("typ", "at+jwt")),
    ] {
        match verify(&token.sign(), &keys, &sessions) {
            Ok(_) => assert!(good),
            Err(reason) => {
                assert_eq!((good, reason), (false, Unverified::Invalid(InvalidToken::Kind)));
            }
        }
    }
    let other = Expectations::session_tokens("https://clerk.other.example");
    let refused = verify(&token().sign(), &keys, &other).expect_err("another instance's");
    assert_eq!(refused, Unverified::Invalid(InvalidToken::Issuer));
}

#[tokio::test(start_paused = true)]
async fn session_and_machine_handlers_are_separate() {
    let machines = Machines::new().await;
    let sim = &machines.world.sim;
    let (session, key) = (sim.mint(&sim.sign_in("user_9")), machines.key());
    let mismatch = (401, "token-type-mismatch".to_owned());
    assert_eq!(machines.verdict("/both/user", &key).await, mismatch);
    assert_eq!(machines.verdict("/both/fresh", &key).await, mismatch);
    assert_eq!(machines.verdict("/both/machine", &session).await, mismatch);
    assert_eq!(machines.ask("/both/user", &session).await.status, StatusCode::OK);
    assert_eq!(machines.ask("/both/machine", &key).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_machine_has_no_role_and_is_read_from_the_header_only() {
    let machines = Machines::new().await;
    let key = machines.key();
    let forbidden = (403, "insufficient-permission".to_owned());
    assert_eq!(machines.verdict("/admin", &key).await, forbidden);
    let token = m2m(&machines.world.sim).sign();
    for value in [&key, &token] {
        let cookie = format!("__session={value}");
        let request = anonymous("GET", "/machine", &[("cookie", &cookie)]);
        let answer = World::ask(&machines.app, request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    machines.world.break_clerk();
    machines.world.until(Verdict::Outage).await;
    let answer = World::ask(&machines.app, anonymous("GET", "/machine", &[])).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "no token is no token in any weather");
}

#[tokio::test(start_paused = true)]
async fn the_handler_receives_the_machine_identity() {
    let world = World::with(|builder| builder).await;
    let told = Arc::new(Mutex::new(None));
    let kept = told.clone();
    let handler = get(async move |machine: Machine| {
        *kept.lock().expect("whole") = Some(machine);
    });
    let policy = RoutePolicy::required().accepts(TokenKind::MACHINES);
    let app = Router::new().route("/", handler).route_layer(world.clerk.policy(policy));
    let issued = SimMachine::api_key("org_1").name("ci").scope("a").scope("b").claim("team", 7);
    let key = world.sim.issue(issued.lifetime(Duration::from_secs(3_600)));
    assert_eq!(World::ask(&app, bearer("GET", "/", &key)).await.status, StatusCode::OK);
    let machine = told.lock().expect("whole").take().expect("a machine");
    assert!(machine.has_scope("a") && machine.has_scope("b") && !machine.has_scope("a b"));
    assert_eq!((machine.subject(), machine.name()), ("org_1", Some("ci")));
    assert_eq!(machine.claims().expect("claims")["team"], 7);
    assert_eq!(machine.expires_at().expect("an end").as_secs(), world.now_secs() + 3_600);
    assert!(!format!("{machine:?}").contains(&key));
}

#[tokio::test(start_paused = true)]
async fn one_token_is_looked_up_once_in_30_s() {
    let machines = Arc::new(Machines::new().await);
    let key = machines.key();
    machines.world.after_probe(SimSurface::BackendApi).await;
    machines.break_with(SimFault::Latency(Duration::from_millis(300)));
    let before = machines.world.sim.requests(SimSurface::BackendApi);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (machines, key) = (machines.clone(), key.clone());
        asking.spawn(async move { machines.ask("/machine", &key).await.status });
    }
    assert!(asking.join_all().await.iter().all(|status| *status == StatusCode::OK));
    let at_clerk = machines.world.sim.requests(SimSurface::BackendApi) - before;
    assert_eq!((at_clerk, machines.asked()), (1, 1));
    machines.world.pass(29).await;
    machines.ask("/machine", &key).await;
    assert_eq!(machines.asked(), 1);
    machines.world.pass(1).await;
    machines.ask("/machine", &key).await;
    assert_eq!(machines.asked(), 2);
    assert_eq!(machines.world.clerk.counts().machine_answers_reused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_revoked_at_clerk_is_rejected_after_30_s() {
    let machines = Machines::new().await;
    let key = machines.key();
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    machines.world.sim.revoke_machine(&key);
    machines.world.pass(29).await;
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    machines.world.pass(1).await;
    assert_eq!(machines.verdict("/machine", &key).await, (401, "session-revoked".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_local_revocation_applies_at_once() {
    let machines = Machines::new().await;
    let key = machines.key();
    let access = oauth(&machines.world.sim).sign();
    for token in [&key, &access] {
        assert_eq!(machines.ask("/machine", token).await.status, StatusCode::OK);
    }
    machines.world.clerk.revoke_user("user_1");
    for token in [&key, &access] {
        let revoked = (401, "session-revoked".to_owned());
        assert_eq!(machines.verdict("/machine", token).await, revoked);
    }
    machines.world.pass(6).await;
    let later = machines.key();
    assert_eq!(machines.ask("/machine", &later).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_cached_answer_ends_with_its_token() {
    let machines = Machines::new().await;
    let key = SimMachine::api_key("user_1").lifetime(Duration::from_secs(10));
    let key = machines.world.sim.issue(key);
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    machines.world.pass(10).await;
    assert_eq!(machines.verdict("/machine", &key).await, (401, "token-expired".to_owned()));
    assert_eq!(machines.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_unknown_to_clerk_is_401_after_one_lookup() {
    let machines = Machines::new().await;
    for _ in 0..50 {
        assert_eq!(machines.verdict("/machine", "ak_made_up").await.0, 401);
    }
    assert_eq!(machines.asked(), 1);
    let long = format!("ak_{}", "x".repeat(5_000));
    assert_eq!(machines.verdict("/machine", &long).await.0, 401);
    assert_eq!(machines.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_opaque_token_without_an_answer_is_503() {
    for fault in [
        SimFault::Hang,
        SimFault::Refused,
        SimFault::Reset,
        SimFault::Dns,
        SimFault::status(429),
        SimFault::status(500),
        SimFault::status(503),
        SimFault::Html,
        SimFault::InvalidJson,
        SimFault::Truncated,
        SimFault::Huge,
    ] {
        let machines = Machines::new().await;
        machines.break_with(fault.clone());
        let started = Instant::now();
        let (status, reason) = machines.verdict("/machine", &machines.key()).await;
        assert_eq!((status, &*reason), (503, "backend-api"), "{fault:?}");
        assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
        let answer = machines.ask("/machine", &machines.key()).await;
        assert!(!answer.header("retry-after").is_empty(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_secret_key_is_not_the_callers_fault() {
    let world = World::with(|builder| builder).await;
    let secret = SecretKey::parse("sk_test_another").expect("a secret key");
    let builder = ClerkResilience::builder(config(&world.sim).secret_key(secret));
    let builder = builder.clock(world.clock.clone()).transport(world.sim.transport());
    let machines = Machines { app: app(&builder.build().expect("good")), world };
    machines.world.pass(5).await;
    let (status, reason) = machines.verdict("/machine", &machines.key()).await;
    assert_eq!((status, &*reason), (503, "secret-key-invalid"));
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_cached_machines_pass_for_30_s() {
    let machines = Machines::new().await;
    let (known, unknown) = (machines.key(), machines.key());
    let token = m2m(&machines.world.sim).lifetime(Duration::from_secs(600)).sign();
    machines.world.break_clerk();
    machines.world.until(Verdict::Suspect).await;
    machines.world.sim.heal(SimSurface::BackendApi);
    assert_eq!(machines.ask("/machine", &known).await.status, StatusCode::OK);
    machines.world.break_clerk();
    machines.world.until(Verdict::Outage).await;
    for token in [&known, &token] {
        assert_eq!(machines.ask("/machine", token).await.status, StatusCode::OK);
    }
    assert_eq!(machines.verdict("/machine", &unknown).await.0, 503);
    machines.world.pass(30).await;
    assert_eq!(machines.verdict("/machine", &known).await.0, 503);
    let (before, started) = (machines.asked(), Instant::now());
    assert_eq!(machines.verdict("/machine", &unknown).await.0, 503);
    assert_eq!(machines.asked(), before, "a Backend API that is known to be down is not asked");
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(machines.ask("/machine", &token).await.status, StatusCode::OK);
    machines.world.pass(600).await;
    let expired = (401, "token-expired".to_owned());
    assert_eq!(machines.verdict("/machine", &token).await, expired, "no grace for machines");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_tokens_blocks_no_known_machine() {
    let machines = Machines::new().await;
    let key = machines.key();
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    machines.world.pass(30).await;
    let before = machines.asked();
    let mut refused = BTreeMap::<u16, u32>::new();
    for number in 0..1_000 {
        let (status, _) = machines.verdict("/machine", &format!("ak_{number}")).await;
        *refused.entry(status).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let asked = machines.asked() - before;
    assert!((20..=45).contains(&asked), "{asked} in a second");
    assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [401, 503]);
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    let new = [machines.key(), machines.key(), machines.key()];
    let mut statuses = Vec::new();
    for key in &new {
        statuses.push(machines.verdict("/machine", key).await.0);
    }
    assert!(statuses.contains(&503), "new machines wait, which is the price");
}

#[tokio::test(start_paused = true)]
async fn concurrent_lookups_are_limited_and_all_finish() {
    let machines = Arc::new(Machines::new().await);
    machines.break_with(SimFault::Hang);
    for _ in 0..10 {
        let token = machines.key();
        let gone = machines.ask("/machine", &token);
        assert!(tokio::time::timeout(Duration::from_millis(10), gone).await.is_err());
    }
    machines.world.sim.heal_all();
    machines.world.pass(5).await;
    assert_eq!(machines.ask("/machine", &machines.key()).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_signed_token_is_verified_locally() {
    let machines = Machines::with(|builder| builder.audience("api")).await;
    let sim = &machines.world.sim;
    let ago = Duration::from_secs(120);
    for (token, reason) in [
        (m2m(sim).forged().sign(), "token-invalid-signature"),
        (m2m(sim).ago(ago).sign(), "token-expired"),
        (m2m(sim).claim("iss", "https://other.example").sign(), "token-invalid-issuer"),
        (m2m(sim).claim("aud", "other").sign(), "token-verification-failed"),
        (m2m(sim).header("cat", "cl_B7d4PD111AAA").sign(), "token-invalid"),
        (oauth(sim).sign(), "token-verification-failed"),
        (oauth(sim).claim("aud", "other").sign(), "token-verification-failed"),
    ] {
        let refused = (401, reason.to_owned());
        assert_eq!(machines.verdict("/machine", &token).await, refused);
    }
    let good = oauth(sim).claim("aud", "api").sign();
    assert_eq!(machines.ask("/machine", &good).await.status, StatusCode::OK);
    assert_eq!(machines.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_signed_token_with_a_new_key_waits_for_the_keys() {
    let machines = Machines::new().await;
    machines.world.sim.rotate_key();
    let token = m2m(&machines.world.sim).sign();
    assert_eq!(machines.ask("/machine", &token).await.status, StatusCode::OK);
    machines.world.sim.rotate_key();
    machines.world.sim.break_with(SimSurface::CLERK, SimFault::status(500));
    machines.world.pass(60).await;
    let token = m2m(&machines.world.sim).sign();
    assert_eq!(machines.verdict("/machine", &token).await.0, 503, "it cannot be told");
    let short = m2m(&machines.world.sim).lifetime(Duration::from_secs(1));
    let expired = short.ago(Duration::from_secs(10)).sign();
    assert_eq!(machines.verdict("/machine", &expired).await.0, 401, "whatever its key");
}

#[tokio::test(start_paused = true)]
async fn an_optional_route_receives_machines_and_passes_without() {
    let machines = Machines::new().await;
    assert_eq!(machines.ask("/optional", &machines.key()).await.body, "somebody");
    assert_eq!(machines.ask("/optional", "ak_made_up").await.body, "nobody");
    machines.break_with(SimFault::status(500));
    assert_eq!(machines.ask("/optional", &machines.key()).await.body, "nobody");
}

#[tokio::test(start_paused = true)]
async fn opaque_tokens_without_a_secret_key_are_503() {
    let world = World::with(|builder| builder).await;
    let config = || {
        clerk_resilience::ClerkConfig::new(world.sim.publishable_key().clone())
            .frontend_api(world.sim.frontend_api_url())
            .status_page(None)
    };
    let keys = RoutePolicy::required().accepts([TokenKind::ApiKey]);
    let error = ClerkResilience::builder(config()).policy(keys).build().expect_err("no key");
    assert!(error.to_string().contains("CLERK_SECRET_KEY"), "{error}");

    let builder = ClerkResilience::builder(config()).clock(world.clock.clone());
    let clerk = builder.transport(world.sim.transport()).build().expect("good");
    clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    let machines = Machines { app: app(&clerk), world };
    let (status, reason) = machines.verdict("/machine", &machines.key()).await;
    assert_eq!((status, &*reason), (503, "secret-key-missing"));
    let signed = m2m(&machines.world.sim).sign();
    assert_eq!(machines.ask("/machine", &signed).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn no_token_or_secret_key_is_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let machines = Machines::new().await;
    let key = machines.key();
    let signed = m2m(&machines.world.sim).sign();
    for fault in [None, Some(SimFault::status(401)), Some(SimFault::status(500))] {
        machines.world.pass(31).await;
        if let Some(fault) = fault {
            machines.break_with(fault);
        }
        for token in [&key, &signed, &"ak_made_up".to_owned()] {
            for path in ["/machine", "/user", "/both"] {
                machines.ask(path, token).await;
            }
        }
    }
    let said = log.text();
    assert!(said.contains("clerk.secret_key.refused"), "it is said what is wrong");
    assert_eq!(said.matches("clerk.secret_key.refused").count(), 1, "and not again and again");
    for secret in [&key[3..], &*signed, "made_up", machines.world.sim.secret_key().expose()] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_accepts_no_kind_rejects_everything() {
    for policy in [RoutePolicy::required().accepts([]), RoutePolicy::optional().accepts([])] {
        let world = World::with(|builder| builder.policy(policy)).await;
        let session = world.sim.sign_in("user_1");
        let tokens = [world.sim.mint(&session), m2m(&world.sim).sign(), oauth(&world.sim).sign()];
        for token in tokens.iter().map(String::as_str).chain(["ak_1", "mt_1", "oat_1", "x"]) {
            let answer = world.get(token).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
        }
    }
}
