//! What a token must say, and when, to be believed.

use std::time::Duration;

use super::InvalidToken;
use super::claims::Claims;
use super::json::Json;
use super::jws::Header;
use super::kind::OAUTH_TYPES;
use super::session::Times;
use crate::clock::Timestamp;

/// Values of the `cat` header parameter, Clerk's mark for what a token is for. They are constants of
/// the protocol, not secrets.
const CATEGORY_SESSION: &str = "cl_B7d4PD111AAA";
pub(crate) const CATEGORY_MACHINE: &str = "cl_B7d4PD333AAA";
/// Stamped on every kind of token by instances that opted out of categories.
const CATEGORY_IGNORE: &str = "cl_I7d4PD111III";

/// What a token must say to be believed, besides carrying a good signature.
///
/// An empty text in `issuers`, `authorized_parties` or `audiences` is an entry that matches nothing:
/// a list of nothing else refuses every token that has the claim.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Expectations {
    /// The `iss` values that are accepted; a list without entries accepts any. Signing keys are
    /// looked up by `kid` alone, so name one: it is what keeps another instance's tokens out.
    pub issuers: Vec<String>,
    /// The origins in `azp` that are accepted; a list without entries accepts any.
    pub authorized_parties: Vec<String>,
    /// What to do with a token that has no `azp`, when `authorized_parties` is not empty. Default
    /// here: [`AzpPolicy::Required`], as in Clerk's SDK.
    pub azp: AzpPolicy,
    /// The `aud` values that are accepted; a list without entries accepts any. As in Clerk's SDK, a
    /// token without `aud` passes.
    pub audiences: Vec<String>,
    /// The `typ` values that are accepted. Empty, the default, accepts `JWT` and no `typ` at all.
    pub header_types: Vec<String>,
    /// Refuse everything but session tokens: JWT templates, machine and OAuth tokens.
    pub session_tokens_only: bool,
    /// How far the clocks of Clerk and of this host may differ. Default 5 s, as in Clerk's SDK.
    pub leeway: Duration,
}

impl Expectations {
    /// Session tokens of the instance with this issuer, with Clerk's 5 s of leeway.
    #[must_use]
    pub fn session_tokens(issuer: impl Into<String>) -> Self {
        Self { issuers: vec![issuer.into()], session_tokens_only: true, ..Self::any() }
    }

    /// Any token that the keys verify, with Clerk's 5 s of leeway. Name at least an issuer.
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

/// What to do with a token without `azp` when authorized parties are configured.
///
/// Clerk copies the `Origin` of the request that mints a token into `azp`. A browser that navigates
/// sends no `Origin`, so the cookie that a handshake sets has no `azp`, and neither have tokens from
/// the Backend API or a native application ([clerk/javascript#8231], [#9249]). Nobody can take an
/// `azp` out of a token, since it is signed; what a token without one leaves open is which
/// application of the instance it was made for.
///
/// [clerk/javascript#8231]: https://github.com/clerk/javascript/issues/8231
/// [#9249]: https://github.com/clerk/javascript/issues/9249
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AzpPolicy {
    /// Refuse it, as Clerk's backend SDK does since 3.11.1, and [`Expectations`] with it. For
    /// applications that take tokens from scripts alone: pages would send their visitors to Clerk
    /// again and again.
    Required,
    /// Accept it; an `azp` that is there must still be an authorized party. The layer's default;
    /// `Counts::without_azp` tells how many there are.
    IfPresent,
    /// Do not look at `azp`.
    Off,
}

/// A token that expired longer ago than this counts as no token: the cap of every grace.
pub const EXPIRED_FOR_GOOD: Duration = Duration::from_secs(24 * 60 * 60);

/// How a token's times compare with the present.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
// Closed on purpose: each caller decides about every case.
pub enum Timing {
    /// Within its time.
    Current,
    /// After `exp`. `otherwise_good` tells whether `nbf` and `iat` are in order, so that `exp` is
    /// all that is wrong.
    Expired {
        /// Nothing but `exp` is wrong.
        otherwise_good: bool,
    },
    /// More than [`EXPIRED_FOR_GOOD`] after `exp`. The token counts as no token.
    ExpiredForGood,
    /// Before `nbf`.
    NotYet,
    /// Before `iat`.
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

/// A token for browsers has the category of sessions, or the one that says nothing, or none, as
/// before categories were introduced.
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

/// An `aud` of any form passes when none is expected, and so does one that names nobody. When one is
/// expected, an `aud` that names somebody must name it; Clerk's SDK lets one that is neither text
/// nor a list of texts pass, this one does not.
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

/// True when a list names this value. An empty text names nothing.
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
    fn an_audience_that_names_somebody_must_name_us() {
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
    fn an_expired_token_with_another_wrong_date_is_wrong_in_more_than_its_expiry() {
        let future = Some(Timestamp::from_secs(5_000));
        for (nbf, iat) in [(future, None), (None, future)] {
            let timing = timing(EXP, nbf, iat, at(2_000_000), Duration::ZERO);
            assert_eq!(timing, Timing::Expired { otherwise_good: false });
        }
    }
}
