//! Probe of the egress canaries: while Clerk is silent, they show whether this host's network
//! works.

use clerk_verify::transport::{ApiRequest, TransportError};

use super::{ProbePayload, ProbeResult, Prober};

/// Calls the canaries until one answers. Any response counts, an error status too; an invalid
/// certificate does not.
pub(super) async fn ask(prober: &Prober) -> ProbeResult {
    let mut alive = false;
    for url in &prober.targets.canaries {
        let call = ApiRequest::get(url.clone()).deadline(prober.targets.deadline);
        let answer = prober.call(call).await;
        if matches!(answer, Ok(_) | Err(TransportError::TooLarge)) {
            alive = true;
            break;
        }
    }
    ProbeResult { observation: None, brought: ProbePayload::Egress(alive) }
}
