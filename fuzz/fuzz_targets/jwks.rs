//! No key document and no PEM makes the reader panic, and what it reads it can write and read again.
#![no_main]

use clerk_resilience::jwks::KeySet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|document: &[u8]| {
    if let Ok(keys) = KeySet::parse(document) {
        let again = KeySet::parse(keys.to_jwks().to_string().as_bytes()).expect("our own document");
        assert_eq!(again.len(), keys.len());
    }
    if let Ok(text) = std::str::from_utf8(document) {
        let _ = KeySet::from_pem(text);
    }
});
