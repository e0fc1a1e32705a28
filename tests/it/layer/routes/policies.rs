//! Route policies, grace included.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use clerk_resilience::{Auth, GraceAccess, GracePolicy, RoutePolicy};
use http::StatusCode;
use test_support::world::{World, anonymous, bearer, signed};

use super::{get_from, kind, member};

#[tokio::test(start_paused = true)]
async fn only_grace_responses_are_made_private() {
    let world = World::new().await;
    let cached = get(async |_: Auth| ([("cache-control", "public, max-age=60")], "hello"));
    let app = Router::new().route("/", cached).route_layer(world.clerk.clone());
    let (_, token) = world.outage().await;
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    assert_eq!(get_from(&app, "/", &fresh).await.header("cache-control"), "public, max-age=60");
    let in_grace = get_from(&app, "/", &token).await;
    assert_eq!(in_grace.body, "hello");
    let fields: Vec<_> = in_grace.headers.get_all("cache-control").iter().collect();
    assert_eq!(fields, ["private, no-store"]);
}

#[tokio::test(start_paused = true)]
async fn grace_opens_a_route_within_its_policy() {
    let world = World::new().await;
    let every = || get(async || "in").post(async || "in").delete(async || "in");
    let with = |access| world.clerk.policy(RoutePolicy::required().grace(access));
    let app = Router::new()
        .merge(Router::new().route("/never", every()).layer(with(GraceAccess::Never)))
        .merge(Router::new().route("/safe", every()).layer(with(GraceAccess::SafeMethods)))
        .merge(Router::new().route("/default", every()).layer(world.clerk.clone()))
        .merge(Router::new().route("/full", every()).layer(with(GraceAccess::Full)));
    let (_, token) = world.outage().await;
    let same = ("sec-fetch-site", "same-origin");
    let host = ("host", "app.example.com");
    let origin = ("origin", "https://app.example.com");
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    for (method, path, fields, passes) in [
        ("GET", "/never", &[same][..], false),
        ("HEAD", "/never", &[same], false),
        ("POST", "/never", &[same], false),
        ("GET", "/safe", &[], true),
        ("HEAD", "/safe", &[], true),
        ("POST", "/safe", &[same], false),
        ("DELETE", "/safe", &[same], false),
        ("GET", "/default", &[], true),
        ("POST", "/default", &[same], false),
        ("GET", "/full", &[], true),
        ("GET", "/full", &[("sec-fetch-site", "cross-site")], true),
        ("POST", "/full", &[same], true),
        ("DELETE", "/full", &[same], true),
        ("POST", "/full", &[host, origin], true),
        ("POST", "/full", &[], false),
        ("POST", "/full", &[host], false),
        ("POST", "/full", &[origin], false),
        ("POST", "/full", &[host, ("origin", "null")], false),
        ("POST", "/full", &[host, ("origin", "https://app.example.com.evil.example")], false),
        ("POST", "/full", &[host, ("origin", "https://evil.example")], false),
        ("POST", "/full", &[host, ("origin", "https://app.example.com:8443")], false),
        ("POST", "/full", &[("sec-fetch-site", "same-site"), host, origin], false),
        ("POST", "/full", &[("sec-fetch-site", "cross-site"), host, origin], false),
        ("POST", "/full", &[("sec-fetch-site", "none"), host, origin], false),
        // An upgrade opens a channel in both directions, so it counts as unsafe.
        ("GET", "/safe", &upgrade, false),
        ("GET", "/full", &upgrade, false),
        ("GET", "/full", &[upgrade[0], upgrade[1], host, origin], true),
    ] {
        let answer = World::ask(&app, signed(method, path, &token, fields)).await;
        let status = if passes { 200 } else { 503 };
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {fields:?}");
        let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
        let answer = World::ask(&app, signed(method, path, &fresh, fields)).await;
        assert_eq!(answer.status, StatusCode::OK, "fresh: {method} {path} {fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_requires_roles_and_rejects_pending_sessions() {
    let world = World::new().await;
    let under =
        |policy| Router::new().route("/", get(kind_of_session)).layer(world.clerk.policy(policy));
    let (_, admin) = member(&world.sim, "admin", "org:posts:read");
    let (_, guest) = member(&world.sim, "guest", "org:posts:write");
    let nobody = world.sim.mint(&world.sim.sign_in("user_2"));
    let required = RoutePolicy::required;
    for (policy, admitted) in [
        (required(), [true, true, true]),
        (required().role("org:admin"), [true, false, false]),
        (required().role("admin"), [true, false, false]),
        (required().role("org:adm"), [false, false, false]),
        (required().role(""), [false, false, false]),
        (required().permission("org:posts:read"), [true, false, false]),
        (required().permission("org:posts:write"), [false, true, false]),
        (required().permission(""), [false, false, false]),
        (required().role("org:guest").permission("org:posts:write"), [false, true, false]),
        (required().role("org:admin").permission("org:posts:write"), [false, false, false]),
    ] {
        let app = under(policy.clone());
        for (token, admitted) in [&admin, &guest, &nobody].into_iter().zip(admitted) {
            let status = if admitted { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(get_from(&app, "/", token).await.status, status, "{policy:?}");
        }
    }
    let session = world.sim.sign_in("user_3");
    for (sts, plain, inviting) in
        [("active", 200, 200), ("pending", 401, 200), ("something", 401, 200)]
    {
        let token = world.sim.token(&session).claim("sts", sts).sign();
        let status = async |policy| get_from(&under(policy), "/", &token).await.status.as_u16();
        assert_eq!(status(required()).await, plain, "{sts}");
        assert_eq!(status(required().accept_pending()).await, inviting, "{sts}");
    }
}

async fn kind_of_session(auth: Auth) -> String {
    kind(&auth)
}

#[tokio::test(start_paused = true)]
async fn an_inner_layer_can_only_tighten() {
    let world = World::new().await;
    let (_, admin) = member(&world.sim, "admin", "org:posts:read");
    let (_, guest) = member(&world.sim, "guest", "org:posts:read");
    let both = |inner, outer| {
        Router::new()
            .route("/", get(async || "in").post(async || "in"))
            .layer(world.clerk.policy(inner))
            .layer(world.clerk.policy(outer))
    };
    let (required, optional) = (RoutePolicy::required, RoutePolicy::optional);
    let app = both(optional(), required());
    assert_eq!(World::ask(&app, anonymous("GET", "/", &[])).await.status, 401);
    let app = both(required(), optional());
    assert_eq!(World::ask(&app, anonymous("GET", "/", &[])).await.status, 401);
    for app in
        [both(required(), required().role("admin")), both(required().role("admin"), required())]
    {
        assert_eq!(get_from(&app, "/", &admin).await.status, 200);
        assert_eq!(get_from(&app, "/", &guest).await.status, 403);
    }
    let pending = world.sim.token(&world.sim.sign_in("user_2")).claim("sts", "pending").sign();
    assert_eq!(
        get_from(&both(required().accept_pending(), required()), "/", &pending).await.status,
        401
    );
    let (_, token) = world.outage().await;
    let (full, never) = (required().grace(GraceAccess::Full), required().grace(GraceAccess::Never));
    for app in [both(full.clone(), never.clone()), both(never, full.clone())] {
        assert_eq!(get_from(&app, "/", &token).await.status, 503);
    }
    assert_eq!(get_from(&both(full.clone(), full), "/", &token).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_applies_from_the_next_request() {
    let world = World::new().await;
    let (session, other) = (world.sim.sign_in("user_1"), world.sim.sign_in("user_1"));
    let (token, others) = (world.sim.mint(&session), world.sim.mint(&other));
    assert_eq!(world.get(&token).await.status, 200);
    world.clerk.revoke_session(session.id.as_str());
    assert_eq!(world.get(&token).await.json()["reason"], "session-revoked");
    assert_eq!(world.get(&others).await.status, 200);
    world.clerk.revoke_user("user_1");
    assert_eq!(world.get(&others).await.json()["reason"], "session-revoked");
    world.pass(6).await;
    let later = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&later).await.status, 200, "who signs in again is let in again");
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, 401, "but not by that session");
}

#[tokio::test(start_paused = true)]
async fn disabled_or_dry_run_grace_passes_nothing() {
    for policy in [
        GracePolicy::disabled(),
        GracePolicy::balanced().report_only(),
        GracePolicy::balanced().max_grace(Duration::ZERO),
        GracePolicy::balanced().episode_budget(Duration::ZERO),
        GracePolicy::balanced().day_budget(Duration::ZERO),
    ] {
        let reported = policy.mode() == clerk_resilience::GraceMode::ReportOnly;
        let world = World::with(|builder| builder.grace(policy.clone())).await;
        let (_, token) = world.outage().await;
        assert_eq!(world.get(&token).await.status, 503, "{policy:?}");
        let counts = world.clerk.counts();
        assert_eq!((counts.grace, counts.grace_reported), (0, u64::from(reported)), "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_layer_gives_no_grace() {
    let world = World::with(|builder| builder).await;
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn counters_count_each_outcome() {
    let mut world = World::new().await;
    let open = Router::new().route("/open", post(async || "in"));
    let open = open.route_layer(world.clerk.policy(RoutePolicy::optional()));
    let closed = Router::new().route("/closed", get(async || "in"));
    let closed = closed.route_layer(world.clerk.policy(RoutePolicy::required().role("x")));
    world.app = world.app.merge(open).merge(closed);
    let (_, token) = world.outage().await;
    let before = world.clerk.counts();
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    world.get(&token).await;
    world.get(&fresh).await;
    world.get("nonsense").await;
    world.send(bearer("GET", "/closed", &fresh)).await;
    world.send(anonymous("POST", "/open", &[])).await;
    world.send(anonymous("GET", "/me", &[])).await;
    let counts = world.clerk.counts();
    assert_eq!(counts.grace - before.grace, 1);
    assert_eq!(counts.fresh - before.fresh, 1);
    assert_eq!(counts.unauthorized - before.unauthorized, 1);
    assert_eq!(counts.forbidden - before.forbidden, 1);
    assert_eq!(counts.anonymous - before.anonymous, 1);
    assert_eq!(counts.unavailable - before.unavailable, 1);
}

#[tokio::test(start_paused = true)]
async fn an_optional_session_without_the_role_is_403() {
    let world = World::new().await;
    let policy = world.clerk.policy(RoutePolicy::optional().role("org:admin"));
    let app = Router::new().route("/any", get(|| async { "here" })).route_layer(policy);
    let (_, plain) = member(&world.sim, "member", "org:posts:read");
    let (_, admin) = member(&world.sim, "admin", "org:posts:read");
    for (token, status) in [(&plain, 403), (&admin, 200)] {
        let answer = World::ask(&app, bearer("GET", "/any", token)).await;
        assert_eq!(answer.status.as_u16(), status);
    }
}
