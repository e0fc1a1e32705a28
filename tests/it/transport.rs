//! The wire to Clerk over real sockets, in real time. Nothing here leaves the host.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::clock::Moment;
use clerk_resilience::fetch::HttpUpstream;
use clerk_resilience::internals::health::{EvidenceClass, Observation, Outcome, Surface};
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::transport::{ApiRequest, ApiResponse, Transport as _, TransportError};
use clerk_resilience::{Auth, ClerkResilience, Verdict};
use http::StatusCode;
use test_support::world::config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower::ServiceExt as _;
use url::Url;

/// Only a test that fails waits for as long: what is expected comes at once, or late on a loaded machine.
const PATIENT: Duration = Duration::from_secs(60);
/// The tests wait for this one. That a call ends with [`TransportError::Timeout`] shows that the deadline ended it, since the
/// server would never answer, or would answer well later.
const SHORT: Duration = Duration::from_millis(300);

fn client() -> HttpUpstream {
    HttpUpstream::new().expect("TLS works here")
}

async fn call(url: Url, deadline: Duration) -> (Result<ApiResponse, TransportError>, Duration) {
    let client = client();
    let started = Instant::now();
    let result = client.call(ApiRequest::get(url).deadline(deadline)).await;
    (result, started.elapsed())
}

fn keys_url(sim: &SimClerk) -> Url {
    sim.frontend_api_url().join(".well-known/jwks.json").expect("an address")
}

#[tokio::test]
async fn a_good_answer_is_returned_whole() {
    let sim = SimClerk::start().await.expect("free ports");
    let (result, _) = call(keys_url(&sim), PATIENT).await;
    let reply = result.expect("an answer");
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header(&http::header::CONTENT_TYPE), Some("application/json"));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&reply.body).expect("JSON"), sim.jwks());
    let post = client().call(ApiRequest::get(keys_url(&sim)).post().deadline(PATIENT)).await;
    assert_eq!(post.expect("an answer").status, StatusCode::NOT_FOUND, "the method is sent");
}

#[tokio::test]
async fn each_kind_of_failure_is_distinguished() {
    let sim = SimClerk::start().await.expect("free ports");
    for (fault, deadline, expected) in [
        (SimFault::Reset, PATIENT, TransportError::Reset),
        (SimFault::Hang, SHORT, TransportError::Timeout),
        (SimFault::Garbage, PATIENT, TransportError::Protocol),
        (SimFault::Truncated, PATIENT, TransportError::Protocol),
        (SimFault::Huge, PATIENT, TransportError::TooLarge),
        (SimFault::SlowDrip, SHORT, TransportError::Timeout),
        (SimFault::Latency(2 * PATIENT), SHORT, TransportError::Timeout),
        (SimFault::Tls, PATIENT, TransportError::Protocol),
    ] {
        sim.break_with(SimSurface::Jwks, fault.clone());
        let (result, took) = call(keys_url(&sim), deadline).await;
        assert_eq!(result.expect_err("a fault"), expected, "{fault:?}");
        if expected == TransportError::Timeout {
            assert!(took >= SHORT, "{fault:?} took {took:?}");
        }
    }
    sim.break_with(SimSurface::FRONTEND, SimFault::Refused);
    sim.settled().await;
    let (result, _) = call(keys_url(&sim), PATIENT).await;
    assert_eq!(result.expect_err("a fault"), TransportError::Refused);
    sim.heal_all();
    sim.settled().await;
    let (result, _) = call(keys_url(&sim), PATIENT).await;
    assert_eq!(result.expect("it is back").status, StatusCode::OK);
}

#[tokio::test]
async fn an_error_status_is_an_answer_and_redirects_stop() {
    let sim = SimClerk::start().await.expect("free ports");
    sim.break_with(SimSurface::Jwks, SimFault::cdn(503));
    let (result, _) = call(keys_url(&sim), PATIENT).await;
    assert_eq!(result.expect("an answer").status, StatusCode::SERVICE_UNAVAILABLE);

    let target = sim.status_page_url().join("api/v2/summary.json").expect("an address");
    sim.break_with(SimSurface::Jwks, SimFault::Redirect(target.clone()));
    let (result, _) = call(keys_url(&sim), PATIENT).await;
    let reply = result.expect("an answer");
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(reply.header(&http::header::LOCATION), Some(target.as_str()));
    assert_eq!(sim.requests(SimSurface::StatusPage), 0, "nobody went there");
}

#[tokio::test]
async fn a_body_is_limited_in_size() {
    let sim = SimClerk::start().await.expect("free ports");
    let size = sim.jwks().to_string().len();
    for (cap, fits) in [(size, true), (size - 1, false), (0, false)] {
        let mut call = ApiRequest::get(keys_url(&sim)).deadline(PATIENT);
        call.max_bytes = cap;
        let result = client().call(call).await;
        assert_eq!(result.is_ok(), fits, "{cap} of {size}");
        assert!(fits || result.err() == Some(TransportError::TooLarge));
    }
}

/// The clock runs on between two readings of it here, as it does not in virtual time.
#[tokio::test]
async fn a_sign_out_reaches_clerk_over_sockets() {
    let sim = SimClerk::start().await.expect("free ports");
    let clerk = ClerkResilience::builder(config(&sim)).build().expect("a good configuration");
    clerk.ready(PATIENT).await.expect("a healthy Clerk");
    let token = sim.mint(&sim.sign_in("user_ada"));
    let request = http::Request::post("/auth/sign-out")
        .header("authorization", format!("Bearer {token}"))
        .body(axum::body::Body::empty());
    let left = clerk.routes().oneshot(request.expect("a request")).await;
    assert_eq!(left.expect("an answer").status(), StatusCode::NO_CONTENT);
    let told = async {
        while sim.requests(SimSurface::BackendMutation) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENT, told).await.expect("Clerk hears of the sign-out");
}

/// A server that does with each connection what it is told, without HTTP.
async fn rude(answer: &'static [u8], piece: usize, pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                for piece in answer.chunks(piece) {
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                }
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn endless_and_slow_headers_end_at_a_limit() {
    let at = |address: SocketAddr| Url::parse(&format!("http://{address}/")).expect("an address");
    let endless: &[u8] = {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        for n in 0..100_000 {
            bytes.extend_from_slice(format!("x-{n}: {n}\r\n").as_bytes());
        }
        bytes.leak()
    };
    let many = rude(endless, 64 * 1024, Duration::ZERO).await;
    let (result, _) = call(at(many), PATIENT).await;
    assert_eq!(result.expect_err("too much"), TransportError::Protocol);
    let slow =
        rude(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 1, Duration::from_millis(50)).await;
    let (result, _) = call(at(slow), SHORT).await;
    assert_eq!(result.expect_err("too slow"), TransportError::Timeout);
    let closed = rude(b"", 1, Duration::ZERO).await;
    let (result, _) = call(at(closed), PATIENT).await;
    assert!(matches!(result, Err(TransportError::Reset | TransportError::Protocol)), "{result:?}");
}

#[tokio::test]
async fn an_unknown_host_fails_without_hanging() {
    let url = Url::parse("https://clerk.does-not-exist.invalid/").expect("an address");
    let (result, took) = call(url, Duration::from_secs(1)).await;
    let fault = result.expect_err("nobody has that name");
    assert!(took < PATIENT, "{took:?}");
    let proxied = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    if proxied.iter().all(|name| std::env::var_os(name).is_none()) {
        assert!(matches!(fault, TransportError::Dns | TransportError::Timeout), "{fault:?}");
    }
}

/// A TLS server with a certificate that nobody signed, for these names.
async fn stranger(names: &[&str]) -> SocketAddr {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they match");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ =
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn an_untrusted_certificate_is_an_untrusted_responder() {
    let stranger = stranger(&["localhost", "127.0.0.1"]).await;
    for host in ["localhost", "127.0.0.1"] {
        let url = Url::parse(&format!("https://{host}:{}/", stranger.port())).expect("an address");
        let (result, _) = call(url.clone(), PATIENT).await;
        assert_eq!(result.as_ref().expect_err("a stranger"), &TransportError::Tls, "{host}");
        let surface = Surface::SessionMint;
        let seen = Observation::of(surface, &url, &result, SHORT, Moment::default());
        assert!(matches!(seen.outcome, Outcome::Failed(EvidenceClass::Hostile, _)), "{seen:?}");
    }
    let sim = SimClerk::start().await.expect("free ports");
    let mut plain = keys_url(&sim);
    plain.set_scheme("https").expect("a scheme");
    let (result, _) = call(plain, PATIENT).await;
    let fault = result.expect_err("no TLS there");
    assert!(
        matches!(fault, TransportError::Protocol | TransportError::Reset),
        "{fault:?}: no proof of a stranger"
    );
}

#[tokio::test]
async fn a_whole_application_works_over_sockets() {
    let sim = SimClerk::start().await.expect("free ports");
    let clerk = ClerkResilience::builder(config(&sim)).build().expect("a good configuration");
    clerk.ready(PATIENT).await.expect("a healthy Clerk");
    assert_eq!(clerk.verdict(), Verdict::Healthy);
    let app = Router::new()
        .route("/me", get(async |auth: Auth| auth.user_id().to_string()))
        .route_layer(clerk.clone())
        .merge(clerk.routes());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move { axum::serve(listener, app).await });

    let session = sim.sign_in("user_ada");
    let me = Url::parse(&format!("http://{address}/me")).expect("an address");
    let ask = async |token: &str| {
        let call = ApiRequest::get(me.clone()).bearer(token).deadline(PATIENT);
        client().call(call).await.expect("an answer")
    };
    let welcome = ask(&sim.mint(&session)).await;
    assert_eq!((welcome.status, &*welcome.body), (StatusCode::OK, &b"user_ada"[..]));
    assert_eq!(ask(&sim.forge(&session)).await.status, StatusCode::UNAUTHORIZED);
    let health = me.join("/auth/health").expect("an address");
    let health = client().call(ApiRequest::get(health).deadline(PATIENT)).await.expect("an answer");
    assert_eq!(health.header(&http::header::CONTENT_TYPE), Some("application/health+json"));
    let document: serde_json::Value = serde_json::from_slice(&health.body).expect("JSON");
    assert_eq!(document["verdict"], "healthy");

    // With every port of Clerk's closed the application goes on.
    sim.break_with(SimSurface::ALL, SimFault::Refused);
    sim.settled().await;
    let other = sim.mint(&sim.sign_in("user_bob"));
    assert_eq!(ask(&other).await.status, StatusCode::OK);
    server.abort();
}
