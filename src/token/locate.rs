//! Where a session token is found in a request.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::claims::Claims;
use super::cookie::{CookieNames, pairs, text};
use super::jws::{Jws, object};
use crate::key::PublishableKey;

/// A token and the place where it was found.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum Located<'a> {
    /// No token.
    Nowhere,
    /// In the `Authorization` field. It beats every cookie, even when it is bad.
    Header(Cow<'a, str>),
    /// In one of the session cookies.
    Cookie(Cow<'a, str>),
}

impl fmt::Debug for Located<'_> {
    /// Tells where, and not what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::Header(_) => "Header([redacted])",
            Self::Cookie(_) => "Cookie([redacted])",
        })
    }
}

impl Located<'_> {
    /// The token, if there is one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Nowhere => None,
            Self::Header(token) | Self::Cookie(token) => Some(token),
        }
    }
}

/// Finds the session token of a request, as Clerk's backend SDK does: `Authorization: Bearer …`
/// first, then the session cookie of this instance, with its suffixed name or the plain one.
///
/// A field with another scheme, `Basic` for one, does not hide the cookie. A value that is not text
/// is a token that will not verify, never a reason to look elsewhere.
#[must_use]
pub fn locate<'a>(
    headers: &'a HeaderMap,
    names: &CookieNames,
    key: &PublishableKey,
) -> Located<'a> {
    if let Some(token) = bearer(headers) {
        return Located::Header(token);
    }
    let cookies = SessionCookies::find(headers, names);
    match cookies.choose(key) {
        Some(value) => Located::Cookie(text(value).unwrap_or(UNREADABLE)),
        None => Located::Nowhere,
    }
}

/// Stands for a token of bytes that are not text; it has no dots and is refused as malformed.
const UNREADABLE: Cow<'static, str> = Cow::Borrowed("unreadable");

/// The value is split at single spaces. One part alone is the token; of two or more, the first must
/// be exactly `Bearer`, and the second is the token.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let field = headers.get(AUTHORIZATION)?;
    let Ok(value) = std::str::from_utf8(field.as_bytes()) else { return Some(UNREADABLE) };
    let value = value.trim();
    match value.split_once(' ') {
        None if value.is_empty() => None,
        None => Some(Cow::Borrowed(value)),
        Some(("Bearer", rest)) => {
            let end = memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
            Some(if end > 0 { Cow::Borrowed(&rest[..end]) } else { UNREADABLE })
        }
        Some(_) => None,
    }
}

/// The cookies that decide which session token counts. The first of equal names wins.
#[derive(Default)]
pub(super) struct SessionCookies<'a> {
    session: Option<&'a [u8]>,
    pub(super) suffixed_session: Option<&'a [u8]>,
    pub(super) client_uat: Option<&'a [u8]>,
    pub(super) suffixed_client_uat: Option<&'a [u8]>,
}

impl<'a> SessionCookies<'a> {
    pub(super) fn find(headers: &'a HeaderMap, names: &CookieNames) -> Self {
        let mut found = Self::default();
        for (name, value) in pairs(headers) {
            let slot = match name {
                b"__session" => &mut found.session,
                b"__client_uat" => &mut found.client_uat,
                _ if name == names.session.as_bytes() => &mut found.suffixed_session,
                _ if name == names.client_uat.as_bytes() => &mut found.suffixed_client_uat,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        found
    }

    /// One of the two tokens, by Clerk's rules, which only need asking when the two differ.
    fn choose(&self, key: &PublishableKey) -> Option<&'a [u8]> {
        let some = |value: Option<&'a [u8]>| value.filter(|v| !v.is_empty());
        let (plain, suffixed) = (some(self.session), some(self.suffixed_session));
        match (plain, suffixed) {
            (Some(p), Some(s)) if p == s => suffixed,
            (Some(p), Some(s)) if self.prefers_suffixed(&Peek::of(p), &Peek::of(s), key) => {
                suffixed
            }
            (Some(_), Some(_)) => plain,
            (plain, suffixed) => suffixed.or(plain),
        }
    }

    /// Clerk's rules for a request with both cookies, in their order.
    fn prefers_suffixed(&self, plain: &Peek, suffixed: &Peek, key: &PublishableKey) -> bool {
        let signed_out = |uat: Option<&[u8]>| uat == Some(b"0");
        let (uat, suffixed_uat) = (self.client_uat, self.suffixed_client_uat);
        let Some(issuer) = plain.issuer.as_deref() else { return false };
        if issuer.strip_prefix("https://").unwrap_or(issuer) != key.frontend_api() {
            return true;
        }
        if !signed_out(suffixed_uat) && !signed_out(uat) && plain.issued_at > suffixed.issued_at {
            return false;
        }
        if signed_out(suffixed_uat) && !signed_out(uat) {
            return false;
        }
        suffixed_uat.is_some() || suffixed.issued_at > plain.issued_at
    }
}

/// What an unverified token says about itself, as far as the choice between cookies goes.
struct Peek {
    issuer: Option<String>,
    issued_at: i64,
}

impl Peek {
    fn of(value: &[u8]) -> Self {
        let token = text(value).unwrap_or_default();
        let jws = Jws::parse(&token).ok().filter(|jws| jws.header().is_ok());
        let claims = jws.as_ref().and_then(|jws| object::<Claims<'_>>(&jws.payload).ok());
        let claims = claims.unwrap_or_default();
        Self {
            issuer: claims.iss.text().map(str::to_owned),
            issued_at: claims.iat.seconds().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use http::header::COOKIE;

    use super::*;
    use crate::key::InstanceKind;

    fn instance() -> (PublishableKey, CookieNames) {
        let key = PublishableKey::for_host("clerk.example.com", InstanceKind::Production)
            .expect("a plain host");
        let names = CookieNames::of(&key);
        (key, names)
    }

    fn found(fields: &[(http::HeaderName, &str)]) -> Option<String> {
        let (key, names) = instance();
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers
                .append(name, value.replace("SUFFIXED", names.session()).parse().expect("a field"));
        }
        locate(&headers, &names, &key).token().map(str::to_owned)
    }

    fn token(issuer: &str, iat: i64) -> String {
        let header = URL_SAFE_NO_PAD.encode("{}");
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"{issuer}","iat":{iat}}}"#));
        format!("{header}.{payload}.AAAA")
    }

    #[test]
    fn a_bearer_token_beats_the_cookie_even_when_it_is_bad() {
        let fields = [(AUTHORIZATION, "Bearer bad"), (COOKIE, "__session=good")];
        assert_eq!(found(&fields).as_deref(), Some("bad"));
    }

    #[test]
    fn another_scheme_does_not_hide_the_cookie() {
        for scheme in ["Basic dXNlcg==", "bearer x", "Digest a b"] {
            let fields = [(AUTHORIZATION, scheme), (COOKIE, "__session=good")];
            assert_eq!(found(&fields).as_deref(), Some("good"), "{scheme}");
        }
    }

    #[test]
    fn the_authorization_field_is_split_at_single_spaces() {
        assert_eq!(found(&[(AUTHORIZATION, "raw.token.here")]).as_deref(), Some("raw.token.here"));
        assert_eq!(found(&[(AUTHORIZATION, "Bearer a b")]).as_deref(), Some("a"));
        assert_eq!(found(&[(AUTHORIZATION, "Bearer  a")]).as_deref(), Some("unreadable"));
        assert_eq!(found(&[(AUTHORIZATION, "Bearer")]).as_deref(), Some("Bearer"));
    }

    #[test]
    fn either_cookie_name_will_do_and_the_first_of_equal_names_wins() {
        assert_eq!(found(&[(COOKIE, "__session=a; __session=b")]).as_deref(), Some("a"));
        assert_eq!(found(&[(COOKIE, "x=1; SUFFIXED=c")]).as_deref(), Some("c"));
        assert_eq!(found(&[(COOKIE, "x=1"), (COOKIE, "__session=d")]).as_deref(), Some("d"));
        assert_eq!(found(&[(COOKIE, "__session=; x=1")]), None);
        assert_eq!(found(&[(COOKIE, "__session_other=z")]), None);
    }

    #[test]
    fn of_two_different_session_cookies_the_fresher_one_of_this_instance_counts() {
        let own = "https://clerk.example.com";
        let both = |plain: &str, suffixed: &str| {
            found(&[(COOKIE, &format!("__session={plain}; SUFFIXED={suffixed}"))])
        };
        let (old, new) = (token(own, 100), token(own, 200));
        assert_eq!(both(&old, &new).as_deref(), Some(&*new));
        assert_eq!(both(&new, &old).as_deref(), Some(&*new));
        let foreign = token("https://clerk.other.com", 300);
        assert_eq!(
            both(&foreign, &old).as_deref(),
            Some(&*old),
            "the other instance's is not ours"
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_a_token_that_cannot_verify() {
        let (key, names) = instance();
        let mut headers = HeaderMap::new();
        let bytes = http::HeaderValue::from_bytes(b"Bearer \xff\xfe").expect("opaque bytes");
        headers.insert(AUTHORIZATION, bytes);
        assert_eq!(locate(&headers, &names, &key).token(), Some("unreadable"));
    }
}
