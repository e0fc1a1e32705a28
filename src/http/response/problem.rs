//! Problem details for programs (RFC 9457).

use axum::body::Body;
use axum::response::Response;
use clerk_verify::access::Reverification;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::{Value, json};

use crate::decide::Rejection;

#[derive(Serialize)]
struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clerk_error: Option<Value>,
}

/// Builds the object that Clerk's front end detects before it asks the user to verify: see
/// `isReverificationHint` of `@clerk/shared`.
fn hint(demand: Reverification) -> Value {
    let demand = json!({ "level": demand.level.name(), "afterMinutes": demand.within_minutes });
    json!({
        "type": "forbidden",
        "reason": "reverification-error",
        "metadata": { "reverification": demand },
    })
}

pub(super) fn respond(rejection: Rejection, wait: Option<u32>) -> Response {
    let status = rejection.status();
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        code: rejection.code(),
        detail: rejection.sentence(),
        reason: status.is_client_error().then(|| rejection.reason()),
        retry_after: wait,
        clerk_error: match rejection {
            Rejection::Reverify(demand) => Some(hint(demand)),
            _ => None,
        },
    };
    let json = serde_json::to_string(&problem).expect("strings and numbers serialize");
    let mut response = Response::new(Body::from(json));
    let media_type = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}
