//! The Frontend API, on two paths that reach Clerk's origin.

use clerk_verify::transport::ApiRequest;

use super::Targets;

/// Asks for a token of a session that does not exist. The path is the very one that mints tokens, so
/// no cache and no healthy neighbour can answer in its place; Clerk says no in its own words, at
/// the cost of a look-up.
pub(super) fn mint(targets: &Targets) -> ApiRequest {
    let path = "v1/client/sessions/sess_000000000000000000000000000/tokens";
    ApiRequest::get(at(targets, path)).post().deadline(targets.deadline)
}

/// Starts a handshake that leads nowhere: whatever Clerk answers, a redirect or a refusal, shows that
/// the endpoint is alive.
pub(super) fn handshake(targets: &Targets) -> ApiRequest {
    let mut url = at(targets, "v1/client/handshake");
    let back = targets.frontend_api.origin().ascii_serialization();
    url.query_pairs_mut().append_pair("redirect_url", &back);
    ApiRequest::get(url).deadline(targets.deadline)
}

fn at(targets: &Targets, path: &str) -> url::Url {
    super::join(&targets.frontend_api, path)
}
