//! Probes of the Frontend API, on two paths that reach Clerk's origin.

use clerk_verify::transport::ApiRequest;

use super::Targets;

/// Builds the probe of minting: a token request for a session that does not exist.
///
/// The path is the one that mints tokens, so no cache and no other healthy service can answer for
/// it. Clerk refuses after one look-up, with an error in its own format.
pub(super) fn mint(targets: &Targets) -> ApiRequest {
    let path = "v1/client/sessions/sess_000000000000000000000000000/tokens";
    ApiRequest::get(at(targets, path)).post().deadline(targets.deadline)
}

/// Builds the probe of the handshake. Any answer of Clerk's, a redirect or a refusal, shows that
/// the endpoint works.
pub(super) fn handshake(targets: &Targets) -> ApiRequest {
    let mut url = at(targets, "v1/client/handshake");
    let back = targets.frontend_api.origin().ascii_serialization();
    url.query_pairs_mut().append_pair("redirect_url", &back);
    ApiRequest::get(url).deadline(targets.deadline)
}

fn at(targets: &Targets, path: &str) -> url::Url {
    super::join(&targets.frontend_api, path)
}
