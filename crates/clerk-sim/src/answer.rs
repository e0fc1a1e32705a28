//! Complete HTTP responses and the formats of their bodies.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS,
    CONTENT_TYPE, DATE, LOCATION, ORIGIN, RETRY_AFTER, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use clerk_verify::clock::Timestamp;

use super::fault::SimBody;
use super::state::random_text;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// A complete HTTP response.
#[derive(Clone, Debug)]
pub(super) struct SimAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl SimAnswer {
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status: final_status(status), headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn text(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let answer = Self { body: body.into(), ..Self::empty(status) };
        answer.header(CONTENT_TYPE, media_type)
    }

    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self::text(status, JSON, body.to_string())
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// Creates a `200` with truncated JSON.
    pub(super) fn broken_json() -> Self {
        Self::text(StatusCode::OK, JSON, r#"{"keys":[{"kty":"RSA","kid":"#)
    }

    /// Creates an error in Clerk's JSON envelope.
    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        let errors = json!([{ "message": message, "long_message": message, "code": code }]);
        let trace = random_text("sim", 29);
        Self::json(status, &json!({ "errors": errors, "clerk_trace_id": trace }))
    }

    pub(super) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "resource_not_found", "Nothing is found here.")
    }

    /// Creates an HTML page, as from a device between the application and Clerk.
    pub(super) fn html(status: StatusCode, title: &str) -> Self {
        Self::page(status, format!("<!doctype html><title>{title}</title><h1>{title}</h1>\n"))
    }

    pub(super) fn page(status: StatusCode, html: String) -> Self {
        Self::text(status, HTML, html)
    }

    pub(super) fn redirect(status: StatusCode, to: &str) -> Self {
        Self::empty(status).header(LOCATION, to)
    }

    /// Creates an error status with a body of this format.
    pub(super) fn failure(
        status: StatusCode,
        body: &SimBody,
        retry_after: Option<Duration>,
    ) -> Self {
        let answer = match body {
            SimBody::Clerk(code) => Self::error(status, code, "The request could not be handled."),
            SimBody::CdnHtml => Self::html(status, status.as_str()),
            SimBody::Maintenance => Self::json(status, &maintenance()),
            SimBody::Empty => Self::empty(status),
        };
        match retry_after {
            Some(span) => answer.header(RETRY_AFTER, &span.as_secs().to_string()),
            None => answer,
        }
    }

    /// Adds a header. A value that no header can contain is dropped.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(super) fn dated(self, at: Timestamp) -> Self {
        let seconds = u64::try_from(at.as_secs()).unwrap_or(0).min(LAST_DATE);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        self.header(DATE, &date)
    }

    /// Adds CORS headers for the requesting origin. An HTML page gets none, because Clerk did not
    /// send it.
    pub(super) fn readable_by_origin(self, asked: &HeaderMap) -> Self {
        let html = self.headers.get(CONTENT_TYPE).is_some_and(|value| value == HTML);
        match text(asked, &ORIGIN) {
            Some(origin) if !html => self
                .header(ACCESS_CONTROL_ALLOW_ORIGIN, origin)
                .header(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true")
                .header(ACCESS_CONTROL_EXPOSE_HEADERS, "Authorization, Date, Retry-After")
                .header(VARY, "Origin"),
            _ => self,
        }
    }

    /// Removes the body, for the response to a `HEAD` request.
    pub(super) fn without_body(self) -> Self {
        Self { body: Bytes::new(), ..self }
    }

    /// Answers a CORS preflight.
    pub(super) fn preflight(asked: &HeaderMap) -> Self {
        let wanted = text(asked, &ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or("content-type");
        Self::empty(StatusCode::NO_CONTENT)
            .header(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE")
            .header(ACCESS_CONTROL_ALLOW_HEADERS, wanted)
    }
}

/// End of the year 9999, the last date that HTTP can express.
const LAST_DATE: u64 = 253_402_300_799;

fn maintenance() -> Value {
    json!({
        "shortMessage": "System under maintenance",
        "longMessage": "Only essential operations are possible while maintenance lasts.",
        "code": "maintenance_mode",
    })
}

/// Replaces an informational status, which cannot end an exchange, by 500.
fn final_status(status: StatusCode) -> StatusCode {
    if status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { status }
}

/// Returns a header's value, if it is present and readable as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
