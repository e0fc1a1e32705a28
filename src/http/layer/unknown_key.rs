//! A browser brings a token from Clerk whose key is not here: Clerk may have changed its keys.
//!
//! A handshake, and the answer to a renewal, carry tokens that Clerk made a moment ago. One whose key
//! is not known is not forged; it cannot be verified yet.

use std::time::Duration;

use clerk_verify::authenticate::{
    Context, HandshakeResult, HandshakeSource, Reason, RefreshDenial, RequestState,
};
use clerk_verify::token::InvalidToken;

use super::page::{RequestContext, Waiting};
use super::service::{Decision, Judgement};
use super::wait::Wait;
use crate::decide::{Rejection, Unavailable};

/// Keys that were refreshed because a request waited for them are no older than this.
const JUST_NOW: Duration = Duration::from_secs(1);
/// A browser that comes back from one handshake after another finds keys of at most this age, when
/// its first return refreshed them.
const RECENT: Duration = Duration::from_secs(30);

/// Waits for fresh keys, or answers 503; `None` where the key does not matter, or is certainly not
/// Clerk's.
pub(super) fn unverifiable(
    context: &Context<'_>,
    answer: &Result<RequestState, Waiting>,
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
    let limit = if renewed { JUST_NOW } else { RECENT };
    let recent = keys.age(ctx.now.wall).is_some_and(|age| age <= limit);
    let unknown = Rejection::Unavailable(Unavailable::UnknownKey);
    (!recent).then(|| Decision::Reject(unknown).into())
}

/// The Backend API renewed the session with a key that is not here.
fn is_renewed(answer: &RequestState) -> bool {
    answer.state.reason() == Some(&Reason::TokenExpired(RefreshDenial::UnknownKey))
}

/// A handshake in the address was signed with a key that is not here. One in a cookie may belong to
/// another application on the same domain.
fn is_handshake(answer: &RequestState, context: &Context<'_>) -> bool {
    let unknown = Reason::Token(InvalidToken::UnknownKey);
    let failed = match &answer.arrival {
        HandshakeResult::Failed(reason) => *reason == unknown,
        _ => answer.state.reason() == Some(&unknown),
    };
    failed && context.returns() == Some(HandshakeSource::Address)
}
