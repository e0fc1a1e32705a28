//! Clerk's status page, with the validator of the document that is already known.

use clerk_verify::transport::{Call, Reply};
use http::HeaderValue;
use http::header::{ETAG, IF_NONE_MATCH};

use super::{Brought, Finding, Probe, Prober};
use crate::state::health::Observation;
use crate::state::status_page::StatusReport;

pub(super) async fn ask(prober: &Prober, tag: Option<HeaderValue>) -> Finding {
    let probe = Probe::StatusPage;
    let Some(url) = prober.targets.status_page.clone() else {
        return Finding { observation: None, brought: Brought::Nothing };
    };
    let mut call = Call::get(url).deadline(prober.targets.deadline);
    call.max_bytes = 512 * 1024;
    if let Some(tag) = tag {
        call = call.header(IF_NONE_MATCH, tag);
    }
    let (observation, result) = prober.observe(probe, call).await;
    match result {
        Ok(reply) if reply.status.is_success() => match read(&reply) {
            Some(brought) => Finding { observation, brought },
            None => Finding {
                observation: observation.map(Observation::unusable),
                brought: Brought::Nothing,
            },
        },
        _ => Finding { observation, brought: Brought::Nothing },
    }
}

fn read(reply: &Reply) -> Option<Brought> {
    let report = StatusReport::parse(&reply.body).ok()?;
    let tag = reply.headers.get(ETAG).cloned();
    Some(Brought::Page { report: Box::new(report), tag })
}
