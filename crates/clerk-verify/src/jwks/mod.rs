//! The keys that verify tokens, parsed once from a JWK Set (RFC 7517), a JWK or a PEM.

mod der;
mod error;
mod pem;
mod verifier;

use std::sync::Arc;

use serde_json::Value;

pub use error::JwksError;
pub use pem::PemError;
use verifier::Signer;
pub use verifier::VerifyingKey;

pub use der::modulus_and_exponent;

use crate::id::KeyId;
use crate::transport::ApiResponse;

/// Maximum number of entries that are read from a set. Further entries are ignored.
const MAX_ENTRIES: usize = 32;

/// An immutable set of keys that can verify RS256. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Arc<[Arc<VerifyingKey>]>,
    /// The `kid`s of published keys that cannot verify RS256.
    unfit: Arc<[KeyId]>,
}

impl KeySet {
    /// Parses a JWK Set document.
    ///
    /// Entries that cannot verify RS256 signatures are skipped: other key types, `use: enc`,
    /// symmetric keys, RSA below 2048 bits, entries without `kid`. A token that names a skipped
    /// entry is rejected as [`InvalidToken::UnfitKey`](crate::token::InvalidToken). Of several
    /// entries with one `kid` the last counts, as in Clerk's SDK.
    ///
    /// # Errors
    ///
    /// [`JwksError`] when the document is not a JWK Set, or when it has no usable key. Such a
    /// document must not replace a valid set.
    pub fn parse(document: &[u8]) -> Result<Self, JwksError> {
        let document: Value = serde_json::from_slice(document).map_err(|_| JwksError::NotJson)?;
        let entries = document.get("keys").and_then(Value::as_array).ok_or(JwksError::NotJwks)?;
        let (mut keys, mut unfit) = (Vec::new(), Vec::new());
        let named = entries.iter().filter_map(|entry| Some((entry, verifier::name(entry)?)));
        for (entry, kid) in named.take(MAX_ENTRIES) {
            keys.retain(|key: &Arc<VerifyingKey>| !key.is_named(kid));
            unfit.retain(|unfit: &KeyId| unfit.as_str() != kid);
            match VerifyingKey::from_entry(entry) {
                Some(key) => keys.push(Arc::new(key)),
                None => unfit.push(KeyId::from(kid)),
            }
        }
        if keys.is_empty() {
            return Err(JwksError::NoUsableKey);
        }
        Ok(Self { keys: keys.into(), unfit: unfit.into() })
    }

    /// Parses a set of one key from PEM, as in `CLERK_JWT_KEY`. The text is SPKI or PKCS#1, with or
    /// without armour, on one line or several, with real or literal `\n`. The key verifies tokens
    /// with any `kid`.
    ///
    /// # Errors
    ///
    /// [`PemError`] names the problem.
    pub fn from_pem(text: &str) -> Result<Self, PemError> {
        Ok(Self::of_one(pem::parse(text)?))
    }

    /// Parses a set of one key from a single JWK. The key verifies tokens with any `kid`.
    ///
    /// # Errors
    ///
    /// [`JwksError`] when the text is not JSON, or the key cannot verify RS256.
    pub fn from_jwk(text: &str) -> Result<Self, JwksError> {
        let jwk: Value = serde_json::from_str(text).map_err(|_| JwksError::NotJson)?;
        VerifyingKey::from_jwk(&jwk).map(Self::of_one).ok_or(JwksError::NoUsableKey)
    }

    fn of_one(key: VerifyingKey) -> Self {
        Self { keys: Arc::new([Arc::new(key)]), unfit: Arc::default() }
    }

    /// Parses the response of a key endpoint of Clerk: `/.well-known/jwks.json` of the Frontend API
    /// or `/v1/jwks` of the Backend API.
    ///
    /// # Errors
    ///
    /// [`JwksError`] when the response must not replace a valid set.
    pub fn from_reply(reply: &ApiResponse) -> Result<Self, JwksError> {
        if reply.status.is_success() {
            return Self::parse(&reply.body);
        }
        Err(JwksError::refusal(reply.status, &reply.body))
    }

    /// Returns true when the set can decide about a token with this `kid`: there is a key to try,
    /// or the published key of that `kid` cannot verify RS256.
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        self.candidates(kid).next().is_some() || self.is_unfit(kid)
    }

    fn is_unfit(&self, kid: Option<&str>) -> bool {
        kid.is_some_and(|kid| self.unfit.iter().any(|unfit| unfit.as_str() == kid))
    }

    /// Returns the key that made a signature. The candidates are the keys with this `kid`, or else
    /// the keys without a `kid`. If a key without a `kid` did not make the signature, the token may
    /// still be valid: Clerk may have signed with a key that this set lacks.
    pub(crate) fn signer(
        &self,
        kid: Option<&str>,
        message: &str,
        signature: &Vec<u8>,
    ) -> Result<&Arc<VerifyingKey>, NoSigner> {
        let unfit = self.is_unfit(kid);
        let mut otherwise = if unfit { NoSigner::UnfitKey } else { NoSigner::UnknownKey };
        for key in self.candidates(kid) {
            match key.check(message.as_bytes(), signature) {
                Signer::This => return Ok(key),
                Signer::Distrusted => return Err(NoSigner::Forged),
                Signer::Another if kid.is_some() && key.id().is_none() && !unfit => {
                    otherwise = NoSigner::Unnamed;
                }
                Signer::Another => otherwise = NoSigner::Forged,
            }
        }
        Err(otherwise)
    }

    /// Iterates over the keys in the order of the document.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        self.keys.iter()
    }

    /// Iterates over the keys to try for a token with this `kid`: the keys with that `kid`, or else
    /// the keys without a `kid`.
    pub(crate) fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        let named = kid.is_some_and(|kid| self.keys.iter().any(|key| key.is_named(kid)));
        self.keys.iter().filter(move |key| match (kid, key.id()) {
            (Some(kid), Some(_)) => key.is_named(kid),
            (_, None) => !named,
            (None, Some(_)) => false,
        })
    }

    /// Returns true when the set contains this very key, not only a key with the same `kid`.
    #[must_use]
    pub fn holds(&self, key: &Arc<VerifyingKey>) -> bool {
        self.keys.iter().any(|held| Arc::ptr_eq(held, key))
    }

    /// Returns the contents of `newer`. Unchanged keys keep their identity, so that tokens verified
    /// with them stay verified. Keys that `newer` lacks are removed.
    #[must_use]
    pub fn replaced_by(&self, newer: &Self) -> Self {
        let keep = |key: &Arc<VerifyingKey>| {
            let same = self.keys.iter().find(|held| held.same_as(key));
            Arc::clone(same.unwrap_or(key))
        };
        Self { keys: newer.keys.iter().map(keep).collect(), unfit: Arc::clone(&newer.unfit) }
    }

    /// Returns the keys of both sets; the keys of `self` are first.
    #[must_use]
    pub fn joined_with(&self, other: &Self) -> Self {
        Self {
            keys: self.keys.iter().chain(other.keys.iter()).map(Arc::clone).collect(),
            unfit: self.unfit.iter().chain(other.unfit.iter()).cloned().collect(),
        }
    }

    /// Returns this set with the selected keys distrusted; `is` selects keys by `kid` or
    /// fingerprint. Keys with the same numbers are distrusted too, because a thief could use a
    /// stolen key under another `kid`.
    #[must_use]
    pub fn distrusting(&self, is: impl Fn(&KeyId) -> bool) -> Self {
        let named =
            self.keys.iter().filter(|key| key.id().is_some_and(&is) || is(key.fingerprint()));
        let bad: Vec<_> = named.map(|key| key.fingerprint()).collect();
        if bad.is_empty() {
            return self.clone();
        }
        let judge = |key: &Arc<VerifyingKey>| {
            let bad = bad.contains(&key.fingerprint());
            if bad { Arc::new(key.distrusted()) } else { Arc::clone(key) }
        };
        Self { keys: self.keys.iter().map(judge).collect(), unfit: Arc::clone(&self.unfit) }
    }

    /// Returns true when both sets contain a key with the same fingerprint.
    #[must_use]
    pub fn shares_a_key_with(&self, other: &Self) -> bool {
        let ours: Vec<_> = self.keys.iter().map(|key| key.fingerprint()).collect();
        other.keys.iter().any(|key| ours.contains(&key.fingerprint()))
    }

    /// Returns true when the set has no key, so that no token can be verified.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Iterates over the `kid`s of the keys that have one.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.iter().filter_map(|key| key.id())
    }

    /// Returns the set as a JWK Set document that [`parse`](Self::parse) reads. Keys without a
    /// `kid` are omitted, because they are part of the configuration.
    #[must_use]
    pub fn to_jwks(&self) -> Value {
        let keys: Vec<Value> =
            self.keys.iter().filter(|key| key.id().is_some()).map(|key| key.to_jwk()).collect();
        serde_json::json!({ "keys": keys })
    }
}

/// Why no key of a set made a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoSigner {
    /// The set has no key with that `kid`.
    UnknownKey,
    /// The key with that `kid` cannot verify RS256: another type, another use.
    UnfitKey,
    /// The key did not make this signature; or the key made it, and is distrusted.
    Forged,
    /// The set has no key with that `kid`, and no key without a `kid` made this signature.
    Unnamed,
}

#[cfg(test)]
mod tests;
