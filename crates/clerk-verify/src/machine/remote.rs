//! Opaque machine tokens: what to ask Clerk's Backend API, and what it answers.

use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use super::{MachineError, MachineToken};
use crate::clock::{ClaimsTime, Timestamp};
use crate::token::TokenKind;

/// A question to the Backend API: what an opaque token stands for. It is a `POST` of
/// `application/json` with the secret key as bearer. Not to be repeated on failure: a token that
/// Clerk cannot vouch for now is not accepted now.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Question {
    /// The kind of the token.
    pub kind: TokenKind,
    /// Where to send it.
    pub url: Url,
    /// The JSON to send. It holds the token.
    pub body: String,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Question {
    /// The question for a token; `None` when it is no opaque machine token. `backend_api` is
    /// `https://api.clerk.com`; these paths have no version in front.
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

    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// [`MachineError`]: 404 means that Clerk does not know the token, 401 that it does not know the
    /// secret key, and everything else that the question is not answered.
    pub fn answer(&self, status: StatusCode, body: &[u8]) -> Result<MachineToken, MachineError> {
        match status {
            StatusCode::UNAUTHORIZED => Err(MachineError::SecretKey),
            StatusCode::NOT_FOUND => Err(MachineError::Invalid),
            status if status.is_success() => serde_json::from_slice::<Answer>(body)
                .map(|answer| answer.into_token(self.kind))
                .map_err(|_| MachineError::Unanswered),
            _ => Err(MachineError::Unanswered),
        }
    }
}

/// The members of the three answers that are of use. Clerk writes them `like_this`, and its SDK's
/// test data `likeThis`.
#[derive(Deserialize)]
struct Answer {
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
    /// Milliseconds, as are all times here.
    expiration: Option<i64>,
    #[serde(alias = "createdAt")]
    created_at: Option<i64>,
}

impl Answer {
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

/// `null` means nothing.
fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(token: &str) -> Question {
        let api = Url::parse("https://api.clerk.com/").expect("an address");
        Question::about(token, &api).expect("an opaque token")
    }

    #[test]
    fn each_kind_is_asked_about_at_its_own_address() {
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
        assert_eq!(Question::about("a.b.c", &api), None);
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
