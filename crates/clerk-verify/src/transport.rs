//! Transport to Clerk: a trait that sends an [`ApiRequest`] and returns an [`ApiResponse`] or a
//! [`TransportError`].
//!
//! Tests replace the transport. The driver of `clerk-resilience` runs unchanged over HTTP or over a
//! simulated Clerk in the same process, with virtual time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::clock::Clock;

/// The future that [`Transport::call`] returns.
pub type Calling = Pin<Box<dyn Future<Output = Result<ApiResponse, TransportError>> + Send>>;

/// Sends an [`ApiRequest`] to Clerk.
///
/// An implementation must stop at [`ApiRequest::deadline`], stop reading the body at
/// [`ApiRequest::max_bytes`], and never follow a redirect.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends one request and returns the complete response.
    fn call(&self, call: ApiRequest) -> Calling;

    /// Returns the clock of a simulated Clerk. The layer must use the same clock; see
    /// [`Clock::id`]. Default: `None`, for the real Clerk. An implementation that wraps another one
    /// forwards its clock.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        None
    }
}

/// A request to Clerk.
#[derive(Clone)]
pub struct ApiRequest {
    /// The request method.
    pub method: Method,
    /// The absolute URL.
    pub url: Url,
    /// Header fields. Fields that contain a secret are marked sensitive, so that `Debug` redacts
    /// them.
    pub headers: HeaderMap,
    /// The request body. It may contain tokens, so `Debug` omits it.
    pub body: Bytes,
    /// Maximum time for the whole call, including the response body.
    pub deadline: Duration,
    /// Maximum size of the response body in bytes. A larger body causes
    /// [`TransportError::TooLarge`].
    pub max_bytes: usize,
}

impl ApiRequest {
    /// Creates a `GET` request with a deadline of 2 s and a response limit of 64 KiB.
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

    /// Changes the method to `POST`. The body does not change; it is empty by default.
    #[must_use]
    pub fn post(mut self) -> Self {
        self.method = Method::POST;
        self
    }

    /// Changes the method to `POST` and sets the body to this JSON, with its `Content-Type`.
    #[must_use]
    pub fn post_json(self, body: impl Into<Bytes>) -> Self {
        let json = HeaderValue::from_static("application/json");
        let mut call = self.post().header(http::header::CONTENT_TYPE, json);
        call.body = body.into();
        call
    }

    /// Sets the deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets `Authorization: Bearer …` and marks the field sensitive. A secret that is not a valid
    /// header value is ignored.
    #[must_use]
    pub fn bearer(mut self, secret: &str) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {secret}")) {
            value.set_sensitive(true);
            self.headers.insert(http::header::AUTHORIZATION, value);
        }
        self
    }

    /// Sets a header field and replaces earlier values of the same name.
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
            // The query may contain a session credential, so `Debug` prints the URL only up to its
            // path.
            .field("url", &&self.url[..url::Position::AfterPath])
            .field("headers", &self.headers)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// A complete response of any status.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    /// The status code.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The complete body, at most [`ApiRequest::max_bytes`] long.
    pub body: Bytes,
    /// Time from sending the request to receiving the last byte of the body.
    pub latency: Duration,
}

impl ApiResponse {
    /// Returns the value of a header field; `None` when the field is missing or not readable as
    /// text.
    #[must_use]
    pub fn header(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why a call returned no response.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The host name does not resolve.
    #[error("the host name does not resolve")]
    Dns,
    /// The host refused the connection.
    #[error("the connection was refused")]
    Refused,
    /// The connection broke.
    #[error("the connection broke")]
    Reset,
    /// The response was not complete before the deadline.
    #[error("no complete answer before the deadline")]
    Timeout,
    /// TLS could not be established, or the certificate is not valid for the host.
    #[error("the TLS certificate or handshake is not valid")]
    Tls,
    /// The response is not HTTP, or it ended too early.
    #[error("the answer is not a complete HTTP message")]
    Protocol,
    /// The response body is larger than [`ApiRequest::max_bytes`].
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// The request could not be sent because of a local fault.
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
