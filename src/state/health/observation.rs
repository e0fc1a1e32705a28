//! The result of one call to Clerk, and its value as evidence.

use std::fmt;
use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use clerk_verify::transport::{ApiResponse, TransportError};
use http::StatusCode;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use url::Url;

use super::Surface;

/// A good answer that took at least this long makes a surface `Degraded`.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// A good answer that took longer than this may help to prove an outage.
const VERY_SLOW: Duration = Duration::from_millis(1_500);

/// One observation of one surface.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The observed surface.
    pub surface: Surface,
    /// When the answer, or its absence, was certain.
    pub at: Moment,
    /// The duration of the call.
    pub latency: Duration,
    /// The result.
    pub outcome: Outcome,
    /// Clerk's `Date` minus the local clock, in milliseconds. `None` if the answer had no valid
    /// `Date`.
    pub clock_skew_millis: Option<i64>,
}

/// The result of an observation.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Clerk answered as expected.
    Good,
    /// Clerk appears to have failed; the evidence class states how reliable that is.
    Failed(EvidenceClass, FailureKind),
    /// The fault is local and proves nothing about Clerk.
    LocalFault(LocalFault),
}

/// Whether an observation may help to prove an outage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EvidenceClass {
    /// Class A: the answer came over valid TLS from the expected host.
    Authentic,
    /// Class U: anyone who controls the local network could have caused the failure.
    Unproven,
    /// Class X: the answer did not come from Clerk. It never proves an outage, and it blocks that
    /// conclusion for 60 s.
    Hostile,
}

/// The kind of a failure at Clerk or on the way to Clerk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FailureKind {
    /// An answer with this status.
    Status(u16),
    /// An answer with the error code `maintenance_mode`.
    Maintenance,
    /// No answer.
    Fault(TransportError),
    /// An unexpected redirect.
    Redirect,
    /// An answer that is not JSON, such as the page of a captive portal.
    NotJson,
    /// Valid JSON, but not the expected document.
    Unusable,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Maintenance => f.write_str("answered that it is under maintenance"),
            Self::Fault(fault) => fault.fmt(f),
            Self::Redirect => f.write_str("redirected to another address"),
            Self::NotJson => f.write_str("answered something that is not JSON"),
            Self::Unusable => f.write_str("answered a document without usable content"),
        }
    }
}

/// A fault of this process or its configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LocalFault {
    /// The Backend API rejects the secret key.
    SecretKey,
    /// The application has exhausted its own Backend API quota.
    Quota,
    /// The call could not be sent, or this process was too busy to complete it in time.
    Local,
}

impl fmt::Display for LocalFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SecretKey => "the secret key is refused; check CLERK_SECRET_KEY",
            Self::Quota => "the application's own Backend API quota is used up",
            Self::Local => "this process could not make the call in time",
        })
    }
}

impl Observation {
    /// Classifies the result of a call to `url` that took `latency` and ended at `at`.
    #[must_use]
    pub fn of(
        surface: Surface,
        url: &Url,
        result: &Result<ApiResponse, TransportError>,
        latency: Duration,
        at: Moment,
    ) -> Self {
        let outcome = match result {
            Ok(reply) => judge(surface, url, reply),
            Err(fault) => lost(*fault),
        };
        let skew = result.as_ref().ok().and_then(|reply| clock_skew(reply, at.wall));
        Self { surface, at, latency, outcome, clock_skew_millis: skew }
    }

    /// The same observation, for an answer whose content is unusable. A good outcome becomes a
    /// failure.
    #[must_use]
    pub fn unusable(mut self) -> Self {
        if self.outcome == Outcome::Good {
            self.outcome = Outcome::Failed(EvidenceClass::Unproven, FailureKind::Unusable);
        }
        self
    }

    /// The same observation as a local fault, because this process was starved during the call.
    #[must_use]
    pub fn starved(mut self) -> Self {
        self.outcome = Outcome::LocalFault(LocalFault::Local);
        self
    }

    /// True when the observation may count as class A evidence: an authentic failure, or a good
    /// answer slower than 1.5 s.
    #[must_use]
    pub fn is_authentic_evidence(&self) -> bool {
        match self.outcome {
            Outcome::Failed(evidence, _) => evidence == EvidenceClass::Authentic,
            Outcome::Good => self.latency > VERY_SLOW,
            Outcome::LocalFault(_) => false,
        }
    }
}

fn lost(fault: TransportError) -> Outcome {
    match fault {
        TransportError::Tls => Outcome::Failed(EvidenceClass::Hostile, FailureKind::Fault(fault)),
        TransportError::Unsendable => Outcome::LocalFault(LocalFault::Local),
        _ => Outcome::Failed(EvidenceClass::Unproven, FailureKind::Fault(fault)),
    }
}

fn judge(surface: Surface, url: &Url, reply: &ApiResponse) -> Outcome {
    let failed = |trouble| Outcome::Failed(EvidenceClass::Authentic, trouble);
    let status = reply.status;
    if status.is_server_error() {
        let maintenance = error_code(reply).as_deref() == Some("maintenance_mode");
        let trouble = if maintenance {
            FailureKind::Maintenance
        } else {
            FailureKind::Status(status.as_u16())
        };
        return failed(trouble);
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        let ours = surface == Surface::BackendApi
            && reply.headers.contains_key(RETRY_AFTER)
            && error_code(reply).is_some();
        return if ours {
            Outcome::LocalFault(LocalFault::Quota)
        } else {
            failed(FailureKind::Status(429))
        };
    }
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        return redirected(surface, url, reply);
    }
    if status != StatusCode::NOT_MODIFIED && !is_json(reply) {
        return Outcome::Failed(EvidenceClass::Hostile, FailureKind::NotJson);
    }
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    match surface {
        Surface::BackendApi if refused => Outcome::LocalFault(LocalFault::SecretKey),
        // An error in Clerk's own format comes from Clerk's origin, which is therefore up.
        Surface::SessionMint | Surface::Handshake => Outcome::Good,
        _ if status.is_client_error() => {
            Outcome::Failed(EvidenceClass::Unproven, FailureKind::Status(status.as_u16()))
        }
        _ => Outcome::Good,
    }
}

/// The handshake answers with a redirect by design. On other surfaces, a redirect to another host
/// did not come from Clerk.
fn redirected(surface: Surface, url: &Url, reply: &ApiResponse) -> Outcome {
    if surface == Surface::Handshake {
        return Outcome::Good;
    }
    let target = reply.header(&LOCATION).and_then(|location| url.join(location).ok());
    let same_host = target.is_some_and(|target| target.host_str() == url.host_str());
    let evidence = if same_host { EvidenceClass::Unproven } else { EvidenceClass::Hostile };
    Outcome::Failed(evidence, FailureKind::Redirect)
}

fn is_json(reply: &ApiResponse) -> bool {
    let declared = reply.header(&CONTENT_TYPE).is_none_or(|kind| kind.contains("json"));
    declared && serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body).is_ok()
}

/// The error code of Clerk's error envelope, in either of its two forms.
fn error_code(reply: &ApiResponse) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).ok()?;
    let code = body.pointer("/errors/0/code").or_else(|| body.get("code"))?;
    Some(code.as_str()?.to_owned())
}

/// The difference of the clocks. `Date` has a resolution of 1 s and was written at some time during
/// the call.
fn clock_skew(reply: &ApiResponse, received: Timestamp) -> Option<i64> {
    let date = httpdate::parse_http_date(reply.header(&http::header::DATE)?).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let theirs = Timestamp::default().plus(date).plus(Duration::from_millis(500));
    let ours = received.minus(reply.latency / 2);
    Some(theirs.as_millis() - ours.as_millis())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const ENVELOPE: &str = r#"{"errors":[{"message":"m","code":"too_many_requests"}]}"#;

    fn reply(status: u16, body: &str, fields: &[(HeaderName, &'static str)]) -> ApiResponse {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let status = StatusCode::from_u16(status).expect("a status");
        ApiResponse { status, headers, body, latency: Duration::from_millis(50) }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it reads better in the rows below")]
    fn outcome(surface: Surface, result: Result<ApiResponse, TransportError>) -> Outcome {
        let url = Url::parse("https://clerk.example.com/v1/x").expect("a valid address");
        Observation::of(surface, &url, &result, Duration::ZERO, Moment::default()).outcome
    }

    #[test]
    fn answers_of_a_failing_clerk_are_authentic_evidence() {
        for (status, body) in
            [(500, "{}"), (502, "<html>"), (503, ENVELOPE), (429, ENVELOPE), (429, "")]
        {
            let outcome = outcome(Surface::SessionMint, Ok(reply(status, body, &[])));
            let expected = Outcome::Failed(EvidenceClass::Authentic, FailureKind::Status(status));
            assert_eq!(outcome, expected, "{status} {body}");
        }
        let body = r#"{"shortMessage":"System under maintenance","code":"maintenance_mode"}"#;
        let outcome = outcome(Surface::SessionMint, Ok(reply(503, body, &[])));
        assert_eq!(outcome, Outcome::Failed(EvidenceClass::Authentic, FailureKind::Maintenance));
    }

    #[test]
    fn silence_is_unproven_and_a_false_certificate_is_hostile() {
        for fault in [
            TransportError::Dns,
            TransportError::Refused,
            TransportError::Reset,
            TransportError::Timeout,
            TransportError::Protocol,
            TransportError::TooLarge,
        ] {
            let expected = Outcome::Failed(EvidenceClass::Unproven, FailureKind::Fault(fault));
            assert_eq!(outcome(Surface::Jwks, Err(fault)), expected);
        }
        let expected =
            Outcome::Failed(EvidenceClass::Hostile, FailureKind::Fault(TransportError::Tls));
        assert_eq!(outcome(Surface::Jwks, Err(TransportError::Tls)), expected);
    }

    #[test]
    fn an_untrusted_responder_is_hostile() {
        let html = reply(200, "<html>log in</html>", &[(CONTENT_TYPE, "text/html")]);
        let expected = Outcome::Failed(EvidenceClass::Hostile, FailureKind::NotJson);
        assert_eq!(outcome(Surface::SessionMint, Ok(html)), expected);
        let away = reply(302, "", &[(LOCATION, "https://portal.example.net/login")]);
        let expected = Outcome::Failed(EvidenceClass::Hostile, FailureKind::Redirect);
        assert_eq!(outcome(Surface::Jwks, Ok(away)), expected);
        let near = reply(302, "", &[(LOCATION, "/elsewhere")]);
        let expected = Outcome::Failed(EvidenceClass::Unproven, FailureKind::Redirect);
        assert_eq!(outcome(Surface::Jwks, Ok(near)), expected);
    }

    #[test]
    fn our_own_faults_never_count_against_clerk() {
        let refused = reply(401, ENVELOPE, &[]);
        let expected = Outcome::LocalFault(LocalFault::SecretKey);
        assert_eq!(outcome(Surface::BackendApi, Ok(refused)), expected);
        let quota = reply(429, ENVELOPE, &[(RETRY_AFTER, "7")]);
        let expected = Outcome::LocalFault(LocalFault::Quota);
        assert_eq!(outcome(Surface::BackendApi, Ok(quota.clone())), expected);
        let same_elsewhere = outcome(Surface::Jwks, Ok(quota));
        assert_eq!(
            same_elsewhere,
            Outcome::Failed(EvidenceClass::Authentic, FailureKind::Status(429))
        );
        let bare = outcome(Surface::BackendApi, Ok(reply(429, "", &[(RETRY_AFTER, "7")])));
        assert_eq!(bare, Outcome::Failed(EvidenceClass::Authentic, FailureKind::Status(429)));
        let unsendable = outcome(Surface::Jwks, Err(TransportError::Unsendable));
        assert_eq!(unsendable, Outcome::LocalFault(LocalFault::Local));
    }

    #[test]
    fn a_refusal_in_clerks_own_words_shows_that_minting_is_alive() {
        for status in [401, 404, 422] {
            assert_eq!(
                outcome(Surface::SessionMint, Ok(reply(status, ENVELOPE, &[]))),
                Outcome::Good
            );
        }
        let handshake = reply(307, "", &[(LOCATION, "https://app.example.com/")]);
        assert_eq!(outcome(Surface::Handshake, Ok(handshake)), Outcome::Good);
    }

    #[test]
    fn clock_skew_is_measured_at_the_middle_of_the_call() {
        let date = [(http::header::DATE, "Tue, 10 Mar 2026 15:57:00 GMT")];
        let result = Ok(reply(200, "{}", &date));
        let url = Url::parse("https://clerk.example.com/").expect("a valid address");
        let wall = Timestamp::from_millis(1_773_158_220_525);
        let at = Moment { wall, ..Moment::default() };
        let skew =
            Observation::of(Surface::Jwks, &url, &result, Duration::ZERO, at).clock_skew_millis;
        assert_eq!(skew, Some(0));
    }
}
