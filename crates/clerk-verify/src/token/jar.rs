//! Clerk's cookies in a request, and the choice between suffixed and plain cookies.

use std::borrow::Cow;

use http::HeaderMap;

use super::cookie::{CookieNames, pairs, text};
use super::peek::Peek;
use super::uat::leading_number;
use crate::clock::Timestamp;
use crate::key::InstanceKind;

/// Clerk's cookies in a request, found in one pass and not copied. The first of equal names wins,
/// across all `Cookie` fields.
#[derive(Clone, Copy, Default)]
pub(crate) struct CookieJar<'a> {
    /// Cookies with plain names, which all instances on a domain share.
    pub(crate) plain: Cookies<'a>,
    /// Cookies with this instance's suffix.
    pub(crate) own: Cookies<'a>,
}

/// Returns the refresh token in this instance's suffixed `__refresh` cookie, if there is one.
#[must_use]
pub fn refresh_token<'a>(headers: &'a HeaderMap, names: &CookieNames) -> Option<Cow<'a, str>> {
    CookieJar::read(headers, names).own.refresh.text()
}

/// Cookies of one kind, plain or suffixed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cookies<'a> {
    pub(crate) session: Value<'a>,
    pub(crate) client_uat: Value<'a>,
    pub(crate) dev_browser: Value<'a>,
    pub(crate) refresh: Value<'a>,
    pub(crate) handshake: Value<'a>,
    pub(crate) handshake_nonce: Value<'a>,
    pub(crate) redirects: Value<'a>,
}

/// A cookie's value. An empty value counts as absent.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(crate) struct Value<'a>(Option<&'a [u8]>);

impl<'a> Value<'a> {
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        self.0.filter(|value| !value.is_empty()).map(text)
    }

    fn is_absent(self) -> bool {
        self.0.is_none_or(<[u8]>::is_empty)
    }

    fn is_zero(self) -> bool {
        self.text().as_deref() == Some("0")
    }

    fn peek(self) -> Option<Peek> {
        self.text().and_then(|token| Peek::of(&token))
    }

    /// Returns the unverified `iat` of a token; zero when it has none.
    fn issued_at(self) -> f64 {
        self.peek().and_then(|token| token.issued_at).unwrap_or(0.0)
    }
}

impl<'a> CookieJar<'a> {
    pub(crate) fn read(headers: &'a HeaderMap, names: &CookieNames) -> Self {
        let mut jar = Self::default();
        for (name, value) in pairs(headers) {
            let (cookies, name) = match name.strip_suffix(names.ending().as_bytes()) {
                Some(name) => (&mut jar.own, name),
                None => (&mut jar.plain, name),
            };
            if let Some(slot) = cookies.slot(name) {
                slot.0.get_or_insert(value);
            }
        }
        jar
    }

    /// Returns true when the suffixed cookies count, by Clerk's eight rules. `host` is the host in
    /// the `iss` of this instance's tokens. One choice holds for all cookies of a kind.
    ///
    /// Tokens are decoded, unverified, only where a rule depends on their claims.
    pub(crate) fn prefers_own(&self, host: &str, kind: InstanceKind, now: Timestamp) -> bool {
        let (plain, own) = (&self.plain, &self.own);
        let mut issued = None;
        if !plain.session.is_absent() {
            match plain.session.peek().map(|token| (token.issuer, token.issued_at)) {
                None | Some((None, _)) => return false,
                Some((Some(issuer), _)) if bare(&issuer) != host => return true,
                Some((_, at)) => issued = Some(at.unwrap_or(0.0)),
            }
        }
        let (out, own_out) = (plain.client_uat.is_zero(), own.client_uat.is_zero());
        let newer = || issued.is_some_and(|at| at > own.session.issued_at());
        let expired = || own.session.peek().is_some_and(|token| token.expired(now));
        match () {
            () if own.client_uat.is_absent() && own.session.is_absent() => false,
            () if own_out && !out => false,
            () if !out && newer() => false,
            () if kind != InstanceKind::Production && !own_out && out && expired() => false,
            () => !own.client_uat.is_absent() || own.session.is_absent(),
        }
    }

    /// Returns the session token that counts, and when its client last changed.
    ///
    /// The rules do not apply when both kinds are equal, or when `is_ours` knows the only token. A
    /// plain token of another instance never counts, and neither do the cookies beside it. A
    /// request without any `__client_uat` does not come from a browser, and the rules concern only
    /// browsers. Of two tokens of this instance, the newer one then counts; a single token always
    /// counts.
    pub(super) fn session(
        &self,
        host: &str,
        kind: InstanceKind,
        now: Timestamp,
        is_ours: impl Fn(&str) -> bool,
    ) -> (Option<Cow<'a, str>>, Option<f64>) {
        let (plain, own) = (&self.plain, &self.own);
        let alike = plain.session == own.session && plain.client_uat == own.client_uat;
        let lone = own.session.is_absent() && own.client_uat.is_absent();
        let settled = lone && plain.session.text().is_none_or(|token| is_ours(&token));
        let unasked = plain.client_uat.is_absent() && own.client_uat.is_absent();
        let prefers_own = || self.prefers_own(host, kind, now) || (unasked && self.own_is_newer());
        let number = |value: Option<Cow<'_, str>>| value.map(|value| leading_number(&value));
        if !alike && !settled && prefers_own() {
            return (own.session.text(), number(own.client_uat.text()));
        }
        let token = if unasked && plain.session.is_absent() { own } else { plain };
        let client_uat = plain.client_uat.text().or_else(|| own.client_uat.text());
        (token.session.text(), number(client_uat))
    }

    fn own_is_newer(&self) -> bool {
        !self.plain.session.is_absent()
            && self.own.session.issued_at() > self.plain.session.issued_at()
    }
}

impl<'a> Cookies<'a> {
    fn slot(&mut self, name: &[u8]) -> Option<&mut Value<'a>> {
        Some(match name {
            b"__session" => &mut self.session,
            b"__client_uat" => &mut self.client_uat,
            b"__clerk_db_jwt" => &mut self.dev_browser,
            b"__refresh" => &mut self.refresh,
            b"__clerk_handshake" => &mut self.handshake,
            b"__clerk_handshake_nonce" => &mut self.handshake_nonce,
            b"__clerk_redirect_count" => &mut self.redirects,
            _ => return None,
        })
    }
}

/// Returns an issuer without its scheme.
fn bare(issuer: &str) -> &str {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| {
        issuer.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    &issuer[scheme.map_or(0, str::len)..]
}
