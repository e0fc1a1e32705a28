//! The decision about a request: one pure function from credential, request facts and snapshot.

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

/// Minimum time by which a key confirmation must follow a token's `iat` to prove that the key is
/// not Clerk's. Clerk's `iat` counts whole seconds, and the confirmed key set may come from a
/// cache.
const KEY_LEAD: Duration = Duration::from_secs(10);
/// Maximum age of keys that the driver refreshed because this request waited for them.
const JUST_NOW: Duration = Duration::from_secs(1);

/// How long after a failure of minting or the handshake an expired token gets 503 instead of 401.
/// Open tabs renew their tokens up to 50 s after minting works again.
const RENEWAL_LAG: Duration = Duration::from_secs(90);

/// The decision about a request's credential.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CredentialDecision {
    /// Pass the request with its session.
    Pass(Auth),
    /// Pass the request with its machine.
    PassMachine(Machine),
    /// Pass the request without a session. The rejection states why there is none.
    PassAnonymous(Rejection),
    /// Answer the request with this rejection. The application does not see the request.
    Reject(Rejection),
    /// Answer a CORS preflight with 204, or with the response of the configured CORS layer.
    AnswerPreflight,
    /// Refresh the keys, wait for the refresh, then decide again with [`RequestFacts::settled`]
    /// set.
    AwaitKeys,
    /// Verify the opaque token at Clerk's Backend API, then decide again with the result.
    AskClerk,
}

/// Decides about a request from its credential, its facts, the route's policy and the snapshot.
///
/// The first row that matches decides. Invalid credentials get 401. If the layer cannot verify a
/// credential, it answers 503.
///
/// This function decides about the credential alone. The layer adds two rules. While Clerk is
/// healthy, it redirects a page request to Clerk's handshake where the table answers 401 or the
/// sign-in page. It treats a session cookie that contradicts `__client_uat` as absent.
///
/// | # | credential | Clerk | route | answer |
/// |---|---|---|---|---|
/// | 1 | any | any | CORS preflight | the layer answers 204 without grants, or the response of [`Builder::cors`](crate::Builder::cors). On public and optional routes the preflight passes without a session |
/// | 2 | any that a row below rejects | any | public, or optional | pass without a session; on an optional route 403 if the session lacks a role, a permission or a verification that the route requires |
/// | 2a | `exp` more than 24 hours ago | any | any | as without a token, rows 13 to 16 |
/// | 3 | malformed, forged, or issued to another party | any | required | 401; a bad signature gets 503 if the keys are too old to verify any token |
/// | 4 | valid, but its session is revoked or its key is distrusted | any | required | 401 |
/// | 4a | valid, but its active organisation or the user's membership in it has ended | any | required | 401; a page can get a token for another organisation from Clerk |
/// | 4b | valid, but a revocation of its user, organisation or membership matches only its old `oiat` | any | required | 503; a page is redirected to Clerk once for newer claims |
/// | 5 | not valid yet, or also wrong in another date | any | required | 401 |
/// | 6 | valid and not expired | any | required | pass; 401 if the session is pending, 503 if the claims are older than the route's `max_claims_age`, 403 if a role, a permission or a recent verification is missing |
/// | 7 | expired, and grace applies | outage, recovery; the bridge while suspect | required | pass in grace; 503 if a verification that the route requires is now too old |
/// | 8 | expired | healthy | required | 401; 503 with a short `Retry-After` if minting or the handshake failed within the last 90 s, except for pages that can be redirected to Clerk |
/// | 9 | expired | recovery, grace over for this session | required | 401 |
/// | 10 | expired | suspect, isolated, unknown; recovery before row 9 applies; without grace all of recovery, except for pages that can be redirected to Clerk | required | 503 with a short `Retry-After` |
/// | 11 | expired | outage | required | 503 |
/// | 12 | signed with an unknown key, or no keys are loaded; also a token with an unknown `kid` whose signature the pinned PEM key did not make | any | required | the keys are refreshed first; then 401 if fresh keys lack the key, else 503 |
/// | 13 | none | outage | required | 503 |
/// | 14 | none | healthy, recovery | required, document | redirect to the sign-in page if one is configured and minting is up; else 401 |
/// | 15 | none | suspect, isolated, unknown | required, document with a sign-in page | 503 with a short `Retry-After`; the sign-in page may be down |
/// | 16 | none | any but outage | required, API | 401 |
/// | 17 | of a kind that the route does not accept | any | required | 401 `token-type-mismatch` |
/// | 18 | a machine token, valid | any | required | pass; 403 if the route requires a role or permission, because machines have none |
/// | 19 | a machine token that is forged, expired, revoked at Clerk or here, or unknown to Clerk | any | required | 401, without grace |
/// | 20 | an opaque machine token | Backend API not known to be down | any | the layer verifies the token at the Backend API; 503 without an answer |
/// | 21 | an opaque machine token | Backend API down | required | 503 |
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

/// Returns true for a rejection of a valid session that does not meet the route's requirements.
fn insists(rejection: Rejection) -> bool {
    use Rejection::{Forbidden, FreshRequired, Reverify};
    matches!(rejection, Forbidden | FreshRequired | Reverify(_))
}

/// Why the credential alone does not pass the request.
enum Obstacle {
    Rejection(Rejection),
    /// Refreshed keys may verify the token.
    OldKeys,
    /// Clerk's Backend API can verify the token.
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
            // If the keys are too old, a bad signature does not prove a forgery.
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

    /// Decides about a token with an unknown key. Keys confirmed well after the token's `iat`
    /// contain its key unless the token is forged; so do keys refreshed for this request. An
    /// expired token causes no refresh, because it does not pass with its key either.
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
            // Tabs renew their tokens during the drain, in every grace mode.
            Verdict::Recovering if mode != GraceMode::Enabled && self.facts.visit => expired,
            // Clerk renews the session on request. Only a denial that concerns this request gets
            // 503.
            Verdict::Recovering if mode == GraceMode::Enabled && !denial.is_of_the_request() => {
                expired
            }
            Verdict::Outage => Rejection::Unavailable(Unavailable::GraceDenied(denial)),
            _ => Rejection::Unavailable(Unavailable::Uncertain),
        })
    }

    /// Minting or the handshake failed within [`RENEWAL_LAG`], so that a live session may lack a
    /// fresh token. Pages are excluded: the layer redirects them to Clerk, or answers 503 itself.
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
