//! The outcome of a request, as its user sees it.

use std::fmt;

use axum::response::Response;
use http::StatusCode;

/// The header that states whether a session is fresh or in grace.
pub const SESSION_FIELD: &str = "x-session";

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// Served, with a token within its time.
    Served,
    /// Served, although the token has expired.
    Grace,
    /// Redirected to Clerk.
    Redirect,
    Unauthorized,
    Unavailable,
    /// No answer.
    Silence,
    Other(u16),
}

impl Outcome {
    pub fn of(response: &Response) -> Self {
        if let Some(session) = response.headers().get(SESSION_FIELD) {
            return if session == "fresh" { Self::Served } else { Self::Grace };
        }
        match response.status() {
            StatusCode::TEMPORARY_REDIRECT => Self::Redirect,
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            other => Self::Other(other.as_u16()),
        }
    }

    pub fn is_served(self) -> bool {
        matches!(self, Self::Served | Self::Grace)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served => f.write_str("200"),
            Self::Grace => f.write_str("200g"),
            Self::Redirect => f.write_str("307"),
            Self::Unauthorized => f.write_str("401"),
            Self::Unavailable => f.write_str("503"),
            Self::Silence => f.write_str("···"),
            Self::Other(status) => write!(f, "{status}"),
        }
    }
}
