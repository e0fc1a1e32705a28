//! CORS preflights never reach a protected service, whatever dispatches behind the layer.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use clerk_resilience::sim::SimClerk;
use clerk_resilience::{ClerkResilience, GraceAccess, GracePolicy, RoutePolicy};
use http::{Request, StatusCode};
use test_support::world::{Answer, Log, VERDICTS, World, anonymous, signed};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::CorsLayer;

const PREFLIGHT: [(&str, &str); 2] =
    [("origin", "https://other.example"), ("access-control-request-method", "POST")];

fn preflight(path: &str) -> Request<Body> {
    anonymous("OPTIONS", path, &PREFLIGHT)
}

/// Counts how often it runs.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

impl Runs {
    fn handler(&self) -> axum::routing::MethodRouter {
        let runs = self.clone();
        any(async move || {
            runs.0.fetch_add(1, Ordering::SeqCst);
            "ran"
        })
    }

    fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(["https://other.example".parse().expect("an origin")])
        .allow_methods([http::Method::POST])
}

#[tokio::test(start_paused = true)]
async fn the_layer_answers_a_preflight_in_every_state_of_clerk() {
    let world = World::with_canary(|builder| builder.grace(GracePolicy::balanced())).await;
    let runs = Runs::default();
    let strict = RoutePolicy::required().role("org:admin").grace(GraceAccess::Never);
    let app = Router::new().route("/api", runs.handler()).layer(world.clerk.policy(strict));
    let session = world.sim.sign_in("user_1");
    for verdict in VERDICTS {
        world.reach(verdict).await;
        let token = world.sim.mint(&session);
        let expired = world.sim.token(&session).ago(std::time::Duration::from_secs(600)).sign();
        for token in [None, Some("nonsense"), Some(&*token), Some(&*expired)] {
            let request = match token {
                Some(token) => signed("OPTIONS", "/api", token, &PREFLIGHT),
                None => preflight("/api"),
            };
            let answer = World::ask(&app, request).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{verdict:?}: {answer:?}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
            assert!(!answer.headers.contains_key("www-authenticate"));
        }
    }
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_axum_router_sees_a_preflight() {
    let world = World::new().await;
    let runs = Runs::default();
    let inner = || Router::new().route("/a", runs.handler()).fallback(runs.handler());
    let apps = [
        inner().layer(world.clerk.clone()),
        Router::new().nest("/deep", inner()).layer(world.clerk.clone()),
        Router::new().nest("/deep", inner().layer(world.clerk.clone())),
        Router::new().nest_service("/deep", world.clerk.layer(inner())),
        Router::new().fallback_service(world.clerk.layer(inner())),
        inner().route_layer(world.clerk.policy(RoutePolicy::required())).layer(world.clerk.clone()),
        inner()
            .layer(world.clerk.policy(RoutePolicy::required()))
            .layer(world.clerk.policy(RoutePolicy::optional())),
    ];
    for (index, app) in apps.iter().enumerate() {
        for path in ["/a", "/b", "/deep/a", "/deep/b", "/deep"] {
            let answer = World::ask(app, preflight(path)).await;
            assert_ne!(answer.body, "ran", "{index} {path}");
        }
    }
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_raw_service_sees_a_preflight() {
    let world = World::new().await;
    let raw = service_fn(async |_: Request<Body>| -> Result<Response, Infallible> {
        Ok("ran".into_response())
    });
    let answer = world.clerk.layer(raw).oneshot(preflight("/any")).await.expect("infallible");
    assert_eq!(Answer::of(answer).await.body, "");
}

fn call(method: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
    all.extend_from_slice(fields);
    let mut request = anonymous(method, "http://localhost/grpc.health.v1.Health/Check", &all);
    *request.version_mut() = http::Version::HTTP_2;
    // An empty message.
    *request.body_mut() = Body::from(&[0_u8; 5][..]);
    request
}

async fn answered(app: &Router, request: Request<Body>) -> Response {
    app.clone().oneshot(request).await.expect("infallible")
}

#[tokio::test(start_paused = true)]
async fn no_tonic_service_sees_a_preflight() {
    let world = World::new().await;
    let (_, health) = tonic_health::server::health_reporter();
    let grpc = tonic::service::Routes::new(health).prepare().into_axum_router();
    let bare = answered(&grpc, call("OPTIONS", &PREFLIGHT)).await;
    assert_eq!(bare.status(), StatusCode::OK, "tonic dispatches by path alone");
    let app = grpc.layer(world.clerk.clone());
    for (method, fields, status) in [
        ("POST", &[][..], StatusCode::UNAUTHORIZED),
        ("OPTIONS", &[], StatusCode::UNAUTHORIZED),
        ("POST", &PREFLIGHT, StatusCode::UNAUTHORIZED),
        ("OPTIONS", &PREFLIGHT, StatusCode::NO_CONTENT),
    ] {
        let answer = answered(&app, call(method, fields)).await;
        assert_eq!(answer.status(), status, "{method} {fields:?}");
        assert!(!answer.headers().contains_key("grpc-status"), "{method} {fields:?}");
    }
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let bearer = format!("Bearer {token}");
    let answer = answered(&app, call("POST", &[("authorization", &bearer)])).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_given_cors_layer_answers_preflights_alone() {
    let world = World::with(|builder| builder.cors(cors())).await;
    let runs = Runs::default();
    let app = Router::new().route("/a", runs.handler()).layer(world.clerk.clone());
    let answer = World::ask(&app, preflight("/a")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://other.example");
    assert_eq!(answer.header("access-control-allow-methods"), "POST");
    let other = World::ask(&app, anonymous("OPTIONS", "/a", &PREFLIGHT[..1])).await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED, "not a preflight");
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn any_layer_may_stand_in_for_cors_and_grants_nothing() {
    let identity = tower::layer::util::Identity::new();
    let world = World::with(|builder| builder.cors(identity)).await;
    let runs = Runs::default();
    let app = Router::new().route("/a", runs.handler()).layer(world.clerk.clone());
    let answer = World::ask(&app, preflight("/a")).await;
    assert_eq!((answer.status, runs.count()), (StatusCode::NO_CONTENT, 0));
}

#[tokio::test(start_paused = true)]
async fn a_preflight_passes_on_public_and_optional_routes() {
    let world = World::with(|builder| builder.public(["/open"])).await;
    let runs = Runs::default();
    let public = Router::new().route("/open", runs.handler()).layer(world.clerk.clone());
    assert_eq!(World::ask(&public, preflight("/open")).await.body, "ran");
    let optional = world.clerk.policy(RoutePolicy::optional());
    let optional = Router::new().route("/a", runs.handler()).layer(optional);
    assert_eq!(World::ask(&optional, preflight("/a")).await.body, "ran");
    let wide = Router::new().fallback(runs.handler()).layer(world.clerk.clone());
    for path in ["/open/../a", "/open/", "//open", "/Open", "/a"] {
        assert_ne!(World::ask(&wide, preflight(path)).await.body, "ran", "{path}");
    }
    assert_eq!(runs.count(), 2);
}

#[test]
fn the_first_preflight_without_a_cors_layer_is_logged_once() {
    let log = Log::default();
    // With two of them tracing asks each time who listens.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let sim = SimClerk::in_memory();
            let builder = ClerkResilience::builder(test_support::world::config(&sim));
            let builder = builder.transport(sim.transport()).clock(sim.clock());
            let clerk = builder.build().expect("a good configuration");
            let app = test_support::world::routes()
                .layer(clerk.policy(RoutePolicy::required()))
                .layer(clerk.clone());
            let other = test_support::world::routes().layer(clerk.policy(RoutePolicy::required()));
            for app in [&app, &app, &other] {
                World::ask(app, preflight("/me")).await;
            }
        });
    });
    assert_eq!(log.text().matches("clerk.cors.no_layer").count(), 1, "{}", log.text());
    assert!(log.text().contains(".layer(clerk).layer(cors)"));
}
