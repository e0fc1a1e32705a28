//! What the layer lets through, where, and what a handler learns of it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use clerk_resilience::guard::Named;
use clerk_resilience::sim::{SimClerk, SimOrganization, SimSession};
use clerk_resilience::{
    Auth, AuthRejection, ClerkResilience, FreshAuth, GraceAccess, GracePolicy, Rejection,
    RequirePermission, RequireRole, RoutePolicy, Verdict,
};
use http::{Request, StatusCode};
use proptest::prelude::*;
use test_support::world::{Answer, NAVIGATION, World, anonymous, bearer, signed};
use tower::ServiceExt as _;

struct Admin;

impl Named for Admin {
    const NAME: &'static str = "org:admin";
}

struct ReadPosts;

impl Named for ReadPosts {
    const NAME: &'static str = "org:posts:read";
}

fn kind(auth: &Auth) -> String {
    let grace = auth.grace().map_or("fresh", |grace| grace.reason.name());
    format!("{} {grace}", auth.user_id())
}

/// One route for each extractor.
fn extractors() -> Router {
    Router::new()
        .route("/auth", get(async |auth: Auth| kind(&auth)))
        .route("/fresh", get(async |FreshAuth(auth): FreshAuth| kind(&auth)))
        .route("/admin", get(async |admin: RequireRole<Admin>| kind(&admin)))
        .route(
            "/reader",
            get(async |reader: RequirePermission<ReadPosts>| kind(&reader.into_inner())),
        )
        .route(
            "/option",
            get(async |auth: Option<Auth>| auth.map_or("nobody".to_owned(), |auth| kind(&auth))),
        )
        .route(
            "/reason",
            get(async |auth: Result<Auth, AuthRejection>| match auth {
                Ok(auth) => kind(&auth),
                Err(error) => format!("{}: {error}", error.rejection().reason()),
            }),
        )
}

fn member(sim: &SimClerk, role: &str, permission: &str) -> (SimSession, String) {
    let session = sim.sign_in("user_1");
    let acme = SimOrganization::new("org_1", "acme").role(role).permission(permission);
    sim.set_organization(&session, Some(acme));
    let token = sim.mint(&session);
    (session, token)
}

async fn get_from(app: &Router, path: &str, token: &str) -> Answer {
    World::ask(app, bearer("GET", path, token)).await
}

#[tokio::test(start_paused = true)]
async fn every_extractor_accepts_a_fresh_session() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    let (_, admin) = member(&world.sim, "admin", "org:posts:read");
    let (_, guest) = member(&world.sim, "guest", "org:posts:write");
    for path in ["/auth", "/fresh", "/admin", "/reader", "/option", "/reason"] {
        assert_eq!(get_from(&app, path, &admin).await.body, "user_1 fresh", "{path}");
        let forbidden = matches!(path, "/admin" | "/reader");
        let answer = get_from(&app, path, &guest).await;
        let status = if forbidden { StatusCode::FORBIDDEN } else { StatusCode::OK };
        assert_eq!(answer.status, status, "{path}");
        if forbidden {
            assert_eq!(answer.json()["code"], "insufficient_permission");
        }
        let without = World::ask(&app, anonymous("GET", path, &[])).await;
        assert_eq!(without.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_optional_route_tells_the_handler_why_no_session() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.policy(RoutePolicy::optional()));
    let session = world.sim.sign_in("user_1");
    let old = world.sim.token(&session).ago(Duration::from_secs(600)).sign();
    let forged = world.sim.forge(&session);
    for (token, reason) in [
        (None, "session-token-missing"),
        (Some(&*old), "token-expired"),
        (Some(&*forged), "token-invalid-signature"),
        (Some("nonsense"), "token-invalid"),
    ] {
        let ask = async |path: &str| match token {
            Some(token) => get_from(&app, path, token).await,
            None => World::ask(&app, anonymous("GET", path, &[])).await,
        };
        assert_eq!(ask("/option").await.body, "nobody", "{reason}");
        assert!(ask("/reason").await.body.starts_with(&format!("{reason}: ")), "{reason}");
        for path in ["/auth", "/fresh", "/admin"] {
            assert_eq!(ask(path).await.status, StatusCode::UNAUTHORIZED, "{reason}, {path}");
        }
    }
    assert_eq!(get_from(&app, "/option", &world.sim.mint(&session)).await.body, "user_1 fresh");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_handler_is_not_reached_in_grace() {
    let world = World::new().await;
    let reached = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = reached.clone();
    let pay = get(move |_: FreshAuth| async move {
        flag.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let app = extractors().route("/pay", pay).route_layer(world.clerk.clone());
    let (_, token) = world.outage().await;
    assert_eq!(get_from(&app, "/auth", &token).await.body, "user_1 outage");
    assert_eq!(get_from(&app, "/option", &token).await.body, "user_1 outage");
    for path in ["/pay", "/fresh"] {
        let response = app.clone().oneshot(bearer("GET", path, &token)).await.expect("infallible");
        assert_eq!(response.extensions().get(), Some(&Rejection::FreshRequired), "{path}");
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.json()["code"], "step_up_unavailable", "{path}");
    }
    assert!(!reached.load(std::sync::atomic::Ordering::Relaxed));
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    assert_eq!(get_from(&app, "/fresh", &fresh).await.body, "user_2 fresh");
}

#[tokio::test(start_paused = true)]
async fn a_handler_reads_the_limits_of_grace() {
    let world = World::new().await;
    let app = Router::new()
        .route(
            "/",
            get(async |auth: Auth| {
                let grace = auth.grace().expect("an outage").clone();
                let secs = |at: clerk_resilience::clock::Timestamp| at.as_secs();
                format!("{} {} {}", secs(grace.since), secs(grace.until), secs(grace.claims_as_of))
            }),
        )
        .route_layer(world.clerk.clone());
    let (session, token) = world.outage().await;
    let start = test_support::world::start_of_time().as_secs();
    let body = get_from(&app, "/", &token).await.body;
    let [since, until, as_of]: [i64; 3] = body
        .split(' ')
        .map(|secs| secs.parse::<i64>().expect("seconds") - start)
        .collect::<Vec<_>>()
        .try_into()
        .expect("three times");
    let issued = session.since.as_secs() - start;
    assert_eq!(as_of, issued);
    assert_eq!(until, issued + 60 + 3600, "exp and 60 minutes");
    assert!((0..30).contains(&since), "the outage began {since} s after the start");
}

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

/// An application that is protected as a whole, but for three paths.
async fn walled() -> (World, Router) {
    let world = World::with(|builder| builder.public(["/", "/about", "/posts/{id}"])).await;
    let app = Router::new()
        .route("/", get(async || "open"))
        .route("/about", get(async || "open").post(async || "open"))
        .route("/posts/{id}", get(async || "open"))
        .route("/about/us", get(async || "closed"))
        .route("/admin", get(async || "closed"))
        .route("/posts/{id}/edit", get(async || "closed"))
        .route("/files/{*rest}", get(async || "closed"))
        .layer(world.clerk.clone());
    (world, app)
}

#[tokio::test(start_paused = true)]
async fn every_path_not_named_public_is_protected() {
    let (world, app) = walled().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    for path in ["/", "/about", "/posts/1", "/about?next=/admin"] {
        let answer = World::ask(&app, anonymous("GET", path, &[])).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, "open"), "{path}");
    }
    assert_eq!(World::ask(&app, anonymous("POST", "/about", &[])).await.status, 200);
    for (path, signed_in) in [
        ("/admin", 200),
        ("/about/us", 200),
        ("/posts/1/edit", 200),
        ("/files/about", 200),
        ("/files//about", 200),
        ("/files/../about", 200),
        ("/posts/..%2Fadmin", 200),
        ("/nothing", 404),
        ("/about/", 404),
        ("//about", 404),
        ("/About", 404),
        ("/ABOUT", 404),
        ("/%61bout", 404),
        ("/about%2F", 404),
        ("/about%00", 404),
        ("/./about", 404),
        ("/admin/../about", 404),
        ("/admin/%2e%2e/about", 404),
        ("/about;a=b", 404),
        ("/about.json", 404),
        ("/posts/", 404),
        ("/posts", 404),
        ("/posts//edit", 200),
        ("//", 404),
    ] {
        let answer = World::ask(&app, anonymous("GET", path, &[])).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(get_from(&app, path, &token).await.status.as_u16(), signed_in, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_public_path_sees_sessions_and_ignores_bad_tokens() {
    let world = World::with(|builder| builder.public(["/option"])).await;
    let app = extractors().layer(world.clerk.clone());
    let session = world.sim.sign_in("user_1");
    assert_eq!(get_from(&app, "/option", &world.sim.mint(&session)).await.body, "user_1 fresh");
    assert_eq!(get_from(&app, "/option", &world.sim.forge(&session)).await.body, "nobody");
    world.break_clerk();
    world.until(Verdict::Outage).await;
    assert_eq!(World::ask(&app, anonymous("GET", "/option", &[])).await.body, "nobody");
}

#[tokio::test(start_paused = true)]
async fn a_public_path_does_not_undo_the_policy_of_an_inner_layer() {
    let world = World::with(|builder| builder.public(["/posts/{id}"])).await;
    let admin = world.clerk.policy(RoutePolicy::required().role("org:admin"));
    let app = Router::new()
        .route("/posts/new", get(async || "closed"))
        .route_layer(admin)
        .route("/posts/{id}", get(async || "open"))
        .layer(world.clerk.clone());
    assert_eq!(World::ask(&app, anonymous("GET", "/posts/1", &[])).await.body, "open");
    assert_eq!(World::ask(&app, anonymous("GET", "/posts/new", &[])).await.status, 401);
    let (_, token) = member(&world.sim, "admin", "org:posts:read");
    assert_eq!(get_from(&app, "/posts/new", &token).await.body, "closed");
}

#[test]
fn no_path_spelling_opens_a_protected_path() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let (_world, app) = runtime.block_on(walled());
    let piece = prop_oneof![
        "(admin|about|posts|edit|files|us|Admin|ABOUT)",
        "(/|//|%2f|%2F|\\.\\.|\\.|;|%2e|%00|\\?|%61|\\+|~)",
        "[a-zA-Z0-9._~!$&'()*+,;=:@%-]{0,4}",
    ];
    let paths = prop::collection::vec(piece, 0..8).prop_map(|parts| format!("/{}", parts.concat()));
    proptest!(ProptestConfig::with_cases(512), |(path in paths)| {
        let Ok(request) = Request::builder().uri(&path).body(Body::empty()) else { return Ok(()) };
        let answer = runtime.block_on(World::ask(&app, request));
        prop_assert_ne!(answer.body, "closed", "{}", path);
        prop_assert!(matches!(answer.status.as_u16(), 200 | 401), "{}: {}", path, answer.status);
    });
}

#[tokio::test(start_paused = true)]
async fn every_extractor_without_the_layer_is_a_500_that_names_it() {
    for path in ["/auth", "/fresh", "/admin", "/option"] {
        let response = extractors().oneshot(anonymous("GET", path, &[])).await.expect("infallible");
        assert_eq!(response.extensions().get(), Some(&Rejection::LayerMissing));
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let problem = answer.json();
        assert_eq!(problem["code"], "authentication_layer_missing", "{path}");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains("not behind its authentication layer"), "{detail}");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    let page = World::ask(&extractors(), anonymous("GET", "/auth", &NAVIGATION)).await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(!page.body.contains("Please sign in"), "a fault of ours is no reason to sign in");
}

#[tokio::test(start_paused = true)]
async fn under_route_layer_an_unknown_path_stays_404() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    assert_eq!(World::ask(&app, anonymous("GET", "/nothing", &[])).await.status, 404);
    assert_eq!(World::ask(&app, anonymous("GET", "/auth", &[])).await.status, 401);
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let answer = get_from(&app, "/nothing", &token).await;
    assert_eq!(answer.status, 404);
    let answer = World::ask(&app, bearer("DELETE", "/auth", &token)).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "GET,HEAD");
    let everything = extractors().layer(world.clerk.clone());
    assert_eq!(World::ask(&everything, anonymous("GET", "/nothing", &[])).await.status, 401);
}

fn with_cookies(fields: &[String]) -> Request<Body> {
    let fields: Vec<_> = fields.iter().map(|field| ("cookie", field.as_str())).collect();
    anonymous("GET", "/auth", &fields)
}

#[tokio::test(start_paused = true)]
async fn a_session_is_read_from_both_cookies_and_all_fields() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    let suffixed = format!("__session_{}", world.sim.cookie_suffix());
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    for fields in [
        vec![format!("__session={token}")],
        vec![format!("{suffixed}={token}")],
        vec![format!("__session={token}; {suffixed}={token}")],
        vec![format!("theme=dark; __session={token}; lang=en")],
        vec![format!("theme=dark;__session={token}")],
        vec!["theme=dark".to_owned(), format!("__session={token}"), "lang=en".to_owned()],
        vec![format!("__session_other={token}"), format!("{suffixed}={token}")],
        vec![format!("__session=; {suffixed}={token}")],
    ] {
        let answer = World::ask(&app, with_cookies(&fields)).await;
        assert_eq!(answer.body, "user_1 fresh", "{fields:?}");
    }
    for fields in [
        vec![format!("__session_other={token}")],
        vec![format!("__Session={token}")],
        vec![format!("session={token}")],
        vec![format!("x__session={token}")],
        vec!["__session=".to_owned()],
        vec!["__session".to_owned()],
        vec![String::new()],
    ] {
        let answer = World::ask(&app, with_cookies(&fields)).await;
        assert_eq!(answer.json()["reason"], "session-token-missing", "{fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_different_cookies_the_newer_token_counts() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    let suffixed = format!("__session_{}", world.sim.cookie_suffix());
    let session = world.sim.sign_in("user_1");
    let fresh = world.sim.mint(&session);
    let old = world.sim.token(&session).ago(Duration::from_secs(600)).sign();
    for cookies in [
        format!("__session={fresh}; {suffixed}={old}"),
        format!("{suffixed}={fresh}; __session={old}"),
    ] {
        let answer = World::ask(&app, with_cookies(&[cookies])).await;
        assert_eq!(answer.body, "user_1 fresh");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_header_still_precedes_the_cookie() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    let session = world.sim.sign_in("user_1");
    let (good, bad) = (world.sim.mint(&session), world.sim.forge(&session));
    for (header, cookie, status) in [
        (format!("Bearer {good}"), &bad, 200),
        (format!("Bearer {bad}"), &good, 401),
        (format!("Bearer  {good}"), &good, 401),
        ("Bearer ".to_owned(), &good, 401),
        (good.clone(), &bad, 200),
        (format!("bearer {good}"), &bad, 401),
        ("Basic dXNlcjpwYXNz".to_owned(), &good, 200),
        ("Basic dXNlcjpwYXNz".to_owned(), &bad, 401),
    ] {
        let cookie = format!("__session={cookie}");
        let request = anonymous("GET", "/auth", &[("authorization", &header), ("cookie", &cookie)]);
        let answer = World::ask(&app, request).await;
        assert_eq!(answer.status.as_u16(), status, "{header}");
    }
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
async fn a_malformed_public_path_fails_the_build_and_is_named() {
    let world = World::new().await;
    let config = test_support::world::config(&world.sim);
    let built = ClerkResilience::builder(config).public(["/about", "admin"]).build();
    let error = built.expect_err("no path").to_string();
    assert!(error.contains("\"admin\"") && error.contains("start with '/'"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_public_path_does_not_open_a_nested_router() {
    let world = World::with(|builder| builder.public(["/", "/posts"])).await;
    let inner = Router::new().route("/", get(|| async { "secret" }));
    let inner = inner.route("/posts", get(|| async { "secret" })).route_layer(world.clerk.clone());
    let outer = Router::new().route("/", get(|| async { "open" })).route_layer(world.clerk.clone());
    let app = outer.nest("/admin", inner);
    for (path, status) in [("/", 200), ("/admin", 401), ("/admin/posts", 401)] {
        let answer = World::ask(&app, anonymous("GET", path, &[])).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_public_path_ignores_required_roles() {
    let world = World::with(|builder| {
        builder.public(["/sign-in"]).policy(RoutePolicy::required().role("org:admin"))
    });
    let world = world.await;
    let app = Router::new().route("/sign-in", get(|| async { "here" })).layer(world.clerk.clone());
    let (_, plain) = member(&world.sim, "member", "org:posts:read");
    let answer = World::ask(&app, bearer("GET", "/sign-in", &plain)).await;
    assert_eq!(answer.status, StatusCode::OK);
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
