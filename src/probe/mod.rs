//! Probes of Clerk: one file for each probed surface.
//!
//! A probe makes one or two calls, and returns an [`Observation`] and a payload.

mod backend_api;
mod egress;
mod frontend_api;
mod jwks;
mod status_page;

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Clock;
use clerk_verify::id::SessionId;
use clerk_verify::jwks::KeySet;
use clerk_verify::key::SecretKey;
use clerk_verify::transport::{ApiRequest, ApiResponse, Transport, TransportError};
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use crate::state::health::{Observation, Outcome, Surface};
use crate::state::status_page::StatusReport;

/// Overrun of a probe's deadline that means a starved process, not a slow Clerk.
const STARVED_BY: Duration = Duration::from_secs(2);

/// The probes that the driver can run.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Probe {
    SessionMint,
    Handshake,
    BackendApi,
    Jwks,
    StatusPage,
    /// Whether any egress canary answers.
    Egress,
}

impl Probe {
    pub(crate) const ALL: [Self; 6] = [
        Self::SessionMint,
        Self::Handshake,
        Self::BackendApi,
        Self::Jwks,
        Self::StatusPage,
        Self::Egress,
    ];

    fn surface(self) -> Option<Surface> {
        match self {
            Self::SessionMint => Some(Surface::SessionMint),
            Self::Handshake => Some(Surface::Handshake),
            Self::BackendApi => Some(Surface::BackendApi),
            Self::Jwks => Some(Surface::Jwks),
            Self::StatusPage => Some(Surface::StatusPage),
            Self::Egress => None,
        }
    }
}

/// Addresses, the secret key and the deadline of probes.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) frontend_api: Url,
    pub(crate) backend_api: Url,
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) status_page: Option<Url>,
    pub(crate) canaries: Vec<Url>,
    pub(crate) deadline: Duration,
}

impl Targets {
    /// Returns whether the configuration names a target for this probe.
    pub(crate) fn can_ask(&self, probe: Probe) -> bool {
        match probe {
            Probe::SessionMint | Probe::Handshake | Probe::Jwks => true,
            Probe::BackendApi => self.secret_key.is_some(),
            Probe::StatusPage => self.status_page.is_some(),
            Probe::Egress => !self.canaries.is_empty(),
        }
    }
}

/// Result of one probe.
#[derive(Debug)]
pub(crate) struct ProbeResult {
    pub(crate) observation: Option<Observation>,
    pub(crate) brought: ProbePayload,
}

impl ProbeResult {
    /// Returns whether the probe yielded a usable answer.
    pub(crate) fn succeeded(&self) -> bool {
        let good = |seen: &Observation| seen.outcome == Outcome::Good;
        match &self.brought {
            ProbePayload::Keys(_)
            | ProbePayload::SecondKeys(_)
            | ProbePayload::Page { .. }
            | ProbePayload::Egress(true) => true,
            ProbePayload::Egress(false) => false,
            ProbePayload::Nothing => self.observation.as_ref().is_some_and(good),
        }
    }
}

#[derive(Debug)]
pub(crate) enum ProbePayload {
    Nothing,
    Keys(KeySet),
    /// Keys from the Backend API. They belong to the secret key's instance, which may differ from
    /// the publishable key's.
    SecondKeys(KeySet),
    Page {
        report: Box<StatusReport>,
        tag: Option<HeaderValue>,
    },
    /// Whether any egress canary answered.
    Egress(bool),
}

/// Runs probes over a transport and a clock; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) targets: Arc<Targets>,
}

impl Prober {
    /// Runs one probe. `page_tag` is the validator (`ETag`) of the last status document.
    pub(crate) async fn ask(self, probe: Probe, page_tag: Option<HeaderValue>) -> ProbeResult {
        match probe {
            Probe::SessionMint => self.plain(probe, frontend_api::mint(&self.targets)).await,
            Probe::Handshake => self.plain(probe, frontend_api::handshake(&self.targets)).await,
            Probe::BackendApi => self.plain(probe, backend_api::count(&self.targets)).await,
            Probe::Jwks => jwks::ask(&self).await,
            Probe::StatusPage => status_page::ask(&self, page_tag).await,
            Probe::Egress => egress::ask(&self).await,
        }
    }

    /// Loads the keys of the secret key's instance from the Backend API.
    pub(crate) async fn backend_keys(self) -> Option<KeySet> {
        jwks::second_source(&self).await
    }

    /// Returns whether the secret key and the Frontend API belong to the same instance. `None` if
    /// one of the two APIs yields no keys now.
    pub(crate) async fn is_one_instance(&self) -> Option<bool> {
        jwks::agree(self).await
    }

    /// Ends a session at Clerk. A session that Clerk does not know, or whose id is malformed,
    /// counts as ended.
    pub(crate) async fn end_session(&self, id: &SessionId) -> Ended {
        let Some(call) = backend_api::end_session(&self.targets, id) else { return Ended::Yes };
        match self.call(call).await {
            Ok(reply) if reply.status.is_success() => Ended::Yes,
            Ok(reply) if is_settled(reply.status) || is_forbidden(&reply) => Ended::Yes,
            _ => Ended::Unanswered,
        }
    }

    async fn plain(&self, probe: Probe, call: ApiRequest) -> ProbeResult {
        let (observation, _) = self.observe(probe, call).await;
        ProbeResult { observation, brought: ProbePayload::Nothing }
    }

    /// Makes a call and enforces its deadline, even if the transport does not.
    async fn call(&self, call: ApiRequest) -> Result<ApiResponse, TransportError> {
        let limit = call.deadline + STARVED_BY;
        let result = tokio::time::timeout(limit, self.transport.call(call)).await;
        result.unwrap_or(Err(TransportError::Timeout))
    }

    /// Makes a call and classifies its result as an observation.
    async fn observe(
        &self,
        probe: Probe,
        call: ApiRequest,
    ) -> (Option<Observation>, Result<ApiResponse, TransportError>) {
        let (started, deadline, url) = (Instant::now(), call.deadline, call.url.clone());
        let limit = deadline + STARVED_BY;
        let result = self.call(call).await;
        let took = started.elapsed();
        let observation = probe.surface().map(|surface| {
            let seen = Observation::of(surface, &url, &result, took, self.clock.now());
            if took >= limit { seen.starved() } else { seen }
        });
        (observation, result)
    }
}

/// Result of an attempt to end a session at Clerk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    Yes,
    /// Clerk did not confirm; the driver retries.
    Unanswered,
}

/// Returns whether a status is final: Clerk does not know the session or cannot end it, and a retry
/// would not change that.
fn is_settled(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::UNPROCESSABLE_ENTITY
    )
}

/// Returns whether Clerk itself forbids to end this session. Errors about a key concern the
/// application and may change. A response without error codes does not come from Clerk.
fn is_forbidden(reply: &ApiResponse) -> bool {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let errors =
        body.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of_session = |error: &Value| {
        let code = error.get("code").and_then(Value::as_str);
        code.is_some_and(|code| !code.contains("key"))
    };
    reply.status == StatusCode::FORBIDDEN && !errors.is_empty() && errors.iter().all(of_session)
}

/// Appends `path` to a base URL, whose own path (a proxy's `/__clerk`) stays.
fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    url
}
