//! An RSA public key that verifies RS256 signatures.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde_json::Value;
use signature::Verifier as _;

use super::der::modulus_and_exponent;
use crate::id::KeyId;

/// Maximum length of a `kid` in bytes.
const MAX_KID_BYTES: usize = 256;
/// Modulus size in bytes: 2048 to 8192 bits.
const MODULUS_BYTES: RangeInclusive<usize> = 256..=1024;

/// Returns the `kid` of a JWK Set entry; `None` when it is absent, empty or too long.
pub(super) fn name(entry: &Value) -> Option<&str> {
    let kid = entry.get("kid")?.as_str()?;
    (1..=MAX_KID_BYTES).contains(&kid.len()).then_some(kid)
}

/// The result of checking a signature with one key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signer {
    This,
    /// This key made the signature, but it is distrusted.
    Distrusted,
    Another,
}

/// An RSA public key of 2048 to 8192 bits that verifies only RS256.
pub struct VerifyingKey {
    id: Option<KeyId>,
    /// Modulus and exponent in base64url.
    components: (String, String),
    fingerprint: KeyId,
    verifier: Rs256,
    trusted: bool,
}

impl VerifyingKey {
    /// Parses one entry of a JWK Set; `None` when it has no `kid` or cannot verify RS256.
    pub(super) fn from_entry(entry: &Value) -> Option<Self> {
        let kid = name(entry)?;
        Some(Self { id: Some(KeyId::from(kid)), ..Self::from_jwk(entry)? })
    }

    /// Parses a JWK and ignores its `kid`; `None` when it cannot verify RS256.
    pub(super) fn from_jwk(jwk: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
        let AlgorithmParameters::RSA(rsa) = &jwk.algorithm else { return None };
        let common = &jwk.common;
        let for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let for_rs256 = matches!(common.key_algorithm, None | Some(KeyAlgorithm::RS256));
        let may_verify = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !(for_signatures && for_rs256 && may_verify) {
            return None;
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok();
        let components = RsaPublicKeyComponents { n: decode(&rsa.n)?, e: decode(&rsa.e)? };
        let size = components.n.iter().skip_while(|byte| **byte == 0).count();
        if !MODULUS_BYTES.contains(&size) {
            return None;
        }
        let parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;
        let components = (rsa.n.clone(), rsa.e.clone());
        Self::unnamed(components, parsed)
    }

    fn unnamed(components: (String, String), parsed: ParsedPublicKey) -> Option<Self> {
        let fingerprint = fingerprint(&parsed)?;
        Some(Self { id: None, components, fingerprint, verifier: Rs256(parsed), trusted: true })
    }

    /// Parses a public key in DER, SPKI or PKCS#1; `None` when it is not RSA of 2048 to 8192 bits.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let size = PublicKey::from_der(der).ok()?.modulus_len();
        if !MODULUS_BYTES.contains(&size) {
            return None;
        }
        let parsed = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).ok()?;
        let (n, e) = modulus_and_exponent(der)?;
        let components = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
        Self::unnamed(components, parsed)
    }

    /// Returns the fingerprint: `sha256/` and the base64 of the SHA-256 of the key in DER. It
    /// depends only on the key's numbers, not on its `kid` or source format.
    #[must_use]
    pub fn fingerprint(&self) -> &KeyId {
        &self.fingerprint
    }

    /// Returns the `kid`; `None` for a key from PEM or from a single JWK.
    #[must_use]
    pub fn id(&self) -> Option<&KeyId> {
        self.id.as_ref()
    }

    pub(super) fn is_named(&self, kid: &str) -> bool {
        self.id.as_ref().is_some_and(|id| id.as_str() == kid)
    }

    /// Returns true when `kid` and key material are equal.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.id == other.id && self.components == other.components
    }

    /// Checks whether this key made the signature over the message.
    pub(super) fn check(&self, message: &[u8], signature: &Vec<u8>) -> Signer {
        match (self.verifier.verify(message, signature), self.trusted) {
            (Ok(()), true) => Signer::This,
            (Ok(()), false) => Signer::Distrusted,
            (Err(_), _) => Signer::Another,
        }
    }

    /// Returns a distrusted copy of this key, which accepts no signature.
    pub(super) fn distrusted(&self) -> Self {
        let Self { id, components, fingerprint, verifier, .. } = self;
        Self {
            id: id.clone(),
            components: components.clone(),
            fingerprint: fingerprint.clone(),
            verifier: Rs256(verifier.0.clone()),
            trusted: false,
        }
    }

    /// Returns the key as a JWK, with its `kid` if it has one.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let (n, e) = &self.components;
        let mut jwk =
            serde_json::json!({ "use": "sig", "kty": "RSA", "alg": "RS256", "n": n, "e": e });
        if let Some(id) = &self.id {
            jwk["kid"] = id.as_str().into();
        }
        jwk
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Returns the SHA-256 of the key in DER, in the format of a pin (RFC 7469).
fn fingerprint(key: &ParsedPublicKey) -> Option<KeyId> {
    let der = key.as_der().ok()?;
    let hash = digest(&SHA256, der.as_ref());
    Some(KeyId::from(format!("sha256/{}", STANDARD.encode(hash))))
}

/// An RS256 verifier that parses its key once.
///
/// The stock verifiers of `jsonwebtoken` parse the key for each token. They use a process-wide
/// provider, which panics when two crates of the build enable different backends. This verifier
/// avoids both problems.
struct Rs256(ParsedPublicKey);

impl signature::Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.0.verify_sig(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}
