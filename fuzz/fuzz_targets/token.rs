//! No token, however malformed, makes the checks panic; and none passes, for nobody holds the key.
#![no_main]

use std::sync::OnceLock;

use clerk_resilience::jwks::KeySet;
use clerk_resilience::token::Expectations;
use clerk_resilience::verify::verify;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|token: &str| {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    let pem = include_str!("../../tests/data/public-key.pem");
    let keys = KEYS.get_or_init(|| KeySet::from_pem(pem).expect("a public key"));
    let expect = Expectations::session_tokens("https://clerk.example.com");
    assert!(verify(token, keys, &expect).is_err());
    assert!(verify(token, &KeySet::default(), &expect).is_err());
});
