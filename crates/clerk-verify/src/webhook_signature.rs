//! Verifies the signature of Clerk's webhooks. Svix signs id, time and body with HMAC-SHA256.
//!
//! The rules are those of `verifyWebhook` in Clerk's backend SDK (`@clerk/backend` 3.25).

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::HeaderMap;

use crate::clock::Timestamp;

const ID: &str = "svix-id";
const TIMESTAMP: &str = "svix-timestamp";
const SIGNATURE: &str = "svix-signature";
/// The equivalent header fields of Standard Webhooks.
const STANDARD_FIELDS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Maximum difference between a message's time and the present, in seconds.
const TOLERANCE: i64 = 300;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The signing secret of a webhook endpoint, `whsec_…`. `Debug` prints `[redacted]`.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl WebhookSecret {
    /// Parses a secret as the Clerk dashboard shows it. The prefix `whsec_` is optional.
    ///
    /// # Errors
    ///
    /// [`WebhookSecretError`] names the problem. An empty secret is an error, because anybody can
    /// sign with it.
    pub fn parse(text: &str) -> Result<Self, WebhookSecretError> {
        let text = text.trim();
        if ["sk_", "pk_", "ak_"].iter().any(|prefix| text.starts_with(prefix)) {
            return Err(WebhookSecretError::OtherKey);
        }
        if ["whsk_", "whpk_"].iter().any(|prefix| text.starts_with(prefix)) {
            return Err(WebhookSecretError::Asymmetric);
        }
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        if encoded.is_empty() {
            return Err(WebhookSecretError::Empty);
        }
        let secret = LENIENT.decode(encoded).map_err(|_| WebhookSecretError::Damaged)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &secret)))
    }

    /// Signs a message and returns the value of `svix-signature`: `v1,…`. `timestamp` is in Unix
    /// seconds.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(self.tag(id, timestamp, body)))
    }

    fn tag(&self, id: &str, timestamp: i64, body: &[u8]) -> hmac::Tag {
        let mut signed = hmac::Context::with_key(&self.0);
        signed.update(format!("{id}.{timestamp}.").as_bytes());
        signed.update(body);
        signed.sign()
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret([redacted])")
    }
}

/// Why a text is not a webhook signing secret. The error never contains the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookSecretError {
    /// The text is empty, or the verifier received no secret.
    #[error("the webhook signing secret is empty; copy it from the endpoint's page in Clerk")]
    Empty,
    /// The text is a secret, publishable or API key.
    #[error("this is another of Clerk's keys; the webhook signing secret starts with whsec_")]
    OtherKey,
    /// The text is a key of the asymmetric scheme.
    #[error(
        "this is an asymmetric key; Clerk's endpoints have a signing secret that starts with whsec_"
    )]
    Asymmetric,
    /// The text is not base64.
    #[error("the webhook signing secret is cut off or damaged; copy it again from Clerk")]
    Damaged,
}

/// Verifies webhook signatures with one secret, or with several during a rotation.
#[derive(Clone, Debug)]
pub struct WebhookVerifier(Vec<WebhookSecret>);

/// A message whose signature and time are valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Delivery<'a> {
    /// The message id, the same for every delivery attempt.
    pub id: &'a str,
    /// When the message was sent.
    pub sent_at: Timestamp,
}

/// Why a webhook is rejected.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWebhook {
    /// One of the three header fields is missing or empty.
    #[error("a svix header field is missing")]
    MissingHeader,
    /// `svix-timestamp` is not a number.
    #[error("the message's time is not a number")]
    Timestamp,
    /// The message was sent more than five minutes ago: it is late or replayed.
    #[error("the message is too old")]
    TooOld,
    /// The message's time is more than five minutes in the future.
    #[error("the message is from the future")]
    TooNew,
    /// No configured secret made any of the signatures.
    #[error("no signature of the message is valid")]
    Signature,
}

impl WebhookVerifier {
    /// Creates a verifier. A message is valid when any of the secrets signed it.
    ///
    /// # Errors
    ///
    /// [`WebhookSecretError::Empty`] when `secrets` is empty.
    pub fn new(
        secrets: impl IntoIterator<Item = WebhookSecret>,
    ) -> Result<Self, WebhookSecretError> {
        let secrets: Vec<_> = secrets.into_iter().collect();
        if secrets.is_empty() { Err(WebhookSecretError::Empty) } else { Ok(Self(secrets)) }
    }

    /// Verifies a message. `body` must be the bytes as received.
    ///
    /// # Errors
    ///
    /// [`InvalidWebhook`] with the first check that fails.
    pub fn verify<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Delivery<'a>, InvalidWebhook> {
        let missing = InvalidWebhook::MissingHeader;
        let time = text(headers, TIMESTAMP).ok_or(missing)?;
        let timestamp = leading_integer(time).ok_or(InvalidWebhook::Timestamp)?;
        let id = text(headers, ID).ok_or(missing)?;
        self.check(&Claim::new(headers, id, timestamp, SIGNATURE, now)?, body)
    }

    /// Verifies a message by the rules of Standard Webhooks. Unlike [`verify`](Self::verify), it
    /// accepts `webhook-id`, `webhook-timestamp` and `webhook-signature` in place of missing
    /// fields. It rejects a time that is not a whole number.
    ///
    /// # Errors
    ///
    /// Same as [`verify`](Self::verify).
    pub fn verify_strictly<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Delivery<'a>, InvalidWebhook> {
        self.check(&Claim::of(headers, now)?, body)
    }

    /// Verifies the claimed signatures against the body.
    ///
    /// # Errors
    ///
    /// [`InvalidWebhook::Signature`] when no secret made one of the claimed signatures.
    pub fn check<'a>(
        &self,
        claim: &Claim<'a>,
        body: &[u8],
    ) -> Result<Delivery<'a>, InvalidWebhook> {
        let tags = self.0.iter().map(|secret| secret.tag(claim.id, claim.timestamp, body));
        // All signatures are compared, each in constant time. Each secret signs only once.
        let good = tags.map(|tag| claim.count(tag.as_ref())).sum::<usize>();
        if good == 0 {
            return Err(InvalidWebhook::Signature);
        }
        Ok(Delivery { id: claim.id, sent_at: Timestamp::from_secs(claim.timestamp) })
    }
}

/// The id, the time and the signatures that the header fields of a delivery claim.
#[derive(Debug)]
pub struct Claim<'a> {
    id: &'a str,
    timestamp: i64,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Claim<'a> {
    /// Parses the header fields by the rules of Standard Webhooks. The body is not needed yet.
    ///
    /// # Errors
    ///
    /// [`InvalidWebhook`] when a field is missing or malformed, or the time is more than five
    /// minutes off.
    pub fn of(headers: &'a HeaderMap, now: Timestamp) -> Result<Self, InvalidWebhook> {
        let [id, timestamp, signature] = STANDARD_FIELDS;
        let field = |name, standard| text(headers, name).or_else(|| text(headers, standard));
        let missing = InvalidWebhook::MissingHeader;
        let (id, time) = (field(ID, id).ok_or(missing)?, field(TIMESTAMP, timestamp));
        let time = time.ok_or(missing)?.parse().map_err(|_| InvalidWebhook::Timestamp)?;
        let signed = text(headers, SIGNATURE).map_or(signature, |_| SIGNATURE);
        Self::new(headers, id, time, signed, now)
    }

    fn new(
        headers: &'a HeaderMap,
        id: &'a str,
        timestamp: i64,
        signature: &str,
        now: Timestamp,
    ) -> Result<Self, InvalidWebhook> {
        let lines = headers.get_all(signature).iter().filter_map(|line| line.to_str().ok());
        let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            return Err(InvalidWebhook::MissingHeader);
        }
        let age = now.as_secs().saturating_sub(timestamp);
        if age > TOLERANCE {
            return Err(InvalidWebhook::TooOld);
        }
        if age < -TOLERANCE {
            return Err(InvalidWebhook::TooNew);
        }
        // Clerk never sends two ids, so such a delivery is rejected.
        let twice = [ID, STANDARD_FIELDS[0]].map(|name| headers.get_all(name).iter().count() > 1);
        let signatures: Vec<_> = lines.into_iter().flat_map(candidates).collect();
        if signatures.is_empty() || twice.contains(&true) {
            return Err(InvalidWebhook::Signature);
        }
        Ok(Self { id, timestamp, signatures })
    }

    fn count(&self, tag: &[u8]) -> usize {
        let same = |signature: &&Vec<u8>| verify_slices_are_equal(signature, tag).is_ok();
        self.signatures.iter().filter(same).count()
    }
}

/// Returns a header field's value without surrounding white space; `None` when nothing remains.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// Parses the whole number at the beginning of a text and ignores the rest. The signature covers
/// this number.
fn leading_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let magnitude: i64 = digits[..end].parse().ok()?;
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// Decodes the `v1` signatures of a space-separated list. Signatures of a wrong length are skipped.
fn candidates(signatures: &str) -> impl Iterator<Item = Vec<u8>> {
    let decoded = signatures.split(' ').filter_map(|signature| {
        let mut parts = signature.split(',');
        let version = parts.next()?;
        if version == "v1" { STANDARD.decode(parts.next()?).ok() } else { None }
    });
    decoded.filter(|signature| signature.len() == hmac::HMAC_SHA256.tag_len())
}

#[cfg(test)]
mod tests;
