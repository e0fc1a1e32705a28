//! The token that Clerk's handshake hands back in `__clerk_handshake`: cookies to set, signed.

use serde::Deserialize;
use serde_json::Value;

use crate::jwks::{KeySet, NoSigner};
use crate::token::{Expectations, InvalidToken, Jws, check_header, check_session_category, object};

/// The cookies of a handshake whose signature is good.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Handshake {
    /// Values for `Set-Cookie`, in Clerk's order. One of them may carry a session token, which is yet
    /// to be verified.
    pub directives: Vec<String>,
}

/// Checks a handshake token: form, `typ`, `alg`, category, key and signature. It has no time, no
/// issuer and no subject of its own.
///
/// The category counts: a JWT template's claims are the application's to write, and a template with
/// a claim `handshake` must not be able to set cookies.
///
/// # Errors
///
/// [`InvalidToken`] with the first check that fails.
pub fn verify(token: &str, keys: &KeySet) -> Result<Handshake, InvalidToken> {
    let jws = Jws::parse(token)?;
    if !keys.knows(jws.header.kid()) {
        return Err(InvalidToken::UnknownKey);
    }
    check_header(&jws.header, &Expectations::any())?;
    check_session_category(&jws.header).map_err(|_| InvalidToken::Malformed)?;
    keys.signer(jws.header.kid(), jws.signed, &jws.signature).map_err(|none| match none {
        NoSigner::UnknownKey => InvalidToken::UnknownKey,
        NoSigner::Forged => InvalidToken::Signature,
    })?;
    let payload: Payload = object(&jws.payload)?;
    let directives = serde_json::from_value(payload.handshake).map_err(|_| InvalidToken::Claim)?;
    Ok(Handshake { directives })
}

#[derive(Default, Deserialize)]
struct Payload {
    #[serde(default)]
    handshake: Value,
}
