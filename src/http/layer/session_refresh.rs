//! Renews an expired session cookie during the request, with the browser's refresh cookie. This
//! also serves programs, which cannot be redirected to Clerk.
//!
//! As in Clerk's SDK, only a `GET` is renewed. The token's only fault must be its age, so no client
//! can cause a call with a token that Clerk did not sign. Optional routes renew sessions as well;
//! public paths do not. While Clerk is not known to be healthy, nothing is renewed, and the
//! decision about the expired token stands.
//!
//! If a session could be renewed, but the Backend API does not answer, the layer cannot verify it:
//! the response is 503, not 401. A page may still be redirected to Clerk's handshake.

use clerk_verify::authenticate::{
    AuthStatus, Context, HandshakeResult, Head, Reason, RefreshCall, RefreshDenial, RequestState,
};
use clerk_verify::token::{InvalidToken, Located, Timing};
use http::header::SET_COOKIE;
use http::{Method, Request};
use serde_json::{Map, Value};
use url::Url;

use super::page::{PendingPage, RequestContext, set_cookies};
use super::service::{Authenticator, Decision, Judgement};
use super::unknown_key::unverifiable;
use crate::decide::{Rejection, Unavailable};
use crate::engine::{Examined, TripReturn};
use crate::http::origin::{Origins, RequestTarget};
use crate::state::health::{Status, Surface, Verdict};

/// Request header fields that Clerk receives with a renewal: the origin of the request and the kind
/// of browser. Cookies and credentials are not included.
const SHOWN: [&str; 3] = ["accept-language", "host", "user-agent"];
/// Header fields that a proxy sets. Clerk receives them only if the peer is trusted.
const SHOWN_OF_PROXIES: [&str; 6] = [
    "cf-connecting-ip",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

impl Authenticator {
    /// Returns true if the session of this request could be renewed. A token that is rejected for
    /// another reason than its age, such as a revocation, cannot.
    pub(super) fn is_renewable<B>(
        &self,
        request: &Request<B>,
        token: &Located<'_>,
        examined: &Examined,
        judgement: &Judgement,
    ) -> bool {
        judgement.is_expired()
            && matches!(examined, Examined::Verified(_, Timing::Expired { otherwise_good: true }))
            && matches!(token, Located::Cookie { .. })
            && *request.method() == Method::GET
            && self.shared.backend.is_some()
            && !self.is_public(request)
    }

    /// Returns the request as `clerk_verify::authenticate` needs it, with the located token.
    pub(super) fn context<'a, B>(
        &'a self,
        request: &'a Request<B>,
        address: &'a Url,
        ctx: RequestContext<'_>,
    ) -> Context<'a> {
        let head = Head { method: request.method(), address, headers: request.headers() };
        Context::at(&self.visits.site, head, ctx.now.wall).with_token(ctx.token)
    }

    /// Renews the session of a request that is not for a page.
    pub(super) fn renew<B>(
        &self,
        request: &Request<B>,
        plain: Judgement,
        ctx: RequestContext<'_>,
    ) -> Judgement {
        let Some(address) = self.answers.origins.address(RequestTarget::of(request)) else {
            return plain;
        };
        let mut context = self.context(request, &address, ctx);
        context.forget_return();
        let answer = self.answer(&context, request, ctx, &TripReturn::None);
        if let Some(judgement) = unverifiable(&context, &answer, &plain, ctx) {
            return judgement;
        }
        match answer {
            Ok(answer) if is_renewed(&answer) => self.renewed(request, &answer, ctx),
            Ok(answer) => plain.or_unavailable(&answer),
            Err(PendingPage::For(wait)) => Decision::Await(wait).into(),
            Err(PendingPage::InVain) => plain,
        }
    }

    /// Decides about a request from its new token.
    pub(super) fn renewed<B>(
        &self,
        request: &Request<B>,
        answer: &RequestState,
        ctx: RequestContext<'_>,
    ) -> Judgement {
        let AuthStatus::SignedIn { token, .. } = &answer.state else {
            return Decision::Reject(Rejection::Missing).into();
        };
        let examined = self.shared.examine(Some(token), ctx.known, ctx.now);
        let mut judgement = self.evaluate(request, &examined, ctx);
        judgement.effects.renewed = true;
        Judgement { cookies: set_cookies(&answer.headers), ..judgement }
    }
}

impl Judgement {
    /// Nothing but the age of the token is wrong, and Clerk is well.
    fn is_expired(&self) -> bool {
        let expired = Rejection::Invalid(InvalidToken::Expired);
        match &self.decision {
            Decision::Reject(rejection) => *rejection == expired,
            Decision::Allow(outcome) => outcome.caller.is_none() && outcome.otherwise == expired,
            _ => false,
        }
    }

    /// The same, unless the Backend API owes an answer.
    pub(super) fn or_unavailable(mut self, answer: &RequestState) -> Self {
        let untold = Rejection::Unavailable(Unavailable::BackendApi);
        let unreachable = Reason::TokenExpired(RefreshDenial::Unreachable);
        if answer.state.reason() != Some(&unreachable) || !self.is_expired() {
            return self;
        }
        match &mut self.decision {
            Decision::Allow(outcome) => outcome.otherwise = untold,
            closed => *closed = Decision::Reject(untold),
        }
        self
    }
}

/// A call that this request may cause, or why it may not.
pub(super) fn permitted(call: &RefreshCall, ctx: RequestContext<'_>) -> Result<(), RefreshDenial> {
    let verified = ctx.verified.is_some_and(|(token, _)| token == call.expired_token);
    if !ctx.renewable || !verified {
        return Err(RefreshDenial::NoBackendApi);
    }
    if can_ask(ctx) { Ok(()) } else { Err(RefreshDenial::Unreachable) }
}

/// Whether the Backend API is worth asking for a browser's sake.
pub(super) fn can_ask(ctx: RequestContext<'_>) -> bool {
    let status = ctx.known.health.surface(Surface::BackendApi).status();
    let verdict = ctx.known.verdict(ctx.now);
    matches!(verdict, Verdict::Healthy | Verdict::Recovering) && status != Status::Down
}

/// Signed in with new cookies, and not by a handshake.
pub(super) fn is_renewed(answer: &RequestState) -> bool {
    matches!(answer.state, AuthStatus::SignedIn { .. })
        && answer.arrival != HandshakeResult::Resolved
        && answer.headers.contains_key(SET_COOKIE)
}

/// Each field with the list of its values.
pub(super) fn shown<B>(request: &Request<B>, origins: &Origins) -> Value {
    let values = |name: &str| -> Vec<Value> {
        let values = request.headers().get_all(name).iter();
        values.filter_map(|value| value.to_str().ok()).map(Value::from).collect()
    };
    let proxied = origins.trusts(request.extensions());
    let of_proxies = SHOWN_OF_PROXIES.into_iter().filter(|_| proxied);
    let fields = SHOWN.into_iter().chain(of_proxies).map(|name| (name.to_owned(), values(name)));
    let shown = fields.filter(|(_, values)| !values.is_empty());
    Value::Object(shown.map(|(name, values)| (name, Value::from(values))).collect::<Map<_, _>>())
}
