//! What outlives its request ends on revocation, and in grace when grace does.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::ws::WebSocketUpgrade;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::serve::Listener;
use clerk_resilience::sim::{SimOrganization, SimSession};
use clerk_resilience::token::TokenKind;
use clerk_resilience::{Auth, Caller, GraceAccess, GracePolicy, Lease, RoutePolicy, Verdict};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use test_support::world::{World, anonymous, bearer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tower::ServiceExt as _;

/// One connection that is there already.
struct One(Option<DuplexStream>);

impl Listener for One {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.take() {
            Some(connection) => (connection, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

async fn held(ws: WebSocketUpgrade, _: Auth, lease: Lease) -> Response {
    ws.on_upgrade(async |mut socket| {
        lease.hold(async move { while socket.recv().await.is_some() {} }).await;
    })
}

async fn forgotten(ws: WebSocketUpgrade, _: Auth) -> Response {
    ws.on_upgrade(async |mut socket| while socket.recv().await.is_some() {})
}

async fn events(_: Auth) -> impl IntoResponse {
    events_of_a_second()
}

/// An event a second, without an end.
fn events_of_a_second() -> impl IntoResponse {
    let ticks = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, Infallible>(Event::default().data("tick")), ()))
    });
    Sse::new(ticks)
}

fn app(world: &World, grace: GraceAccess) -> Router {
    Router::new()
        .route("/held", get(held))
        .route("/forgotten", get(forgotten))
        .route("/events", get(events))
        .route_layer(world.clerk.policy(RoutePolicy::required().grace(grace)))
}

/// Opens a WebSocket, and returns the connection and the status.
async fn open(world: &World, path: &str, token: &str) -> (DuplexStream, u16) {
    open_at(app(world, GraceAccess::Full), path, token).await
}

async fn open_at(app: Router, path: &str, token: &str) -> (DuplexStream, u16) {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move { axum::serve(One(Some(server)), app).await });
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: app.example.com\r\nauthorization: Bearer {token}\r\n\
         sec-fetch-site: same-origin\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("a response"));
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (client, status.expect("a status"))
}

/// How many seconds pass until the connection ends.
async fn lasts(world: &World, mut connection: DuplexStream) -> i64 {
    let begun = world.clock_secs();
    let mut rest = Vec::new();
    drop(connection.read_to_end(&mut rest).await);
    world.clock_secs() - begun
}

#[tokio::test(start_paused = true)]
async fn g15_a_websocket_opened_in_grace_ends_at_the_deadline() {
    let policy = GracePolicy::balanced().max_grace("10min");
    let world = World::with(|builder| builder.grace(policy)).await;
    let (_, token) = world.outage().await;
    let until = 60 + 10 * 60;
    let begun = world.clock_secs();
    let (connection, status) = open(&world, "/held", &token).await;
    assert_eq!(status, 101);
    let lasted = lasts(&world, connection).await;
    assert!((until..=until + 1).contains(&(begun + lasted)), "{begun} {lasted}");
}

#[tokio::test(start_paused = true)]
async fn g15_a_websocket_ends_soon_after_revocation_or_recovery() {
    let world = World::new().await;
    let (session, token) = world.outage().await;
    let (connection, status) = open(&world, "/held", &token).await;
    assert_eq!(status, 101);
    world.pass(60).await;
    world.clerk.revoke_session(session.id.clone());
    assert!(lasts(&world, connection).await <= 5);

    let world = World::new().await;
    let (_, token) = world.outage().await;
    let (connection, _) = open(&world, "/held", &token).await;
    world.sim.heal_all();
    lasts(&world, connection).await;
    assert!(matches!(world.clerk.verdict(), Verdict::Recovering | Verdict::Healthy));
}

#[tokio::test(start_paused = true)]
async fn g15_an_upgrade_without_a_lease_is_rejected_in_grace() {
    let world = World::new().await;
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    assert_eq!(open(&world, "/forgotten", &fresh).await.1, 101);
    assert_eq!(open(&world, "/held", &fresh).await.1, 101);
    let (_, token) = world.outage().await;
    assert_eq!(open(&world, "/forgotten", &token).await.1, 503);
}

#[tokio::test(start_paused = true)]
async fn g15_one_lease_has_the_terms_of_all_layers() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let outer = world.clerk.policy(RoutePolicy::required().grace(GraceAccess::Full));
    let app = app(&world, GraceAccess::Full).route_layer(outer);
    assert_eq!(open_at(app.clone(), "/held", &token).await.1, 101);
    assert_eq!(open_at(app, "/forgotten", &token).await.1, 503);
}

#[tokio::test(start_paused = true)]
async fn g15_a_tunnel_over_http_2_is_an_upgrade_too() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let full = RoutePolicy::required().grace(GraceAccess::Full);
    let app = Router::new()
        .route("/tunnel", any(async |_: Auth| "open"))
        .route_layer(world.clerk.policy(full));
    let mut request = bearer("CONNECT", "/tunnel", &token);
    let value = "same-origin".parse().expect("a value");
    request.headers_mut().insert("sec-fetch-site", value);
    assert_eq!(World::ask(&app, request).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn g15_a_stream_ends_when_its_key_is_dropped() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    world.get(&token).await;
    world.clerk.force_outage(Duration::from_secs(3_600));
    world.pass(70).await;
    let app = app(&world, GraceAccess::Full);
    let response = app.oneshot(stream_request("/events", &token)).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
    let begun = world.clock_secs();
    world.sim.replace_key();
    let mut body = response.into_body();
    while body.frame().await.is_some() {}
    assert!(world.clock_secs() - begun < 120, "{}", world.clock_secs());
}

fn stream_request(path: &str, token: &str) -> Request<axum::body::Body> {
    let mut request = bearer("GET", path, token);
    let headers = request.headers_mut();
    headers.insert("accept", "text/event-stream".parse().expect("a value"));
    headers.insert("sec-fetch-site", "same-origin".parse().expect("a value"));
    request
}

#[tokio::test(start_paused = true)]
async fn g15_a_stream_ends_at_the_deadline_without_its_handler() {
    let policy = GracePolicy::balanced().max_grace("10min");
    let world = World::with(|builder| builder.grace(policy)).await;
    let (_, token) = world.outage().await;
    let app = app(&world, GraceAccess::Full);
    let response = app.oneshot(stream_request("/events", &token)).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let mut ticks = 0;
    while let Some(frame) = body.frame().await {
        let data: Bytes = frame.expect("a frame").into_data().expect("data");
        ticks += usize::from(data.starts_with(b"data: tick"));
    }
    let until = 60 + 10 * 60;
    assert!((until..=until + 1).contains(&world.clock_secs()), "{}", world.clock_secs());
    assert!(ticks > 400, "{ticks}");
}

#[tokio::test(start_paused = true)]
async fn g15_server_sent_events_need_full_access() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let app = app(&world, GraceAccess::SafeMethods);
    let answer = World::ask(&app, stream_request("/events", &token)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let cross = {
        let fields = [("accept", "text/event-stream"), ("sec-fetch-site", "cross-site")];
        let mut request = anonymous("GET", "/events", &fields);
        let value = format!("Bearer {token}").parse().expect("a value");
        request.headers_mut().insert("authorization", value);
        request
    };
    let app = self::app(&world, GraceAccess::Full);
    assert_eq!(World::ask(&app, cross).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

type Revoke = fn(&World, &SimSession);

/// What ends everything that a fresh session of `user_1` in `org_1` began; and one that does not.
const REVOCATIONS: [(&str, Revoke); 6] = [
    ("session", |world, session| world.clerk.revoke_session(session.id.clone())),
    ("user", |world, _| world.clerk.revoke_user("user_1")),
    ("member", |world, _| world.clerk.revoke_member("user_1", "org_1")),
    ("organisation", |world, _| world.clerk.revoke_organization("org_1")),
    ("key", |world, _| distrust(world)),
    ("another's session", |world, _| world.clerk.revoke_session("sess_of_another")),
];

fn distrust(world: &World) {
    let status = world.clerk.snapshot();
    let key = status.keys.set.keys().find_map(|key| key.id()).expect("a key").clone();
    world.clerk.distrust_key(key);
}

fn member(world: &World) -> (SimSession, String) {
    let session = world.sim.sign_in("user_1");
    let organization = SimOrganization::new("org_1", "acme");
    let token = world.sim.token(&session).organization(organization).sign();
    (session, token)
}

async fn streamed(app: Router, token: &str) -> Body {
    let response = app.oneshot(stream_request("/events", token)).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body()
}

/// How many seconds a stream goes on, at most so many.
async fn flows(world: &World, body: &mut Body, most: u64) -> i64 {
    let begun = world.clock_secs();
    let end = async { while body.frame().await.is_some() {} };
    drop(tokio::time::timeout(Duration::from_secs(most), end).await);
    world.clock_secs() - begun
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_fresh_session_ends_on_revocation() {
    for (what, revoke) in REVOCATIONS {
        let world = World::new().await;
        let (session, token) = member(&world);
        let (connection, status) = open(&world, "/held", &token).await;
        assert_eq!(status, 101);
        world.pass(60).await;
        revoke(&world, &session);
        let ended = tokio::time::timeout(Duration::from_secs(600), lasts(&world, connection)).await;
        let own = what != "another's session";
        assert_eq!(ended.is_ok_and(|secs| secs <= 5), own, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_fresh_session_ends_on_revocation() {
    for (what, revoke) in REVOCATIONS {
        let world = World::new().await;
        let (session, token) = member(&world);
        let mut body = streamed(app(&world, GraceAccess::Never), &token).await;
        assert_eq!(flows(&world, &mut body, 20).await, 20, "{what}: it flows");
        revoke(&world, &session);
        let own = what != "another's session";
        assert_eq!(flows(&world, &mut body, 600).await <= 5, own, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_layers_end_a_stream_of_a_fresh_session() {
    let world = World::new().await;
    let outer = || world.clerk.policy(RoutePolicy::required());
    let nested = || app(&world, GraceAccess::Full).route_layer(outer());
    let (session, token) = member(&world);
    let mut body = streamed(nested(), &token).await;
    let (connection, status) = open_at(nested(), "/held", &token).await;
    assert_eq!((status, flows(&world, &mut body, 20).await), (101, 20));
    world.clerk.revoke_session(session.id);
    assert!(flows(&world, &mut body, 600).await <= 5);
    assert!(lasts(&world, connection).await <= 5);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_lease_outlives_the_token_and_an_outage() {
    let world = World::new().await;
    let (_, token) = member(&world);
    let (mut connection, _) = open(&world, "/held", &token).await;
    let mut body = streamed(app(&world, GraceAccess::Never), &token).await;
    world.break_clerk();
    let hours = Duration::from_secs(3 * 3_600);
    let quiet = tokio::time::timeout(hours, connection.read_u8()).await;
    assert!(quiet.is_err(), "the connection goes on");
    assert_eq!(flows(&world, &mut body, 600).await, 600);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_stream_ends_when_clerk_drops_its_key() {
    let world = World::new().await;
    let (_, token) = member(&world);
    let (connection, _) = open(&world, "/held", &token).await;
    let mut body = streamed(app(&world, GraceAccess::Never), &token).await;
    world.sim.replace_key();
    assert!(flows(&world, &mut body, 3 * 3_600).await <= 3_600, "the next refresh of the keys");
    assert!(lasts(&world, connection).await <= 5);
}

#[tokio::test(start_paused = true)]
async fn a_machine_stream_ends_on_revocation_and_a_public_one_not() {
    let world = World::new().await;
    let any = RoutePolicy::optional().accepts([TokenKind::Session, TokenKind::OAuth]);
    let events = async |_: Option<Caller>| events_of_a_second();
    let app = Router::new().route("/events", get(events)).route_layer(world.clerk.policy(any));
    let session = world.sim.sign_in("user_1");
    let machine = world.sim.token(&session).header("typ", "at+jwt").sign();
    let mut machines = streamed(app.clone(), &machine).await;
    let response = app.oneshot(anonymous("GET", "/events", &[])).await.expect("infallible");
    let mut anybodys = response.into_body();
    assert_eq!(flows(&world, &mut machines, 120).await, 120);
    world.clerk.revoke_user("user_1");
    assert!(flows(&world, &mut machines, 600).await <= 5);
    assert_eq!(flows(&world, &mut anybodys, 600).await, 600);
}

#[tokio::test(start_paused = true)]
async fn trailers_and_content_lengths_are_preserved() {
    async fn rpc(_: Auth) -> Response {
        let trailers = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let frames = [Frame::data(Bytes::from_static(b"reply")), Frame::trailers(trailers)];
        let frames = frames.map(Ok::<_, Infallible>);
        Response::new(Body::new(StreamBody::new(stream::iter(frames))))
    }
    let world = World::new().await;
    let app = Router::new()
        .route("/rpc", get(rpc))
        .route("/page", get(async |_: Auth| "eleven bytes"))
        .route_layer(world.clerk.clone());
    let (_, token) = member(&world);
    let ask = async |path: &str| app.clone().oneshot(bearer("GET", path, &token)).await;
    let page = ask("/page").await.expect("infallible").into_body();
    assert_eq!(page.size_hint().exact(), Some(12));
    let whole = ask("/rpc").await.expect("infallible").into_body().collect().await.expect("whole");
    assert_eq!(whole.trailers().expect("trailers")["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), "reply");
}
