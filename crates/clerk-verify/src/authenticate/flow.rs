//! The ordered authentication rules, from a parsed request to its status.

use url::Url;

use super::address::param;
use super::context::Context;
use super::evidence::{Evidence, Refusal};
use super::reason::{Reason, RefreshDenial};
use super::redirect::{MAX_REDIRECTS, handshake, redirect};
use super::refresh::refresh;
use super::resolve::{HandshakeReturn, resolve};
use super::{AuthStatus, BackendResponses, HandshakeResult, NeedsBackend, RequestState, referrer};
use crate::token::{InvalidToken, Peek, SessionStatus};
use crate::verify::Verified;

/// Applies the rules. A token in the `Authorization` field decides alone; otherwise the cookies
/// decide.
pub(super) fn run(
    context: &Context<'_>,
    evidence: &Evidence<'_>,
    answers: &BackendResponses,
) -> Result<RequestState, NeedsBackend> {
    if context.site.signs_in_on(context.origin) {
        return Ok(signed_out(Reason::SignInAtSatellite));
    }
    let flow = Flow { context, evidence, answers };
    match &context.header_token {
        Some(token) => flow.with_header(token),
        None => flow.with_cookies(),
    }
}

struct Flow<'a> {
    context: &'a Context<'a>,
    evidence: &'a Evidence<'a>,
    answers: &'a BackendResponses,
}

impl Flow<'_> {
    fn with_header(&self, token: &str) -> Result<RequestState, NeedsBackend> {
        match self.evidence.session(token) {
            Ok(verified) => Ok(signed_in(token, verified)),
            Err(refusal) => self.refused(token, refusal),
        }
    }

    fn with_cookies(&self) -> Result<RequestState, NeedsBackend> {
        let arrival = match resolve(self.context, self.evidence, self.answers)? {
            HandshakeReturn::Settled(answer) => return Ok(*answer),
            HandshakeReturn::Failed(reason) => HandshakeResult::Failed(reason),
            HandshakeReturn::None => HandshakeResult::None,
        };
        Ok(RequestState { arrival, ..self.without_handshake()? })
    }

    fn without_handshake(&self) -> Result<RequestState, NeedsBackend> {
        if let Some(answer) = self.satellite().or_else(|| self.development()) {
            return Ok(answer);
        }
        let active = self.context.client_uat != 0.0;
        match (&self.context.cookie_token, active) {
            (None, false) => Ok(signed_out(Reason::NoTokenAndNoUat)),
            (Some(_), false) => Ok(handshake(self.context, Reason::TokenWithoutClientUat)),
            (None, true) => Ok(handshake(self.context, Reason::ClientUatWithoutToken)),
            (Some(token), true) => self.with_session_cookie(token),
        }
    }

    /// Redirects a satellite's visitor to the primary application, to learn whether the user is
    /// signed in.
    fn satellite(&self) -> Option<RequestState> {
        let context = self.context;
        let synced = param(&context.address, "__clerk_synced");
        let synced = synced.as_deref();
        let here = context.site.is_satellite() && context.is_page_visit();
        if !here || synced == Some("true") {
            return None;
        }
        let unlinked = context.client_uat == 0.0 && context.cookie_token.is_none();
        let told = synced == Some("false");
        if unlinked && !context.site.syncs_at_first() && !told {
            return Some(signed_out(Reason::NoTokenAndNoUat));
        }
        if !unlinked && !told {
            return None;
        }
        if !context.site.is_development() {
            return Some(handshake(context, Reason::SatelliteNeedsSyncing));
        }
        let location = context.site.sign_in_address().map(|address| {
            with_param(address.clone(), "__clerk_redirect_url", context.address.as_str())
        });
        Some(redirect(context, Reason::SatelliteNeedsSyncing, location))
    }

    /// Handles the token that browsers of development instances use in place of a third-party
    /// cookie.
    fn development(&self) -> Option<RequestState> {
        let context = self.context;
        if !context.site.is_development() {
            return None;
        }
        let back = param(&context.address, "__clerk_redirect_url");
        let back = back.filter(|_| !context.site.is_satellite());
        if let Some(back) = back.and_then(|back| web_address(&back)) {
            let location = back_to_satellite(&back, context.dev_browser.as_deref());
            return Some(redirect(context, Reason::PrimaryRespondsToSyncing, Some(location)));
        }
        if context.address.query_pairs().any(|(name, _)| name == "__clerk_db_jwt") {
            return Some(handshake(context, Reason::DevBrowserSync));
        }
        let missing = context.dev_browser.is_none();
        missing.then(|| handshake(context, Reason::DevBrowserMissing))
    }

    fn with_session_cookie(&self, token: &str) -> Result<RequestState, NeedsBackend> {
        let Some(peek) = Peek::of(token) else {
            return Ok(signed_out(Reason::Token(InvalidToken::Malformed)));
        };
        if !peek.is_session() {
            return Ok(signed_out(Reason::Token(InvalidToken::Kind)));
        }
        if peek.issued_before(self.context.client_uat) {
            return Ok(handshake(self.context, Reason::TokenBeforeClientUat));
        }
        match self.evidence.session(token) {
            Ok(verified) => Ok(self.synced(token, verified)),
            Err(refusal) => self.refused(token, refusal),
        }
    }

    /// Signs in, unless the session must first be synchronized with another domain or organisation.
    fn synced(&self, token: &str, verified: Verified) -> RequestState {
        let context = self.context;
        let first = context.redirects == 0.0;
        let foreign = || referrer::is_foreign(context.referrer, &context.address, context.site);
        if !context.site.is_satellite() && context.is_page_visit() && first && foreign() {
            return handshake(context, Reason::CrossOriginSync);
        }
        if self.wants_other_organization(&verified) {
            let answer = handshake(context, Reason::OrganizationMismatch);
            if matches!(answer.state, AuthStatus::Handshake { .. }) {
                return answer;
            }
        }
        signed_in(token, verified)
    }

    fn wants_other_organization(&self, verified: &Verified) -> bool {
        let session = verified.session();
        let target = self.context.site.organization_sync().target(self.context.address.path());
        session.status == SessionStatus::Active
            && self.context.redirects < MAX_REDIRECTS
            && target.is_some_and(|target| !target.is_active(session.organization.as_ref()))
    }

    /// Handles a rejected token. If only its time is wrong, it is renewed or the browser fetches a
    /// fresh token. Any other invalid token signs out.
    fn refused(&self, token: &str, refusal: Refusal) -> Result<RequestState, NeedsBackend> {
        let reason = match refusal {
            Refusal::Token(InvalidToken::Expired) => match self.renewed(token)? {
                Ok(answer) => return Ok(answer),
                Err(denial) => Reason::TokenExpired(denial),
            },
            Refusal::Token(InvalidToken::NotYet) => Reason::TokenNotYet,
            Refusal::Token(InvalidToken::IssuedInFuture) => Reason::TokenFromFuture,
            other => return Ok(signed_out(other.into())),
        };
        Ok(handshake(self.context, reason))
    }

    fn renewed(&self, token: &str) -> Result<Result<RequestState, RefreshDenial>, NeedsBackend> {
        refresh(self.context, self.evidence, self.answers, token)
    }
}

fn signed_in(token: &str, verified: Verified) -> RequestState {
    AuthStatus::SignedIn { token: token.to_owned(), verified: Box::new(verified) }.into()
}

fn signed_out(reason: Reason) -> RequestState {
    AuthStatus::SignedOut { reason }.into()
}

fn web_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

fn back_to_satellite(back: &Url, dev_browser: Option<&str>) -> Url {
    let back = super::address::without(back, &["__clerk_db_jwt", "__clerk_synced"]);
    let back = match dev_browser {
        Some(token) => with_param(back, "__clerk_db_jwt", token),
        None => back,
    };
    with_param(back, "__clerk_synced", "true")
}

fn with_param(mut url: Url, name: &str, value: &str) -> Url {
    url.query_pairs_mut().append_pair(name, value);
    url
}
