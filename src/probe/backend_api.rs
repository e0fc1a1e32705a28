//! The Backend API, by its cheapest question.

use super::Targets;
use crate::upstream::Call;

/// `GET /v1/users/count`: small, uncached, and it needs a valid secret key.
pub(super) fn count(targets: &Targets) -> Call {
    let call = Call::get(super::join(&targets.backend_api, "v1/users/count"));
    with_secret(call.deadline(targets.deadline), targets)
}

/// `GET /v1/jwks`: the second source of the verification keys.
pub(super) fn jwks(targets: &Targets) -> Call {
    let call = Call::get(super::join(&targets.backend_api, "v1/jwks"));
    with_secret(call.deadline(targets.deadline), targets)
}

fn with_secret(call: Call, targets: &Targets) -> Call {
    match &targets.secret_key {
        Some(key) => call.bearer(key.expose()),
        None => call,
    }
}
