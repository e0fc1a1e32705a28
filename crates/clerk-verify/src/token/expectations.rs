//! The claims that a token must have, and the comparison of its times with the present.

use std::time::Duration;

use super::InvalidToken;
use super::claims::Claims;
use super::json::Json;
use super::jws::Header;
use super::kind::OAUTH_TYPES;
use super::session::Times;
use crate::clock::Timestamp;

/// Values of the `cat` header parameter, which marks the purpose of a token. They are constants of
/// the protocol, not secrets.
const CATEGORY_SESSION: &str = "cl_B7d4PD111AAA";
pub(crate) const CATEGORY_MACHINE: &str = "cl_B7d4PD333AAA";
/// The category of every token of an instance that opted out of categories.
const CATEGORY_IGNORE: &str = "cl_I7d4PD111III";

/// The claims that a token must have, in addition to a valid signature.
///
/// An empty string in `issuers`, `authorized_parties` or `audiences` matches nothing. A list of
/// only empty strings rejects every token that has the claim.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Expectations {
    /// Accepted `iss` values; an empty list accepts any. Set an issuer: keys are looked up by `kid`
    /// alone, so only the issuer excludes tokens of other instances.
    pub issuers: Vec<String>,
    /// Accepted origins in `azp`; an empty list accepts any.
    pub authorized_parties: Vec<String>,
    /// The treatment of a token without `azp` when `authorized_parties` is not empty. Default:
    /// [`AzpPolicy::Required`], as in Clerk's SDK.
    pub azp: AzpPolicy,
    /// Accepted `aud` values; an empty list accepts any. A token without `aud` is accepted, as in
    /// Clerk's SDK.
    pub audiences: Vec<String>,
    /// Accepted `typ` values. An empty list, the default, accepts `JWT` and a missing `typ`.
    pub header_types: Vec<String>,
    /// Rejects everything but session tokens: JWT templates, machine tokens and OAuth tokens.
    /// Default of [`any`](Self::any): false.
    pub session_tokens_only: bool,
    /// Allowed difference between the clocks of Clerk and of this host. Default: 5 s, as in Clerk's
    /// SDK.
    pub leeway: Duration,
}

impl Expectations {
    /// Accepts only session tokens of the instance with this issuer, with 5 s of leeway.
    #[must_use]
    pub fn session_tokens(issuer: impl Into<String>) -> Self {
        Self { issuers: vec![issuer.into()], session_tokens_only: true, ..Self::any() }
    }

    /// Accepts any token that the keys verify, with 5 s of leeway. Set at least an issuer.
    #[must_use]
    pub fn any() -> Self {
        Self {
            issuers: Vec::new(),
            authorized_parties: Vec::new(),
            azp: AzpPolicy::Required,
            audiences: Vec::new(),
            header_types: Vec::new(),
            session_tokens_only: false,
            leeway: Duration::from_secs(5),
        }
    }
}

/// The treatment of a token without `azp` when authorized parties are configured.
///
/// Clerk copies the `Origin` of the request that mints a token into `azp`. A browser that navigates
/// sends no `Origin`, so the cookie that a handshake sets has no `azp`. Tokens from the Backend API
/// or a native application have none either ([clerk/javascript#8231], [#9249]). A client cannot
/// remove `azp` from a signed token. A token without `azp` does not show which application of the
/// instance it was made for.
///
/// [clerk/javascript#8231]: https://github.com/clerk/javascript/issues/8231
/// [#9249]: https://github.com/clerk/javascript/issues/9249
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AzpPolicy {
    /// Rejects the token, as Clerk's backend SDK does since 3.11.1. This is the default of
    /// [`Expectations`]. Use it for applications that receive tokens only from scripts: page visits
    /// would be redirected to Clerk repeatedly.
    Required,
    /// Accepts the token. An `azp` that is present must still be an authorized party. This is the
    /// default of the `clerk-resilience` layer, whose `Counts::without_azp` counts these tokens.
    IfPresent,
    /// Ignores `azp`.
    Off,
}

/// Time after `exp` from which a token counts as no token: 24 hours. No grace exceeds it.
pub const EXPIRED_FOR_GOOD: Duration = Duration::from_secs(24 * 60 * 60);

/// The comparison of a token's times with the present.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
// Exhaustive on purpose: every caller must handle every variant.
pub enum Timing {
    /// The token is valid at this time.
    Current,
    /// The token has expired.
    Expired {
        /// True when `nbf` and `iat` are in order, so that only `exp` is wrong.
        otherwise_good: bool,
    },
    /// The token expired more than [`EXPIRED_FOR_GOOD`] ago and counts as no token.
    ExpiredForGood,
    /// The present is before `nbf`.
    NotYet,
    /// The present is before `iat`.
    IssuedInFuture,
}

pub(crate) fn timing(
    exp: Timestamp,
    nbf: Option<Timestamp>,
    iat: Option<Timestamp>,
    now: Timestamp,
    leeway: Duration,
) -> Timing {
    let early = |at: Option<Timestamp>| at.is_some_and(|at| at > now.plus(leeway));
    if now > exp.plus(EXPIRED_FOR_GOOD) {
        return Timing::ExpiredForGood;
    }
    if exp <= now.minus(leeway) {
        return Timing::Expired { otherwise_good: !early(nbf) && !early(iat) };
    }
    if early(nbf) {
        return Timing::NotYet;
    }
    if early(iat) {
        return Timing::IssuedInFuture;
    }
    Timing::Current
}

pub(crate) fn check_category(
    header: &Header<'_>,
    claims: &Claims<'_>,
    expect: &Expectations,
) -> Result<(), InvalidToken> {
    if header.category.text() == Some(CATEGORY_MACHINE) {
        return Err(InvalidToken::Malformed);
    }
    if !expect.session_tokens_only {
        return Ok(());
    }
    let machine = claims.sub.text().is_some_and(|sub| sub.starts_with("mch_"));
    let oauth = header.media_type.text().is_some_and(|typ| OAUTH_TYPES.contains(&typ));
    if machine || oauth { Err(InvalidToken::Kind) } else { check_session_category(header) }
}

/// Accepts the category of sessions, the ignored category, or no category, as before Clerk
/// introduced categories.
pub(crate) fn check_session_category(header: &Header<'_>) -> Result<(), InvalidToken> {
    match header.category.text() {
        None | Some(CATEGORY_SESSION | CATEGORY_IGNORE) => Ok(()),
        Some(_) => Err(InvalidToken::Kind),
    }
}

pub(crate) fn check_header(header: &Header<'_>, expect: &Expectations) -> Result<(), InvalidToken> {
    let typed = match (&header.media_type, expect.header_types.as_slice()) {
        (Json::Absent, []) => true,
        (Json::Text(typ), []) => typ == "JWT",
        (Json::Text(typ), accepted) => accepted.iter().any(|accepted| accepted == typ),
        _ => false,
    };
    if !typed {
        return Err(InvalidToken::Malformed);
    }
    if header.algorithm.text() != Some("RS256") {
        return Err(InvalidToken::Algorithm);
    }
    Ok(())
}

pub(crate) fn check_claims(
    claims: &Claims<'_>,
    expect: &Expectations,
) -> Result<Times, InvalidToken> {
    if claims.sub.text().is_none() {
        return Err(InvalidToken::Claim);
    }
    check_audience(&claims.aud, &expect.audiences)?;
    check_party(&claims.azp, expect)?;
    let issued_here = claims.iss.text().is_some_and(|iss| names(&expect.issuers, iss));
    if !expect.issuers.is_empty() && !issued_here {
        return Err(InvalidToken::Issuer);
    }
    Ok(Times {
        expires_at: date(&claims.exp)?.ok_or(InvalidToken::Claim)?,
        not_before: date(&claims.nbf)?,
        issued_at: date(&claims.iat)?,
    })
}

/// Checks `aud`. Every `aud` passes when no audience is expected, and so does an empty one.
/// Otherwise `aud` must name an expected audience. Clerk's SDK accepts an `aud` that is neither
/// text nor a list of texts; this function rejects it.
fn check_audience(aud: &Json<'_>, expected: &[String]) -> Result<(), InvalidToken> {
    let named = match aud {
        Json::List(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut named = named.iter().filter(|value| !value.is_nothing()).peekable();
    let accepted = |value: &Json<'_>| value.text().is_some_and(|aud| names(expected, aud));
    let passes = expected.is_empty() || named.peek().is_none() || named.any(accepted);
    if passes { Ok(()) } else { Err(InvalidToken::Claim) }
}

fn check_party(azp: &Json<'_>, expect: &Expectations) -> Result<(), InvalidToken> {
    if expect.authorized_parties.is_empty() || expect.azp == AzpPolicy::Off {
        return Ok(());
    }
    let authorized = match azp.text() {
        Some(azp) => names(&expect.authorized_parties, azp),
        None => azp.is_absent() && expect.azp == AzpPolicy::IfPresent,
    };
    if authorized { Ok(()) } else { Err(InvalidToken::AuthorizedParty) }
}

/// Returns true when the list contains this value. An empty string never matches.
fn names(list: &[String], value: &str) -> bool {
    !value.is_empty() && list.iter().any(|entry| entry == value)
}

fn date(claim: &Json<'_>) -> Result<Option<Timestamp>, InvalidToken> {
    match claim {
        Json::Absent => Ok(None),
        other => other.seconds().map(Timestamp::from_secs).map(Some).ok_or(InvalidToken::Claim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXP: Timestamp = Timestamp::from_secs(1_000);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_token_expires_exactly_at_its_expiry_plus_the_leeway() {
        let leeway = Duration::from_secs(5);
        assert_eq!(timing(EXP, None, None, at(1_004_999), leeway), Timing::Current);
        let expired = Timing::Expired { otherwise_good: true };
        assert_eq!(timing(EXP, None, None, at(1_005_000), leeway), expired);
    }

    #[test]
    fn a_token_counts_as_none_a_day_after_its_expiry() {
        let last = EXP.plus(EXPIRED_FOR_GOOD);
        let timing = |now| timing(EXP, None, None, now, Duration::from_secs(5));
        assert_eq!(timing(last), Timing::Expired { otherwise_good: true });
        assert_eq!(timing(last.plus(Duration::from_millis(1))), Timing::ExpiredForGood);
    }

    #[test]
    fn a_token_begins_exactly_at_its_dates_minus_the_leeway() {
        let leeway = Duration::from_secs(5);
        let start = Some(Timestamp::from_secs(900));
        assert_eq!(timing(EXP, start, None, at(895_000), leeway), Timing::Current);
        assert_eq!(timing(EXP, start, None, at(894_999), leeway), Timing::NotYet);
        assert_eq!(timing(EXP, None, start, at(894_999), leeway), Timing::IssuedInFuture);
    }

    #[test]
    fn a_token_with_an_audience_must_name_ours() {
        let check = |aud: &str, expected: &[String]| {
            let aud = serde_json::from_str(aud).expect("JSON");
            check_audience(&aud, expected).is_ok()
        };
        let api = ["api".to_owned()];
        for aud in ["null", "\"\"", "[]", "[null,\"\",false,0]", "[\"x\",\"api\"]"] {
            assert!(check(aud, &api), "{aud}");
        }
        for aud in ["\"x\"", "[\"x\"]", "7", "{}", "[7]", "true"] {
            assert!(!check(aud, &api), "{aud}");
            assert!(check(aud, &[]), "{aud}");
        }
    }

    #[test]
    fn an_empty_entry_matches_nothing() {
        let empty = || vec![String::new(), String::new()];
        let check = |claims: &str, expect: &Expectations| {
            let claims = format!("{{\"sub\":\"user_1\",\"exp\":1{claims}}}");
            let claims: Claims<'_> = serde_json::from_str(&claims).expect("JSON");
            check_claims(&claims, expect).err()
        };
        let parties = Expectations { authorized_parties: empty(), ..Expectations::any() };
        for claims in ["", ",\"azp\":\"\"", ",\"azp\":null", ",\"azp\":\"https://a.example\""] {
            assert_eq!(check(claims, &parties), Some(InvalidToken::AuthorizedParty), "{claims}");
        }
        let lenient = Expectations { azp: AzpPolicy::IfPresent, ..parties };
        for claims in [",\"azp\":\"\"", ",\"azp\":null", ",\"azp\":\"https://a.example\""] {
            assert_eq!(check(claims, &lenient), Some(InvalidToken::AuthorizedParty), "{claims}");
        }
        let issuers = Expectations { issuers: empty(), ..Expectations::any() };
        for claims in ["", ",\"iss\":\"\"", ",\"iss\":\"https://a.example\""] {
            assert_eq!(check(claims, &issuers), Some(InvalidToken::Issuer), "{claims}");
        }
        let audiences = Expectations { audiences: empty(), ..Expectations::any() };
        for claims in [",\"aud\":\"api\"", ",\"aud\":[\"api\",\"\"]"] {
            assert_eq!(check(claims, &audiences), Some(InvalidToken::Claim), "{claims}");
        }
    }

    #[test]
    fn an_expired_token_with_another_wrong_date_is_invalid() {
        let future = Some(Timestamp::from_secs(5_000));
        for (nbf, iat) in [(future, None), (None, future)] {
            let timing = timing(EXP, nbf, iat, at(2_000_000), Duration::ZERO);
            assert_eq!(timing, Timing::Expired { otherwise_good: false });
        }
    }
}
