//! Calls to the Backend API: the probe, the keys, and the end of sessions.

use clerk_verify::id::SessionId;
use clerk_verify::transport::ApiRequest;

use super::Targets;

/// Builds the probe of the Backend API, `GET /v1/users/count`: a small, uncached response that
/// requires a valid secret key.
pub(super) fn count(targets: &Targets) -> ApiRequest {
    let call = ApiRequest::get(super::join(&targets.backend_api, "v1/users/count"));
    with_secret(call.deadline(targets.deadline), targets)
}

/// Builds `GET /v1/jwks`, the second source of the verification keys.
pub(super) fn jwks(targets: &Targets) -> ApiRequest {
    let call = ApiRequest::get(super::join(&targets.backend_api, "v1/jwks"));
    with_secret(call.deadline(targets.deadline), targets)
}

/// Builds `POST /v1/sessions/{id}/revoke`. `None` for an id with characters that no session id has.
pub(super) fn end_session(targets: &Targets, id: &SessionId) -> Option<ApiRequest> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let path = format!("v1/sessions/{id}/revoke");
    let call = ApiRequest::get(super::join(&targets.backend_api, &path)).post();
    let known = !id.as_str().is_empty() && id.as_str().bytes().all(plain);
    known.then(|| with_secret(call.deadline(targets.deadline), targets))
}

fn with_secret(call: ApiRequest, targets: &Targets) -> ApiRequest {
    match &targets.secret_key {
        Some(key) => call.bearer(key.expose()),
        None => call,
    }
}
