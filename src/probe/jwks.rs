//! The verification keys: from the Frontend API, and from the Backend API when that fails.

use super::{Brought, Finding, Probe, Prober, backend_api, join};
use crate::health::Observation;
use crate::jwks::{JwksError, KeySet};
use crate::upstream::{Call, Reply};

pub(super) async fn ask(prober: &Prober) -> Finding {
    let targets = &prober.targets;
    let url = join(&targets.frontend_api, ".well-known/jwks.json");
    let call = Call::get(url).deadline(targets.deadline);
    let (observation, result) = prober.observe(Probe::Jwks, call).await;
    if let Some(keys) = result.ok().as_ref().and_then(keys_in) {
        return Finding { observation, brought: Brought::Keys(keys) };
    }
    let second = second_source(prober).await;
    Finding {
        observation: observation.map(Observation::unusable),
        brought: second.map_or(Brought::Nothing, Brought::SecondKeys),
    }
}

pub(super) async fn second_source(prober: &Prober) -> Option<KeySet> {
    prober.targets.secret_key.as_ref()?;
    let reply = prober.call(backend_api::jwks(&prober.targets)).await.ok()?;
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
