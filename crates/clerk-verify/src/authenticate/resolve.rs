//! Resolution of a handshake when the browser returns from Clerk.

use std::time::Duration;

use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue,
    SET_COOKIE,
};

use super::context::Context;
use super::evidence::{Evidence, Refusal};
use super::reason::Reason;
use super::{AuthStatus, BackendResponses, HandshakeResult, NeedsBackend, RequestState};
use crate::verify::Verified;

/// Query parameters that the Frontend API adds to the address.
pub(super) const MARKS: [&str; 4] =
    ["__clerk_handshake", "__clerk_help", "__clerk_db_jwt", "__clerk_handshake_nonce"];

/// Allowed clock error of a developer's machine.
const DEVELOPMENT_LEEWAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Resolves the handshake result of a request. A result that cannot be resolved may belong to
/// another application, because several on one domain can share the handshake cookie.
pub(super) fn resolve(
    context: &Context<'_>,
    evidence: &Evidence<'_>,
    answers: &BackendResponses,
) -> Result<HandshakeReturn, NeedsBackend> {
    let lines = match (&context.handshake_nonce, &context.handshake_token) {
        (Some(nonce), _) => payload(nonce, answers)?,
        (None, Some(token)) => match evidence.handshake(token) {
            Ok(lines) => lines,
            // Clerk's SDK throws here. A developer who changed keys must see the error.
            Err(Refusal::Token(reason)) if context.site.is_development() => {
                let reason = Reason::Token(reason);
                return Ok(HandshakeReturn::Settled(Box::new(
                    AuthStatus::SignedOut { reason }.into(),
                )));
            }
            Err(refusal) => return Ok(HandshakeReturn::Failed(refusal.of_handshake())),
        },
        (None, None) => return Ok(HandshakeReturn::None),
    };
    Ok(match settle(context, evidence, &lines) {
        Ok(answer) => HandshakeReturn::Settled(Box::new(answer)),
        Err(refusal) => HandshakeReturn::Failed(refusal.of_handshake()),
    })
}

/// The outcome of a resolution.
pub(super) enum HandshakeReturn {
    /// The request contains no handshake result.
    None,
    Settled(Box<RequestState>),
    Failed(Reason),
}

/// Returns the cookies behind a nonce. If the Backend API is unreachable, the list is empty and the
/// browser has no session.
fn payload(nonce: &str, answers: &BackendResponses) -> Result<Vec<String>, NeedsBackend> {
    match &answers.payload {
        Some(lines) => Ok(lines.clone().unwrap_or_default()),
        None if answers.backend_api => Err(NeedsBackend::Payload(nonce.to_owned())),
        None => Ok(Vec::new()),
    }
}

fn settle(
    context: &Context<'_>,
    evidence: &Evidence<'_>,
    lines: &[String],
) -> Result<RequestState, Refusal> {
    let state = match session_token(lines) {
        None => AuthStatus::SignedOut { reason: Reason::TokenMissing },
        Some(token) => {
            let verified = fresh(context, evidence, token)?;
            AuthStatus::SignedIn { token: token.to_owned(), verified: Box::new(verified) }
        }
    };
    let mut headers = cookies(lines);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("null"));
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    let clean = context.site.is_development().then(|| context.clean_address());
    if clean.is_some() {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(RequestState { headers, clean, arrival: HandshakeResult::Resolved, ..state.into() })
}

/// Verifies the session token of a handshake. A development instance allows a clock error of a day.
fn fresh(context: &Context<'_>, evidence: &Evidence<'_>, token: &str) -> Result<Verified, Refusal> {
    evidence.session(token).or_else(|refusal| {
        if context.site.is_development() && refusal.is_of_time() {
            return evidence.session_within(token, DEVELOPMENT_LEEWAY);
        }
        Err(refusal)
    })
}

/// Returns the value of the last session cookie, with any suffix; `None` when it is empty.
pub(super) fn session_token(lines: &[String]) -> Option<&str> {
    let pair = |line: &'_ str| -> Option<(usize, usize)> {
        let pair = line.split(';').next().unwrap_or_default();
        let name = pair.split('=').next().unwrap_or_default();
        name.starts_with("__session").then_some((name.len(), pair.len()))
    };
    let (line, (name, end)) = lines.iter().rev().find_map(|line| Some((line, pair(line)?)))?;
    let value = line[name..end].strip_prefix('=').and_then(|rest| rest.split('=').next())?;
    (!value.is_empty()).then_some(value)
}

/// Returns `Set-Cookie` fields; invalid header values are omitted.
pub(super) fn cookies(lines: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.iter().filter_map(|line| HeaderValue::try_from(line).ok()) {
        headers.append(SET_COOKIE, line);
    }
    headers
}
