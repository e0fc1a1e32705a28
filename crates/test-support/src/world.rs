//! A protected application beside a simulated Clerk, in one process and in virtual time.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use clerk_resilience::clock::Timestamp;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimSession, SimSurface};
use clerk_resilience::{Auth, Builder, ClerkConfig, ClerkResilience, GracePolicy, Verdict};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

/// A simulated Clerk, an application behind the layer, and their clock.
#[derive(Debug)]
pub struct World {
    pub clock: SimClock,
    pub sim: SimClerk,
    pub clerk: ClerkResilience,
    pub app: Router,
}

/// A response with its body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).expect("text"),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

pub fn start_of_time() -> Timestamp {
    Timestamp::from_secs(1_780_000_000)
}

pub fn config(sim: &SimClerk) -> ClerkConfig {
    ClerkConfig::new(sim.publishable_key().clone())
        .secret_key(sim.secret_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url())
        .status_page(Some(sim.status_page_url().join("api/v2/summary.json").expect("an address")))
}

/// `GET /me` and `POST /me` answer with the user and the kind of session.
pub fn routes() -> Router {
    async fn me(auth: Auth) -> String {
        let grace = auth.grace().map_or("fresh", |grace| grace.reason.name());
        format!("{} {grace}", auth.user_id())
    }
    Router::new().route("/me", get(me)).route("/me", post(me))
}

impl World {
    /// A healthy world with balanced grace.
    pub async fn new() -> Self {
        Self::with(|builder| builder.grace(GracePolicy::balanced())).await
    }

    /// A healthy world with builder options.
    pub async fn with(choose: impl FnOnce(Builder) -> Builder) -> Self {
        let world = Self::unready(choose);
        world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
        world
    }

    /// A healthy production instance with balanced grace and builder options.
    pub async fn production(choose: impl FnOnce(Builder) -> Builder) -> Self {
        let clock = SimClock::starting_at(start_of_time());
        let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Production);
        let sim = SimClerk::builder().clock(clock.clone()).seed(7);
        let sim = sim.publishable_key(key.expect("a host")).build();
        let world =
            Self::beside(clock, sim, |builder| choose(builder.grace(GracePolicy::balanced())));
        world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
        world
    }

    /// A world at its start, before the first probe.
    pub fn unready(choose: impl FnOnce(Builder) -> Builder) -> Self {
        let clock = SimClock::starting_at(start_of_time());
        let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
        Self::beside(clock, sim, choose)
    }

    /// Another application of an existing Clerk, as after a restart.
    pub fn beside(clock: SimClock, sim: SimClerk, choose: impl FnOnce(Builder) -> Builder) -> Self {
        Self::configured(config(&sim), clock, sim, choose)
    }

    /// Another application of an existing Clerk, with its own configuration.
    pub fn configured(
        config: ClerkConfig,
        clock: SimClock,
        sim: SimClerk,
        choose: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let builder =
            ClerkResilience::builder(config).clock(clock.clone()).transport(sim.transport());
        let clerk = choose(builder).build().expect("a good configuration");
        let app = routes().route_layer(clerk.clone()).merge(clerk.routes());
        Self { clock, sim, clerk, app }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.app.clone().oneshot(request).await.expect("infallible")).await
    }

    /// `GET /me` with a bearer token.
    pub async fn get(&self, token: &str) -> Answer {
        self.send(bearer("GET", "/me", token)).await
    }

    /// Makes all of Clerk's API answer 429, as in the recorded outages.
    pub fn break_clerk(&self) {
        self.sim.break_with(SimSurface::CLERK, SimFault::status(429));
    }

    pub fn now(&self) -> Timestamp {
        use clerk_resilience::clock::Clock as _;
        self.clock.now().wall
    }

    pub fn now_secs(&self) -> i64 {
        self.now().as_secs()
    }

    /// Seconds since the start of time.
    pub fn clock_secs(&self) -> i64 {
        self.now_secs() - start_of_time().as_secs()
    }

    pub async fn pass(&self, secs: u64) {
        tokio::time::sleep(Duration::from_secs(secs)).await;
    }

    /// Waits for the verdict and returns the seconds that took.
    pub async fn until(&self, verdict: Verdict) -> u64 {
        for second in 0..600 {
            if self.clerk.verdict() == verdict {
                return second;
            }
            self.pass(1).await;
        }
        panic!("the verdict is {:?}, not {verdict:?}", self.clerk.verdict());
    }

    /// Waits until the driver has just probed the surface. Its next probe, at a random moment, is
    /// many seconds away, so that a test can count other requests.
    pub async fn after_probe(&self, surface: SimSurface) {
        let before = self.sim.requests(surface);
        while self.sim.requests(surface) == before {
            self.pass(1).await;
        }
    }

    /// Starts an outage after a user was seen. Returns the session and its expired token.
    pub async fn outage(&self) -> (SimSession, String) {
        let session = self.sim.sign_in("user_1");
        let token = self.sim.mint(&session);
        assert_eq!(self.get(&token).await.status, StatusCode::OK);
        self.break_clerk();
        self.until(Verdict::Outage).await;
        self.pass(60).await;
        (session, token)
    }
}

pub fn bearer(method: &str, path: &str, token: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .body(Body::empty())
        .expect("a request")
}

pub fn anonymous(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request =
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).expect("a request")
}

/// A session and its expired token.
pub async fn expired(world: &World) -> (SimSession, String) {
    let session = world.sim.sign_in("user_1");
    world.sim.set_browser_session(Some(&session));
    let token = world.sim.mint(&session);
    world.pass(90).await;
    (session, token)
}

/// The headers of a browser's page navigation.
pub const NAVIGATION: [(&str, &str); 3] = [
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
];

/// Every verdict, in an order in which one world can go through them all.
pub const VERDICTS: [Verdict; 6] = [
    Verdict::Healthy,
    Verdict::Unknown,
    Verdict::Suspect,
    Verdict::Isolated,
    Verdict::Outage,
    Verdict::Recovering,
];

impl World {
    /// A healthy world with an egress canary, so that [`Verdict::Isolated`] can be reached.
    pub async fn with_canary(choose: impl FnOnce(Builder) -> Builder) -> Self {
        let canary = "https://canary.sim.example/".parse().expect("an address");
        Self::with(|builder| choose(builder).egress_canary(canary)).await
    }

    /// Brings about a verdict, in a world with a canary and in the order of [`VERDICTS`].
    pub async fn reach(&self, verdict: Verdict) {
        self.sim.heal_all();
        match verdict {
            Verdict::Healthy => {
                self.until(Verdict::Healthy).await;
            }
            // Until the driver has looked at the clock again.
            Verdict::Unknown => self.clock.jump(3_000),
            Verdict::Suspect => {
                self.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
                self.until(Verdict::Suspect).await;
                self.pass(60).await;
            }
            Verdict::Isolated => {
                self.until(Verdict::Healthy).await;
                // Until every surface was seen well again.
                self.pass(75).await;
                self.sim.break_with(SimSurface::CLERK, SimFault::Refused);
                self.until(Verdict::Isolated).await;
            }
            Verdict::Outage => {
                self.until(Verdict::Healthy).await;
                self.pass(75).await;
                self.break_clerk();
                self.until(Verdict::Outage).await;
            }
            Verdict::Recovering => {
                self.until(Verdict::Recovering).await;
            }
            other => panic!("{other:?} cannot be brought about"),
        }
        assert_eq!(self.clerk.verdict(), verdict);
    }

    /// Sends a request to an application of the test.
    pub async fn ask(app: &Router, request: Request<Body>) -> Answer {
        Answer::of(app.clone().oneshot(request).await.expect("infallible")).await
    }
}

/// A request with a bearer token and further headers.
pub fn signed(method: &str, path: &str, token: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let authorization = format!("Bearer {token}");
    let mut all = vec![("authorization", authorization.as_str())];
    all.extend_from_slice(fields);
    anonymous(method, path, &all)
}

/// The output of a `tracing` subscriber.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("whole").clone()).expect("text")
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Waits until the state directory is written and its outage record is as wanted. Files are written
/// on threads that virtual time does not wait for.
pub async fn until_saved(dir: &Path, wanted: impl Fn(&Value) -> bool) {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let saved = std::fs::read(dir.join("outages.json")).ok();
        let saved = saved.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if dir.join("keys.json").exists() && saved.is_some_and(|json| wanted(&json)) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the record was not saved");
}
