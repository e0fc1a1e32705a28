//! Names and parsing of Clerk's cookies.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::COOKIE;

use crate::key::PublishableKey;

/// The cookie names of one instance.
///
/// Applications on one domain can belong to several instances. Clerk therefore sets each cookie
/// twice: with its plain name, and with a suffix that is a digest of the publishable key.
#[derive(Clone, Debug)]
pub struct CookieNames {
    session: String,
}

impl CookieNames {
    const PLAIN_SESSION: &'static str = "__session";

    /// Derives the names from a publishable key. The suffix is the first 8 characters of
    /// base64url(SHA-1(key)).
    #[must_use]
    pub fn of(key: &PublishableKey) -> Self {
        let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
        let digest = aws_lc_rs::digest::digest(sha1, key.as_str().as_bytes());
        let encoded = URL_SAFE_NO_PAD.encode(digest);
        Self { session: format!("{}_{}", Self::PLAIN_SESSION, &encoded[..8]) }
    }

    /// Returns the suffix, such as `QvfNY2dr`.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.ending()[1..]
    }

    /// Returns the name of the suffixed session cookie, such as `__session_QvfNY2dr`.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Returns the suffix with the underscore before it.
    pub(super) fn ending(&self) -> &str {
        &self.session[Self::PLAIN_SESSION.len()..]
    }
}

/// Iterates over all named cookies of a request, in order and percent-decoded. Duplicates are
/// included; the first of equal names counts.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let named = pairs(headers).filter(|(name, _)| !name.is_empty());
    named.map(|(name, value)| (String::from_utf8_lossy(name), text(value)))
}

/// Iterates over all `name=value` pairs of all `Cookie` fields, in order. HTTP/2 clients send
/// several fields.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|field| {
        split(field.as_bytes()).filter_map(|pair| {
            let split = memchr::memchr(b'=', pair)?;
            Some((pair[..split].trim_ascii(), pair[split + 1..].trim_ascii()))
        })
    })
}

/// Returns the first value of a cookie as bytes, which may be empty. `None` when the request has no
/// such cookie.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    pairs(headers).find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

/// Splits a field at semicolons.
fn split(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b';', field).chain([field.len()]).map(move |end| {
        let part = &field[start..end];
        start = end + 1;
        part
    })
}

/// Replaces bytes that are not text. It has no dots, so it is never a valid token.
pub(super) const UNREADABLE: &str = "unreadable";

/// Returns a cookie's value as text. The value is percent-decoded as a whole, or unchanged when any
/// part cannot be decoded.
pub(super) fn text(value: &[u8]) -> Cow<'_, str> {
    let Ok(text) = std::str::from_utf8(value) else { return Cow::Borrowed(UNREADABLE) };
    match memchr::memchr(b'%', value).and_then(|_| decoded(value)) {
        Some(decoded) => Cow::Owned(decoded),
        None => Cow::Borrowed(text),
    }
}

fn decoded(mut rest: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(if first == b'%' { hex(rest.split_off(..2)?)? } else { first });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_is_clerks() {
        let key = PublishableKey::parse("pk_test_Y2xlcmsuY2xlcmsuZGV2JA").expect("a valid key");
        assert_eq!(CookieNames::of(&key).session(), "__session_QvfNY2dr");
    }

    #[test]
    fn cookies_are_read_from_all_fields_in_order() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; b=2;;broken; =x; c==3".parse().expect("a field"));
        headers.append(COOKIE, "a=4".parse().expect("a field"));
        let pairs: Vec<_> = pairs(&headers).collect();
        let expected: [(&[u8], &[u8]); 5] =
            [(b"a", b"1"), (b"b", b"2"), (b"", b"x"), (b"c", b"=3"), (b"a", b"4")];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn a_value_is_percent_decoded_as_a_whole_or_not_at_all() {
        for (value, decoded) in
            [("a%2Eb", "a.b"), ("100%", "100%"), ("%2e%zz", "%2e%zz"), ("%ff", "%ff"), ("%", "%")]
        {
            assert_eq!(text(value.as_bytes()), decoded);
        }
        assert_eq!(text(b"\xff"), UNREADABLE);
    }
}
