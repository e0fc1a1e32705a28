//! Clerk's publishable and secret keys. A value of these types is well-formed, and `Debug` prints
//! no key.

mod host;

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use url::Url;

pub use host::Hosting;

/// Standard alphabet with optional padding, as a browser's `atob` accepts.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The kind of a Clerk instance: production (`…_live_…`) or development (`…_test_…`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
// Exhaustive on purpose: every caller must handle every variant.
pub enum InstanceKind {
    /// `pk_live_…`, `sk_live_…`.
    Production,
    /// `pk_test_…`, `sk_test_…`.
    Development,
}

/// A publishable key, `pk_live_…` or `pk_test_…`, which contains the Frontend API host of its
/// instance.
///
/// The part after the prefix is base64 of the host and a `$`. The key is public; `Debug` shows only
/// the host so that logs stay readable.
#[derive(Clone, Eq, PartialEq)]
pub struct PublishableKey {
    text: String,
    kind: InstanceKind,
    host: String,
}

impl PublishableKey {
    /// Parses a publishable key as the Clerk dashboard shows it.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names the problem. One check is stricter than in Clerk's SDK: the host must be
    /// a plain host name with an optional port, because it is used as an address.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.split('_');
        let kind = match (parts.next(), parts.next()) {
            (Some("pk"), Some("live")) => InstanceKind::Production,
            (Some("pk"), Some("test")) => InstanceKind::Development,
            (Some("sk"), _) => return Err(KeyError::SecretWherePublishable),
            _ => return Err(KeyError::PublishablePrefix),
        };
        let (Some(encoded), None) = (parts.next(), parts.next()) else {
            return Err(KeyError::PublishableForm);
        };
        let encoded: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if encoded.contains('=') && !encoded.len().is_multiple_of(4) {
            return Err(KeyError::PublishableForm);
        }
        let decoded = LENIENT.decode(encoded).map_err(|_| KeyError::PublishableForm)?;
        let decoded = String::from_utf8(decoded).map_err(|_| KeyError::PublishableForm)?;
        let host = decoded.strip_suffix('$').ok_or(KeyError::PublishableForm)?;
        if host.contains('$') || !host.contains('.') || !is_plain_host(host) {
            return Err(KeyError::PublishableHost);
        }
        Ok(Self { text: text.to_owned(), kind, host: host.to_owned() })
    }

    /// Builds the publishable key of a Frontend API host, in Clerk's format.
    ///
    /// # Errors
    ///
    /// [`KeyError::PublishableHost`] when the host is not a plain host name that contains a dot.
    pub fn for_host(host: &str, kind: InstanceKind) -> Result<Self, KeyError> {
        let prefix = match kind {
            InstanceKind::Production => "pk_live_",
            InstanceKind::Development => "pk_test_",
        };
        let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(format!("{host}$"));
        Self::parse(&format!("{prefix}{encoded}"))
    }

    /// Returns the kind of the instance: production or development.
    #[must_use]
    pub fn kind(&self) -> InstanceKind {
        self.kind
    }

    /// Returns the Frontend API host, such as `clerk.example.com`.
    #[must_use]
    pub fn frontend_api(&self) -> &str {
        &self.host
    }

    /// Returns the `iss` of this instance's tokens, such as `https://clerk.example.com`.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("https://{}", self.host)
    }

    /// Returns the key exactly as it was parsed. Clerk derives the suffix of its cookie names from
    /// this text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for PublishableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishableKey").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Returns true when `host` is a host with an optional port and nothing else.
fn is_plain_host(host: &str) -> bool {
    let ascii = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'));
    ascii && Url::parse(&format!("https://{host}/")).is_ok()
}

/// A secret key, `sk_live_…` or `sk_test_…`. `Debug` prints `[redacted]`.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretKey(String);

impl SecretKey {
    /// Parses a secret key.
    ///
    /// # Errors
    ///
    /// [`KeyError::SecretForm`] when the prefix is wrong or the key cannot be sent in a header.
    /// [`KeyError::PublishableWhereSecret`] when the text is a publishable key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.starts_with("pk_") {
            return Err(KeyError::PublishableWhereSecret);
        }
        let prefix =
            ["sk_live_", "sk_test_", "live_", "test_"].iter().find(|p| text.starts_with(**p));
        let body = prefix.map(|p| &text[p.len()..]).ok_or(KeyError::SecretForm)?;
        if body.is_empty() || !body.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(KeyError::SecretForm);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the kind of the instance: production or development.
    #[must_use]
    pub fn kind(&self) -> InstanceKind {
        if self.0.starts_with("sk_live_") || self.0.starts_with("live_") {
            InstanceKind::Production
        } else {
            InstanceKind::Development
        }
    }

    /// Returns the secret, for the `Authorization` header of Backend API requests.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

/// What is wrong with a key. The message says what to do and never contains the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The prefix is neither `pk_live_` nor `pk_test_`.
    #[error(
        "a publishable key starts with pk_live_ or pk_test_; copy it again from the API keys page of the Clerk dashboard"
    )]
    PublishablePrefix,
    /// The part after the prefix is not base64 of a host and `$`.
    #[error(
        "the publishable key is cut off or damaged: the part after pk_live_ or pk_test_ must be base64 of a host name followed by '$'; copy it again from the Clerk dashboard"
    )]
    PublishableForm,
    /// The decoded text is not a plain host name.
    #[error(
        "the publishable key decodes, but not to a host name such as clerk.example.com; copy it again from the Clerk dashboard"
    )]
    PublishableHost,
    /// The text is a secret key, `sk_…`.
    #[error("this is a secret key (sk_…), where the publishable key (pk_…) belongs; swap the two")]
    SecretWherePublishable,
    /// The text is a publishable key, `pk_…`.
    #[error("this is a publishable key (pk_…), where the secret key (sk_…) belongs; swap the two")]
    PublishableWhereSecret,
    /// The text is not a secret key.
    #[error(
        "a secret key starts with sk_live_ or sk_test_ and has no spaces; copy it again from the API keys page of the Clerk dashboard"
    )]
    SecretForm,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publishable_key_names_its_instance() {
        let key = PublishableKey::parse("pk_test_Y2xlcmsuY2xlcmsuZGV2JA").expect("a valid key");
        assert_eq!(key.frontend_api(), "clerk.clerk.dev");
        assert_eq!(key.issuer(), "https://clerk.clerk.dev");
        assert_eq!(key.kind(), InstanceKind::Development);
    }

    #[test]
    fn a_key_built_for_a_host_parses_back_to_it() {
        let key = PublishableKey::for_host("clerk.example.com", InstanceKind::Production)
            .expect("a plain host");
        assert_eq!(key.frontend_api(), "clerk.example.com");
        assert_eq!(key.kind(), InstanceKind::Production);
    }

    #[test]
    fn each_malformed_publishable_key_names_its_error() {
        let encode = |host: &str| {
            format!("pk_live_{}", base64::engine::general_purpose::STANDARD.encode(host))
        };
        for (text, error) in [
            ("", KeyError::PublishablePrefix),
            ("pk_prod_abc", KeyError::PublishablePrefix),
            ("sk_live_abc", KeyError::SecretWherePublishable),
            ("pk_live_", KeyError::PublishableForm),
            ("pk_live_!!", KeyError::PublishableForm),
            ("pk_live_Y2xl_cms", KeyError::PublishableForm),
            (&encode("clerk.example.com"), KeyError::PublishableForm),
            (&encode("clerk.example.com$$"), KeyError::PublishableHost),
            (&encode("localhost$"), KeyError::PublishableHost),
            (&encode("https://clerk.example.com$"), KeyError::PublishableHost),
            (&encode("user@clerk.example.com$"), KeyError::PublishableHost),
            (&encode("clerk.example.com/path$"), KeyError::PublishableHost),
        ] {
            assert_eq!(PublishableKey::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_secret_key_is_recognized_and_never_printed() {
        let key = SecretKey::parse("sk_live_abcdef").expect("a valid key");
        assert_eq!(key.kind(), InstanceKind::Production);
        assert!(!format!("{key:?}").contains("abcdef"));
        assert_eq!(SecretKey::parse("pk_live_abc"), Err(KeyError::PublishableWhereSecret));
        for text in ["", "sk_live_", "sk_live_a b", "sk_live_a\n", "secret"] {
            assert_eq!(SecretKey::parse(text), Err(KeyError::SecretForm), "{text}");
        }
    }
}
