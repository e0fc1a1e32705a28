//! Parses a public key from PEM, as operators paste it into an environment variable.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::VerifyingKey;

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is wrong with a PEM public key. The message says what to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// The text is empty.
    #[error(
        "the PEM is empty; unset the variable to use the keys that Clerk publishes, or copy the JWKS public key from the API keys page of the Clerk dashboard"
    )]
    Empty,
    /// The text is a private key.
    #[error(
        "this is a private key; Clerk's JWKS public key is needed here. Treat the private key as leaked and replace it"
    )]
    PrivateKey,
    /// The text is a certificate.
    #[error("this is a certificate; Clerk's JWKS public key (BEGIN PUBLIC KEY) is needed here")]
    Certificate,
    /// The text is not base64, or is cut off.
    #[error(
        "the PEM is cut off or damaged; copy the JWKS public key again from the API keys page of the Clerk dashboard"
    )]
    Damaged,
    /// The content is not an RSA public key of 2048 to 8192 bits.
    #[error(
        "the PEM does not hold an RSA public key of 2048 to 8192 bits; copy the JWKS public key again from the API keys page of the Clerk dashboard"
    )]
    NotRsa,
}

pub(super) fn parse(text: &str) -> Result<VerifyingKey, PemError> {
    let text = text.replace("\\r", "\n").replace("\\n", "\n");
    let text = text.trim().trim_matches(['"', '\'']);
    if text.trim().is_empty() {
        return Err(PemError::Empty);
    }
    if text.contains("PRIVATE KEY") {
        return Err(PemError::PrivateKey);
    }
    if text.contains("BEGIN CERTIFICATE") {
        return Err(PemError::Certificate);
    }
    let mut body = text.to_owned();
    for label in ["RSA PUBLIC KEY", "PUBLIC KEY"] {
        for end in ["BEGIN", "END"] {
            body = body.replace(&format!("-----{end} {label}-----"), "");
        }
    }
    let body: String = body.chars().filter(|c| !c.is_whitespace()).map(standard).collect();
    let der = LENIENT.decode(body).map_err(|_| PemError::Damaged)?;
    VerifyingKey::from_der(&der).ok_or(PemError::NotRsa)
}

/// Maps the URL-safe base64 alphabet, which some tools use in PEM, to the standard alphabet.
fn standard(c: char) -> char {
    match c {
        '-' => '+',
        '_' => '/',
        other => other,
    }
}
