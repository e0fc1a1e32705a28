//! The wire to Clerk, as one small trait: a [`ApiRequest`] goes out, a [`ApiResponse`] or a [`TransportError`] comes back.
//!
//! The trait is what makes the rest testable: the driver runs unchanged over HTTP or over a
//! simulated Clerk in the same process, where time can be virtual.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::clock::Clock;

/// What an [`Transport`] returns.
pub type Calling = Pin<Box<dyn Future<Output = Result<ApiResponse, TransportError>> + Send>>;

/// Something that can carry a [`ApiRequest`] to Clerk.
///
/// An implementation must give up at the call's deadline, stop reading at its cap, and never follow
/// a redirect.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Carries out one call.
    fn call(&self, call: ApiRequest) -> Calling;

    /// The clock that a simulated Clerk follows; the layer must then follow the same one, see
    /// [`Clock::id`]. Default: `None`, for the real Clerk. An implementation that wraps another one
    /// forwards its clock.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        None
    }
}

/// One request to Clerk.
#[derive(Clone)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The absolute address.
    pub url: Url,
    /// Header fields; those that carry a secret are marked sensitive and do not print.
    pub headers: HeaderMap,
    /// What is sent. It may hold tokens, and does not print.
    pub body: Bytes,
    /// The whole call, body included, must be over after this long.
    pub deadline: Duration,
    /// The body is cut, as [`TransportError::TooLarge`], beyond this many bytes.
    pub max_bytes: usize,
}

impl ApiRequest {
    /// A `GET` with a deadline of 2 s and a cap of 64 KiB.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: Duration::from_secs(2),
            max_bytes: 64 * 1024,
        }
    }

    /// The same call as a `POST` with an empty body.
    #[must_use]
    pub fn post(mut self) -> Self {
        self.method = Method::POST;
        self
    }

    /// The same call as a `POST` of this JSON.
    #[must_use]
    pub fn post_json(self, body: impl Into<Bytes>) -> Self {
        let json = HeaderValue::from_static("application/json");
        let mut call = self.post().header(http::header::CONTENT_TYPE, json);
        call.body = body.into();
        call
    }

    /// The same call with a deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same call with `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(mut self, secret: &str) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {secret}")) {
            value.set_sensitive(true);
            self.headers.insert(http::header::AUTHORIZATION, value);
        }
        self
    }

    /// The same call with one more header field.
    #[must_use]
    pub fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiRequest")
            .field("method", &self.method)
            // A query may hold what stands for a session.
            .field("url", &&self.url[..url::Position::AfterPath])
            .field("headers", &self.headers)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// A complete answer, whatever its status.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body, not longer than the call allowed.
    pub body: Bytes,
    /// From sending the request until the last byte of the body.
    pub latency: Duration,
}

impl ApiResponse {
    /// A header field's value, when it is there and readable as text.
    #[must_use]
    pub fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why a call brought no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The host's name does not resolve.
    #[error("the host name does not resolve")]
    Dns,
    /// Nothing listens there.
    #[error("the connection was refused")]
    Refused,
    /// The connection broke.
    #[error("the connection broke")]
    Reset,
    /// The deadline passed.
    #[error("no complete answer before the deadline")]
    Timeout,
    /// TLS could not be established, or the certificate is not the host's.
    #[error("the TLS certificate or handshake is not valid")]
    Tls,
    /// The answer is not HTTP, or it ended too early.
    #[error("the answer is not a complete HTTP message")]
    Protocol,
    /// The body is larger than the call allows.
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// The call could not be made; the cause is on our side.
    #[error("the call could not be made")]
    Unsendable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_secret_does_not_print() {
        let url = Url::parse("https://api.clerk.com/v1/jwks").expect("a valid address");
        let call = ApiRequest::get(url).bearer("sk_test_very_secret");
        assert!(!format!("{call:?}").contains("very_secret"));
        assert_eq!(call.headers[http::header::AUTHORIZATION], "Bearer sk_test_very_secret");
        let call = call.post_json(r#"{"secret":"ak_very_secret"}"#);
        assert!(!format!("{call:?}").contains("very_secret"));
    }
}
