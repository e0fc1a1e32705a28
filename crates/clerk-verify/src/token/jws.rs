//! Parses the JWS compact serialisation (RFC 7515 §7.1) without verification.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::InvalidToken;
use super::json::{Json, Name};
use crate::clock::{ClaimsTime, Timestamp};

/// Maximum token size in bytes; longer tokens are rejected without decoding. Clerk's tokens stay
/// below 4 KiB, the limit of a cookie.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Maximum length of a `kid` in bytes. A longer `kid` is ignored.
const MAX_KID_BYTES: usize = 256;

/// The three parts of a token, decoded but not verified. The type has no `Debug`.
pub(crate) struct Jws<'a> {
    /// The header's JSON text.
    pub(crate) header: String,
    /// The input of the signature: the first two parts with the dot between them.
    pub(crate) signed: &'a str,
    /// The payload's JSON text.
    pub(crate) payload: String,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, InvalidToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(InvalidToken::Malformed);
        }
        let mut dots = memchr::memchr_iter(b'.', token.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(InvalidToken::Malformed);
        };
        Ok(Self {
            header: json(&token[..first])?,
            signed: &token[..second],
            payload: json(&token[first + 1..second])?,
            signature: decode(&token[second + 1..])?,
        })
    }

    pub(crate) fn header(&self) -> Result<Header<'_>, InvalidToken> {
        object(&self.header)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, InvalidToken> {
    URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|_| InvalidToken::Malformed)
}

/// Parses a JSON object; the last of equal names wins. Any other JSON value except `null` counts as
/// an empty object, so that the check of a missing member rejects it.
pub(crate) fn object<'a, T: Default + Deserialize<'a>>(json: &'a str) -> Result<T, InvalidToken> {
    if json.trim_start().starts_with('{') {
        return serde_json::from_str(json).map_err(|_| InvalidToken::Malformed);
    }
    match serde_json::from_str::<Option<IgnoredAny>>(json) {
        Ok(Some(_)) => Ok(T::default()),
        Ok(None) | Err(_) => Err(InvalidToken::Malformed),
    }
}

/// Decodes a part as text: lossy UTF-8 without a byte order mark, as a browser does.
fn json(part: &str) -> Result<String, InvalidToken> {
    let bytes = decode(part)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(bad) => String::from_utf8_lossy(bad.as_bytes()).into_owned(),
    };
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The JOSE header parameters that are used. All others, such as `crit`, `jku` and `jwk`, are
/// ignored: a key never comes from the token.
#[derive(Debug, Default)]
pub(crate) struct Header<'a> {
    pub(crate) algorithm: Json<'a>,
    pub(crate) key_id: Json<'a>,
    pub(crate) media_type: Json<'a>,
    pub(crate) category: Json<'a>,
    /// `oiat`: when Clerk last read the claims from its database, in Unix seconds.
    original_issued_at: Json<'a>,
}

impl Header<'_> {
    /// Returns the `kid` when it is text of at most 256 bytes.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.key_id.text().filter(|kid| kid.len() <= MAX_KID_BYTES)
    }

    /// Returns the time that dates the claims, from `oiat` and this `iat`. An `oiat` that is not a
    /// date makes the claims older than everything.
    pub(crate) fn claims_time(&self, issued_at: Option<Timestamp>) -> ClaimsTime {
        let read_at = match &self.original_issued_at {
            Json::Absent | Json::Null => issued_at,
            oiat => oiat.seconds().map(Timestamp::from_secs),
        };
        ClaimsTime::signed(issued_at, read_at)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Header<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header<'de>, A::Error> {
        let mut header = Header::default();
        while let Some(Name(name)) = map.next_key()? {
            let slot = match &*name {
                "alg" => &mut header.algorithm,
                "kid" => &mut header.key_id,
                "typ" => &mut header.media_type,
                "cat" => &mut header.category,
                "oiat" => &mut header.original_issued_at,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *slot = map.next_value()?;
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn exactly_three_parts_make_a_token() {
        for token in ["", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "..", "....."] {
            let refused = Jws::parse(token).and_then(|jws| jws.header().map(drop)).err();
            assert_eq!(refused, Some(InvalidToken::Malformed), "{token}");
        }
    }

    #[test]
    fn the_last_of_equal_header_parameters_wins() {
        let header = encode(r#"{"alg":"none","alg":"RS256"}"#);
        let token = format!("{header}.{}.AAAA", encode("{}"));
        let Ok(jws) = Jws::parse(&token) else { panic!("well-formed") };
        let header = jws.header().expect("an object");
        assert_eq!(header.algorithm.text(), Some("RS256"));
    }

    #[test]
    fn oversized_and_nested_tokens_are_rejected_without_panic() {
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        assert!(Jws::parse(&long).is_err());
        let nested = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        for header in
            [nested.clone(), format!("{{\"alg\":{nested}}}"), format!("{{\"x\":{nested}}}")]
        {
            let token = format!("{}.{}.AAAA", encode(&header), encode("{}"));
            let Ok(jws) = Jws::parse(&token) else { panic!("well-formed") };
            assert!(jws.header().ok().is_none_or(|header| header.kid().is_none()));
        }
    }

    #[test]
    fn a_kid_of_absurd_length_is_not_looked_up() {
        let header = encode(&format!(r#"{{"kid":"{}"}}"#, "k".repeat(4_000)));
        let token = format!("{header}.{}.AAAA", encode("{}"));
        let Ok(jws) = Jws::parse(&token) else { panic!("well-formed") };
        assert_eq!(jws.header().expect("an object").kid(), None);
    }
}
