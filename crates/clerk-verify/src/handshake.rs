//! Verifies the handshake token that Clerk returns in `__clerk_handshake`: signed cookies to set.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::jwks::KeySet;
use crate::token::{Expectations, InvalidToken, Jws, check_header, check_session_category, object};

/// The cookies of a handshake token whose signature is valid.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Handshake {
    /// `Set-Cookie` values, in Clerk's order. One of them may contain a session token, which is not
    /// verified yet.
    pub directives: Vec<String>,
}

impl std::fmt::Debug for Handshake {
    /// Prints the number of cookies but not their values, because one may contain a session token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handshake").field(&self.directives.len()).finish()
    }
}

/// Verifies a handshake token: form, `typ`, `alg`, category, key and signature. The token has no
/// expiry, issuer or subject to check. A token with `sub` or `sid` is a session token and is
/// rejected, even if it has a claim `handshake`.
///
/// The category is checked because applications choose the claims of JWT templates. A template with
/// a claim `handshake` must not set cookies.
///
/// # Errors
///
/// [`InvalidToken`] with the first check that fails.
pub fn verify(token: &str, keys: &KeySet) -> Result<Handshake, InvalidToken> {
    let jws = Jws::parse(token)?;
    let header = jws.header()?;
    if !keys.knows(header.kid()) {
        return Err(InvalidToken::UnknownKey);
    }
    check_header(&header, &Expectations::any())?;
    check_session_category(&header).map_err(|_| InvalidToken::Malformed)?;
    keys.signer(header.kid(), jws.signed, &jws.signature)?;
    let payload: HandshakePayload = object(&jws.payload)?;
    if payload.sub.is_some() || payload.sid.is_some() {
        return Err(InvalidToken::Kind);
    }
    let lines = payload.handshake.as_array().map(Vec::as_slice).unwrap_or_default();
    let directives = lines.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Handshake { directives })
}

#[derive(Default, Deserialize)]
struct HandshakePayload {
    #[serde(default)]
    handshake: Value,
    #[serde(default, deserialize_with = "present")]
    sub: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    sid: Option<Value>,
}

/// A claim that is there, `null` included.
fn present<'de, D: Deserializer<'de>>(claim: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(claim).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use clerk_sim::{SimClerk, TokenBuilder};

    fn verified(
        clerk: &SimClerk,
        change: fn(TokenBuilder<'_>) -> TokenBuilder<'_>,
    ) -> Result<Handshake, InvalidToken> {
        let keys = KeySet::parse(clerk.jwks().to_string().as_bytes()).expect("its own keys");
        let token = clerk.token(&clerk.sign_in("user_1")).claim("handshake", json!(["a=b"]));
        let token = token.without_claim("sub").without_claim("sid");
        verify(&change(token).sign(), &keys)
    }

    #[test]
    fn the_cookies_of_a_signed_handshake_are_handed_out() {
        let handshake = verified(&SimClerk::in_memory(), |token| token).expect("signed");
        assert_eq!(handshake.directives, ["a=b"]);
        assert_eq!(format!("{handshake:?}"), "Handshake(1)");
    }

    #[test]
    fn a_signed_handshake_without_cookies_sets_none() {
        let clerk = SimClerk::in_memory();
        let changes: [fn(TokenBuilder<'_>) -> TokenBuilder<'_>; 3] = [
            |token| token.claim("handshake", "a=b"),
            |token| token.claim("handshake", json!([7, null])),
            |token| token.without_claim("handshake"),
        ];
        for change in changes {
            assert!(verified(&clerk, change).expect("signed").directives.is_empty());
        }
    }

    #[test]
    fn a_session_token_is_no_handshake() {
        let clerk = SimClerk::in_memory();
        let keys = KeySet::parse(clerk.jwks().to_string().as_bytes()).expect("its own keys");
        let session = clerk.sign_in("user_1");
        let token = || clerk.token(&session).claim("handshake", json!(["a=b"]));
        for disguised in [
            token(),
            token().without_claim("sid"),
            token().without_claim("sub"),
            token().without_claim("handshake"),
            token().without_claim("sid").claim("sub", json!(null)),
            token().without_claim("sub").claim("sid", json!(null)),
        ] {
            assert_eq!(verify(&disguised.sign(), &keys), Err(InvalidToken::Kind));
        }
    }

    #[test]
    fn only_a_signed_handshake_sets_cookies() {
        let clerk = SimClerk::in_memory();
        let refused = |change: fn(TokenBuilder<'_>) -> TokenBuilder<'_>| {
            verified(&clerk, change).expect_err("refused")
        };
        assert_eq!(
            refused(|token| token.header("cat", "cl_B7d4PD222AAA")),
            InvalidToken::Malformed
        );
        assert_eq!(refused(|token| token.header("oiat", 1).forged()), InvalidToken::Signature);
        assert_eq!(refused(|token| token.kid("ins_other")), InvalidToken::UnknownKey);
        assert_eq!(refused(|token| token.header("alg", "none")), InvalidToken::Algorithm);
        assert_eq!(refused(|token| token.header("typ", "at+jwt")), InvalidToken::Malformed);
    }
}
