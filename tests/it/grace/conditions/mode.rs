//! G1, the bridge and the dry run: whether there is grace at all.

use std::time::Duration;

use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::{Builder, ClerkConfig, ClerkResilience, GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{World, bearer, routes};

use super::refused;

#[tokio::test(start_paused = true)]
async fn a_proven_session_passes_in_grace_with_a_private_response() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let answer = world.get(&token).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "user_1 outage"));
    assert_eq!(answer.header("cache-control"), "private, no-store");
}

#[tokio::test(start_paused = true)]
async fn the_grace_header_is_opt_in_and_only_on_grace_responses() {
    let chatty = |builder: Builder| builder.grace(GracePolicy::balanced()).grace_header(true);
    let world = World::with(chatty).await;
    let (session, token) = world.outage().await;
    let answer = world.get(&token).await;
    let until = answer.header("clerk-grace").strip_prefix("outage; until=\"").expect("grace");
    let until = httpdate::parse_http_date(until.strip_suffix('"').expect("quotes"));
    let since = until.expect("a date").duration_since(std::time::UNIX_EPOCH).expect("later");
    let expected = test_support::world::start_of_time().plus(Duration::from_secs(60 + 3_600));
    assert_eq!(i64::try_from(since.as_secs()), Ok(expected.as_secs()));
    let fresh = world.get(&world.sim.mint(&session)).await;
    let denied = world.send(bearer("POST", "/me", &token)).await;
    let silent = World::new().await;
    let (_, token) = silent.outage().await;
    let answers = [(fresh, 200), (denied, 503), (silent.get(&token).await, 200)];
    for (answer, status) in answers {
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("clerk-grace"), "");
    }
}

#[tokio::test(start_paused = true)]
async fn g1_grace_is_off_by_default() {
    let world = World::with(|builder| builder).await;
    let (_, token) = world.outage().await;
    refused(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn g1_a_dry_run_answers_as_if_grace_were_off_and_counts() {
    let world = World::with(|builder| builder.grace(GracePolicy::balanced().report_only())).await;
    let (_, token) = world.outage().await;
    refused(&world.get(&token).await);
    assert_eq!((world.clerk.counts().grace_reported, world.clerk.counts().grace), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn g1_an_expired_token_is_401_while_clerk_is_healthy() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(66).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn g1_forced_health_ends_grace() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    world.clerk.force_healthy(Duration::from_secs(60));
    world.pass(1).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    world.pass(62).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "the declaration has lapsed");
}

#[tokio::test(start_paused = true)]
async fn g1_a_forced_outage_ends_after_its_time() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.get(&token).await;
    world.pass(50).await;
    world.clerk.force_outage(Duration::from_secs(60));
    world.pass(20).await;
    assert_eq!(world.get(&token).await.body, "user_1 outage");
    world.pass(45).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn the_bridge_accepts_a_token_30_s_during_suspicion() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.get(&token).await;
    world.pass(40).await;
    world.sim.break_with(SimSurface::SessionMint, SimFault::Hang);
    world.until(Verdict::Suspect).await;
    while world.clock_secs() < 60 + 29 {
        assert_eq!(world.get(&token).await.status, StatusCode::OK, "{}", world.clock_secs());
        world.pass(1).await;
    }
    assert_eq!(world.get(&token).await.body, "user_1 bridge");
    world.pass(3).await;
    let answer = world.get(&token).await;
    refused(&answer);
    let wait: u32 = answer.header("retry-after").parse().expect("seconds");
    assert!((5..=8).contains(&wait), "{wait}");
    assert_eq!(world.clerk.verdict(), Verdict::Suspect);
}

#[tokio::test(start_paused = true)]
async fn the_bridge_can_be_switched_off() {
    let policy = GracePolicy::balanced().bridge(Duration::ZERO);
    let world = World::with(|builder| builder.grace(policy)).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.get(&token).await;
    world.pass(40).await;
    world.sim.break_with(SimSurface::SessionMint, SimFault::Hang);
    world.pass(26).await;
    assert_eq!(world.clerk.verdict(), Verdict::Suspect);
    refused(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn a_dead_driver_grants_nothing() {
    let clock = clerk_resilience::sim::SimClock::starting_at(test_support::world::start_of_time());
    let sim = clerk_resilience::sim::SimClerk::builder().clock(clock.clone()).build();
    let (clerk, driver) =
        clerk_resilience::ClerkResilience::builder(test_support::world::config(&sim))
            .clock(clock.clone())
            .transport(sim.transport())
            .grace(GracePolicy::balanced())
            .pair()
            .expect("a good configuration");
    let driver = tokio::spawn(driver);
    let app = routes().route_layer(clerk.clone());
    let world = World { clock, sim, clerk, app };
    world.clerk.ready(Duration::from_secs(5)).await.expect("ready");
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    driver.abort();
    world.pass(50).await;
    assert_eq!(world.clerk.verdict(), Verdict::Unknown);
    refused(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn draining_grace_answers_503_and_signs_nobody_out() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let stranger = world.sim.token(&world.sim.sign_in("user_2")).ago(Duration::from_secs(3_600));
    let stranger = stranger.sign();
    world.sim.heal_all();
    world.until(Verdict::Recovering).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    let answer = world.send(bearer("POST", "/me", &token)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(world.get(&stranger).await.status, StatusCode::UNAUTHORIZED, "Clerk can be asked");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_answers_without_grace_while_draining() {
    for policy in [GracePolicy::balanced().report_only(), GracePolicy::default()] {
        let world = World::with(|builder| builder.grace(policy)).await;
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.break_clerk();
        world.until(Verdict::Outage).await;
        world.pass(60).await;
        world.sim.heal_all();
        world.until(Verdict::Recovering).await;
        for method in ["GET", "POST"] {
            let answer = world.send(bearer(method, "/me", &token)).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{method}");
        }
    }
}

/// What variables say of this Clerk, and of grace.
fn variables(sim: &SimClerk, grace: Option<&'static str>) -> ClerkConfig {
    let (key, secret) = (sim.publishable_key().clone(), sim.secret_key().expose().to_owned());
    let read = |name: &str| match name {
        "CLERK_PUBLISHABLE_KEY" => Some(key.as_str().to_owned()),
        "CLERK_SECRET_KEY" => Some(secret.clone()),
        "CLERK_API_URL" => Some(sim.backend_api_url().into()),
        "CLERK_FRONTEND_API_URL" => Some(sim.frontend_api_url().into()),
        "CLERK_RESILIENCE_STATUS_URL" => Some("off".to_owned()),
        "CLERK_RESILIENCE_GRACE" => grace.map(str::to_owned),
        _ => None,
    };
    ClerkConfig::from_vars(read).expect("good variables")
}

#[tokio::test(start_paused = true)]
async fn the_builder_overrides_the_grace_variables() {
    type Choice = fn(Builder) -> Builder;
    let none: Choice = |builder| builder;
    let rows: [(Option<&str>, Choice, StatusCode); 6] = [
        (None, none, StatusCode::SERVICE_UNAVAILABLE),
        (Some("off"), none, StatusCode::SERVICE_UNAVAILABLE),
        (Some("report-only"), none, StatusCode::SERVICE_UNAVAILABLE),
        (Some("balanced"), none, StatusCode::OK),
        (
            Some("balanced"),
            |builder| builder.grace(GracePolicy::disabled()),
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (Some("off"), |builder| builder.grace(GracePolicy::balanced()), StatusCode::OK),
    ];
    for (variable, choose, status) in rows {
        let mut world = World::unready(|builder| builder);
        let builder = ClerkResilience::builder(variables(&world.sim, variable));
        let builder = builder.clock(world.clock.clone()).transport(world.sim.transport());
        world.clerk = choose(builder).build().expect("a good configuration");
        world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
        world.app = test_support::world::routes().route_layer(world.clerk.clone());
        let (_, token) = world.outage().await;
        assert_eq!(world.get(&token).await.status, status, "{variable:?}");
    }
}
