//! The keys that tokens are verified with: a JWK Set (RFC 7517) or a PEM, parsed once.

mod pem;
mod verifier;

use std::sync::Arc;

use serde_json::Value;

pub use pem::PemError;
pub use verifier::VerifyingKey;

use crate::id::KeyId;

/// More keys than any instance has; the rest of a longer set is not read.
const MAX_KEYS: usize = 32;

/// A set of usable keys. Cheap to clone; never changes.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Arc<[Arc<VerifyingKey>]>,
}

impl KeySet {
    /// Reads a JWK Set document. Entries that cannot verify RS256 signatures (other types, `use:
    /// enc`, symmetric keys, RSA below 2048 bits, no `kid`) are skipped one by one.
    ///
    /// # Errors
    ///
    /// [`JwksError`] when the document is not a JWK Set, or when no key in it is usable: such an
    /// answer must not replace a good set.
    pub fn parse(document: &[u8]) -> Result<Self, JwksError> {
        let document: Value = serde_json::from_slice(document).map_err(|_| JwksError::NotJson)?;
        let entries = document.get("keys").and_then(Value::as_array).ok_or(JwksError::NotJwks)?;
        let usable = entries.iter().filter_map(VerifyingKey::from_jwk).take(MAX_KEYS);
        let keys: Arc<[_]> = usable.map(Arc::new).collect();
        if keys.is_empty() { Err(JwksError::NoUsableKey) } else { Ok(Self { keys }) }
    }

    /// A set of one key, read from PEM as in `CLERK_JWT_KEY`: SPKI or PKCS#1, with or without its
    /// armour, on one line or many, with real or literal `\n`. The key verifies any `kid`.
    ///
    /// # Errors
    ///
    /// [`PemError`] says what the text is instead.
    pub fn from_pem(text: &str) -> Result<Self, PemError> {
        let key = pem::parse(text)?;
        Ok(Self { keys: Arc::new([Arc::new(key)]) })
    }

    /// The keys to try for a token with this `kid`: those that have it, or else the one that came
    /// without a name, from PEM.
    pub(crate) fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        let named = kid.is_some_and(|kid| self.keys.iter().any(|key| key.is_named(kid)));
        self.keys.iter().filter(move |key| match (kid, key.id()) {
            (Some(kid), Some(_)) => key.is_named(kid),
            (_, None) => !named,
            (None, Some(_)) => false,
        })
    }

    /// True when this very key, not one equal to it by name, is in the set.
    #[must_use]
    pub fn holds(&self, key: &Arc<VerifyingKey>) -> bool {
        self.keys.iter().any(|held| Arc::ptr_eq(held, key))
    }

    /// This set with the contents of `newer`. Keys that did not change keep their identity, so what
    /// was verified with them stays verified; keys that `newer` lacks are gone.
    #[must_use]
    pub fn replaced_by(&self, newer: &Self) -> Self {
        let keep = |key: &Arc<VerifyingKey>| {
            let same = self.keys.iter().find(|held| held.same_as(key));
            Arc::clone(same.unwrap_or(key))
        };
        Self { keys: newer.keys.iter().map(keep).collect() }
    }

    /// This set and the keys of `other`, first ours.
    #[must_use]
    pub fn joined_with(&self, other: &Self) -> Self {
        Self { keys: self.keys.iter().chain(other.keys.iter()).map(Arc::clone).collect() }
    }

    /// True when some key of one set is, by its numbers, a key of the other.
    #[must_use]
    pub fn shares_a_key_with(&self, other: &Self) -> bool {
        self.keys.iter().any(|key| other.keys.iter().any(|held| held.is_same_material(key)))
    }

    /// True when no token can be verified.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The names of the keys that have one.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.iter().filter_map(|key| key.id())
    }

    /// The set as a JWK Set document, to be read by [`parse`](Self::parse). Keys from PEM are left
    /// out: they come with the configuration.
    #[must_use]
    pub fn to_jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.iter().filter_map(|key| key.to_jwk()).collect();
        serde_json::json!({ "keys": keys })
    }
}

/// Why a document is not a key set worth having.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// Not JSON: an HTML page, a cut-off document.
    #[error("the answer is not JSON")]
    NotJson,
    /// JSON without an array `keys`.
    #[error("the answer has no array \"keys\"")]
    NotJwks,
    /// No key, or none that can verify RS256.
    #[error("the key set has no key that can verify RS256 signatures")]
    NoUsableKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modulus of the RSA-2048 key in the test fixtures of Clerk's JavaScript SDK.
    const N: &str = "qYy3MY8fOneEyzNDu9lp6iGXKkNUF-u_dUnrlkadZYyB35efzKFJEr9fftmWv5PUj1uRHTQ3bh6X1cceOYsIjy008dHWZJsKhGOxgdTjeK91rjaklxt7tyFXEiKHIOr1LSgKzopClOfCIjxK_oPUOf38pVh7WnekcSBQmU5fqA-EzKMi6k9VwvbzqKlZM4XQsiFyn28d9VubJWjTU8nNot0n1NE-9k6TxM8nglM4RwkBH4Ni4B0LhKKOOV-AG8tBNiZVil415dpBldmJ_j0wk7Ad4VFi9en3Z17oCKr-K-zuT7vKMKSb1548dk0vnmi0vj2QGXSo-61wM5yQWpk6sQ";

    fn jwk(kid: &str) -> Value {
        serde_json::json!({"use":"sig","kty":"RSA","kid":kid,"alg":"RS256","n":N,"e":"AQAB"})
    }

    fn set(keys: &[Value]) -> Result<KeySet, JwksError> {
        KeySet::parse(serde_json::json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn answers_that_are_no_key_set_are_told_apart() {
        for (document, error) in [
            ("<!DOCTYPE html><html></html>", JwksError::NotJson),
            ("{\"keys\":[{\"kty\"", JwksError::NotJson),
            ("{}", JwksError::NotJwks),
            ("[]", JwksError::NotJwks),
            ("{\"keys\":[]}", JwksError::NoUsableKey),
            ("{\"keys\":[null,1,\"x\",{}]}", JwksError::NoUsableKey),
        ] {
            assert_eq!(KeySet::parse(document.as_bytes()).expect_err(document), error);
        }
    }

    #[test]
    fn unusable_entries_are_skipped_and_do_not_spoil_the_set() {
        let change = |name: &str, value: Value| {
            let mut jwk = jwk("odd");
            jwk[name] = value;
            jwk
        };
        let odd = [
            change("use", "enc".into()),
            change("alg", "RS512".into()),
            change("kty", "oct".into()),
            change("kty", "EC".into()),
            change("n", "AQAB".into()),
            change("n", "!!".into()),
            change("kid", Value::Null),
            change("kid", "".into()),
            change("kid", "k".repeat(300).into()),
            change("key_ops", serde_json::json!(["sign"])),
        ];
        for entry in &odd {
            let one = std::slice::from_ref(entry);
            assert_eq!(set(one).expect_err("unusable"), JwksError::NoUsableKey, "{entry}");
        }
        let mut all = odd.to_vec();
        all.push(jwk("good"));
        assert_eq!(set(&all).expect("one good key").len(), 1);
    }

    #[test]
    fn a_key_is_found_by_its_name_only() {
        let keys = set(&[jwk("a"), jwk("b")]).expect("two keys");
        assert_eq!(keys.candidates(Some("a")).count(), 1);
        assert_eq!(keys.candidates(Some("c")).count(), 0);
        assert_eq!(keys.candidates(None).count(), 0);
    }

    #[test]
    fn an_unchanged_key_keeps_its_identity_over_a_refresh_and_a_dropped_one_is_gone() {
        let old = set(&[jwk("a"), jwk("b")]).expect("two keys");
        let a = Arc::clone(old.candidates(Some("a")).next().expect("there"));
        let b = Arc::clone(old.candidates(Some("b")).next().expect("there"));
        let new = old.replaced_by(&set(&[jwk("a"), jwk("c")]).expect("two keys"));
        assert!(new.holds(&a));
        assert!(!new.holds(&b));
    }

    /// The public keys of the conformance vectors, by name.
    fn pem(name: &str) -> String {
        let vectors = include_str!("../../tests/data/clerk-vectors.json");
        let vectors: Value = serde_json::from_str(vectors).expect("JSON");
        vectors["keys"][name].as_str().expect("a PEM").to_owned()
    }

    #[test]
    fn a_pem_is_read_in_every_form_in_which_people_paste_it() {
        let plain = pem("oracleA_pem");
        let one_line = plain.replace('\n', "");
        let body: String = plain.lines().filter(|line| !line.starts_with('-')).collect();
        for text in [
            plain.clone(),
            plain.replace('\n', "\r\n"),
            plain.replace('\n', "\\n"),
            format!("\"{plain}\""),
            format!("'{}'", plain.replace('\n', "\\n")),
            plain.replace('\n', "\n    "),
            one_line,
            body.clone(),
            body.replace('+', "-").replace('/', "_"),
            pem("oracleA_pem_pkcs1"),
            pem("oracleC_pem_4096"),
        ] {
            let keys = KeySet::from_pem(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(keys.candidates(Some("any")).count(), 1);
            assert_eq!(keys.candidates(None).count(), 1);
        }
    }

    #[test]
    fn a_text_that_is_no_public_key_is_named_for_what_it_is() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        let private = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----";
        let cut = &pem("oracleA_pem")[..200];
        for (text, error) in [
            (" ", PemError::Empty),
            ("\"\"", PemError::Empty),
            (private, PemError::PrivateKey),
            (certificate, PemError::Certificate),
            ("!!!", PemError::Damaged),
            (cut, PemError::Damaged),
            ("AQAB", PemError::NotRsa),
        ] {
            assert_eq!(KeySet::from_pem(text).expect_err(text), error, "{text}");
        }
    }

    #[test]
    fn a_set_survives_being_written_and_read() {
        let keys = set(&[jwk("a")]).expect("a key");
        let again = KeySet::parse(keys.to_jwks().to_string().as_bytes()).expect("the same");
        assert_eq!(again.key_ids().map(KeyId::as_str).collect::<Vec<_>>(), ["a"]);
        assert!(keys.replaced_by(&again).holds(keys.candidates(Some("a")).next().expect("there")));
    }
}
