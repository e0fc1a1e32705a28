//! The signature on Clerk's webhooks, made by Svix: HMAC-SHA256 over id, time and body.
//!
//! The rules are those of `verifyWebhook` in Clerk's own backend SDK (`@clerk/backend` 3.25).

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
/// The same fields under their names in Standard Webhooks.
const STANDARD_FIELDS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// How old, or how far ahead, a message's time may be, in whole seconds.
const TOLERANCE: i64 = 300;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A webhook endpoint's signing secret, `whsec_…`. Prints as `[redacted]`.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl WebhookSecret {
    /// Parses a secret as the Clerk dashboard shows it; `whsec_` in front may be missing.
    ///
    /// # Errors
    ///
    /// [`WebhookSecretError`] names what was given instead. An empty secret is one: a signature made
    /// with it is anybody's.
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

    /// The signature of a message, as it stands in `svix-signature`: `v1,…`.
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

/// Why a text is not a webhook's signing secret. Never contains the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookSecretError {
    /// Nothing there, or no secret at all was given.
    #[error("the webhook signing secret is empty; copy it from the endpoint's page in Clerk")]
    Empty,
    /// Another of Clerk's keys.
    #[error("this is another of Clerk's keys; the webhook signing secret starts with whsec_")]
    OtherKey,
    /// A key of the asymmetric scheme.
    #[error(
        "this is an asymmetric key; Clerk's endpoints have a signing secret that starts with whsec_"
    )]
    Asymmetric,
    /// Not base64.
    #[error("the webhook signing secret is cut off or damaged; copy it again from Clerk")]
    Damaged,
}

/// Checks signatures with one secret, or with several while they are being replaced.
#[derive(Clone, Debug)]
pub struct WebhookVerifier(Vec<WebhookSecret>);

/// A message whose signature and time are good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Delivery<'a> {
    /// The message's id, the same for every attempt to deliver it.
    pub id: &'a str,
    /// When it was sent.
    pub sent_at: Timestamp,
}

/// Why a webhook is refused.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWebhook {
    /// One of the three header fields is missing or empty.
    #[error("a svix header field is missing")]
    MissingHeader,
    /// `svix-timestamp` is not a number.
    #[error("the message's time is not a number")]
    Timestamp,
    /// Sent more than five minutes ago: late, or replayed.
    #[error("the message is too old")]
    TooOld,
    /// Sent more than five minutes from now.
    #[error("the message is from the future")]
    TooNew,
    /// None of the secrets made any of the signatures.
    #[error("no signature of the message is valid")]
    Signature,
}

impl WebhookVerifier {
    /// A verifier with these secrets, each of which is good enough.
    ///
    /// # Errors
    ///
    /// [`WebhookSecretError::Empty`] without any.
    pub fn new(
        secrets: impl IntoIterator<Item = WebhookSecret>,
    ) -> Result<Self, WebhookSecretError> {
        let secrets: Vec<_> = secrets.into_iter().collect();
        if secrets.is_empty() { Err(WebhookSecretError::Empty) } else { Ok(Self(secrets)) }
    }

    /// Checks a message. The body is to be the bytes as they came.
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

    /// Checks a message as [`verify`](Self::verify) does, by the rules of Standard Webhooks: each of the
    /// fields that is missing may also be `webhook-id`, `webhook-timestamp` or `webhook-signature`; and a time
    /// that is not a whole number is refused.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub fn verify_strictly<'a>(
        &self,
        headers: &'a HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Delivery<'a>, InvalidWebhook> {
        self.check(&Claim::of(headers, now)?, body)
    }

    /// Compares the claim with the body.
    ///
    /// # Errors
    ///
    /// [`InvalidWebhook::Signature`], when no secret made one of the claimed signatures.
    pub fn check<'a>(
        &self,
        claim: &Claim<'a>,
        body: &[u8],
    ) -> Result<Delivery<'a>, InvalidWebhook> {
        let tags = self.0.iter().map(|secret| secret.tag(claim.id, claim.timestamp, body));
        // All are compared, each in constant time; each secret signs once, however long the list is.
        let good = tags.map(|tag| claim.count(tag.as_ref())).sum::<usize>();
        if good == 0 {
            return Err(InvalidWebhook::Signature);
        }
        Ok(Delivery { id: claim.id, sent_at: Timestamp::from_secs(claim.timestamp) })
    }
}

/// What the header fields of a delivery claim: its id, its time and its signatures.
#[derive(Debug)]
pub struct Claim<'a> {
    id: &'a str,
    timestamp: i64,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Claim<'a> {
    /// Reads the fields by the rules of Standard Webhooks, before the body is there.
    ///
    /// # Errors
    ///
    /// [`InvalidWebhook`], when a field is missing or malformed, or the time is more than five minutes off.
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
        // Two ids are no id that anybody signs.
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

/// A header field's value without the white space around it, unless nothing is left.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

/// The whole number at the beginning of a text, fractions and what else follows left out. That number
/// is what is signed.
fn leading_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let magnitude: i64 = digits[..end].parse().ok()?;
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// The signatures of version 1 in a list with spaces between, as far as they are as long as one.
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
