//! What can go wrong, as values.

use std::time::Duration;

use http::StatusCode;
use url::Url;

/// A way for a surface to misbehave.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SimFault {
    /// A complete HTTP answer with an error status.
    Status {
        /// The status; an informational one (1xx), which cannot end an exchange, is sent as 500.
        code: StatusCode,
        /// What the body looks like.
        body: SimBody,
        /// The `Retry-After` header, in whole seconds; left out when `None`.
        retry_after: Option<Duration>,
    },
    /// The right answer, this much later.
    Latency(Duration),
    /// Another fault, this much later.
    Delayed(Duration, Box<SimFault>),
    /// The request is accepted and never answered; the connection stays open.
    Hang,
    /// Nothing listens. In memory this is exact. Over sockets a port can only be closed as a whole:
    /// the listener goes away while **every** surface of its host refuses with a share of 1, and
    /// comes back on the same port when that ends. Refusing less than a whole host is a
    /// [`Self::Reset`] over sockets.
    Refused,
    /// The connection breaks after the request was sent.
    Reset,
    /// Bytes that are not HTTP.
    Garbage,
    /// The body ends before the length that was announced.
    Truncated,
    /// A body without end, as fast as it is read.
    Huge,
    /// A body without end, a byte every 100 ms.
    SlowDrip,
    /// `200` with an HTML page, as a captive portal or a parked domain answers.
    Html,
    /// `200` with a key set that is empty.
    EmptyKeys,
    /// `200` with a key set whose one key has another name and signed nothing of ours.
    ForeignKeys,
    /// `200`, announced as JSON, cut in the middle.
    InvalidJson,
    /// `302` to somewhere else.
    Redirect(Url),
    /// The host's name does not resolve. Over sockets, where the name is an address already, the
    /// nearest thing is [`Self::Refused`].
    Dns,
    /// The TLS handshake fails. Over sockets, which speak plain HTTP, the nearest thing is a TLS
    /// alert where the answer should be.
    Tls,
    /// Clerk's edge answers for an origin that is down: `422` with `missing_expired_token`, and the
    /// right answer when the request carries `expired_token` (for a handshake: `__session`).
    MissingExpiredToken,
}

impl SimFault {
    /// An error status with the body Clerk itself sends for it: `rate_limit_exceeded` for 429,
    /// `internal_clerk_error` for the rest. A number that is no HTTP status counts as 500.
    #[must_use]
    pub fn status(code: u16) -> Self {
        let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = match code {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
            _ => "internal_clerk_error",
        };
        Self::Status { code, body: SimBody::Clerk(error.to_owned()), retry_after: None }
    }

    /// An error status from the network in front of Clerk: an HTML page.
    #[must_use]
    pub fn cdn(code: u16) -> Self {
        Self::status(code).body(SimBody::CdnHtml)
    }

    /// Clerk's maintenance mode: 503 with a body of its own form.
    #[must_use]
    pub fn maintenance() -> Self {
        Self::status(503).body(SimBody::Maintenance)
    }

    /// The same status with another body; any other fault is left as it is.
    #[must_use]
    pub fn body(self, body: SimBody) -> Self {
        match self {
            Self::Status { code, retry_after, .. } => Self::Status { code, body, retry_after },
            other => other,
        }
    }

    /// The same status with `Retry-After`; any other fault is left as it is.
    #[must_use]
    pub fn retry_after(self, span: Duration) -> Self {
        match self {
            Self::Status { code, body, .. } => Self::Status { code, body, retry_after: Some(span) },
            other => other,
        }
    }

    /// The same fault, this much later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::Delayed(delay, Box::new(self))
    }

    /// True when it closes a whole port over sockets.
    pub(super) fn refuses(&self) -> bool {
        matches!(self, Self::Refused | Self::Dns)
    }
}

/// What the body of an error looks like.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SimBody {
    /// Clerk's JSON envelope with this error code.
    Clerk(String),
    /// The HTML page of the network in front of Clerk.
    CdnHtml,
    /// The JSON of Clerk's maintenance mode, which has no `errors`.
    Maintenance,
    /// Nothing.
    Empty,
}

/// How a request ends when it ends without a complete answer.
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
