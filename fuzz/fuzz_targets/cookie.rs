//! No header makes the search for a token panic.
#![no_main]

use clerk_resilience::clock::Timestamp;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::token::{CookieNames, locate};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|fields: (Vec<u8>, Vec<u8>, Vec<u8>)| {
    let host = "clerk.example.com";
    let key = PublishableKey::for_host(host, InstanceKind::Production).expect("a plain host");
    let names = CookieNames::of(&key);
    let mut headers = HeaderMap::new();
    let named = [(COOKIE, fields.0), (COOKIE, fields.1), (AUTHORIZATION, fields.2)];
    for (name, value) in named {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(name, value);
        }
    }
    let _ = locate(&headers, &names, &key, Timestamp::from_secs(1_780_000_000));
});
