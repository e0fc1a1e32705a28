//! The typed claims of a verified session token.

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

/// A session as Clerk signed it. One type holds the claims of both token versions.
///
/// Clerk documents these claims under “Session tokens”. [`claim`](Self::claim) reads custom claims.
#[derive(Clone)]
#[non_exhaustive]
pub struct Session {
    /// The user id, `sub`.
    pub user_id: UserId,
    /// The session id, `sid`. Tokens made from JWT templates have none.
    pub session_id: Option<SessionId>,
    /// The token's own id, `jti`.
    pub token_id: Option<TokenId>,
    /// `iss`: the Frontend API's address.
    pub issuer: Option<String>,
    /// `azp`: the origin that the token was made for.
    pub authorized_party: Option<String>,
    /// `iat`: the time of the signature. [`claims_as_of`](Self::claims_as_of) dates the claims;
    /// this field does not.
    pub issued_at: Option<Timestamp>,
    /// `nbf`: the token is not valid before this time.
    pub not_before: Option<Timestamp>,
    /// `exp`: the token expires at this time.
    pub expires_at: Timestamp,
    /// The version of the claims.
    pub version: ClaimsVersion,
    /// `sts`: whether the session has pending tasks, such as choosing an organisation.
    pub status: SessionStatus,
    /// `act`: the user who impersonates this user, if any.
    pub actor: Option<Actor>,
    /// The active organisation, if any.
    pub organization: Option<Organization>,
    /// `fva`: minutes since the user verified the first and the second factor, at the time the
    /// token was made. An inner `None` means never. The outer `None` means that the claim is absent
    /// or malformed.
    pub factor_ages: Option<[Option<u32>; 2]>,
    /// `fea`: the features of the plans, with their scopes.
    pub(super) features: String,
    /// `pla`: the plans, with their scopes.
    pub(super) plans: String,
    claims_time: ClaimsTime,
    payload: Box<str>,
}

impl Session {
    /// Creates a session from the claims of a verified token.
    ///
    /// # Errors
    ///
    /// [`InvalidToken::Claim`] when the organization claims cannot be read.
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

    /// Returns the time that dates the claims: the earlier of `iat` and the header's `oiat`, the
    /// time when Clerk read them from its database. No other time dates the claims.
    #[must_use]
    pub fn claims_as_of(&self) -> ClaimsTime {
        self.claims_time
    }

    /// Returns the lifetime of the token, `exp − iat`; `None` without `iat`. Clerk's session tokens
    /// live 60 s.
    #[must_use]
    pub fn lifetime(&self) -> Option<std::time::Duration> {
        self.issued_at.map(|issued| self.expires_at.since(issued))
    }

    /// Returns `fea`: the features of the user's and the organisation's plans.
    #[must_use]
    pub fn features(&self) -> Scoped {
        Scoped::parse(&self.features)
    }

    /// Returns `pla`: the plans of the user and the organisation.
    #[must_use]
    pub fn plans(&self) -> Scoped {
        Scoped::parse(&self.plans)
    }

    /// Reads a claim by name, custom or standard. `None` when the claim is absent or has another
    /// type. Each call parses the payload.
    #[must_use]
    pub fn claim<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let mut claims: serde_json::Map<String, Value> =
            serde_json::from_str(&self.payload).ok()?;
        serde_json::from_value(claims.remove(name)?).ok()
    }

    /// Reads all claims into a type of the application.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] when the claims do not match the type.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.payload)
    }
}

impl fmt::Debug for Session {
    /// Prints the ids, the organisation and the expiry, but no custom claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user_id", &self.user_id)
            .field("session_id", &self.session_id)
            .field("organization", &self.organization)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The times of a token, after the checks of their types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) expires_at: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) issued_at: Option<Timestamp>,
}

/// The version of Clerk's session token claims.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClaimsVersion {
    /// `org_id`, `org_role`, `org_permissions`; deprecated by Clerk in April 2025.
    V1,
    /// `v: 2`, with the organisation in `o`.
    V2,
}

/// The status of a session, `sts`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SessionStatus {
    /// No pending tasks: `active`, or no `sts` claim.
    Active,
    /// The user is signed in but has pending tasks. Clerk's SDKs treat the session as signed out.
    Pending,
    /// A value that Clerk does not document.
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

/// The user who impersonates another user.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Actor {
    /// The id of the acting user, `act.sub`. Empty when the claim has no `sub`.
    pub user_id: UserId,
}

impl Actor {
    /// Parses `act`. Every value except `null` is an actor, so that a malformed claim still counts
    /// as an impersonation.
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
