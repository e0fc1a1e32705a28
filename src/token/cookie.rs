//! Clerk's cookies, by name.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::COOKIE;

use crate::key::PublishableKey;

/// The names of one instance's cookies.
///
/// Applications on one domain can belong to several instances, so Clerk sets each cookie twice: by
/// its plain name, and with a suffix that is a digest of the publishable key.
#[derive(Clone, Debug)]
pub struct CookieNames {
    pub(crate) session: String,
    pub(crate) client_uat: String,
}

impl CookieNames {
    /// The suffixed names for a publishable key: the first 8 characters of base64url(SHA-1(key)).
    #[must_use]
    pub fn of(key: &PublishableKey) -> Self {
        let sha1 = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
        let digest = aws_lc_rs::digest::digest(sha1, key.as_str().as_bytes());
        let encoded = URL_SAFE_NO_PAD.encode(digest);
        let suffix = &encoded[..8];
        Self {
            session: format!("__session_{suffix}"),
            client_uat: format!("__client_uat_{suffix}"),
        }
    }

    /// The name of the suffixed session cookie, as `__session_QvfNY2dr`.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// What distinguishes this instance's cookies, as `QvfNY2dr`.
    pub(crate) fn suffix(&self) -> &str {
        self.session.strip_prefix("__session_").unwrap_or_default()
    }
}

/// All `name=value` pairs of all `Cookie` fields, in order. HTTP/2 clients send several fields.
pub(crate) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(COOKIE).iter().flat_map(|field| {
        field.as_bytes().split(|b| *b == b';').filter_map(|pair| {
            let split = pair.iter().position(|b| *b == b'=')?;
            Some((pair[..split].trim_ascii(), pair[split + 1..].trim_ascii()))
        })
    })
}

/// The first cookie of a name.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    pairs(headers).find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
}

/// A cookie's value as text, percent-decoded. `None` when it is not text.
pub(crate) fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(value).ok()?;
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = value;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2).and_then(hex)).flatten();
        decoded.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
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
    fn values_are_percent_decoded_and_stray_percents_stay() {
        assert_eq!(text(b"a%2eb").as_deref(), Some("a.b"));
        assert_eq!(text(b"100%").as_deref(), Some("100%"));
        assert_eq!(text(b"%zz").as_deref(), Some("%zz"));
        assert_eq!(text(b"\xff"), None);
        assert_eq!(text(b"%ff"), None);
    }
}
