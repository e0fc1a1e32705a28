//! Probe of the verification keys: from the Frontend API, or from the Backend API if that fails.

use clerk_verify::jwks::{JwksError, KeySet};
use clerk_verify::transport::{ApiRequest, ApiResponse};

use super::{Probe, ProbePayload, ProbeResult, Prober, backend_api, join};
use crate::state::health::Observation;

pub(super) async fn ask(prober: &Prober) -> ProbeResult {
    let (observation, result) = prober.observe(Probe::Jwks, first_source(prober)).await;
    if let Some(keys) = result.ok().as_ref().and_then(keys_in) {
        return ProbeResult { observation, brought: ProbePayload::Keys(keys) };
    }
    let second = second_source(prober).await;
    ProbeResult {
        observation: observation.map(Observation::unusable),
        brought: second.map_or(ProbePayload::Nothing, ProbePayload::SecondKeys),
    }
}

/// Returns whether both APIs publish at least one common key. `None` if one of them yields no keys.
pub(super) async fn agree(prober: &Prober) -> Option<bool> {
    let (first, second) = tokio::join!(prober.call(first_source(prober)), second_source(prober));
    Some(keys_in(&first.ok()?)?.shares_a_key_with(&second?))
}

fn first_source(prober: &Prober) -> ApiRequest {
    let url = join(&prober.targets.frontend_api, ".well-known/jwks.json");
    ApiRequest::get(url).deadline(prober.targets.deadline)
}

pub(super) async fn second_source(prober: &Prober) -> Option<KeySet> {
    prober.targets.secret_key.as_ref()?;
    let reply = prober.call(backend_api::jwks(&prober.targets)).await.ok()?;
    keys_in(&reply)
}

fn keys_in(reply: &ApiResponse) -> Option<KeySet> {
    match KeySet::from_reply(reply) {
        Ok(keys) => Some(keys),
        Err(JwksError::Status(_)) => None,
        Err(reason) => {
            tracing::warn!(event = "clerk.jwks.unusable", %reason, "Clerk served an unusable key set; using the last good keys");
            None
        }
    }
}
