//! The layer as a tower service among others.

mod bodies;
mod readiness;
mod waits;

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use clerk_resilience::{
    Auth, Authenticate, ClerkResilience, Driver, FreshAuth, HealthService, Rejection,
};
use http::{Request, StatusCode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use test_support::world::{World, anonymous, bearer};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt};
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::trace::TraceLayer;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

fn is_thread_safe<T: Send + Sync + 'static>() {}

fn is_cloneable<T: Clone>() {}

fn is_sendable<T: Send>(_: &T) {}

fn is_task<T: Future + Send + 'static>() {}

/// A service that is strict about tower's contract: whoever calls it must have found it ready, and
/// a clone of it is not ready. It can have only so many calls prepared.
#[derive(Debug)]
struct Strict {
    ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Strict {
    fn new() -> (Self, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        (Self { ready: false, calls: calls.clone() }, calls)
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, calls: self.calls.clone() }
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been found ready");
        self.calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::new(Body::from("reached"))))
    }
}

/// A world, and requests that take each of the three ways through the layer.
struct Ways {
    world: World,
    known: String,
    forged: String,
}

impl Ways {
    async fn new() -> Self {
        let world = World::new().await;
        let session = world.sim.sign_in("user_1");
        let (known, forged) = (world.sim.mint(&session), world.sim.forge(&session));
        assert_eq!(world.get(&known).await.status, StatusCode::OK);
        Self { world, known, forged }
    }

    /// A token whose key the layer does not know yet.
    fn unknown(&self) -> String {
        self.world.sim.rotate_key();
        self.world.sim.mint(&self.world.sim.sign_in("user_2"))
    }

    /// Drives a service through every way, twice, in an order in which one disturbs the next.
    async fn drive<S>(&self, mut service: S, calls: &AtomicUsize)
    where
        S: Service<Request<Body>, Response = Response>,
        S::Error: std::fmt::Debug,
    {
        for round in 0..2 {
            let unknown = self.unknown();
            for (way, token, status) in [
                ("rejected", &self.forged, 401),
                ("known", &self.known, 200),
                ("unknown", &unknown, 200),
                ("rejected", &self.forged, 401),
                ("rejected", &self.forged, 401),
                ("known now", &unknown, 200),
                ("known", &self.known, 200),
            ] {
                let before = calls.load(Ordering::Relaxed);
                let ready = service.ready().await.expect("ready");
                let response = ready.call(bearer("GET", "/", token)).await.expect("an answer");
                assert_eq!(response.status().as_u16(), status, "{way}, round {round}");
                let reached = calls.load(Ordering::Relaxed) - before;
                assert_eq!(reached, usize::from(status == 200), "{way}, round {round}");
            }
            // Once per cooldown an unknown key is asked for, and the known token must not expire.
            self.world.sim.heal_all();
            tokio::time::sleep(Duration::from_secs(if round == 0 { 31 } else { 0 })).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handles_layers_and_futures_are_send_and_sync() {
    is_thread_safe::<ClerkResilience>();
    is_cloneable::<ClerkResilience>();
    is_thread_safe::<Authenticate<Router>>();
    is_cloneable::<Authenticate<Router>>();
    is_thread_safe::<HealthService>();
    is_thread_safe::<Auth>();
    is_thread_safe::<FreshAuth>();
    is_thread_safe::<Rejection>();
    is_task::<Driver>();

    let world = World::new().await;
    let mut service = world.clerk.layer(Strict::new().0);
    let ready = ServiceExt::<Request<Body>>::ready(&mut service).await.expect("ready");
    let future = ready.call(anonymous("GET", "/", &[]));
    is_sendable(&future);
    drop(future);
    // Not only Send services can be wrapped.
    let local = std::rc::Rc::new(());
    let inner = tower::service_fn(move |_: Request<Body>| {
        let local = local.clone();
        async move {
            drop(local);
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }
    });
    let answer = world.clerk.layer(inner).oneshot(anonymous("GET", "/", &[])).await;
    assert_eq!(answer.expect("infallible").status(), StatusCode::UNAUTHORIZED);
}

/// Other tests allocate at the same time, so only the best of many attempts counts.
fn fewest_allocations(mut attempt: impl FnMut()) -> usize {
    let measure = |_| {
        let region = Region::new(ALLOCATOR);
        attempt();
        region.change().allocations
    };
    (0..20_000).map(measure).min().expect("attempts")
}

#[tokio::test(start_paused = true)]
async fn wrapping_a_service_allocates_nothing() {
    let world = World::new().await;
    assert_eq!(fewest_allocations(|| drop(world.clerk.layer(()))), 0);
    assert_eq!(fewest_allocations(|| drop(world.clerk.clone())), 0);
    assert_eq!(fewest_allocations(|| drop(Box::new(1))), 1, "the measurement works");
}

#[tokio::test(start_paused = true)]
async fn the_layer_works_with_tower_http_layers_in_any_order() {
    let ways = Ways::new().await;
    let clerk = || ways.world.clerk.clone();
    let app = || {
        let long = || async { "long ".repeat(200) };
        Router::new().route("/", get(long).post(async |body: Bytes| body.len().to_string()))
    };
    let apps = [
        ("compression outside", app().layer(clerk()).layer(CompressionLayer::new())),
        ("compression inside", app().layer(CompressionLayer::new()).layer(clerk())),
        ("tracing outside", app().layer(clerk()).layer(TraceLayer::new_for_http())),
        ("tracing inside", app().layer(TraceLayer::new_for_http()).layer(clerk())),
        ("a limit outside", app().layer(clerk()).layer(RequestBodyLimitLayer::new(10))),
        ("a limit inside", app().layer(RequestBodyLimitLayer::new(10)).layer(clerk())),
        (
            "all at once",
            app().layer(
                ServiceBuilder::new()
                    .layer(TraceLayer::new_for_http())
                    .layer(CompressionLayer::new())
                    .layer(clerk())
                    .layer(RequestBodyLimitLayer::new(10))
                    .layer(CompressionLayer::new()),
            ),
        ),
    ];
    for (name, app) in apps {
        let mut request = bearer("GET", "/", &ways.known);
        request.headers_mut().insert("accept-encoding", "gzip".parse().expect("a value"));
        let response = app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        let gzip = response.headers().get("content-encoding").is_some_and(|value| value == "gzip");
        assert_eq!(gzip, name.contains("compression") || name == "all at once", "{name}");

        let rejected = World::ask(&app, bearer("GET", "/", &ways.forged)).await;
        assert_eq!(rejected.status, StatusCode::UNAUTHORIZED, "{name}");
        assert_eq!(rejected.json()["code"], "invalid_token", "{name}");

        let (parts, _) = bearer("POST", "/", &ways.known).into_parts();
        let long = Request::from_parts(parts, Body::from("x".repeat(100)));
        let answer = World::ask(&app, long).await;
        let limited = name.contains("limit") || name == "all at once";
        let status = if limited { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::OK };
        assert_eq!(answer.status, status, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_driver_ends_with_the_last_handle_and_layer() {
    let world = World::new().await;
    let (sim, clock) = (world.sim.clone(), world.clock.clone());
    let builder = ClerkResilience::builder(test_support::world::config(&sim));
    let (clerk, driver) = builder.clock(clock).transport(sim.transport()).pair().expect("good");
    let driver = tokio::spawn(driver);
    let wrapped = clerk.layer(Strict::new().0);
    let health = clerk.health_service();
    drop(clerk);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!driver.is_finished());
    drop(wrapped);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!driver.is_finished(), "the health endpoint still needs it");
    drop(health);
    let ended: Pin<Box<dyn Future<Output = _>>> =
        Box::pin(tokio::time::timeout(Duration::from_secs(5), driver));
    ended.await.expect("it ends").expect("in order");
}
