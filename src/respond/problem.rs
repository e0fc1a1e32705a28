//! Problem details for programs, RFC 9457.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::decide::Rejection;

pub(super) fn respond(rejection: Rejection, wait: Option<u32>) -> Response {
    let status = rejection.status();
    let mut problem = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": rejection.code(),
        "detail": rejection.sentence(),
    });
    if rejection.status().is_client_error() {
        problem["reason"] = rejection.reason().into();
    }
    if let Some(wait) = wait {
        problem["retry_after"] = wait.into();
    }
    let mut response = Response::new(Body::from(problem.to_string()));
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
