//! Decodes a token without verification.

use serde_json::Value;

use super::InvalidToken;
use super::jws::Jws;

/// The header and the claims of an unverified token. Anybody can have written them.
///
/// Use it to choose among several instances by `iss`, or for logs. Never use it to admit a request:
/// use [`verify`](crate::verify::verify) instead.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decoded {
    /// The JOSE header, usually an object.
    pub header: Value,
    /// The payload, usually an object.
    pub claims: Value,
}

/// Decodes a token, as Clerk's `decodeJwt` does: three parts of base64url, JSON in the first two.
///
/// # Errors
///
/// [`InvalidToken::Malformed`] when the token has another form.
pub fn decode(token: &str) -> Result<Decoded, InvalidToken> {
    let jws = Jws::parse(token)?;
    let json = |text: &str| serde_json::from_str(text).map_err(|_| InvalidToken::Malformed);
    Ok(Decoded { header: json(&jws.header)?, claims: json(&jws.payload)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_decoded_without_verification() {
        let decoded = decode("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.AAAA").expect("well-formed");
        assert_eq!(decoded.header["alg"], "none");
        assert_eq!(decoded.claims["sub"], "a");
    }

    #[test]
    fn text_other_than_a_token_is_malformed() {
        for text in ["", "null", "a.b", "aaa.bbb.ccc", "e30.e30.A", "e30.e30.AA.AA", "e30 .e30.AA"]
        {
            assert_eq!(decode(text), Err(InvalidToken::Malformed), "{text}");
        }
    }
}
