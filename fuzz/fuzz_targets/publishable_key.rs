//! What parses as a publishable key names a host that can be an address, and parses again.
#![no_main]

use clerk_resilience::ClerkConfig;
use clerk_resilience::key::{PublishableKey, SecretKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = SecretKey::parse(text);
    if let Ok(key) = PublishableKey::parse(text) {
        let _ = ClerkConfig::new(key.clone());
        let again = PublishableKey::for_host(key.frontend_api(), key.kind()).expect("a good host");
        assert_eq!(again.issuer(), key.issuer());
    }
});
