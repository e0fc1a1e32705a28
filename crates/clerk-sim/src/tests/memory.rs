use std::time::Duration;

use bytes::Bytes;
use clerk_verify::transport::{ApiRequest, ApiResponse, Transport as _, TransportError};
use http::{Method, StatusCode, header};
use tokio::time::Instant;
use url::Url;

use crate::{SimBody, SimClerk, SimFault, SimSurface};

use super::json;

fn jwks_call(clerk: &SimClerk) -> ApiRequest {
    let url = clerk.frontend_api_url().join(".well-known/jwks.json").expect("a path");
    ApiRequest::get(url).deadline(Duration::from_secs(2))
}

/// What a fetch of the key set comes to while it is broken like that.
async fn broken(fault: SimFault) -> Result<ApiResponse, TransportError> {
    let clerk = SimClerk::in_memory();
    clerk.break_with(SimSurface::Jwks, fault);
    let call = jwks_call(&clerk);
    clerk.transport().call(call).await
}

#[tokio::test(start_paused = true)]
async fn each_fault_acts_as_named() {
    for (fault, seen) in [
        (SimFault::Hang, TransportError::Timeout),
        (SimFault::SlowDrip, TransportError::Timeout),
        (SimFault::Latency(Duration::from_secs(3)), TransportError::Timeout),
        (SimFault::Refused, TransportError::Refused),
        (SimFault::Reset, TransportError::Reset),
        (SimFault::Garbage, TransportError::Protocol),
        (SimFault::Truncated, TransportError::Protocol),
        (SimFault::Huge, TransportError::TooLarge),
        (SimFault::Dns, TransportError::Dns),
        (SimFault::Tls, TransportError::Tls),
        (SimFault::Reset.after(Duration::from_secs(1)), TransportError::Reset),
        (SimFault::Reset.after(Duration::from_secs(3)), TransportError::Timeout),
    ] {
        assert_eq!(broken(fault.clone()).await.expect_err("a fault"), seen, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_with_an_error_status_look_like_those_they_stand_for() {
    let limited = SimFault::status(429).retry_after(Duration::from_secs(7));
    let reply = broken(limited).await.expect("an answer");
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header(&header::RETRY_AFTER), Some("7"));
    assert_eq!(json(&reply)["errors"][0]["code"], "rate_limit_exceeded");

    let reply = broken(SimFault::cdn(502)).await.expect("an answer");
    assert_eq!(reply.header(&header::CONTENT_TYPE), Some("text/html; charset=utf-8"));

    let reply = broken(SimFault::maintenance()).await.expect("an answer");
    assert_eq!(json(&reply)["code"], "maintenance_mode");

    let reply = broken(SimFault::status(500).body(SimBody::Empty)).await.expect("an answer");
    assert_eq!(reply.body, Bytes::new());

    let reply = broken(SimFault::status(101)).await.expect("an answer");
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    let reply = broken(SimFault::status(1)).await.expect("an answer");
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_key_set_can_be_useless_in_many_ways() {
    let reply = broken(SimFault::EmptyKeys).await.expect("an answer");
    assert_eq!(json(&reply)["keys"].as_array().map(Vec::len), Some(0));
    let reply = broken(SimFault::InvalidJson).await.expect("an answer");
    assert!(serde_json::from_slice::<serde_json::Value>(&reply.body).is_err());
    let reply = broken(SimFault::ForeignKeys).await.expect("an answer");
    assert_eq!(json(&reply)["keys"].as_array().map(Vec::len), Some(1));
    let reply = broken(SimFault::Html).await.expect("an answer");
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.starts_with(b"<!doctype html>"));
    let elsewhere = Url::parse("https://elsewhere.example/").expect("an address");
    let reply = broken(SimFault::Redirect(elsewhere)).await.expect("an answer");
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(reply.header(&header::LOCATION), Some("https://elsewhere.example/"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_valid_and_reports_its_duration() {
    let clerk = SimClerk::in_memory();
    clerk.break_with(SimSurface::Jwks, SimFault::Latency(Duration::from_millis(1_500)));
    let started = Instant::now();
    let reply = clerk.transport().call(jwks_call(&clerk)).await.expect("an answer");
    assert_eq!(json(&reply), clerk.jwks());
    assert!(reply.latency >= Duration::from_millis(1_500));
    assert!(started.elapsed() < Duration::from_millis(1_600));
}

#[tokio::test(start_paused = true)]
async fn an_answer_longer_than_the_cap_is_too_large() {
    let clerk = SimClerk::in_memory();
    let mut call = jwks_call(&clerk);
    call.max_bytes = 100;
    assert_eq!(clerk.transport().call(call).await.expect_err("a fault"), TransportError::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_not_clerks_does_not_resolve() {
    let clerk = SimClerk::in_memory();
    for address in ["https://clerk.other.example/", "https://clerk.sim.example:8443/"] {
        let call = ApiRequest::get(Url::parse(address).expect("an address"));
        assert_eq!(clerk.transport().call(call).await.expect_err("a fault"), TransportError::Dns);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_where_they_went_until_that_is_forgotten() {
    let clerk = SimClerk::in_memory();
    clerk.break_with(SimSurface::Jwks, SimFault::Refused);
    for _ in 0..3 {
        let _ = clerk.transport().call(jwks_call(&clerk)).await;
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let page = clerk.status_page_url().join("api/v2/summary.json").expect("a path");
    clerk.transport().call(ApiRequest::get(page)).await.expect("an answer");
    assert_eq!(clerk.requests(SimSurface::Jwks), 3);
    assert_eq!(clerk.requests(SimSurface::StatusPage), 1);
    assert_eq!(clerk.total_requests(), 3);
    let times = clerk.request_times(SimSurface::Jwks);
    assert_eq!(times[2].since(times[0]), Duration::from_secs(20));
    clerk.forget_requests();
    assert_eq!(clerk.total_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn healing_removes_the_faults_of_its_surface_only() {
    let clerk = SimClerk::in_memory();
    clerk.break_with(SimSurface::CLERK, SimFault::Hang);
    clerk.heal(SimSurface::Jwks);
    clerk.transport().call(jwks_call(&clerk)).await.expect("an answer");
    assert_eq!(clerk.faults(SimSurface::SessionMint), [(1.0, SimFault::Hang)]);
    clerk.heal_all();
    assert!(SimSurface::ALL.iter().all(|surface| clerk.faults(*surface).is_empty()));
}

#[tokio::test]
async fn no_request_is_too_strange_for_an_answer() {
    let clerk = SimClerk::in_memory();
    let mut random = fastrand::Rng::with_seed(1);
    let pieces = [
        "/",
        "v1",
        "client",
        "sessions",
        "tokens",
        "handshake",
        "?",
        "&",
        "=",
        "%",
        "%ff",
        "redirect_url=http:",
        "nonce",
        "__session=",
        ".",
        "e30",
        "api",
        "v2",
        "\u{fc}",
        ";",
        "#",
        "\0",
    ];
    for base in [clerk.frontend_api_url(), clerk.backend_api_url(), clerk.status_page_url()] {
        for _ in 0..2_000 {
            let length = random.usize(..12);
            let path: String = (0..length).filter_map(|_| random.choice(pieces)).collect();
            let Ok(url) = base.join(&format!("/{path}")) else { continue };
            let mut call = ApiRequest::get(url).bearer(clerk.secret_key().expose());
            call.method = [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS, Method::PATCH]
                [random.usize(..5)]
            .clone();
            let known = call.url.host() == base.host();
            assert_eq!(clerk.transport().call(call).await.is_ok(), known);
        }
    }
}

#[tokio::test]
async fn a_head_request_gets_the_headers_alone() {
    let clerk = SimClerk::in_memory();
    let mut call = jwks_call(&clerk);
    call.method = Method::HEAD;
    let reply = clerk.transport().call(call).await.expect("an answer");
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.is_empty());
}

#[tokio::test]
async fn an_instance_with_sockets_also_answers_in_memory() {
    let clerk = SimClerk::start().await.expect("free ports");
    let named = "https://clerk.sim.example/.well-known/jwks.json";
    let named = ApiRequest::get(Url::parse(named).expect("an address"));
    for call in [jwks_call(&clerk), named] {
        assert_eq!(json(&clerk.transport().call(call).await.expect("an answer")), clerk.jwks());
    }
}
