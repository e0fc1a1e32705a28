//! Machine tokens.

use clerk_resilience::clock::Timestamp;
use clerk_resilience::machine::{self, MachineError, MachineQuestion, MachineToken};
use clerk_resilience::token::{InvalidToken, TokenKind, TokenKinds, is_jwt_shaped};
use clerk_resilience::transport::ApiResponse;
use serde_json::{Map, Value, json};
use url::Url;

use crate::options::{expectations, now, reply};
use crate::tokens::with_keys;
use crate::verdict::{Verdict, same};

/// What kind of token a text is.
pub(crate) fn classification(row: &Value) -> Verdict {
    let input = &row["input"];
    let argument = input.get("arg").unwrap_or(&input["args"][0]);
    let text = argument.as_str().unwrap_or_default();
    let found = match input["function"].as_str().unwrap_or_default() {
        "isMachineTokenByPrefix" => json!(TokenKind::of_opaque(text).is_some()),
        "isMachineToken" => json!(TokenKind::of(text).is_machine()),
        "isMachineJwt" => json!(TokenKind::of_machine_jwt(text).is_some()),
        "isJwtFormat" => json!(is_jwt_shaped(text)),
        "isMachineTokenType" => {
            json!(TokenKind::from_name(text).is_some_and(TokenKind::is_machine))
        }
        "isOAuthJwt" => json!(TokenKind::of_machine_jwt(text) == Some(TokenKind::OAuth)),
        "isM2MJwt" | "isM2mJwt" => {
            json!(TokenKind::of_machine_jwt(text) == Some(TokenKind::MachineToMachine))
        }
        "isTokenTypeAccepted" => json!(is_accepted(text, &input["args"][1])),
        "getMachineTokenType" => match TokenKind::of(text) {
            TokenKind::Session => json!({ "throws": "Unknown machine token type" }),
            machine => json!(machine.name()),
        },
        other => json!(format!("unknown function {other}")),
    };
    Verdict::equal(&found, &row["expected"])
}

fn is_accepted(kind: &str, accepted: &Value) -> bool {
    let names = match accepted {
        Value::Array(names) => names.clone(),
        one => vec![one.clone()],
    };
    let kinds = if names.iter().any(|name| name == "any") {
        TokenKinds::any()
    } else {
        TokenKinds::of(names.iter().filter_map(|name| TokenKind::from_name(name.as_str()?)))
    };
    TokenKind::from_name(kind).is_some_and(|kind| kinds.accepts(kind))
}

/// `verifyMachineAuthToken`. A text that is no machine token has no question and does not verify.
pub(crate) fn verify(row: &Value) -> Verdict {
    let (input, expected) = (&row["input"], &row["expected"]);
    let token = input["token"].as_str().unwrap_or_default();
    let opaque = input["options"]["apiUrl"].as_str().unwrap_or("https://api.clerk.com");
    let api = Url::parse(opaque).expect("a recorded address");
    if let Some(question) = MachineQuestion::about(token, &api) {
        return asked(row, &question);
    }
    let found = expectations(&input["options"]).and_then(|expect| {
        with_keys(row, |keys| {
            machine::verify(token, keys, &expect, now(row)).map_err(|error| match error {
                MachineError::Unverified(InvalidToken::UnknownKey) => "jwk-kid-mismatch".to_owned(),
                other => other.code().to_owned(),
            })
        })
    });
    // To the reference a key that is missing is a token that does not verify.
    let found = found.map_err(|code| {
        if code.starts_with("jwk-") { "token-verification-failed".to_owned() } else { code }
    });
    Verdict::outcome(found.map(|token| content(&token, expected)), expected, "code")
}

/// Puts the recorded answer to the question, and looks at where it would have been sent.
fn asked(row: &Value, question: &MachineQuestion) -> Verdict {
    let (input, expected) = (&row["input"], &row["expected"]);
    let recorded = &input["upstream"][0];
    let request = &recorded["request"];
    if !request.is_null()
        && (request["url"] != question.url.as_str() || request["method"] != "POST")
    {
        let detail = format!("asked at {} instead of {}", question.url, request["url"]);
        return Verdict::differs(crate::verdict::Aspect::Content, false, detail);
    }
    let found = match reply(recorded) {
        Some(ApiResponse { status, body, .. }) => question.answer(status, &body),
        None => Err(MachineError::Unanswered),
    };
    let found =
        found.map(|token| content(&token, expected)).map_err(|error| error.code().to_owned());
    Verdict::outcome(found, expected, "code")
}

/// The first member that is not as recorded. Members that the library does not carry (who made a
/// token and why, when it was last changed) are not compared.
fn content(token: &MachineToken, expected: &Value) -> Option<String> {
    if expected["tokenType"] != token.kind.name() {
        return Some(format!("{} instead of {}", token.kind.name(), expected["tokenType"]));
    }
    let found = described(token);
    let data = &expected["data"];
    let other = found.iter().find(|(name, value)| !same(value, &data[name.as_str()]))?;
    Some(format!("{} {} instead of {}", other.0, other.1, data[other.0.as_str()]))
}

fn described(token: &MachineToken) -> Map<String, Value> {
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let mut found = Map::new();
    let mut put = |name: &str, value: Value| found.insert(name.to_owned(), value);
    put("id", json!(token.id));
    put("subject", json!(token.subject));
    put("scopes", json!(token.scopes));
    put("claims", json!(token.claims));
    put("clientId", json!(token.client_id));
    put("name", json!(token.name));
    put("revoked", json!(token.revoked));
    put("expired", json!(token.expired));
    put("expiration", json!(millis(token.expires_at)));
    put("createdAt", json!(millis(token.created_at)));
    found
}
