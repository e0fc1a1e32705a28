//! Svix signatures.

use clerk_resilience::internals::webhook_event::WebhookEvent;
use clerk_resilience::webhook_signature::{WebhookSecret, WebhookVerifier};
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value, json};

use crate::options::now;
use crate::verdict::{Verdict, refuses};

/// `verifyWebhook`: that a message is refused is compared, the words are not.
pub(crate) fn verify(row: &Value) -> Verdict {
    let expected = &row["expected"];
    match verified(row) {
        Err(_) if refuses(expected) => Verdict::Pass,
        Err(error) => Verdict::outcome(Err(error), expected, "message"),
        Ok(event) => {
            let json = in_json(&event);
            let other = !crate::verdict::same(&json, &expected["event"]);
            Verdict::outcome(Ok(other.then(|| json.to_string())), expected, "message")
        }
    }
}

fn verified(row: &Value) -> Result<WebhookEvent, String> {
    let input = &row["input"];
    let secret = input["secret"].as_str().or(input["signingSecret"].as_str()).unwrap_or_default();
    let secret = WebhookSecret::parse(secret).map_err(|error| error.to_string())?;
    let verifier = WebhookVerifier::new([secret]).map_err(|error| error.to_string())?;
    let body = input["body"].as_str().unwrap_or_default().as_bytes();
    let headers = headers(&input["headers"]);
    verifier.verify(&headers, body, now(row)).map_err(|error| error.to_string())?;
    WebhookEvent::parse(body).map_err(|error| error.to_string())
}

/// Pairs, or an object.
fn headers(recorded: &Value) -> HeaderMap {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fields: Vec<(String, String)> = match recorded {
        Value::Array(pairs) => pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), text(value))).collect()
        }
        _ => Vec::new(),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a recorded field's name");
        headers.append(name, value.parse().expect("a recorded field's value"));
    }
    headers
}

/// The event as the reference returns it: what is absent is left out, and it is always an `event`.
fn in_json(event: &WebhookEvent) -> Value {
    let mut members = Map::new();
    members.insert("type".into(), json!(event.kind));
    members.insert("object".into(), json!("event"));
    members.insert("data".into(), event.data.clone());
    for (name, value) in [
        ("timestamp", json!(event.timestamp)),
        ("instance_id", json!(event.instance_id)),
        ("event_attributes", json!(event.event_attributes)),
    ] {
        if !value.is_null() {
            members.insert(name.into(), value);
        }
    }
    Value::Object(members)
}

/// The signature itself.
pub(crate) fn sign(row: &Value) -> Verdict {
    let input = &row["input"];
    let text = |name: &str| input[name].as_str().unwrap_or_default();
    let timestamp = input["timestamp"].as_i64().unwrap_or_default();
    let signature = WebhookSecret::parse(text("secret"))
        .map(|secret| secret.sign(text("msg_id"), timestamp, text("payload").as_bytes()));
    Verdict::equal(&json!(signature.ok()), &row["expected"])
}
