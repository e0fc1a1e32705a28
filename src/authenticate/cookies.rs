//! The cookies of a request, by name, and the choice between those with and without a suffix.

use std::collections::HashMap;

use http::HeaderMap;

use super::peek::Peek;
use crate::clock::Timestamp;
use crate::key::InstanceKind;
use crate::token::pairs;

/// The cookies of all `Cookie` fields. The first of equal names wins.
#[derive(Clone, Debug, Default)]
pub struct Cookies {
    values: HashMap<String, String>,
}

impl Cookies {
    /// Reads the cookies; values are percent-decoded. A cookie of bytes that are not text is left
    /// out, and so is one without a name.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let mut values = HashMap::new();
        for (name, value) in pairs(headers) {
            let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value))
            else {
                continue;
            };
            if !name.is_empty() && !values.contains_key(name) {
                values.insert(name.to_owned(), decoded(value));
            }
        }
        Self { values }
    }

    /// The cookies by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A cookie's value; an empty one counts as none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A cookie of this instance's own.
    pub(super) fn suffixed(&self, name: &str, suffix: &str) -> Option<&str> {
        self.get(&format!("{name}_{suffix}"))
    }
}

/// Percent-decoded as a whole, or left as it is when any of it cannot be.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return value.to_owned() };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
        rest = &tail[2..];
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

/// Whether the suffixed cookies count, by Clerk's eight rules in their order. One choice holds for
/// the session, `__client_uat` and the development token.
pub(super) fn uses_suffixed(
    cookies: &Cookies,
    suffix: &str,
    own_host: &str,
    kind: InstanceKind,
    now: Timestamp,
) -> bool {
    let (session, uat) = (cookies.get("__session"), cookies.get("__client_uat"));
    let own_session = cookies.suffixed("__session", suffix);
    let own_uat = cookies.suffixed("__client_uat", suffix);
    let (plain, own) = (session.and_then(Peek::of), own_session.and_then(Peek::of));
    if session.is_some() {
        match plain.as_ref().map(|token| &token.issuer) {
            None | Some(None) => return false,
            Some(Some(issuer)) if bare(issuer) != own_host => return true,
            Some(Some(_)) => {}
        }
    }
    if own_uat.is_none() && own_session.is_none() {
        return false;
    }
    let signed_out = |uat: Option<&str>| uat == Some("0");
    let issued = |token: &Option<Peek>| token.as_ref().map_or(0.0, Peek::issued_or_zero);
    if !signed_out(own_uat) && !signed_out(uat) && issued(&plain) > issued(&own) {
        return false;
    }
    if signed_out(own_uat) && !signed_out(uat) {
        return false;
    }
    let expired = own.as_ref().is_some_and(|token| token.expired(now));
    if kind != InstanceKind::Production && !signed_out(own_uat) && signed_out(uat) && expired {
        return false;
    }
    own_uat.is_some() || own_session.is_none()
}

/// An issuer without its scheme.
fn bare(issuer: &str) -> &str {
    let scheme = ["https://", "http://"].into_iter().find(|scheme| {
        issuer.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    &issuer[scheme.map_or(0, str::len)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_decoded_as_a_whole_or_not_at_all() {
        for (value, text) in
            [("a%2Eb", "a.b"), ("100%", "100%"), ("%2e%zz", "%2e%zz"), ("%ff", "%ff"), ("%", "%")]
        {
            assert_eq!(decoded(value), text);
        }
    }
}
