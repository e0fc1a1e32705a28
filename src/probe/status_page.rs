//! Probe of Clerk's status page. The request is conditional on the last document's validator
//! (`ETag`).

use clerk_verify::transport::{ApiRequest, ApiResponse};
use http::HeaderValue;
use http::header::{ETAG, IF_NONE_MATCH};

use super::{Probe, ProbePayload, ProbeResult, Prober};
use crate::state::health::Observation;
use crate::state::status_page::StatusReport;

pub(super) async fn ask(prober: &Prober, tag: Option<HeaderValue>) -> ProbeResult {
    let probe = Probe::StatusPage;
    let Some(url) = prober.targets.status_page.clone() else {
        return ProbeResult { observation: None, brought: ProbePayload::Nothing };
    };
    let mut call = ApiRequest::get(url).deadline(prober.targets.deadline);
    call.max_bytes = 512 * 1024;
    if let Some(tag) = tag {
        call = call.header(IF_NONE_MATCH, tag);
    }
    let (observation, result) = prober.observe(probe, call).await;
    match result {
        Ok(reply) if reply.status.is_success() => match read(&reply) {
            Some(brought) => ProbeResult { observation, brought },
            None => ProbeResult {
                observation: observation.map(Observation::unusable),
                brought: ProbePayload::Nothing,
            },
        },
        _ => ProbeResult { observation, brought: ProbePayload::Nothing },
    }
}

fn read(reply: &ApiResponse) -> Option<ProbePayload> {
    let report = StatusReport::parse(&reply.body).ok()?;
    let tag = reply.headers.get(ETAG).cloned();
    Some(ProbePayload::Page { report: Box::new(report), tag })
}
