//! A token read without believing it.

use serde_json::Value;

use super::InvalidToken;
use super::jws::Jws;

/// What an unverified token says. Anybody can have written it.
///
/// Good for choosing among several instances by `iss`, or for a log; never for letting anybody in.
/// That is what [`verify`](crate::verify::verify) is for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decoded {
    /// The JOSE header, usually an object.
    pub header: Value,
    /// The payload, usually an object.
    pub claims: Value,
}

/// Takes a token apart, as Clerk's `decodeJwt` does: three parts of base64url, JSON in the first two.
///
/// # Errors
///
/// [`InvalidToken::Malformed`] when it has another form.
pub fn decode(token: &str) -> Result<Decoded, InvalidToken> {
    let jws = Jws::parse(token)?;
    let json = |text: &str| serde_json::from_str(text).map_err(|_| InvalidToken::Malformed);
    Ok(Decoded { header: json(&jws.header)?, claims: json(&jws.payload)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_whoever_signed_it() {
        let decoded = decode("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.AAAA").expect("well-formed");
        assert_eq!(decoded.header["alg"], "none");
        assert_eq!(decoded.claims["sub"], "a");
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        for text in ["", "null", "a.b", "aaa.bbb.ccc", "e30.e30.A", "e30.e30.AA.AA", "e30 .e30.AA"]
        {
            assert_eq!(decode(text), Err(InvalidToken::Malformed), "{text}");
        }
    }
}
