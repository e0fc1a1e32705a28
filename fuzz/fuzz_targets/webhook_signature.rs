//! No message passes for one of ours, whatever its fields and its body are.
#![no_main]

use std::sync::OnceLock;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::webhook_signature::{WebhookSecret, WebhookVerifier};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 6] = [
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

fuzz_target!(|input: ([&[u8]; 6], &[u8], &str)| {
    static VERIFIER: OnceLock<WebhookVerifier> = OnceLock::new();
    let verifier = VERIFIER.get_or_init(|| {
        let secret = WebhookSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        WebhookVerifier::new(secret).expect("a secret")
    });
    let (fields, body, secret) = input;
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES.into_iter().zip(fields) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let now = Timestamp::from_secs(1_780_000_000);
    assert!(verifier.verify(&headers, body, now).is_err());
    assert!(verifier.verify_strictly(&headers, body, now).is_err());
    let _ = WebhookSecret::parse(secret);
});
