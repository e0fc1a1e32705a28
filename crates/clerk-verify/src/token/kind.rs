//! The kind of a credential, determined by its form before verification.

use super::decode::{Decoded, decode};

/// The kinds of tokens that Clerk issues.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
// Exhaustive on purpose: every caller must handle every variant.
pub enum TokenKind {
    /// A user's session token.
    Session,
    /// An API key, `ak_…`.
    ApiKey,
    /// A machine-to-machine token: `mt_…`, or a JWT whose `sub` is a machine, `mch_…`.
    MachineToMachine,
    /// An OAuth access token: `oat_…`, or a JWT of the type `at+jwt`.
    OAuth,
}

impl TokenKind {
    /// The kinds that represent a machine or another application.
    pub const MACHINES: [Self; 3] = [Self::ApiKey, Self::MachineToMachine, Self::OAuth];

    /// Returns Clerk's name for the kind, such as `session_token`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session_token",
            Self::ApiKey => "api_key",
            Self::MachineToMachine => "m2m_token",
            Self::OAuth => "oauth_token",
        }
    }

    /// Returns the kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let machines = Self::MACHINES.into_iter();
        machines.chain([Self::Session]).find(|kind| kind.name() == name)
    }

    /// Returns true for every kind except [`Session`](Self::Session).
    #[must_use]
    pub const fn is_machine(self) -> bool {
        !matches!(self, Self::Session)
    }

    /// Determines the kind of a token by its prefix or, for a JWT, by its unverified claims. Any
    /// text that is not a machine token counts as a session token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self::of_opaque(token).or_else(|| Self::of_machine_jwt(token)).unwrap_or(Self::Session)
    }

    /// Returns the kind of an opaque machine token, by its prefix; `None` without a known prefix.
    #[must_use]
    pub fn of_opaque(token: &str) -> Option<Self> {
        let prefixes =
            [("ak_", Self::ApiKey), ("mt_", Self::MachineToMachine), ("oat_", Self::OAuth)];
        prefixes.into_iter().find(|(prefix, _)| token.starts_with(prefix)).map(|(_, kind)| kind)
    }

    /// Returns the kind that a machine's JWT claims, by its `sub` and then its `typ`; `None` for
    /// other texts.
    #[must_use]
    pub fn of_machine_jwt(token: &str) -> Option<Self> {
        if !is_jwt_shaped(token) {
            return None;
        }
        Self::claimed(&decode(token).ok()?)
    }

    pub(crate) fn claimed(token: &Decoded) -> Option<Self> {
        let text = |value: &serde_json::Value, name| {
            value.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        if text(&token.claims, "sub").starts_with("mch_") {
            return Some(Self::MachineToMachine);
        }
        let oauth = OAUTH_TYPES.contains(&&*text(&token.header, "typ"));
        oauth.then_some(Self::OAuth)
    }
}

/// The `typ` values of an OAuth access token (RFC 9068 §2.1). The comparison is exact.
pub(crate) const OAUTH_TYPES: [&str; 2] = ["at+jwt", "application/at+jwt"];

/// Returns true when a text has the form of a compact JWT: three parts of letters, digits, `_` and
/// `-`. Nothing is decoded.
#[must_use]
pub fn is_jwt_shaped(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    text.split('.').count() == 3 && text.split('.').all(word)
}

/// A set of token kinds that are accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenKinds(Vec<TokenKind>);

impl TokenKinds {
    /// Accepts every kind.
    #[must_use]
    pub fn any() -> Self {
        Self(TokenKind::MACHINES.into_iter().chain([TokenKind::Session]).collect())
    }

    /// Accepts exactly these kinds.
    #[must_use]
    pub fn of(kinds: impl IntoIterator<Item = TokenKind>) -> Self {
        Self(kinds.into_iter().collect())
    }

    /// Returns true when this kind is accepted.
    #[must_use]
    pub fn accepts(&self, kind: TokenKind) -> bool {
        self.0.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn jwt(header: &str, claims: &str) -> String {
        format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn an_opaque_token_is_known_by_its_prefix() {
        assert_eq!(TokenKind::of("ak_1"), TokenKind::ApiKey);
        assert_eq!(TokenKind::of("mt_1"), TokenKind::MachineToMachine);
        assert_eq!(TokenKind::of("oat_1"), TokenKind::OAuth);
        for text in ["", "AK_1", "m2m_1", "akk_1", "a.b.c", "session"] {
            assert_eq!(TokenKind::of(text), TokenKind::Session, "{text}");
        }
    }

    #[test]
    fn a_machine_subject_counts_before_the_type_of_the_token() {
        let oauth = jwt(r#"{"typ":"at+jwt"}"#, r#"{"sub":"user_1"}"#);
        assert_eq!(TokenKind::of(&oauth), TokenKind::OAuth);
        let machine = jwt(r#"{"typ":"at+jwt"}"#, r#"{"sub":"mch_1"}"#);
        assert_eq!(TokenKind::of(&machine), TokenKind::MachineToMachine);
        let session = jwt(r#"{"typ":"JWT"}"#, r#"{"sub":"user_1"}"#);
        assert_eq!(TokenKind::of_machine_jwt(&session), None);
        assert_eq!(TokenKind::of(&session), TokenKind::Session);
    }

    #[test]
    fn names_are_clerks_and_read_back() {
        for kind in TokenKind::MACHINES.into_iter().chain([TokenKind::Session]) {
            assert_eq!(TokenKind::from_name(kind.name()), Some(kind));
            assert!(TokenKinds::any().accepts(kind));
        }
        assert_eq!(TokenKind::from_name("any"), None);
        assert!(!TokenKinds::of([TokenKind::ApiKey]).accepts(TokenKind::OAuth));
    }
}
