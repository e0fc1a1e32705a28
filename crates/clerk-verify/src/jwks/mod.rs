//! The keys that tokens are verified with: a JWK Set (RFC 7517) or a PEM, parsed once.

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

/// More keys than any instance has; the rest of a longer set is not read.
const MAX_ENTRIES: usize = 32;

/// A set of usable keys. Cheap to clone; never changes.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Arc<[Arc<VerifyingKey>]>,
    /// The names of published keys that cannot verify RS256.
    unfit: Arc<[KeyId]>,
}

impl KeySet {
    /// Reads a JWK Set document. Entries that cannot verify RS256 signatures (other types, `use:
    /// enc`, symmetric keys, RSA below 2048 bits, no `kid`) are skipped one by one. A token that
    /// names such an entry is refused as [`InvalidToken::UnfitKey`](crate::token::InvalidToken). Of
    /// several entries with one name the last counts, as in Clerk's SDK.
    ///
    /// # Errors
    ///
    /// [`JwksError`] when the document is not a JWK Set, or when no key in it is usable: such an
    /// answer must not replace a good set.
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

    /// A set of one key, read from PEM as in `CLERK_JWT_KEY`: SPKI or PKCS#1, with or without its
    /// armour, on one line or many, with real or literal `\n`. The key verifies any `kid`.
    ///
    /// # Errors
    ///
    /// [`PemError`] says what the text is instead.
    pub fn from_pem(text: &str) -> Result<Self, PemError> {
        Ok(Self::of_one(pem::parse(text)?))
    }

    /// A set of one key, read from a single JWK. The key verifies any `kid`.
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

    /// Reads the answer of one of Clerk's two addresses for keys, `/.well-known/jwks.json` of the
    /// Frontend API or `/v1/jwks` of the Backend API.
    ///
    /// # Errors
    ///
    /// [`JwksError`], for an answer that must not replace a good set.
    pub fn from_reply(reply: &ApiResponse) -> Result<Self, JwksError> {
        if reply.status.is_success() {
            return Self::parse(&reply.body);
        }
        Err(JwksError::refusal(reply.status, &reply.body))
    }

    /// True when the set settles whether a token with this `kid` is good: there is a key to try, or
    /// the published key of that name cannot verify RS256.
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        self.candidates(kid).next().is_some() || self.is_unfit(kid)
    }

    fn is_unfit(&self, kid: Option<&str>) -> bool {
        kid.is_some_and(|kid| self.unfit.iter().any(|unfit| unfit.as_str() == kid))
    }

    /// The key that made a signature: among those with this `kid`, or else the one that came
    /// without a name. A key without a name that did not make the signature proves nothing about a
    /// named one: Clerk may have signed with a key that this set does not have yet.
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

    /// The keys, in the order of the document.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        self.keys.iter()
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
        Self { keys: newer.keys.iter().map(keep).collect(), unfit: Arc::clone(&newer.unfit) }
    }

    /// This set and the keys of `other`, first ours.
    #[must_use]
    pub fn joined_with(&self, other: &Self) -> Self {
        Self {
            keys: self.keys.iter().chain(other.keys.iter()).map(Arc::clone).collect(),
            unfit: self.unfit.iter().chain(other.unfit.iter()).cloned().collect(),
        }
    }

    /// This set, in which the keys of these names or fingerprints verify nothing, and neither does any
    /// key with the same numbers: whoever stole one could otherwise use it under the name of the other.
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

    /// True when some key of one set is, by its numbers, a key of the other.
    #[must_use]
    pub fn shares_a_key_with(&self, other: &Self) -> bool {
        let ours: Vec<_> = self.keys.iter().map(|key| key.fingerprint()).collect();
        other.keys.iter().any(|key| ours.contains(&key.fingerprint()))
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
        let keys: Vec<Value> =
            self.keys.iter().filter(|key| key.id().is_some()).map(|key| key.to_jwk()).collect();
        serde_json::json!({ "keys": keys })
    }
}

/// Why no key of a set made a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoSigner {
    /// There is no key of that name.
    UnknownKey,
    /// The key of that name cannot verify RS256: another type, another use.
    UnfitKey,
    /// There is, and it did not make this signature; or it did, and is distrusted.
    Forged,
    /// There is no key of that name, and no key without a name made this signature.
    Unnamed,
}

#[cfg(test)]
mod tests;
