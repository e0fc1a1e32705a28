use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::key::{InstanceKind, PublishableKey};
use clerk_verify::transport::{ApiRequest, ApiResponse, Transport as _};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use url::Url;

use crate::{SimClerk, SimClock, SimComponentState, SimFault, SimOrganization, SimSurface};

use super::{decode, json, verify};

async fn send(clerk: &SimClerk, call: ApiRequest) -> ApiResponse {
    clerk.transport().call(call).await.expect("an answer")
}

fn frontend(clerk: &SimClerk, path: &str) -> ApiRequest {
    ApiRequest::get(clerk.frontend_api_url().join(path).expect("a path"))
}

fn backend(clerk: &SimClerk, path: &str) -> ApiRequest {
    let call = ApiRequest::get(clerk.backend_api_url().join(path).expect("a path"));
    call.bearer(clerk.secret_key().expose())
}

fn with(call: ApiRequest, name: HeaderName, value: &str) -> ApiRequest {
    call.header(name, HeaderValue::from_str(value).expect("a header value"))
}

#[tokio::test]
async fn a_live_session_gets_tokens_until_it_is_revoked() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    clerk.set_organization(&session, Some(SimOrganization::new("org_a", "acme")));
    let path = format!("v1/client/sessions/{}/tokens", session.id);
    let mint = with(frontend(&clerk, &path).post(), header::ORIGIN, "https://app.example");
    let reply = send(&clerk, mint.clone()).await;
    let body = json(&reply);
    assert_eq!(body["object"], "token");
    let jwt = body["jwt"].as_str().expect("a token");
    let (_, payload) = verify(jwt, &clerk.jwks()).expect("it verifies");
    assert_eq!(payload["azp"], "https://app.example");
    assert_eq!(payload["o"]["id"], "org_a");
    assert_eq!(reply.header(&header::ACCESS_CONTROL_ALLOW_ORIGIN), Some("https://app.example"));
    assert_eq!(reply.header(&header::ACCESS_CONTROL_ALLOW_CREDENTIALS), Some("true"));

    clerk.revoke(&session);
    assert_eq!(send(&clerk, mint).await.status, StatusCode::UNAUTHORIZED);
    assert!(clerk.sessions().is_empty());
    let reply = send(&clerk, frontend(&clerk, "v1/client/sessions/sess_x/tokens").post()).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(json(&reply)["errors"][0]["code"], "resource_not_found");
    assert!(json(&reply)["clerk_trace_id"].is_string());
}

#[tokio::test]
async fn the_backend_api_wants_the_secret_key() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    clerk.sign_in("user_ada");
    let mut call = backend(&clerk, "v1/jwks");
    assert_eq!(json(&send(&clerk, call.clone()).await), clerk.jwks());
    call.headers.clear();
    let reply = send(&clerk, call).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert_eq!(json(&reply)["errors"][0]["code"], "clerk_key_invalid");

    let count = send(&clerk, backend(&clerk, "v1/users/count")).await;
    assert_eq!(json(&count), json!({ "object": "total_count", "total_count": 1 }));
    let path = format!("v1/sessions/{}/tokens", session.id);
    let body = json(&send(&clerk, backend(&clerk, &path).post()).await);
    let (_, payload) = decode(body["jwt"].as_str().expect("a token"));
    assert_eq!(payload.get("azp"), None);
    let path = format!("v1/sessions/{}/revoke", session.id);
    assert_eq!(send(&clerk, backend(&clerk, &path).post()).await.status, StatusCode::OK);
    assert_eq!(clerk.sessions().len(), 1);
}

#[tokio::test]
async fn users_are_served_singly_and_in_pages_by_latest_change() {
    let clerk = SimClerk::in_memory();
    let ids = |reply: &ApiResponse| -> Vec<String> {
        let users = json(reply);
        let users = users.as_array().expect("a list").iter();
        users.map(|user| user["id"].as_str().expect("an id").to_owned()).collect()
    };
    let list = async |query: &str| send(&clerk, backend(&clerk, &format!("v1/users{query}"))).await;
    for (n, updated_at) in [5, 9, 1, 7].into_iter().enumerate() {
        let members = json!({ "updated_at": updated_at, "first_name": format!("Ada {n}") });
        clerk.update_user(format!("user_{n}"), members);
    }
    let first = list("?order_by=-updated_at&limit=3&offset=0").await;
    assert_eq!(ids(&first), ["user_1", "user_3", "user_0"]);
    assert_eq!(json(&first)[0]["first_name"], "Ada 1");
    assert_eq!(ids(&list("?order_by=-updated_at&limit=3&offset=3").await), ["user_2"]);
    assert_eq!(ids(&list("?order_by=updated_at&limit=1").await), ["user_2"]);
    for odd in ["?limit=501", "?limit=0", "?limit=x", "?offset=-1", "?order_by=-shoe_size"] {
        assert_eq!(list(odd).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{odd}");
    }

    let one = async |id: &str| send(&clerk, backend(&clerk, &format!("v1/users/{id}"))).await;
    assert_eq!(Some(json(&one("user_1").await)), clerk.user(&"user_1".into()));
    clerk.delete_user(&"user_1".into());
    assert_eq!(one("user_1").await.status, StatusCode::NOT_FOUND);
    clerk.sign_in("user_7");
    clerk.sign_in("user_0");
    assert_eq!(json(&one("user_7").await)["first_name"], json!(null));
    assert_eq!(json(&one("user_0").await)["first_name"], "Ada 0", "who is described stays so");
    clerk.break_with(
        SimSurface::BackendApi,
        SimFault::status(429).retry_after(Duration::from_secs(7)),
    );
    let reply = list("").await;
    assert_eq!((reply.status.as_u16(), reply.header(&header::RETRY_AFTER)), (429, Some("7")));
}

#[tokio::test]
async fn paths_that_clerk_does_not_have_are_not_found() {
    let clerk = SimClerk::in_memory();
    let page = ApiRequest::get(clerk.status_page_url().join("x").expect("a path"));
    for call in [frontend(&clerk, "x"), frontend(&clerk, "v1/client").post(), page] {
        let reply = send(&clerk, call).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert!(json(&reply)["errors"].is_array());
    }
    assert_eq!(send(&clerk, backend(&clerk, "v1/x")).await.status, StatusCode::NOT_FOUND);
    for path in ["v1/environment", "v1/health", "v1/client"] {
        assert_eq!(send(&clerk, frontend(&clerk, path)).await.status, StatusCode::OK, "{path}");
    }
}

/// The `Set-Cookie` lines of a handshake and the address it goes back to.
async fn handshake(clerk: &SimClerk, query: &str) -> (Vec<String>, Url) {
    let back = "redirect_url=https%3A%2F%2Fapp.example%2Fa%3Fb%3D1";
    let path = format!("v1/client/handshake?{back}&{query}");
    let reply = send(clerk, frontend(clerk, &path)).await;
    assert_eq!(reply.status, StatusCode::TEMPORARY_REDIRECT);
    let location = reply.header(&header::LOCATION).expect("an address");
    let location = Url::parse(location).expect("an address");
    let value = |name: &str| {
        let found = location.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    };
    let directives = if let Some(token) = value("__clerk_handshake") {
        verify(&token, &clerk.jwks()).expect("it verifies").1["handshake"].clone()
    } else {
        let nonce = value("__clerk_handshake_nonce").expect("a nonce");
        let path = format!("v1/clients/handshake_payload?nonce={nonce}");
        let payload = json(&send(clerk, backend(clerk, &path)).await);
        let again = send(clerk, backend(clerk, &path)).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND, "a nonce works once");
        payload["directives"].clone()
    };
    (serde_json::from_value(directives).expect("a list of lines"), location)
}

fn value_of<'a>(lines: &'a [String], cookie: &str) -> Option<&'a str> {
    let start = format!("{cookie}=");
    let line = lines.iter().find_map(|line| line.strip_prefix(&start))?;
    line.split(';').next()
}

#[tokio::test]
async fn a_handshake_sets_fresh_cookies_for_an_expired_token() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    let expired = clerk.token(&session).ago(Duration::from_secs(600)).sign();
    for format in ["token", "nonce"] {
        let query = format!("suffixed_cookies=true&format={format}&__session={expired}");
        let (lines, location) = handshake(&clerk, &query).await;
        assert!(location.as_str().starts_with("https://app.example/a?b=1&__clerk_handshake"));
        let suffix = clerk.cookie_suffix();
        let token = value_of(&lines, &format!("__session_{suffix}")).expect("a token");
        assert_eq!(value_of(&lines, "__session"), Some(token));
        let (_, payload) = verify(token, &clerk.jwks()).expect("it verifies");
        assert_eq!(payload["sid"], session.id.as_str());
        assert_eq!(payload.get("azp"), None, "a browser that navigates names no origin");
        let since = session.since.as_secs().to_string();
        assert_eq!(value_of(&lines, &format!("__client_uat_{suffix}")), Some(since.as_str()));
    }
}

#[tokio::test]
async fn a_handshake_signs_out_an_unknown_session() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    let forged = format!("__session={}", clerk.forge(&session));
    for query in ["", "__session=a.b.c", forged.as_str()] {
        let (lines, _) = handshake(&clerk, query).await;
        assert_eq!(value_of(&lines, "__client_uat"), Some("0"), "{query}");
        assert_eq!(value_of(&lines, "__session"), Some(""), "{query}");
        assert_eq!(lines.len(), 2, "no suffixed cookies unless they are asked for");
    }
    clerk.set_browser_session(Some(&session));
    assert_ne!(value_of(&handshake(&clerk, "").await.0, "__client_uat"), Some("0"));
    clerk.revoke(&session);
    assert_eq!(value_of(&handshake(&clerk, "").await.0, "__client_uat"), Some("0"));
}

#[tokio::test]
async fn a_handshake_goes_back_to_web_addresses_only() {
    let clerk = SimClerk::in_memory();
    for target in ["", "?redirect_url=/a", "?redirect_url=javascript%3Aalert(1)"] {
        let path = format!("v1/client/handshake{target}");
        assert_eq!(send(&clerk, frontend(&clerk, &path)).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_development_instance_gives_its_browser_a_name() {
    let key = PublishableKey::for_host("a-b-1.clerk.accounts.dev", InstanceKind::Development);
    let clerk = SimClerk::builder().publishable_key(key.expect("a plain host")).build();
    assert!(clerk.secret_key().expose().starts_with("sk_test_"));
    assert_eq!(clerk.frontend_api_url().as_str(), "https://a-b-1.clerk.accounts.dev/");
    assert!(value_of(&handshake(&clerk, "").await.0, "__clerk_db_jwt").is_some());
}

#[tokio::test]
async fn a_browser_signs_in_and_is_known_by_its_cookie() {
    let clerk = SimClerk::in_memory();
    let call = frontend(&clerk, "v1/client/sign_ins?identifier=user_ada").post();
    let reply = send(&clerk, call).await;
    let id = json(&reply)["response"]["created_session_id"].clone();
    let cookie = reply.header(&header::SET_COOKIE).expect("a cookie").to_owned();
    clerk.set_browser_session(None);
    let signed_out = json(&send(&clerk, frontend(&clerk, "v1/client")).await);
    assert!(signed_out["response"]["last_active_session_id"].is_null());
    let call = with(frontend(&clerk, "v1/client"), header::COOKIE, &cookie);
    let client = json(&send(&clerk, call).await);
    assert_eq!(client["response"]["last_active_session_id"], id);
    let path = format!("v1/client/sessions/{}/end", id.as_str().expect("an id"));
    assert_eq!(send(&clerk, frontend(&clerk, &path).post()).await.status, StatusCode::OK);
    assert!(clerk.sessions().is_empty());
}

#[tokio::test]
async fn the_edge_renews_only_a_token_that_it_is_shown() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    clerk.break_with(SimSurface::SessionMint, SimFault::MissingExpiredToken);
    let path = format!("v1/client/sessions/{}/tokens", session.id);
    let reply = send(&clerk, frontend(&clerk, &path).post()).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(json(&reply)["errors"][0]["code"], "missing_expired_token");
    let path = format!("{path}?expired_token={}", clerk.mint(&session));
    assert_eq!(send(&clerk, frontend(&clerk, &path).post()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_status_page_shows_the_set_status() {
    let clerk = SimClerk::in_memory();
    clerk.set_component("Session management", SimComponentState::DegradedPerformance);
    let page = clerk.status_page_url();
    let summary = ApiRequest::get(page.join("api/v2/summary.json").expect("a path"));
    let body = json(&send(&clerk, summary).await);
    assert_eq!(body["page"]["name"], "Clerk");
    assert_eq!(body["status"]["indicator"], "minor");
    let components = body["components"].as_array().expect("a list");
    assert_eq!(components.len(), 16);
    let marked = components.iter().find(|row| row["name"] == "Session management");
    assert_eq!(marked.expect("a row")["status"], "degraded_performance");
    let status = ApiRequest::get(page.join("api/v2/status.json").expect("a path"));
    assert_eq!(json(&send(&clerk, status).await)["status"]["indicator"], "minor");
}

#[tokio::test(start_paused = true)]
async fn answers_are_dated_by_the_clock_and_its_skew() {
    let clock = SimClock::starting_at(Timestamp::from_secs(1_000));
    let clerk = SimClerk::builder().clock(clock.clone()).build();
    clock.jump(1_000_000);
    clerk.skew_date(-500_000);
    let reply = send(&clerk, frontend(&clerk, "v1/health")).await;
    assert_eq!(reply.header(&header::DATE), Some("Thu, 01 Jan 1970 00:25:00 GMT"));
    clock.jump(i64::MAX);
    clock.jump(i64::MAX);
    send(&clerk, frontend(&clerk, "v1/health")).await;
}
