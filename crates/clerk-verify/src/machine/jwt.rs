//! Verifies machine tokens that are JWTs. The rules are those of `verifyMachineAuthToken` in
//! Clerk's backend SDK (`@clerk/backend` 3.25).

use serde_json::{Map, Value};

use super::{MachineError, MachineToken};
use crate::clock::{ClaimsTime, Timestamp};
use crate::id::KeyId;
use crate::jwks::KeySet;
use crate::token::{
    AzpPolicy, CATEGORY_MACHINE, Claims, Decoded, Expectations, Header, InvalidToken, Jws,
    OAUTH_TYPES, Times, Timing, TokenKind, UnknownKey, check_claims, check_header, decode, object,
    timing,
};

/// Registered claims. All other claims are custom.
const REGISTERED: [&str; 6] = ["iss", "sub", "exp", "nbf", "iat", "jti"];

/// Verifies a machine's JWT: form, category, `typ`, `alg`, signature, claims and time.
///
/// `issuers`, `audiences` and `leeway` of the expectations apply. Authorized parties are ignored,
/// because they concern browsers. When audiences are expected, an OAuth token must name one of
/// them.
///
/// # Errors
///
/// [`MachineError::Invalid`] when the text is not a machine token. [`MachineError::Unverified`]
/// when a check fails.
pub fn verify(
    token: &str,
    keys: &KeySet,
    expect: &Expectations,
    now: Timestamp,
) -> Result<MachineToken, MachineError> {
    let (kind, decoded, jws) = read(token)?;
    let signed = check(&jws, keys, &expect_of(kind, expect), now)
        .and_then(|signed| requires_audience(kind, &decoded, expect).map(|()| signed))
        .map_err(MachineError::Unverified)?;
    Ok(describe(kind, decoded, signed))
}

/// Returns the times that a machine's JWT claims, when only its key is unknown.
///
/// # Errors
///
/// [`MachineError`] when no key could make the token valid.
pub fn unknown_key(token: &str, expect: &Expectations) -> Result<UnknownKey, MachineError> {
    let (kind, decoded, jws) = read(token)?;
    requires_audience(kind, &decoded, expect).map_err(MachineError::Unverified)?;
    let header = jws.header().map_err(MachineError::Unverified)?;
    let claims = object(&jws.payload).map_err(MachineError::Unverified)?;
    let unknown = UnknownKey::of(&header, &claims, &expect_of(kind, expect));
    unknown.ok_or(MachineError::Unverified(InvalidToken::UnknownKey))
}

fn read(token: &str) -> Result<(TokenKind, Decoded, Jws<'_>), MachineError> {
    let decoded = decode(token).map_err(|_| MachineError::Invalid)?;
    let jws = Jws::parse(token).map_err(|_| MachineError::Invalid)?;
    let for_machines = is_for_machines(&jws.header().map_err(|_| MachineError::Invalid)?);
    // The token has neither a machine's subject nor the type of an access token.
    let kind =
        TokenKind::claimed(&decoded).ok_or(MachineError::Unverified(InvalidToken::Malformed))?;
    if kind == TokenKind::MachineToMachine && !for_machines {
        return Err(MachineError::Invalid);
    }
    Ok((kind, decoded, jws))
}

/// Returns true when the token has the machine category, or no category, as before Clerk introduced
/// categories.
fn is_for_machines(header: &Header<'_>) -> bool {
    header.category.is_absent() || header.category.text() == Some(CATEGORY_MACHINE)
}

fn expect_of(kind: TokenKind, expect: &Expectations) -> Expectations {
    let mut expect = expect.clone();
    expect.azp = AzpPolicy::Off;
    expect.header_types = match kind {
        TokenKind::OAuth => OAUTH_TYPES.map(str::to_owned).into(),
        _ => Vec::new(),
    };
    expect
}

/// The times and the key of a verified token.
struct Signed {
    times: Times,
    claims_as_of: ClaimsTime,
    by: KeyId,
}

fn check(
    jws: &Jws<'_>,
    keys: &KeySet,
    expect: &Expectations,
    now: Timestamp,
) -> Result<Signed, InvalidToken> {
    let header = jws.header()?;
    check_header(&header, expect)?;
    let key = keys.signer(header.kid(), jws.signed, &jws.signature)?;
    let claims: Claims<'_> = object(&jws.payload)?;
    let times = check_claims(&claims, expect)?;
    match timing(times.expires_at, times.not_before, times.issued_at, now, expect.leeway) {
        Timing::Current => {
            let claims_as_of = header.claims_time(times.issued_at);
            Ok(Signed { times, claims_as_of, by: key.fingerprint().clone() })
        }
        Timing::Expired { .. } | Timing::ExpiredForGood => Err(InvalidToken::Expired),
        Timing::NotYet => Err(InvalidToken::NotYet),
        Timing::IssuedInFuture => Err(InvalidToken::IssuedInFuture),
    }
}

/// Rejects an OAuth token without an audience when the application expects one.
fn requires_audience(
    kind: TokenKind,
    token: &Decoded,
    expect: &Expectations,
) -> Result<(), InvalidToken> {
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let named = match token.claims.get("aud") {
        Some(Value::Array(list)) => !list.is_empty() && list.iter().all(text),
        Some(aud) => text(aud),
        None => false,
    };
    let required = kind == TokenKind::OAuth && !expect.audiences.is_empty();
    if named || !required { Ok(()) } else { Err(InvalidToken::Claim) }
}

fn describe(kind: TokenKind, token: Decoded, signed: Signed) -> MachineToken {
    let mut claims = match token.claims {
        Value::Object(claims) => claims,
        _ => Map::new(),
    };
    let text = |claims: &Map<String, Value>, name| {
        claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let mut described = MachineToken {
        kind,
        id: text(&claims, "jti"),
        subject: text(&claims, "sub"),
        client_id: None,
        name: None,
        scopes: Vec::new(),
        claims: None,
        revoked: false,
        expired: false,
        expires_at: Some(signed.times.expires_at),
        created_at: signed.times.issued_at,
        claims_as_of: signed.claims_as_of,
        signed_by: Some(signed.by),
    };
    if kind == TokenKind::OAuth {
        described.client_id = Some(text(&claims, "client_id"));
        described.scopes = first_list(&claims, ["scp", "scope"]);
    } else {
        described.scopes = first_list(&claims, ["scopes", "aud"]);
        claims.retain(|name, _| !REGISTERED.contains(&name.as_str()));
        described.claims = Some(claims).filter(|own| !own.is_empty());
    }
    described
}

/// Returns the first of two claims that is present: a list of texts, or a space-separated text.
fn first_list(claims: &Map<String, Value>, names: [&str; 2]) -> Vec<String> {
    match names.iter().find_map(|name| claims.get(*name).filter(|claim| !claim.is_null())) {
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use clerk_sim::{SimClerk, TokenBuilder};

    fn verified(
        change: fn(TokenBuilder<'_>) -> TokenBuilder<'_>,
        expect: &Expectations,
    ) -> Result<MachineToken, MachineError> {
        let clerk = SimClerk::in_memory();
        let keys = KeySet::parse(clerk.jwks().to_string().as_bytes()).expect("its own keys");
        let token = clerk.token(&clerk.sign_in("user_1")).without_claim("azp");
        verify(
            &change(token).sign(),
            &keys,
            expect,
            crate::clock::Timestamp::from_millis(clerk.clock().now().wall.as_millis()),
        )
    }

    fn machine(token: TokenBuilder<'_>) -> TokenBuilder<'_> {
        token.claim("sub", "mch_1").header("cat", CATEGORY_MACHINE)
    }

    fn oauth(token: TokenBuilder<'_>) -> TokenBuilder<'_> {
        token.header("typ", "at+jwt").claim("scope", "read write").claim("client_id", "client_1")
    }

    #[test]
    fn machines_and_applications_are_distinguished() {
        let found = verified(machine, &Expectations::any()).expect("a machine");
        assert_eq!((found.kind, &*found.subject), (TokenKind::MachineToMachine, "mch_1"));
        assert!(found.is_active());
        let found = verified(oauth, &Expectations::any()).expect("an application");
        assert_eq!(found.kind, TokenKind::OAuth);
        assert_eq!(found.scopes, ["read", "write"]);
        assert_eq!(found.client_id.as_deref(), Some("client_1"));
    }

    #[test]
    fn a_token_of_another_category_is_no_machines() {
        let of_sessions =
            verified(|token| machine(token).header("cat", "cl_B7d4PD111AAA"), &Expectations::any());
        assert_eq!(of_sessions, Err(MachineError::Invalid));
        let session = verified(|token| token, &Expectations::any());
        assert_eq!(session, Err(MachineError::Unverified(InvalidToken::Malformed)));
    }

    #[test]
    fn an_expected_audience_must_be_named_by_an_access_token() {
        let mut expect = Expectations::any();
        expect.audiences = vec!["api".to_owned()];
        expect.authorized_parties = vec!["https://app.example.com".to_owned()];
        assert!(verified(machine, &expect).is_ok(), "a machine's token may be for anybody");
        let refused = Err(MachineError::Unverified(InvalidToken::Claim));
        assert_eq!(verified(oauth, &expect), refused);
        assert_eq!(
            verified(|token| oauth(token).claim("aud", json!(["api", ""])), &expect),
            refused
        );
        assert!(verified(|token| oauth(token).claim("aud", json!(["x", "api"])), &expect).is_ok());
    }

    #[test]
    fn signature_and_time_count_for_machines_too() {
        let code = |change: fn(TokenBuilder<'_>) -> TokenBuilder<'_>| {
            verified(change, &Expectations::any()).expect_err("refused")
        };
        let forged = code(|token| machine(token).forged());
        assert_eq!(forged, MachineError::Unverified(InvalidToken::Signature));
        let expired = code(|token| machine(token).ago(Duration::from_secs(100)));
        assert_eq!(expired, MachineError::Unverified(InvalidToken::Expired));
    }
}
