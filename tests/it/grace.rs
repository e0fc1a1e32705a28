//! Every condition of grace, one test each: with all others met, it alone decides.

use std::time::Duration;

use clerk_resilience::sim::{SimClerk, SimFault, SimOrganization, SimSurface};
use clerk_resilience::{
    Builder, ClerkConfig, ClerkResilience, GraceAccess, GracePolicy, RoutePolicy, Verdict,
};
use http::StatusCode;
use test_support::world::{World, bearer, routes};

const MINUTE: u64 = 60;

fn refused(answer: &test_support::world::Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.json()["code"], "authentication_unavailable");
}

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
async fn g2_forged_tokens_and_unknown_keys_get_no_grace() {
    let world = World::new().await;
    let (session, _) = world.outage().await;
    let forged = world.sim.token(&session).ago(Duration::from_secs(100)).forged().sign();
    assert_eq!(world.get(&forged).await.status, StatusCode::UNAUTHORIZED);
    let unknown =
        world.sim.token(&session).ago(Duration::from_secs(100)).kid("ins_other").forged().sign();
    assert_ne!(world.get(&unknown).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn g2_a_distrusted_key_is_rejected_in_every_state_of_clerk() {
    let world = World::new().await;
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    assert_eq!(world.get(&fresh).await.status, StatusCode::OK);
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clerk.distrust_key(world.sim.key_id());
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    let minted = world.sim.mint(&world.sim.sign_in("user_3"));
    assert_eq!(world.get(&minted).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn g3_every_other_claim_must_be_good() {
    let world = World::with(|builder| {
        builder.grace(GracePolicy::balanced()).authorized_parties(["https://app.example.com"])
    })
    .await;
    let session = world.sim.sign_in("user_1");
    let expired = |party: &str| {
        world.sim.token(&session).ago(Duration::from_secs(10)).authorized_party(party).sign()
    };
    let good = expired("https://app.example.com");
    let wrong_party = expired("https://evil.example.com");
    let issuer = world.sim.token(&session).claim("iss", "https://clerk.evil.example").sign();
    assert_eq!(world.get(&good).await.status, StatusCode::OK);
    let not_before = world.sim.token(&session).authorized_party("https://app.example.com");
    let not_before = not_before.claim("nbf", world.now_secs() + 100_000).sign();
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(70).await;
    assert_eq!(world.get(&good).await.body, "user_1 outage");
    for token in [wrong_party, issuer, not_before] {
        assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(start_paused = true)]
async fn g3_a_long_lived_token_gets_no_grace() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let life = |secs| world.sim.token(&session).lifetime(Duration::from_secs(secs)).sign();
    let (ten_minutes, longer) = (life(600), life(601));
    world.get(&ten_minutes).await;
    world.get(&longer).await;
    world.break_clerk();
    world.pass(700).await;
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
    assert_eq!(world.get(&ten_minutes).await.status, StatusCode::OK);
    refused(&world.get(&longer).await);
}

/// A session whose last token ended so many seconds before the outage began, and which was last
/// seen valid `unseen` seconds before that end.
async fn ended_before(world: &World, ended: u64, unseen: u64) -> String {
    let session = world.sim.sign_in("user_1");
    let early = world.sim.token(&session).lifetime(Duration::from_secs(600)).sign();
    world.get(&early).await;
    world.pass(unseen).await;
    let last = world.sim.token(&session).lifetime(Duration::from_secs(60)).sign();
    world.pass(60 + ended).await;
    last
}

#[tokio::test(start_paused = true)]
async fn g4_a_session_ended_before_the_outage_gets_no_grace() {
    for (ended, status) in [(45, StatusCode::OK), (90, StatusCode::SERVICE_UNAVAILABLE)] {
        let world = World::new().await;
        let token = ended_before(&world, ended, 700).await;
        world.break_clerk();
        world.until(Verdict::Outage).await;
        assert_eq!(world.get(&token).await.status, status, "ended {ended} s before");
    }
}

#[tokio::test(start_paused = true)]
async fn g4_a_session_seen_shortly_before_counts_as_alive() {
    let world = World::new().await;
    let token = ended_before(&world, 120, 0).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "seen three minutes before");
}

#[tokio::test(start_paused = true)]
async fn g5_use_does_not_extend_grace_beyond_one_hour() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.get(&token).await;
    world.break_clerk();
    for _ in 0..60 {
        world.pass(MINUTE).await;
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
    }
    world.pass(59).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(2).await;
    refused(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn g5_outage_time_per_episode_and_day_is_limited() {
    let minutes = |n| Duration::from_secs(n * MINUTE);
    for policy in [
        GracePolicy::balanced().episode_budget(minutes(5)),
        GracePolicy::balanced().day_budget(minutes(5)),
    ] {
        let world = World::with(|builder| builder.grace(policy)).await;
        let (_, token) = world.outage().await;
        world.pass(3 * MINUTE).await;
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.pass(2 * MINUTE).await;
        refused(&world.get(&token).await);
    }
}

#[tokio::test(start_paused = true)]
async fn g5_a_zero_bound_gives_no_grace() {
    for policy in [
        GracePolicy::balanced().max_grace(Duration::ZERO),
        GracePolicy::balanced().episode_budget(Duration::ZERO),
        GracePolicy::balanced().day_budget(Duration::ZERO),
    ] {
        let world = World::with(|builder| builder.grace(policy)).await;
        let (_, token) = world.outage().await;
        refused(&world.get(&token).await);
    }
}

#[tokio::test(start_paused = true)]
async fn g6_a_session_never_seen_here_gets_no_grace() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_2");
    let unseen = world.sim.mint(&session);
    let (_, seen) = world.outage().await;
    assert_eq!(world.get(&seen).await.status, StatusCode::OK);
    refused(&world.get(&unseen).await);
}

#[tokio::test(start_paused = true)]
async fn g6_older_claims_never_replace_newer_ones() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let old = world.sim.mint(&session);
    world.get(&old).await;
    world.pass(40).await;
    let new = world.sim.mint(&session);
    world.get(&new).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(world.get(&new).await.status, StatusCode::OK);
    refused(&world.get(&old).await);
}

#[tokio::test(start_paused = true)]
async fn g7_a_revoked_session_is_rejected_in_every_state_of_clerk() {
    let world = World::new().await;
    let (session, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clerk.revoke_session(session.id.clone());
    let answer = world.get(&token).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json()["reason"], "session-revoked");

    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clerk.revoke_user("user_1");
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    world.pass(6).await;
    let later = world.sim.mint(&session);
    assert_eq!(world.get(&later).await.status, StatusCode::OK, "issued after the revocation");
}

#[tokio::test(start_paused = true)]
async fn g7_membership_revocation_leaves_the_session_elsewhere() {
    type Revoke = fn(&ClerkResilience);
    let revokes: [(Revoke, bool); 2] = [
        (|clerk| clerk.revoke_member("user_1", "org_1"), true),
        (|clerk| clerk.revoke_organization("org_1"), false),
    ];
    for (revoke, others_stay) in revokes {
        let world = World::new().await;
        let of = |user: &str, id: &str| {
            let organization = SimOrganization::new(id.to_owned(), id.to_owned());
            world.sim.token(&world.sim.sign_in(user)).organization(organization).sign()
        };
        let (token, elsewhere, other) =
            (of("user_1", "org_1"), of("user_1", "org_2"), of("user_2", "org_1"));
        for token in [&token, &elsewhere, &other] {
            assert_eq!(world.get(token).await.status, StatusCode::OK);
        }
        revoke(&world.clerk);
        assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(world.get(&elsewhere).await.status, StatusCode::OK);
        let other = world.get(&other).await.status;
        assert_eq!(other, if others_stay { StatusCode::OK } else { StatusCode::UNAUTHORIZED });
        world.pass(6).await;
        assert_eq!(world.get(&of("user_1", "org_1")).await.status, StatusCode::OK, "a later one");
    }
}

#[tokio::test(start_paused = true)]
async fn g10_impersonated_or_pending_sessions_get_no_grace() {
    let world = World::with(|builder| {
        builder.grace(GracePolicy::balanced()).policy(RoutePolicy::required().accept_pending())
    })
    .await;
    let session = world.sim.sign_in("user_1");
    let plain = world.sim.mint(&session);
    let actor = serde_json::json!({ "sub": "user_admin" });
    let acting = world.sim.token(&session).claim("act", actor).sign();
    let pending = world.sim.token(&session).claim("sts", "pending").sign();
    for token in [&plain, &acting, &pending] {
        assert_eq!(world.get(token).await.status, StatusCode::OK);
    }
    world.break_clerk();
    world.pass(90).await;
    assert_eq!(world.get(&plain).await.status, StatusCode::OK);
    refused(&world.get(&acting).await);
    refused(&world.get(&pending).await);
}

#[tokio::test(start_paused = true)]
async fn g11_the_route_limits_grace() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let app =
        |access| routes().route_layer(world.clerk.policy(RoutePolicy::required().grace(access)));
    let send = async |access, method| {
        use tower::ServiceExt as _;
        let response = app(access).oneshot(bearer(method, "/me", &token)).await;
        response.expect("infallible").status()
    };
    let (ok, unavailable) = (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(GraceAccess::SafeMethods, "GET").await, ok);
    assert_eq!(send(GraceAccess::SafeMethods, "POST").await, unavailable);
    assert_eq!(send(GraceAccess::Never, "GET").await, unavailable);
    assert_eq!(send(GraceAccess::Full, "GET").await, ok);
    assert_eq!(send(GraceAccess::Full, "POST").await, unavailable, "not from the same origin");
    for (site, status) in [("same-origin", ok), ("cross-site", unavailable), ("none", unavailable)]
    {
        use tower::ServiceExt as _;
        let mut request = bearer("POST", "/me", &token);
        request.headers_mut().insert("sec-fetch-site", site.parse().expect("a value"));
        let response = app(GraceAccess::Full).oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), status, "{site}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_suspends_grace() {
    for jump in [3_600_000, -3_600_000] {
        let world = World::new().await;
        let (_, token) = world.outage().await;
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.clock.jump(jump);
        assert_ne!(world.get(&token).await.status, StatusCode::OK, "{jump}");
    }
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
async fn g12_verification_ages_in_grace_and_is_required_afterwards() {
    use clerk_resilience::{Access, Reverification};

    let demand = Access::reverification(Reverification::STRICT);
    let route = RoutePolicy::required().access(demand);
    let world = World::with(|builder| builder.grace(GracePolicy::balanced()).policy(route)).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.token(&session).claim("fva", serde_json::json!([3, -1])).sign();
    let never = world.sim.token(&session).claim("fva", serde_json::json!([-1, -1])).sign();
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    assert_eq!(world.get(&never).await.status, StatusCode::FORBIDDEN);
    world.break_clerk();
    world.pass(6 * MINUTE - 10).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(20).await;
    let answer = world.get(&token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "step_up_unavailable");
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

#[tokio::test(start_paused = true)]
async fn a_clock_wrong_at_start_is_trusted_once_corrected() {
    let world = World::new().await;
    world.clock.jump(-2 * 3_600 * 1_000);
    world.pass(300).await;
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn g5_setting_the_clock_back_gives_no_time_back() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    world.pass(55 * 60).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clock.jump(-20 * 60 * 1_000);
    world.pass(10 * 60).await;
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
    refused(&world.get(&token).await);
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
