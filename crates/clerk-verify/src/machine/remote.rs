//! Opaque machine tokens: the request to Clerk's Backend API and the parsing of its response.

use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use super::{MachineError, MachineToken};
use crate::clock::{ClaimsTime, Timestamp};
use crate::token::TokenKind;

/// A request to the Backend API that verifies an opaque token.
///
/// Send it as a `POST` of `application/json` with the secret key as bearer token. Do not retry a
/// failed request: a token that Clerk cannot verify now is not accepted now.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct MachineQuestion {
    /// The kind of the token.
    pub kind: TokenKind,
    /// The URL to send the request to.
    pub url: Url,
    /// The JSON body. It contains the token.
    pub body: String,
}

impl std::fmt::Debug for MachineQuestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineQuestion").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl MachineQuestion {
    /// Creates the request for a token; `None` when the text is not an opaque machine token.
    /// `backend_api` is `https://api.clerk.com`; the paths have no version prefix.
    #[must_use]
    pub fn about(token: &str, backend_api: &Url) -> Option<Self> {
        let kind = TokenKind::of_opaque(token)?;
        let (path, member) = match kind {
            TokenKind::ApiKey => ("api_keys/verify", "secret"),
            TokenKind::OAuth => ("oauth_applications/access_tokens/verify", "access_token"),
            TokenKind::MachineToMachine | TokenKind::Session => ("m2m_tokens/verify", "token"),
        };
        let mut url = backend_api.clone();
        url.set_path(&format!("{}/{path}", backend_api.path().trim_end_matches('/')));
        url.set_query(None);
        let mut body = Map::new();
        body.insert(member.to_owned(), token.into());
        Some(Self { kind, url, body: Value::Object(body).to_string() })
    }

    /// Parses the response.
    ///
    /// # Errors
    ///
    /// [`MachineError::Invalid`] for 404: Clerk does not know the token.
    /// [`MachineError::SecretKey`] for 401: Clerk rejected the secret key.
    /// [`MachineError::Unanswered`] for every other failure.
    pub fn answer(&self, status: StatusCode, body: &[u8]) -> Result<MachineToken, MachineError> {
        match status {
            StatusCode::UNAUTHORIZED => Err(MachineError::SecretKey),
            StatusCode::NOT_FOUND => Err(MachineError::Invalid),
            status if status.is_success() => serde_json::from_slice::<LookupAnswer>(body)
                .map(|answer| answer.into_token(self.kind))
                .map_err(|_| MachineError::Unanswered),
            _ => Err(MachineError::Unanswered),
        }
    }
}

/// The relevant members of the three responses. Clerk's API uses snake case; the test data of
/// Clerk's SDK uses camel case.
#[derive(Deserialize)]
struct LookupAnswer {
    id: String,
    subject: String,
    #[serde(alias = "clientId")]
    client_id: Option<String>,
    name: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    scopes: Vec<String>,
    claims: Option<Map<String, Value>>,
    revoked: bool,
    expired: bool,
    /// Milliseconds since the Unix epoch, like `created_at`.
    expiration: Option<i64>,
    #[serde(alias = "createdAt")]
    created_at: Option<i64>,
}

impl LookupAnswer {
    fn into_token(self, kind: TokenKind) -> MachineToken {
        MachineToken {
            kind,
            id: self.id,
            subject: self.subject,
            client_id: self.client_id,
            name: self.name,
            scopes: self.scopes,
            claims: self.claims,
            revoked: self.revoked,
            expired: self.expired,
            expires_at: self.expiration.map(Timestamp::from_millis),
            created_at: self.created_at.map(Timestamp::from_millis),
            signed_by: None,
            claims_as_of: ClaimsTime::read(self.created_at.map(Timestamp::from_millis)),
        }
    }
}

/// Deserializes `null` as an empty list.
fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(token: &str) -> MachineQuestion {
        let api = Url::parse("https://api.clerk.com/").expect("an address");
        MachineQuestion::about(token, &api).expect("an opaque token")
    }

    #[test]
    fn each_kind_is_looked_up_at_its_own_url() {
        for (token, path, body) in [
            ("ak_1", "/api_keys/verify", r#"{"secret":"ak_1"}"#),
            ("mt_1", "/m2m_tokens/verify", r#"{"token":"mt_1"}"#),
            ("oat_1", "/oauth_applications/access_tokens/verify", r#"{"access_token":"oat_1"}"#),
        ] {
            let question = question(token);
            assert_eq!((question.url.path(), &*question.body), (path, body));
            assert!(!format!("{question:?}").contains(token));
        }
        let api = Url::parse("https://api.clerk.com").expect("an address");
        assert_eq!(MachineQuestion::about("a.b.c", &api), None);
    }

    #[test]
    fn an_answer_that_does_not_vouch_for_the_token_is_an_error() {
        for (status, body, error) in [
            (404, "{}", MachineError::Invalid),
            (401, "{}", MachineError::SecretKey),
            (429, "{}", MachineError::Unanswered),
            (503, "", MachineError::Unanswered),
            (200, "<html>", MachineError::Unanswered),
            (200, r#"{"id":"ak_1","subject":"user_1"}"#, MachineError::Unanswered),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(question("ak_1").answer(status, body.as_bytes()), Err(error), "{body}");
        }
    }

    #[test]
    fn a_revoked_key_is_described_and_not_active() {
        let body = r#"{"id":"ak_1","subject":"user_1","scopes":null,"revoked":true,
            "expired":false,"expiration":1000,"created_at":1}"#;
        let token = question("ak_1").answer(StatusCode::OK, body.as_bytes()).expect("an answer");
        assert!(!token.is_active());
        assert_eq!(token.expires_at, Some(Timestamp::from_secs(1)));
    }
}
