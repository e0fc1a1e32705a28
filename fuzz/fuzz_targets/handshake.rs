//! No handshake makes the judgement of a request panic, and none signs anybody in.
#![no_main]

use std::sync::OnceLock;

use clerk_resilience::authenticate::{
    Accepts, BackendResponses, Evidence, Head, Site, AuthStatus, authenticate,
};
use clerk_resilience::clock::Timestamp;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::token::Expectations;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|input: (&str, &str, &str)| {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    let pem = include_str!("../../tests/data/public-key.pem");
    let keys = KEYS.get_or_init(|| KeySet::from_pem(pem).expect("a public key"));
    let (token, cookies, query) = input;
    let key = PublishableKey::for_host("clerk.example.com", InstanceKind::Production);
    let site = Site::new(key.expect("a plain host"));
    let mut address = Url::parse("https://app.example.com/page").expect("an address");
    address.set_query(Some(query));
    address.query_pairs_mut().append_pair("__clerk_handshake", token);
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("app.example.com"));
    headers.insert("sec-fetch-dest", HeaderValue::from_static("document"));
    if let Ok(cookies) = HeaderValue::from_str(cookies) {
        headers.insert(COOKIE, cookies);
    }
    let expect = Expectations::session_tokens("https://clerk.example.com");
    let now = Timestamp::from_secs(1_780_000_000);
    let evidence = Evidence { keys: Ok(keys), expect: &expect, now, verified: None };
    let head = Head { method: &Method::GET, address: &address, headers: &headers };
    let accepts = Accepts::default();
    if let Ok(answer) = authenticate(&site, head, &accepts, &evidence, &BackendResponses::default()) {
        assert!(!matches!(answer.state, AuthStatus::SignedIn { .. }));
    }
});
