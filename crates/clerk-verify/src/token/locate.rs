//! Location of the session token in a request.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::cookie::{CookieNames, UNREADABLE};
use super::jar::CookieJar;
use crate::clock::Timestamp;
use crate::key::PublishableKey;

/// A token and its location in the request.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Located<'a> {
    /// The request has no token.
    Nowhere,
    /// In the `Authorization` field, which takes precedence over every cookie, even when the token
    /// is invalid.
    Header(Cow<'a, str>),
    /// In one of the session cookies.
    Cookie {
        /// The token.
        token: Cow<'a, str>,
        /// When the browser's client last changed, in Unix seconds; zero when no user is signed in.
        /// `None` without any `__client_uat`.
        client_uat: Option<f64>,
    },
}

impl fmt::Debug for Located<'_> {
    /// Prints the location but not the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::Header(_) => "Header([redacted])",
            Self::Cookie { .. } => "Cookie([redacted])",
        })
    }
}

impl Located<'_> {
    /// Returns the token, if there is one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Nowhere => None,
            Self::Header(token) | Self::Cookie { token, .. } => Some(token),
        }
    }
}

/// Finds the session token of a request, as Clerk's backend SDK does. `Authorization: Bearer …`
/// takes precedence over the session cookie of this instance, suffixed or plain. The plain cookie
/// of another instance on the same host is ignored.
///
/// A field with another scheme, such as `Basic`, does not hide the cookie. A value that is not text
/// counts as a token that fails verification, and no other location is searched. `now` matters only
/// for development instances, where a sign-out overrides an expired suffixed cookie.
#[must_use]
pub fn locate<'a>(
    headers: &'a HeaderMap,
    names: &CookieNames,
    key: &PublishableKey,
    now: Timestamp,
) -> Located<'a> {
    locate_with(headers, names, key, now, |_| false)
}

/// Finds the session token as [`locate`] does. `is_ours` returns true for tokens that were verified
/// before, which need not be decoded.
pub fn locate_with<'a>(
    headers: &'a HeaderMap,
    names: &CookieNames,
    key: &PublishableKey,
    now: Timestamp,
    is_ours: impl Fn(&str) -> bool,
) -> Located<'a> {
    if let Some(token) = bearer(headers) {
        return Located::Header(token);
    }
    let jar = CookieJar::read(headers, names);
    match jar.session(key.frontend_api(), key.kind(), now, is_ours) {
        (Some(token), client_uat) => Located::Cookie { token, client_uat },
        (None, _) => Located::Nowhere,
    }
}

/// Returns the token of the `Authorization` field, if there is one.
///
/// The value is split at single spaces. A single part is the token. Of several parts, the first
/// must be exactly `Bearer`, and the second is the token.
pub fn bearer(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let field = headers.get(AUTHORIZATION)?;
    let Ok(value) = std::str::from_utf8(field.as_bytes()) else {
        return Some(Cow::Borrowed(UNREADABLE));
    };
    let value = value.trim();
    match value.split_once(' ') {
        None if value.is_empty() => None,
        None => Some(Cow::Borrowed(value)),
        Some(("Bearer", rest)) => {
            let end = memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
            Some(Cow::Borrowed(if end > 0 { &rest[..end] } else { UNREADABLE }))
        }
        Some(_) => None,
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

    /// The token, and what `__client_uat` says.
    fn located(fields: &[(http::HeaderName, &str)]) -> (Option<String>, Option<f64>) {
        let (key, names) = instance();
        let own_uat = format!("__client_uat_{}", names.suffix());
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = value.replace("OWN_UAT", &own_uat).replace("SUFFIXED", names.session());
            headers.append(name, value.parse().expect("a field"));
        }
        let found = locate(&headers, &names, &key, Timestamp::from_secs(1_000));
        let uat = if let Located::Cookie { client_uat, .. } = found { client_uat } else { None };
        (found.token().map(str::to_owned), uat)
    }

    fn found(fields: &[(http::HeaderName, &str)]) -> Option<String> {
        located(fields).0
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
    fn the_fresher_session_cookie_of_this_instance_counts() {
        let own = "https://clerk.example.com";
        let both = |plain: &str, suffixed: &str| {
            let cookies = format!("__session={plain}; SUFFIXED={suffixed}; OWN_UAT=50");
            found(&[(COOKIE, &cookies)])
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
    fn the_client_uat_goes_with_the_chosen_cookie() {
        let uat = |cookies: &str| located(&[(COOKIE, cookies)]);
        let a = || Some("a".to_owned());
        assert_eq!(uat("__session=a"), (a(), None));
        assert_eq!(uat("__session=a; __client_uat=7"), (a(), Some(7.0)));
        assert_eq!(uat("SUFFIXED=a; OWN_UAT=9; __client_uat=7"), (a(), Some(9.0)));
        assert_eq!(uat("__session=a; SUFFIXED=a; OWN_UAT=0; __client_uat=7"), (a(), Some(7.0)));
        assert_eq!(uat("__session=a; OWN_UAT=0"), (a(), Some(0.0)), "there is no other");
        assert_eq!(uat("SUFFIXED=a; OWN_UAT=0; __client_uat=7").0, None, "signed out");
    }

    #[test]
    fn bytes_that_are_not_text_are_a_token_that_cannot_verify() {
        let (key, names) = instance();
        let mut headers = HeaderMap::new();
        let bytes = http::HeaderValue::from_bytes(b"Bearer \xff\xfe").expect("opaque bytes");
        headers.insert(AUTHORIZATION, bytes);
        assert_eq!(
            locate(&headers, &names, &key, Timestamp::default()).token(),
            Some("unreadable")
        );
    }
}
