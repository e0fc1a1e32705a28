//! Handles a token that a browser brings from Clerk and that an unknown key signed.
//!
//! Handshakes and renewals return tokens that Clerk signed a moment ago. An unknown key may be new,
//! so such a token cannot be verified yet and does not count as forged.

use std::time::Duration;

use clerk_verify::authenticate::{
    Context, HandshakeResult, HandshakeSource, Reason, RefreshDenial, RequestState,
};
use clerk_verify::token::InvalidToken;

use super::page::{PendingPage, RequestContext};
use super::service::{Decision, Judgement};
use super::wait::Wait;
use crate::decide::{Rejection, Unavailable};

/// Maximum age of keys that the driver refreshed because this request waited for them.
const JUST_NOW: Duration = Duration::from_secs(1);
/// Maximum age of keys that the first of several returns from a handshake refreshed.
const RECENT: Duration = Duration::from_secs(30);

/// Waits for fresh keys, or answers 503. Returns `None` if the key does not matter, or is certainly
/// not Clerk's.
pub(super) fn unverifiable(
    context: &Context<'_>,
    answer: &Result<RequestState, PendingPage>,
    plain: &Judgement,
    ctx: RequestContext<'_>,
) -> Option<Judgement> {
    let answer = answer.as_ref().ok()?;
    let renewed = is_renewed(answer);
    if !plain.is_refused() || !(renewed || is_handshake(answer, context)) {
        return None;
    }
    let keys = &ctx.known.keys;
    if !ctx.resolved.settled && (keys.refreshing || keys.may_refresh(ctx.now)) {
        return Some(Decision::Await(Wait::Keys).into());
    }
    // Only a refresh after the token was signed proves that its key is not Clerk's.
    let limit = if renewed || ctx.resolved.settled { JUST_NOW } else { RECENT };
    let recent = keys.age(ctx.now.wall).is_some_and(|age| age <= limit);
    let unknown = Rejection::Unavailable(Unavailable::UnknownKey);
    (!recent).then(|| Decision::Reject(unknown).into())
}

/// Returns true if the Backend API renewed the session with a token of an unknown key.
fn is_renewed(answer: &RequestState) -> bool {
    answer.state.reason() == Some(&Reason::TokenExpired(RefreshDenial::UnknownKey))
}

/// Returns true if an unknown key signed the handshake in the address. A handshake in a cookie may
/// belong to another application on the same domain.
fn is_handshake(answer: &RequestState, context: &Context<'_>) -> bool {
    let unknown = Reason::Token(InvalidToken::UnknownKey);
    let failed = match &answer.arrival {
        HandshakeResult::Failed(reason) => *reason == unknown,
        _ => answer.state.reason() == Some(&unknown),
    };
    failed && context.returns() == Some(HandshakeSource::Address)
}
