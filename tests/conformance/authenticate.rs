//! Rows about whole requests: which state the request is in.

use std::collections::BTreeMap;

use clerk_resilience::authenticate::{
    AuthStatus, Context, Evidence, NeedsBackend, Reason, RequestState, authenticate,
};
use clerk_resilience::machine::MachineToken;
use clerk_resilience::token::{SessionStatus, TokenKind};
use http::HeaderMap;
use serde_json::{Value, json};
use url::Url;

use crate::options::{expectations, now};
use crate::request::{Misconfigured, Request, accepts, answer, answers, keys, site, text};
use crate::verdict::{Aspect, Outcome, Verdict, member, same};

/// Group `authenticate_request`. What the reference throws as an exception at each request is what
/// this library refuses to start with.
pub(crate) fn request(row: &Value) -> Verdict {
    let (expected, thrown) = (&row["expected"], row["expected"]["throws"] == true);
    let (answer, asked) = match run(row) {
        Ok(found) => found,
        Err(Stopped::Misconfigured(Misconfigured(why))) => {
            let alike = thrown && text(&expected["message"]).contains(why);
            let detail = format!("refused as configuration: {why}");
            return if alike { Verdict::Pass } else { refused(expected, detail) };
        }
        Err(Stopped::Failed(detail)) => return refused(expected, detail),
    };
    let inside = answer.state.name() == "signed-in";
    let aspect = match (inside, expected["status"] == "signed-in") {
        (true, true) => Aspect::Content,
        (false, false) => Aspect::Reason,
        _ => Aspect::Outcome,
    };
    if thrown {
        let reason = answer.state.reason().map(Reason::code);
        return Verdict::differs(aspect, inside, format!("{reason:?} instead of an exception"));
    }
    match compare(row, &answer).and_then(|()| compare_calls(row, &asked)) {
        Ok(()) => Verdict::Pass,
        Err(detail) => Verdict::differs(aspect, inside, detail),
    }
}

fn refused(expected: &Value, detail: String) -> Verdict {
    let aspect = if expected["status"] == "signed-in" { Aspect::Outcome } else { Aspect::Reason };
    Verdict::differs(aspect, false, detail)
}

/// Why there is no answer.
enum Stopped {
    Misconfigured(Misconfigured),
    Failed(String),
}

impl From<Misconfigured> for Stopped {
    fn from(error: Misconfigured) -> Self {
        Self::Misconfigured(error)
    }
}

/// Judges the request, with the answers of the row whenever one is asked for.
fn run(row: &Value) -> Result<(RequestState, Vec<NeedsBackend>), Stopped> {
    let options = &options(row);
    let accepts = accepts(options);
    let site = site(options, &accepts)?;
    let (request, keys) = (Request::read(row), keys(row));
    let expect = expectations(options).map_err(Stopped::Failed)?;
    let evidence = Evidence {
        keys: keys.as_ref().map_err(|failure| *failure),
        expect: &expect,
        now: now(row),
        verified: None,
    };
    let (mut answers, mut asked) = (answers(row), Vec::new());
    for _ in 0..3 {
        let judged = match options.get("clientUat") {
            None => authenticate(&site, request.head(), &accepts, &evidence, &answers),
            Some(uat) => {
                let mut context = Context::new(&site, request.head(), now(row));
                context.client_uat = overwritten(uat);
                context.authenticate(&evidence, &answers)
            }
        };
        match judged {
            Ok(answer) => return Ok((answer, asked)),
            Err(need) => {
                answer(row, &need, &mut answers)?;
                asked.push(need);
            }
        }
    }
    Err(Stopped::Failed("asks again and again".to_owned()))
}

/// The options. The reference takes a function for a satellite's domain, which no row can hold; in
/// development the domain changes nothing, so that any will do where the reference had one.
fn options(row: &Value) -> Value {
    let mut options = row["input"]["options"].clone();
    let given = ["domain", "proxyUrl"].iter().any(|name| !text(&options[*name]).is_empty());
    let development = text(&options["publishableKey"]).starts_with("pk_test_");
    let needs_domain = options["isSatellite"] == true && development && !given;
    if needs_domain && row["expected"]["throws"] != true {
        options["domain"] = json!("satellite.example");
    }
    options
}

/// The reference's options overwrite what it read of the request. A text is true, `"0"` too, and
/// compares as the number in it: later than nothing, and earlier than any token.
fn overwritten(uat: &Value) -> f64 {
    match uat {
        Value::String(text) if text.is_empty() => 0.0,
        Value::String(text) => text.parse().unwrap_or(f64::NAN).max(f64::MIN_POSITIVE),
        other => other.as_f64().unwrap_or(0.0),
    }
}

fn compare(row: &Value, answer: &RequestState) -> Outcome {
    let expected = &row["expected"];
    member("status", &json!(answer.state.name()), &expected["status"])?;
    let reason = answer.state.reason().map(|reason| reason.code().into_owned());
    member("reason", &json!(reason), &expected["reason"])?;
    let location = match &answer.state {
        AuthStatus::Handshake { location, .. } => Some(location),
        _ => answer.clean.as_ref(),
    };
    member("location", &location.map_or(Value::Null, taken_apart), &expected["location"])?;
    member("set_cookie", &json!(set_cookies(&answer.headers)), &json!(guarded(expected)))?;
    member("headers", &json!(other_headers(&answer.headers)), &plain_headers(expected))?;
    let kind = answer.state.kind().map(TokenKind::name);
    member("tokenType", &json!(kind), &expected["tokenType"])?;
    let (token, auth) = match &answer.state {
        AuthStatus::SignedIn { token, verified } => {
            let session = verified.session();
            let active = session.status != SessionStatus::Pending;
            let user = active.then(|| session.user_id.as_str());
            (token, json!({ "isAuthenticated": active, "userId": user }))
        }
        AuthStatus::Machine { token, machine } => (token, described(machine)),
        _ => return Ok(()),
    };
    if let Some(expected) = expected["token"].as_str() {
        member("token", &json!(token), &json!(expected))?;
    }
    let recorded = expected["auth"].as_object().into_iter().flatten();
    let other = recorded.filter(|(name, _)| auth.get(name.as_str()).is_some());
    let other = other.into_iter().find(|(name, value)| !same(&auth[name.as_str()], value));
    if let Some((name, value)) = other {
        return Err(format!("auth.{name}: found {}, expected {value}", auth[name.as_str()]));
    }
    same_use(row, token)
}

/// A machine, as the reference describes it.
fn described(machine: &MachineToken) -> Value {
    let subject = machine.subject.as_str();
    let person = machine.kind == TokenKind::OAuth || subject.starts_with("user_");
    json!({
        "isAuthenticated": true,
        "id": machine.id,
        "subject": subject,
        "machineId": subject,
        "userId": person.then_some(subject),
        "orgId": subject.starts_with("org_").then_some(subject),
        "clientId": machine.client_id,
        "name": machine.name,
        "scopes": machine.scopes,
        "claims": machine.claims,
    })
}

/// Where the token came from.
fn same_use(row: &Value, token: &str) -> Outcome {
    let input = &row["input"];
    let (field, cookie) = (header(input, "authorization"), header(input, "cookie"));
    let right = match row["expected"]["token_used"].as_str() {
        Some("header") => field.contains(token),
        Some("cookie") => cookie.contains(token),
        _ => true,
    };
    if right { Ok(()) } else { Err("the token is from another place".to_owned()) }
}

/// The calls to the Backend API's client by what they say, those about machines by their number:
/// with a PEM at hand nothing else is asked.
fn compare_calls(row: &Value, asked: &[NeedsBackend]) -> Outcome {
    let (machines, asked): (Vec<_>, Vec<_>) =
        asked.iter().partition(|need| matches!(need, NeedsBackend::Machine(_)));
    if row["input"]["jwt_key"].is_string() && row["expected"]["http_calls"].is_u64() {
        member("http_calls", &json!(machines.len()), &row["expected"]["http_calls"])?;
    }
    let Some(expected) = row["expected"]["api_calls"].as_array() else { return Ok(()) };
    let found: Vec<Value> = asked.into_iter().map(call).collect();
    member("api_calls", &json!(found), &json!(expected))
}

fn call(need: &NeedsBackend) -> Value {
    match need {
        NeedsBackend::Refresh(call) => json!({
            "call": "sessions.refreshSession",
            "sid": call.session_id,
            "params": {
                "format": "cookie",
                "suffixed_cookies": call.suffixed_cookies,
                "expired_token": call.expired_token,
                "refresh_token": call.refresh_token,
                "request_origin": call.request_origin,
            },
        }),
        NeedsBackend::Payload(nonce) => {
            json!({ "call": "clients.getHandshakePayload", "params": { "nonce": nonce } })
        }
        _ => Value::Null,
    }
}

fn taken_apart(url: &Url) -> Value {
    let mut base = url.clone();
    base.set_query(None);
    let params: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    json!({ "base": base.as_str(), "params": params })
}

fn set_cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("set-cookie").iter().map(|line| line.to_str().expect("text")).collect()
}

/// The guard's count is kept for five minutes and everywhere, not for two seconds and below the
/// path: the reference's is lost when the hops are slow.
fn guarded(expected: &Value) -> Vec<String> {
    let lines = expected["set_cookie"].as_array().into_iter().flatten().map(text);
    let theirs = "; SameSite=Lax; HttpOnly; Max-Age=2";
    let ours = "; Path=/; SameSite=Lax; HttpOnly; Max-Age=300";
    lines
        .map(|line| {
            let guard = line.starts_with("__clerk_redirect_count=");
            if guard { line.replace(theirs, ours) } else { line.to_owned() }
        })
        .collect()
}

fn other_headers(headers: &HeaderMap) -> BTreeMap<&str, &str> {
    let others = headers.iter().filter(|(name, _)| *name != "set-cookie");
    others.map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect()
}

/// Without what repeats the state.
fn plain_headers(expected: &Value) -> Value {
    let headers = expected["headers"].as_object().cloned().unwrap_or_default();
    let plain = headers.into_iter().filter(|(name, _)| !name.starts_with("x-clerk-auth-"));
    Value::Object(plain.collect())
}

fn header(input: &Value, name: &str) -> String {
    let fields = input["request"]["headers"].as_array().into_iter().flatten();
    fields.filter(|field| field[0] == name).map(|field| text(&field[1])).collect()
}
