//! The verification keys: from the Frontend API, and from the Backend API when that fails.

use super::{Brought, Finding, Probe, Prober, backend_api, join};
use crate::jwks::{JwksError, KeySet};
use crate::upstream::{Call, Reply};

pub(super) async fn ask(prober: &Prober) -> Finding {
    let targets = &prober.targets;
    let url = join(&targets.frontend_api, ".well-known/jwks.json");
    let call = Call::get(url).deadline(targets.deadline);
    let (mut observation, result) = prober.observe(Probe::Jwks, call).await;
    let mut keys = result.ok().as_ref().and_then(keys_in);
    if keys.is_none() {
        observation = observation.map(crate::health::Observation::unusable);
        keys = second_source(prober).await;
    }
    let brought = keys.map_or(Brought::Nothing, Brought::Keys);
    Finding { observation, brought }
}

pub(super) async fn second_source(prober: &Prober) -> Option<KeySet> {
    prober.targets.secret_key.as_ref()?;
    let reply = prober.upstream.call(backend_api::jwks(&prober.targets)).await.ok()?;
    keys_in(&reply)
}

fn keys_in(reply: &Reply) -> Option<KeySet> {
    match KeySet::from_reply(reply) {
        Ok(keys) => Some(keys),
        Err(JwksError::Status(_)) => None,
        Err(reason) => {
            tracing::warn!(event = "clerk.jwks.unusable", %reason, "kept the last good keys");
            None
        }
    }
}
