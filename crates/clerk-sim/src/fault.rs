//! Faults of a simulated surface.

use std::time::Duration;

use http::StatusCode;
use url::Url;

/// A fault of a surface: an error, a delay, or a broken connection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SimFault {
    /// The surface sends a complete HTTP response with an error status.
    Status {
        /// The status. An informational status (1xx) cannot end an exchange and is sent as 500.
        code: StatusCode,
        /// Format of the body.
        body: SimBody,
        /// The `Retry-After` header, in whole seconds; absent if `None`.
        retry_after: Option<Duration>,
    },
    /// The correct response, after this delay.
    Latency(Duration),
    /// Another fault, after this delay.
    Delayed(Duration, Box<SimFault>),
    /// The request is accepted but never answered; the connection stays open.
    Hang,
    /// The connection is refused. In memory each request is refused separately.
    ///
    /// Sockets can only close a whole port. The listener closes while **every** surface of its host
    /// refuses with a share of 1, and reopens on the same port afterwards. If only some surfaces
    /// refuse, sockets send a [`Self::Reset`] instead.
    Refused,
    /// The connection is reset after the request was sent.
    Reset,
    /// The response is not HTTP.
    Garbage,
    /// The body ends before its announced length.
    Truncated,
    /// The body is endless and is sent as fast as the client reads.
    Huge,
    /// The body is endless and is sent at one byte per 100 ms.
    SlowDrip,
    /// `200` with an HTML page, as from a captive portal or a parked domain.
    Html,
    /// `200` with an empty key set.
    EmptyKeys,
    /// `200` with a key set that contains one unknown key, with another id; it signed none of the
    /// instance's tokens.
    ForeignKeys,
    /// `200` with truncated JSON.
    InvalidJson,
    /// `302` to this URL.
    Redirect(Url),
    /// The host name does not resolve. Sockets have addresses instead of names, so there this fault
    /// acts as [`Self::Refused`].
    Dns,
    /// The TLS handshake fails. Sockets speak plain HTTP and send a TLS alert instead of a
    /// response.
    Tls,
    /// Clerk's edge answers while its origin is down: `422` with `missing_expired_token`. A request
    /// that contains `expired_token` (a handshake: `__session`) gets the correct response.
    MissingExpiredToken,
}

impl SimFault {
    /// Creates an error status with Clerk's own body: `rate_limit_exceeded` for 429,
    /// `internal_clerk_error` for any other. A number that is no HTTP status counts as 500.
    #[must_use]
    pub fn status(code: u16) -> Self {
        let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = match code {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
            _ => "internal_clerk_error",
        };
        Self::Status { code, body: SimBody::Clerk(error.to_owned()), retry_after: None }
    }

    /// Creates an error status with an HTML page, as the network in front of Clerk sends it.
    #[must_use]
    pub fn cdn(code: u16) -> Self {
        Self::status(code).body(SimBody::CdnHtml)
    }

    /// Creates the response of Clerk's maintenance mode: 503 with a body of its own format.
    #[must_use]
    pub fn maintenance() -> Self {
        Self::status(503).body(SimBody::Maintenance)
    }

    /// Replaces the body of an error status. Other faults stay unchanged.
    #[must_use]
    pub fn body(self, body: SimBody) -> Self {
        match self {
            Self::Status { code, retry_after, .. } => Self::Status { code, body, retry_after },
            other => other,
        }
    }

    /// Sets `Retry-After` on an error status. Other faults stay unchanged.
    #[must_use]
    pub fn retry_after(self, span: Duration) -> Self {
        match self {
            Self::Status { code, body, .. } => Self::Status { code, body, retry_after: Some(span) },
            other => other,
        }
    }

    /// Delays the fault.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::Delayed(delay, Box::new(self))
    }

    /// Returns whether the fault closes a whole port over sockets.
    pub(super) fn refuses(&self) -> bool {
        matches!(self, Self::Refused | Self::Dns)
    }
}

/// Format of an error's body.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SimBody {
    /// Clerk's JSON error envelope, with this error code.
    Clerk(String),
    /// An HTML page, as the network in front of Clerk sends it.
    CdnHtml,
    /// The JSON of Clerk's maintenance mode, which has no `errors` member.
    Maintenance,
    /// An empty body.
    Empty,
}

/// The ways in which a request ends without a complete response.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{self:?}")]
pub(super) enum Break {
    Hang,
    Refused,
    Reset,
    Garbage,
    Truncated,
    Huge,
    SlowDrip,
    Dns,
    Tls,
}
