//! What kind of credential a text is, told by its form alone and before anything is verified.

use super::decode::{Decoded, decode};

/// The kinds of tokens that Clerk issues.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
// Closed on purpose: each caller decides about every case.
pub enum TokenKind {
    /// A user's session.
    Session,
    /// An API key, `ak_…`.
    ApiKey,
    /// A machine's token for another machine, `mt_…` or a JWT whose `sub` is a machine.
    MachineToMachine,
    /// An OAuth access token, `oat_…` or a JWT of the type `at+jwt`.
    OAuth,
}

impl TokenKind {
    /// The kinds that stand for a machine or another application.
    pub const MACHINES: [Self; 3] = [Self::ApiKey, Self::MachineToMachine, Self::OAuth];

    /// Clerk's name for the kind, as `session_token`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session_token",
            Self::ApiKey => "api_key",
            Self::MachineToMachine => "m2m_token",
            Self::OAuth => "oauth_token",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let machines = Self::MACHINES.into_iter();
        machines.chain([Self::Session]).find(|kind| kind.name() == name)
    }

    /// True for every kind but [`Session`](Self::Session).
    #[must_use]
    pub const fn is_machine(self) -> bool {
        !matches!(self, Self::Session)
    }

    /// The kind of a token, by its prefix or, when it is a JWT, by what it claims to be. A text that
    /// is no machine's token counts as a session token, good or bad.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self::of_opaque(token).or_else(|| Self::of_machine_jwt(token)).unwrap_or(Self::Session)
    }

    /// The kind of an opaque machine token, by its prefix.
    #[must_use]
    pub fn of_opaque(token: &str) -> Option<Self> {
        let prefixes =
            [("ak_", Self::ApiKey), ("mt_", Self::MachineToMachine), ("oat_", Self::OAuth)];
        prefixes.into_iter().find(|(prefix, _)| token.starts_with(prefix)).map(|(_, kind)| kind)
    }

    /// The kind of a machine's JWT, as the token itself claims it: first its `sub`, then its `typ`.
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

/// The `typ` of an OAuth access token (RFC 9068 §2.1), exactly.
pub(crate) const OAUTH_TYPES: [&str; 2] = ["at+jwt", "application/at+jwt"];

/// True when a text looks as a compact JWT does: three parts of word characters and dashes. Nothing
/// is decoded.
#[must_use]
pub fn is_jwt_shaped(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    text.split('.').count() == 3 && text.split('.').all(word)
}

/// Which kinds of tokens are welcome somewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenKinds(Vec<TokenKind>);

impl TokenKinds {
    /// All of them.
    #[must_use]
    pub fn any() -> Self {
        Self(TokenKind::MACHINES.into_iter().chain([TokenKind::Session]).collect())
    }

    /// Those, and no others.
    #[must_use]
    pub fn of(kinds: impl IntoIterator<Item = TokenKind>) -> Self {
        Self(kinds.into_iter().collect())
    }

    /// True when this kind is among them.
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
