//! Whether anything outside answers: when Clerk is silent, this tells whether we are cut off.

use clerk_verify::transport::{ApiRequest, TransportError};

use super::{ProbePayload, ProbeResult, Prober};

/// Any answer of any canary will do, an error status too. A false certificate will not.
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
