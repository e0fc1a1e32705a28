//! The judgement: one pure function from what is known to what is answered.

mod auth;
mod grace;
mod machine;
pub mod policy;
mod question;
mod rejection;
mod revoked;

use std::time::Duration;

pub use auth::{Auth, Grace, GraceReason};
pub use grace::{GraceDenial, Sighting, Usage};
pub use machine::{Caller, Machine};
pub use question::{ClientKind, Credential, RequestFacts, Rules};
pub use rejection::{LoopCause, Rejection, Unavailable};
pub(crate) use revoked::has_ended;
use revoked::{machine_revocation, revocation};

use clerk_verify::clock::Moment;
use clerk_verify::token::{InvalidToken, SessionStatus, Timing, TokenKind, UnknownKey};
use clerk_verify::verify::Verified;

use crate::decide::policy::{GraceMode, RoutePolicy};
use crate::state::health::{Status, Surface, Verdict};
use crate::state::snapshot::Snapshot;

/// `iat` counts whole seconds by Clerk's clock, and a key set may come from a cache: only keys that
/// were confirmed so long after a token was made are certainly newer.
const KEY_LEAD: Duration = Duration::from_secs(10);
/// Keys that were refreshed because a request waited for them are no older than this.
const JUST_NOW: Duration = Duration::from_secs(1);

/// Open tabs renew up to 50 s after minting works again; as long as the drain of an outage lasts, nobody
/// is told that they are signed out.
const RENEWAL_LAG: Duration = Duration::from_secs(90);

/// What is to be done with a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CredentialDecision {
    /// Let it pass with its session.
    Pass(Auth),
    /// Let it pass as the machine that it comes from.
    PassMachine(Machine),
    /// Let it pass without a session, and remember why there is none.
    PassAnonymous(Rejection),
    /// Answer in the application's place.
    Reject(Rejection),
    /// Answer a CORS preflight in the application's place: 204, or what the CORS layer says.
    AnswerPreflight,
    /// Refresh the keys, wait for that, and ask again with `settled`.
    AwaitKeys,
    /// Ask Clerk's Backend API what the token stands for, and ask again with the answer.
    AskClerk,
}

/// Judges a request.
///
/// The first row that fits decides. *Invalid is never 503; what cannot be told is never 401.*
///
/// The judgement is of the credential alone. Around it the layer sends a browser that shows a page
/// to Clerk where the table says 401 or sign-in page while Clerk is healthy, and treats a session
/// cookie that `__client_uat` contradicts as none.
///
/// | # | credential | Clerk | route | answer |
/// |---|---|---|---|---|
/// | 1 | any | any | CORS preflight | the layer answers it: 204 without grants, or what [`Builder::cors`](crate::Builder::cors) says. On public and optional routes it passes, without a session |
/// | 2 | any that would be rejected below | any | public, or optional | pass, without a session; on an optional route 403 when it demands something that the session lacks |
/// | 2a | expired for more than 24 hours, by what it claims | any | any | as without a token, rows 13 to 16 |
/// | 3 | malformed, forged, another party's | any | required | 401; 503 for a signature, when the keys are too old to verify anything |
/// | 4 | good, but its session is revoked, or its key distrusted | any | required | 401 |
/// | 4a | good, but its active organisation is over, or its user's membership in it | any | required | 401; a page may fetch another at Clerk |
/// | 4b | good, but only an old `oiat` keeps it out by a mark on its user, organisation or membership | any | required | 503; a page is sent to Clerk for newer claims first, once |
/// | 5 | not valid yet, or also wrong in another date | any | required | 401 |
/// | 6 | good, and within its time | any | required | pass; 401 when the session is pending, 503 when the claims are older than the route's `max_claims_age`, 403 when a role, a permission or a recent verification is missing |
/// | 7 | expired, and grace holds | outage, recovery; the bridge while suspect | required | pass, as grace; 503 when a verification that the route demands is too old by now |
/// | 8 | expired | healthy | required | 401; but 503, soon again, for all but pages that can be sent to Clerk when minting or the handshake failed within the last 90 s |
/// | 9 | expired | recovery, grace over for this session | required | 401 |
/// | 10 | expired | suspect, isolated, unknown; recovery before that, or, without grace, all of it, for all but pages that can be sent to Clerk | required | 503, soon again |
/// | 11 | expired | outage | required | 503 |
/// | 12 | signed with a key that is not known, or there are no keys; so is a token whose `kid` is not known and whose signature the key without a name (PEM) did not make | any | required | keys are refreshed first; then 401 if they are fresh and the key is not there, else 503 |
/// | 13 | none | outage | required | 503 |
/// | 14 | none | healthy, recovery | required, document | sign-in page, if there is one and minting is up; else 401 |
/// | 15 | none | suspect, isolated, unknown | required, document with a sign-in page | 503, soon again: no redirect to what may be dead |
/// | 16 | none | any but outage | required, API | 401 |
/// | 17 | of a kind that the route does not accept | any | required | 401 `token-type-mismatch` |
/// | 18 | a machine's, good | any | required | pass; 403 when the route demands a role or permission, for a machine has none |
/// | 19 | a machine's: forged, expired, revoked at Clerk or here, or not known to Clerk | any | required | 401, without grace |
/// | 20 | a machine's, opaque | its Backend API not seen down | any | it is asked first; without an answer 503 |
/// | 21 | a machine's, opaque | its Backend API down | required | 503 |
/// | 22 | none | any | required, machines alone | 401 |
#[must_use]
pub fn decide(
    credential: &Credential<'_>,
    facts: RequestFacts,
    route: &RoutePolicy,
    rules: &Rules,
    known: &Snapshot,
    now: Moment,
) -> CredentialDecision {
    let open = route.optional || facts.public;
    if facts.preflight {
        let anonymous = CredentialDecision::PassAnonymous(Rejection::Missing);
        return if open { anonymous } else { CredentialDecision::AnswerPreflight };
    }
    let judgement = Judge { facts, route, rules, known, now, verdict: known.verdict(now) };
    match judgement.of(credential) {
        Ok(Caller::User(auth)) => CredentialDecision::Pass(auth),
        Ok(Caller::Machine(machine)) => CredentialDecision::PassMachine(machine),
        Err(Obstacle::Rejection(rejection))
            if facts.public || (route.optional && !insists(rejection)) =>
        {
            CredentialDecision::PassAnonymous(rejection)
        }
        Err(Obstacle::Rejection(rejection)) => CredentialDecision::Reject(rejection),
        Err(Obstacle::OldKeys) if open => CredentialDecision::PassAnonymous(judgement.no_key()),
        Err(Obstacle::OldKeys) => CredentialDecision::AwaitKeys,
        Err(Obstacle::Untold) => CredentialDecision::AskClerk,
    }
}

/// A session that is there, but lacks what the route demands.
fn insists(rejection: Rejection) -> bool {
    use Rejection::{Forbidden, FreshRequired, Reverify};
    matches!(rejection, Forbidden | FreshRequired | Reverify(_))
}

/// What stands between a request and the application.
enum Obstacle {
    Rejection(Rejection),
    /// Fresher keys may tell.
    OldKeys,
    /// Clerk can tell.
    Untold,
}

impl From<Rejection> for Obstacle {
    fn from(rejection: Rejection) -> Self {
        Self::Rejection(rejection)
    }
}

struct Judge<'a> {
    facts: RequestFacts,
    route: &'a RoutePolicy,
    rules: &'a Rules,
    known: &'a Snapshot,
    now: Moment,
    verdict: Verdict,
}

impl Judge<'_> {
    fn of(&self, credential: &Credential<'_>) -> Result<Caller, Obstacle> {
        match credential {
            Credential::Absent
            | Credential::Verified { timing: Timing::ExpiredForGood, .. }
            | Credential::UnknownKey { timing: Timing::ExpiredForGood, .. } => {
                Err(self.without_token().into())
            }
            // Keys that verify nothing any more do not prove a forgery either.
            Credential::Invalid(InvalidToken::Signature) if !self.keys_usable() => {
                Err(Rejection::Unavailable(Unavailable::NoKeys).into())
            }
            Credential::Invalid(reason) => Err(Rejection::Invalid(*reason).into()),
            Credential::UnknownKey { token, timing } => Err(self.with_unknown_key(token, *timing)),
            Credential::Verified { token, timing, sighting, usage } => {
                self.accept(TokenKind::Session)?;
                Ok(Caller::User(self.with_token(token, *timing, *sighting, *usage)?))
            }
            Credential::Machine { token, signed } => {
                self.accept(token.kind)?;
                Ok(Caller::Machine(self.with_machine(token, *signed)?))
            }
            Credential::Opaque { kind, untold } => {
                self.accept(*kind)?;
                Err(self.with_opaque(*untold))
            }
        }
    }

    fn accept(&self, kind: TokenKind) -> Result<(), Rejection> {
        let accepted = self.route.kinds.accepts(kind);
        if accepted { Ok(()) } else { Err(Rejection::Invalid(InvalidToken::Kind)) }
    }

    fn without_token(&self) -> Rejection {
        if !self.route.kinds.accepts(TokenKind::Session) {
            return Rejection::Missing;
        }
        let redirect = self.facts.reader == ClientKind::Document && self.facts.may_sign_in;
        let minting = self.known.health.surface(Surface::SessionMint).status() != Status::Down;
        match self.verdict {
            Verdict::Outage => Rejection::Unavailable(Unavailable::Outage),
            _ if !redirect => Rejection::Missing,
            Verdict::Healthy | Verdict::Recovering if minting => Rejection::SignIn,
            _ => Rejection::Unavailable(Unavailable::Uncertain),
        }
    }

    /// Keys confirmed well after the token claims to have been made would hold its key if it were
    /// real; so would keys that were refreshed for this very request. An expired token is not worth
    /// a refresh: with or without its key it does not pass.
    fn with_unknown_key(&self, token: &UnknownKey, timing: Timing) -> Obstacle {
        let invalid = Rejection::Invalid(InvalidToken::UnknownKey).into();
        let would_be_known = self.known.keys.confirmed.is_some_and(|confirmed| {
            let refreshed = self.facts.settled && self.now.wall.since(confirmed) <= JUST_NOW;
            let lead = if refreshed { Duration::ZERO } else { KEY_LEAD };
            token.issued_at.map_or(refreshed, |issued| issued.plus(lead) <= confirmed)
        });
        let in_health = matches!(self.verdict, Verdict::Healthy | Verdict::Recovering);
        match timing {
            _ if would_be_known && self.keys_usable() => return invalid,
            Timing::Current => {}
            Timing::Expired { otherwise_good: true } if !in_health => return self.no_key().into(),
            _ => return invalid,
        }
        let keys = &self.known.keys;
        if !self.facts.settled && (keys.refreshing || keys.may_refresh(self.now)) {
            return Obstacle::OldKeys;
        }
        self.no_key().into()
    }

    fn no_key(&self) -> Rejection {
        let usable = self.keys_usable();
        let reason = if usable { Unavailable::UnknownKey } else { Unavailable::NoKeys };
        Rejection::Unavailable(reason)
    }

    fn keys_usable(&self) -> bool {
        self.known.keys.usable(self.now.wall, self.rules.max_key_age)
    }

    fn with_token(
        &self,
        token: &Verified,
        timing: Timing,
        sighting: Option<Sighting>,
        usage: Usage,
    ) -> Result<Auth, Rejection> {
        if !self.keys_usable() {
            return Err(Rejection::Unavailable(Unavailable::NoKeys));
        }
        if let Some(rejection) = revocation(token, self.known) {
            return Err(rejection);
        }
        let auth = match timing {
            Timing::Current => Auth::fresh(token.clone(), self.now.wall),
            Timing::Expired { otherwise_good: true } => self.expired(token, sighting, usage)?,
            Timing::Expired { .. } | Timing::ExpiredForGood => {
                return Err(Rejection::Invalid(InvalidToken::Expired));
            }
            Timing::NotYet => return Err(Rejection::Invalid(InvalidToken::NotYet)),
            Timing::IssuedInFuture => {
                return Err(Rejection::Invalid(InvalidToken::IssuedInFuture));
            }
        };
        self.admit(&auth)?;
        Ok(auth)
    }

    fn expired(
        &self,
        token: &Verified,
        sighting: Option<Sighting>,
        usage: Usage,
    ) -> Result<Auth, Rejection> {
        let case = grace::Case {
            session: token.session(),
            sighting,
            usage,
            facts: self.facts,
            route: self.route,
            rules: self.rules,
            known: self.known,
            now: self.now,
            verdict: self.verdict,
        };
        let expired = Rejection::Invalid(InvalidToken::Expired);
        let mode = self.rules.grace.mode();
        let denial = match (mode, case.judge()) {
            (GraceMode::Enabled, Ok(grace)) => return Ok(Auth::in_grace(token.clone(), grace)),
            (GraceMode::ReportOnly, Ok(_)) => GraceDenial::ReportOnly,
            (GraceMode::Disabled, _) => GraceDenial::Disabled,
            (_, Err(denial)) => denial,
        };
        Err(match self.verdict {
            Verdict::Healthy if self.is_shaky() => Rejection::Unavailable(Unavailable::Uncertain),
            Verdict::Healthy => expired,
            // The drain is the time that tabs take to renew, whether grace is given in it or not.
            Verdict::Recovering if mode != GraceMode::Enabled && self.facts.visit => expired,
            // Clerk renews the session as soon as it is asked; only what grace forbids for now waits.
            Verdict::Recovering if mode == GraceMode::Enabled && !denial.is_of_the_request() => {
                expired
            }
            Verdict::Outage => Rejection::Unavailable(Unavailable::GraceDenied(denial)),
            _ => Rejection::Unavailable(Unavailable::Uncertain),
        })
    }

    /// What renews sessions failed a moment ago, so that the holder of a live one may not have got a
    /// fresh token in time. A page is sent to Clerk for one, or told that it cannot be.
    fn is_shaky(&self) -> bool {
        let health = &self.known.health;
        let failed = |surface| health.surface(surface).failed_within(RENEWAL_LAG, self.now);
        let failed = failed(Surface::SessionMint) || failed(Surface::Handshake);
        !self.facts.visit && health.forced.is_none() && failed
    }

    fn admit(&self, auth: &Auth) -> Result<(), Rejection> {
        let session = auth.session();
        if session.status != SessionStatus::Active && !self.route.accepts_pending {
            return Err(Rejection::Pending);
        }
        if self.route.max_claims_age.is_some_and(|max| auth.claims_age() > max) {
            return Err(auth.without_fresh_claims());
        }
        self.route.access.as_deref().map_or(Ok(()), |demand| auth.check(demand))
    }
}
