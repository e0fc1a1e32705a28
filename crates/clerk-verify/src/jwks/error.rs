//! Errors of key set documents.

use http::StatusCode;
use serde_json::Value;

/// Why a document or a response is not a usable key set.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// The document is not JSON, such as an HTML page or a cut-off document.
    #[error("the answer is not JSON")]
    NotJson,
    /// The JSON has no array `keys`.
    #[error("the answer has no array \"keys\"")]
    NotJwks,
    /// The set has no key that can verify RS256.
    #[error("the key set has no key that can verify RS256 signatures")]
    NoUsableKey,
    /// The Backend API does not know the secret key.
    #[error("Clerk refuses the secret key; copy it again from the API keys page of the dashboard")]
    SecretKey,
    /// The response has another error status.
    #[error("the answer has the status {0}")]
    Status(StatusCode),
}

impl JwksError {
    /// Returns a stable code, equal to the reason of Clerk's backend SDK.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::SecretKey => "secret-key-invalid",
            Self::NotJson | Self::NotJwks | Self::NoUsableKey | Self::Status(_) => {
                "jwk-remote-failed-to-load"
            }
        }
    }

    pub(super) fn refusal(status: StatusCode, body: &[u8]) -> Self {
        let unknown = status == StatusCode::UNAUTHORIZED && has_code(body, "clerk_key_invalid");
        if unknown { Self::SecretKey } else { Self::Status(status) }
    }
}

/// Returns true when the body is a Clerk error document with this code.
fn has_code(body: &[u8], code: &str) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = body.get("errors").and_then(Value::as_array).map(Vec::as_slice);
    errors.unwrap_or_default().iter().any(|error| error.get("code").is_some_and(|c| c == code))
}
