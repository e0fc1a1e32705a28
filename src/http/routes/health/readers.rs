//! Access control of the health document.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use http::HeaderMap;
use http::header::AUTHORIZATION;

const SHORTEST: usize = 16;

/// Clients with the operator's token, which is stored as a SHA-256 digest.
#[derive(Clone)]
pub(crate) struct Readers {
    token: Digest,
    short: bool,
}

impl Readers {
    pub(crate) fn with(token: &str) -> Self {
        Self { token: digest(&SHA256, token.as_bytes()), short: token.len() < SHORTEST }
    }

    pub(crate) fn can_be_guessed(&self) -> bool {
        self.short
    }

    pub(super) fn include(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let token = shown.and_then(|shown| shown.strip_prefix(b"Bearer "));
        token.is_some_and(|token| {
            let shown = digest(&SHA256, token);
            verify_slices_are_equal(shown.as_ref(), self.token.as_ref()).is_ok()
        })
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readers")
    }
}
