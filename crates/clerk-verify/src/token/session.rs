//! What a verified session token says, typed.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::InvalidToken;
use super::claims::Claims;
use super::json::Json;
use super::jws::Header;
use super::organization::Organization;
use super::scope::Scoped;
use crate::clock::{ClaimsTime, Timestamp};
use crate::id::{SessionId, TokenId, UserId};

/// A session as Clerk signed it: the claims of both versions in one type.
///
/// Clerk's session tokens are described in its documentation under “Session tokens”. A claim of the
/// application's own is read with [`claim`](Self::claim).
#[derive(Clone)]
#[non_exhaustive]
pub struct Session {
    /// The user, `sub`.
    pub user_id: UserId,
    /// The session, `sid`. A token made from a JWT template has none.
    pub session_id: Option<SessionId>,
    /// The token's own id, `jti`.
    pub token_id: Option<TokenId>,
    /// `iss`: the Frontend API's address.
    pub issuer: Option<String>,
    /// `azp`: the origin for which the token was made.
    pub authorized_party: Option<String>,
    /// `iat`: the time of the signature. It does not date the claims:
    /// [`claims_as_of`](Self::claims_as_of) does.
    pub issued_at: Option<Timestamp>,
    /// `nbf`.
    pub not_before: Option<Timestamp>,
    /// `exp`.
    pub expires_at: Timestamp,
    /// Which form of claims the token has.
    pub version: ClaimsVersion,
    /// `sts`: whether the session still has tasks to do, such as choosing an organisation.
    pub status: SessionStatus,
    /// `act`: who acts as this user, when it is an impersonation.
    pub actor: Option<Actor>,
    /// The active organisation.
    pub organization: Option<Organization>,
    /// `fva`: minutes since the first and the second factor were verified, when the token was made;
    /// `None` in a place means never. `None` as a whole when the claim is absent or malformed.
    pub factor_ages: Option<[Option<u32>; 2]>,
    /// `fea`: the features of the plans, with their scopes.
    pub(super) features: String,
    /// `pla`: the plans, with their scopes.
    pub(super) plans: String,
    claims_time: ClaimsTime,
    payload: Box<str>,
}

impl Session {
    /// Reads the claims of a token whose signature and claims were checked.
    ///
    /// # Errors
    ///
    /// [`InvalidToken::Claim`] for organization claims that cannot be read.
    pub(crate) fn new(
        claims: &Claims<'_>,
        header: &Header<'_>,
        payload: &str,
        times: Times,
    ) -> Result<Self, InvalidToken> {
        let version = match claims.v {
            Json::Number(2.0) => ClaimsVersion::V2,
            _ => ClaimsVersion::V1,
        };
        let organization = match version {
            ClaimsVersion::V1 => Organization::version_1(claims),
            ClaimsVersion::V2 => Organization::version_2(claims)?,
        };
        Ok(Self {
            session_id: claims.sid.text().filter(|id| !id.is_empty()).map(SessionId::from),
            token_id: claims.jti.text().filter(|id| !id.is_empty()).map(TokenId::from),
            issuer: claims.iss.text().map(str::to_owned),
            authorized_party: claims.azp.text().map(str::to_owned),
            issued_at: times.issued_at,
            not_before: times.not_before,
            expires_at: times.expires_at,
            version,
            status: SessionStatus::parse(claims.sts.text(), claims.sts.is_absent()),
            actor: Actor::parse(&claims.act),
            organization,
            factor_ages: factor_ages(&claims.fva),
            features: claims.fea.text().unwrap_or_default().to_owned(),
            plans: claims.pla.text().unwrap_or_default().to_owned(),
            user_id: UserId::from(claims.sub.text().unwrap_or_default()),
            claims_time: header.claims_time(times.issued_at),
            payload: payload.into(),
        })
    }

    /// The time that dates the claims: the earlier of the header's `oiat`, when Clerk read them from
    /// its database, and `iat`. Nothing else may date them.
    #[must_use]
    pub fn claims_as_of(&self) -> ClaimsTime {
        self.claims_time
    }

    /// How long Clerk made the token to live, `exp − iat`. Session tokens live 60 s.
    #[must_use]
    pub fn lifetime(&self) -> Option<std::time::Duration> {
        self.issued_at.map(|issued| self.expires_at.since(issued))
    }

    /// `fea`: the features of the user's and the organisation's plans.
    #[must_use]
    pub fn features(&self) -> Scoped {
        Scoped::parse(&self.features)
    }

    /// `pla`: the plans of the user and the organisation.
    #[must_use]
    pub fn plans(&self) -> Scoped {
        Scoped::parse(&self.plans)
    }

    /// A claim by its name, of the application's own or any other. `None` when it is absent or of
    /// another type. It is read from the token's text at each call.
    #[must_use]
    pub fn claim<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let mut claims: serde_json::Map<String, Value> =
            serde_json::from_str(&self.payload).ok()?;
        serde_json::from_value(claims.remove(name)?).ok()
    }

    /// All claims, in a type of the application's own.
    ///
    /// # Errors
    ///
    /// When the claims do not have that form.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.payload)
    }
}

impl fmt::Debug for Session {
    /// Shows who and until when, and none of the application's own claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user_id", &self.user_id)
            .field("session_id", &self.session_id)
            .field("organization", &self.organization)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The times of a token that passed the checks of their types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) expires_at: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) issued_at: Option<Timestamp>,
}

/// The two forms of Clerk's claims.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClaimsVersion {
    /// `org_id`, `org_role`, `org_permissions`; deprecated by Clerk in April 2025.
    V1,
    /// `v: 2` with the organisation in `o`.
    V2,
}

/// The state of a session as its token tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SessionStatus {
    /// No open tasks: `active`, or no `sts` claim at all.
    Active,
    /// Signed in, but with tasks to do; Clerk's SDKs treat it as signed out.
    Pending,
    /// Another word than Clerk documents.
    Other,
}

impl SessionStatus {
    fn parse(sts: Option<&str>, absent: bool) -> Self {
        match sts {
            Some("active") => Self::Active,
            None if absent => Self::Active,
            Some("pending") => Self::Pending,
            _ => Self::Other,
        }
    }
}

/// Who acts as the user in an impersonated session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Actor {
    /// The acting user, `act.sub`. Empty when the claim is there without one.
    pub user_id: UserId,
}

impl Actor {
    /// Any `act` claim but `null` makes an actor: what looks like an impersonation is one.
    fn parse(act: &Json<'_>) -> Option<Self> {
        if matches!(act, Json::Absent | Json::Null) {
            return None;
        }
        let sub = act.get("sub").and_then(Json::text).unwrap_or_default();
        Some(Self { user_id: UserId::from(sub) })
    }
}

fn factor_ages(fva: &Json<'_>) -> Option<[Option<u32>; 2]> {
    let [first, second] = fva.list() else { return None };
    Some([factor_age(first)?, factor_age(second)?])
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
#[expect(clippy::option_option, reason = "malformed, never, and an age")]
fn factor_age(age: &Json<'_>) -> Option<Option<u32>> {
    match age.number()? {
        never if never.to_bits() == (-1.0_f64).to_bits() => Some(None),
        minutes if minutes >= 0.0 => Some(Some(minutes as u32)),
        _ => None,
    }
}
