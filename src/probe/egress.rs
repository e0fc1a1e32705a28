//! Whether anything outside answers: when Clerk is silent, this tells whether we are cut off.

use clerk_verify::transport::{Call, Fault};

use super::{Brought, Finding, Prober};

/// Any answer of any canary will do, an error status too. A false certificate will not.
pub(super) async fn ask(prober: &Prober) -> Finding {
    let mut alive = false;
    for url in &prober.targets.canaries {
        let call = Call::get(url.clone()).deadline(prober.targets.deadline);
        let answer = prober.call(call).await;
        if matches!(answer, Ok(_) | Err(Fault::TooLarge)) {
            alive = true;
            break;
        }
    }
    Finding { observation: None, brought: Brought::Egress(alive) }
}
