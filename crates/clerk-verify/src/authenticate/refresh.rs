//! Renewal of an expired session token through the Backend API, with the browser's refresh token.

use super::context::Context;
use super::evidence::{Evidence, Refusal};
use super::reason::RefreshDenial;
use super::resolve::{cookies, session_token};
use super::{AuthStatus, BackendResponses, NeedsBackend, RequestState};
use crate::token::Peek;

/// The parameters of the call `POST /v1/sessions/{session_id}/refresh`. The call also sends
/// `format` `cookie` and the header fields of the request.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct RefreshCall {
    /// The session id, from the expired token.
    pub session_id: String,
    /// The expired token.
    pub expired_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// True when the new cookies must have the suffix.
    pub suffixed_cookies: bool,
    /// The origin of the request.
    pub request_origin: String,
}

impl std::fmt::Debug for RefreshCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshCall").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}

/// Signs in with the renewed token, or returns why there is none.
pub(super) fn refresh(
    context: &Context<'_>,
    evidence: &Evidence<'_>,
    answers: &BackendResponses,
    expired: &str,
) -> Result<Result<RequestState, RefreshDenial>, NeedsBackend> {
    let call = match prepare(context, answers, expired) {
        Ok(call) => call,
        Err(denial) => return Ok(Err(denial)),
    };
    let lines = match &answers.refreshed {
        None => return Err(NeedsBackend::Refresh(call)),
        Some(Err(denial)) => return Ok(Err(denial.clone())),
        Some(Ok(lines)) if lines.is_empty() => return Ok(Err(RefreshDenial::Empty)),
        Some(Ok(lines)) => lines,
    };
    let token = session_token(lines).unwrap_or_default();
    Ok(match evidence.session(token) {
        Ok(verified) => {
            let state =
                AuthStatus::SignedIn { token: token.to_owned(), verified: Box::new(verified) };
            Ok(RequestState { headers: cookies(lines), ..state.into() })
        }
        Err(Refusal::UnknownKey(_)) => Err(RefreshDenial::UnknownKey),
        Err(_) => Err(RefreshDenial::InvalidToken),
    })
}

fn prepare(
    context: &Context<'_>,
    answers: &BackendResponses,
    expired: &str,
) -> Result<RefreshCall, RefreshDenial> {
    if !context.get {
        return Err(RefreshDenial::NotGet);
    }
    let refresh_token = context.refresh_token.clone().ok_or(RefreshDenial::NoCookie)?;
    if !answers.backend_api {
        return Err(RefreshDenial::NoBackendApi);
    }
    let session_id = Peek::of(expired).and_then(|peek| peek.session_id);
    Ok(RefreshCall {
        session_id: session_id.ok_or(RefreshDenial::NoSessionId)?,
        expired_token: expired.to_owned(),
        refresh_token,
        suffixed_cookies: context.suffixed,
        request_origin: context.address.origin().ascii_serialization(),
    })
}
