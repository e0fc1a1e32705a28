use std::io;
use std::time::Duration;

use clerk_verify::key::{InstanceKind, PublishableKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use crate::{SimClerk, SimFault, SimSurface};

const SOON: Duration = Duration::from_millis(100);

async fn connect(url: &Url) -> io::Result<TcpStream> {
    TcpStream::connect(&*url.socket_addrs(|| None)?).await
}

async fn send(url: &Url, head: &str) -> io::Result<TcpStream> {
    let mut stream = connect(url).await?;
    stream.write_all(format!("{head}\r\nhost: clerk\r\n\r\n").as_bytes()).await?;
    Ok(stream)
}

/// Everything that comes back on one connection.
async fn ask(url: &Url, head: &str) -> io::Result<String> {
    ask_with(url, head, "").await
}

async fn ask_with(url: &Url, head: &str, body: &str) -> io::Result<String> {
    let mut stream = send(url, head).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn jwks(clerk: &SimClerk) -> io::Result<String> {
    ask(&clerk.frontend_api_url(), "GET /.well-known/jwks.json HTTP/1.1").await
}

#[tokio::test]
async fn three_listeners_answer_and_close() {
    let clerk = SimClerk::start().await.expect("free ports");
    let answer = jwks(&clerk).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(answer.matches("date: ").count(), 1, "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    assert_eq!(body, clerk.jwks().to_string());

    let key = clerk.secret_key().expose();
    let head = format!("GET /v1/jwks HTTP/1.1\r\nauthorization: Bearer {key}");
    let answer = ask(&clerk.backend_api_url(), &head).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let head = "GET /api/v2/summary.json HTTP/1.1";
    let answer = ask(&clerk.status_page_url(), head).await.expect("an answer");
    assert!(answer.contains("Session management"), "{answer}");
    assert_eq!(clerk.requests(SimSurface::BackendJwks), 1);
}

#[tokio::test]
async fn a_browser_may_ask_from_another_origin() {
    let clerk = SimClerk::start().await.expect("free ports");
    let head = "OPTIONS /v1/client HTTP/1.1\r\norigin: https://app.example\r\n\
        access-control-request-headers: authorization";
    let answer = ask(&clerk.frontend_api_url(), head).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: https://app.example"), "{answer}");
    assert!(answer.contains("access-control-allow-headers: authorization"), "{answer}");
    assert_eq!(clerk.total_requests(), 0);
}

#[tokio::test]
async fn a_post_with_a_body_is_answered() {
    let clerk = SimClerk::start().await.expect("free ports");
    let session = clerk.sign_in("user_ada");
    let head = format!("POST /v1/client/sessions/{}/tokens HTTP/1.1", session.id);
    let url = clerk.frontend_api_url();
    let head = format!("{head}\r\ncontent-type: text/plain\r\ncontent-length: 0");
    let answer = ask(&url, &head).await.expect("an answer");
    assert!(answer.contains("\"jwt\":"), "{answer}");
}

#[tokio::test]
async fn a_person_signs_in_on_the_page_and_is_sent_back_from_then_on() {
    let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Development);
    let clerk = SimClerk::builder().publishable_key(key.expect("a plain host"));
    let clerk = clerk.start().await.expect("free ports");
    let url = clerk.frontend_api_url();
    let path = "/sign-in?redirect_url=http%3A%2F%2Fapp.example%2Fa%3Fb%3D1";
    let page = ask(&url, &format!("GET {path} HTTP/1.1")).await.expect("an answer");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("name=\"identifier\""), "{page}");

    let form = "identifier=Ada+L";
    let head = format!("POST {path} HTTP/1.1\r\ncontent-length: {}", form.len());
    let answer = ask_with(&url, &head, form).await.expect("an answer");
    let back = "location: http://app.example/a?b=1&__clerk_db_jwt=dvb_";
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains(back), "{answer}");
    let session = &clerk.sessions()[0];
    assert_eq!(session.user.as_str(), "Ada L");
    let cookie = format!("__client={}", session.id);
    assert!(answer.contains(&format!("set-cookie: {cookie}; Path=/; HttpOnly")), "{answer}");

    let again = format!("GET {path} HTTP/1.1\r\ncookie: {cookie}");
    assert!(ask(&url, &again).await.expect("an answer").contains(back));
    clerk.revoke(session);
    assert!(ask(&url, &again).await.expect("an answer").starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn bytes_that_are_not_http_are_turned_away() {
    let clerk = SimClerk::start().await.expect("free ports");
    let answer = ask(&clerk.frontend_api_url(), "\0\0 nonsense").await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    jwks(&clerk).await.expect("the next one is served");
}

#[tokio::test]
async fn each_fault_acts_as_named() {
    let clerk = SimClerk::start().await.expect("free ports");
    let with = async |fault: SimFault| {
        clerk.break_with(SimSurface::Jwks, fault);
        jwks(&clerk).await
    };
    let answer = with(SimFault::cdn(503)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let answer = with(SimFault::Garbage).await.expect("some bytes");
    assert!(!answer.starts_with("HTTP/") && !answer.is_empty(), "{answer}");
    let answer = with(SimFault::Tls).await.expect("some bytes");
    assert_eq!(answer.as_bytes()[0], 21);
    let answer = with(SimFault::Truncated).await.expect("some bytes");
    assert!(answer.contains("content-length: 4096") && answer.len() < 1_000, "{answer}");
    for fault in [SimFault::Reset, SimFault::Refused, SimFault::Dns] {
        let error = with(fault).await.expect_err("a broken connection");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    assert_eq!(clerk.requests(SimSurface::Jwks), 7);
}

#[tokio::test]
async fn a_hanging_request_keeps_its_connection_open() {
    let clerk = SimClerk::start().await.expect("free ports");
    clerk.break_with(SimSurface::Jwks, SimFault::Hang);
    let head = "GET /.well-known/jwks.json HTTP/1.1";
    let mut stream = send(&clerk.frontend_api_url(), head).await.expect("a connection");
    let read = tokio::time::timeout(SOON, stream.read_u8()).await;
    assert!(read.is_err(), "neither bytes nor an end: {read:?}");
}

#[tokio::test]
async fn endless_bodies_go_on_for_as_long_as_they_are_read() {
    let clerk = SimClerk::start().await.expect("free ports");
    let head = "GET /.well-known/jwks.json HTTP/1.1";
    for (fault, amount) in [(SimFault::Huge, 4 * 1024 * 1024), (SimFault::SlowDrip, 80)] {
        clerk.break_with(SimSurface::Jwks, fault);
        let mut stream = send(&clerk.frontend_api_url(), head).await.expect("a connection");
        let mut bytes = vec![0; amount];
        stream.read_exact(&mut bytes).await.expect("so many bytes at least");
        assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn a_refusing_host_closes_its_port_and_comes_back_on_it() {
    let clerk = SimClerk::start().await.expect("free ports");
    let url = clerk.frontend_api_url();
    jwks(&clerk).await.expect("an answer");
    for fault in [SimFault::Refused, SimFault::Dns] {
        clerk.break_with(SimSurface::FRONTEND, fault);
        clerk.settled().await;
        let error = connect(&url).await.expect_err("a closed port");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        connect(&clerk.backend_api_url()).await.expect("another host's port is open");
        clerk.heal(SimSurface::FRONTEND);
        clerk.settled().await;
        assert_eq!(clerk.frontend_api_url(), url);
        jwks(&clerk).await.expect("an answer");
    }
}

#[tokio::test]
async fn the_listeners_stop_with_the_last_handle() {
    let clerk = SimClerk::start().await.expect("free ports");
    let (url, other) = (clerk.frontend_api_url(), clerk.clone());
    drop(clerk);
    jwks(&other).await.expect("an answer");
    drop(other);
    // The aborted task goes at its next turn.
    while connect(&url).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
