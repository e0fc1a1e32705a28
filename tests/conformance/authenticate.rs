//! Rows about whole requests: which cookies count, and which state the request is in.
//!
//! A row passes when the outcome is the reference's, or when a rule in [`deviation`] fits it. No rule lets anybody in whom the reference keeps out.

use std::collections::BTreeMap;

use clerk_resilience::authenticate::{
    Answer, Answers, Context, Evidence, Head, KeyFailure, Need, OrganizationSync, Proxy,
    RefreshDenial, Site, State, authenticate, public_address,
};
use clerk_resilience::clock::Timestamp;
use clerk_resilience::jwks::{JwksError, KeySet};
use clerk_resilience::key::PublishableKey;
use clerk_resilience::token::{Expectations, cookies};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use url::Url;

use crate::verdict::{Aspect, Verdict};

type Outcome = Result<(), String>;

fn check_url_and_cookies(row: &Value) -> Outcome {
    let request = Request::read(row);
    let mut found = BTreeMap::new();
    for (name, value) in cookies(&request.headers) {
        found.entry(name).or_insert(value);
    }
    let address = public_address(&request.address, &request.headers);
    let expected = &row["expected"];
    same("clerkUrl", &json!(address.as_str()), &expected["clerkUrl"])?;
    same("cookies", &json!(found), &expected["cookies"])
}

fn check_suffix_selection(row: &Value) -> Outcome {
    let input = &row["input"];
    let cookies = input["cookies"].as_object().ok_or("no cookies")?;
    let pairs: Vec<_> = cookies.iter().map(|(n, v)| format!("{n}={}", text(v))).collect();
    let mut headers = HeaderMap::new();
    headers.insert("cookie", pairs.join("; ").parse().map_err(|_| "cookies")?);
    let key = PublishableKey::parse(text(&input["publishable_key"])).map_err(|e| e.to_string())?;
    let site = Site::new(key);
    let address = Url::parse("https://app.example.com/").map_err(|e| e.to_string())?;
    let head = Head { method: &Method::GET, address: &address, headers: &headers };
    let context = Context::new(&site, head, now(row));
    let expected = &row["expected"];
    same("uses_suffixed", &json!(context.suffixed), &expected["uses_suffixed"])?;
    let suffixed = format!("__session_{}", text(&input["suffix"]));
    let token = match expected["session_token"].as_str() {
        Some("suffixed") => &cookies[&suffixed],
        Some("unsuffixed") => &cookies["__session"],
        _ => &expected["session_token"],
    };
    same("session_token", &json!(context.cookie_token), token)?;
    same_number("client_uat", context.client_uat, &expected["client_uat"])
}

fn check_context(row: &Value) -> Outcome {
    let request = Request::read(row);
    let options = &row["input"]["options"];
    let site = site(options)?;
    let context = Context::new(&site, request.head(), now(row));
    let expected = &row["expected"];
    let optional = |name: &str| expected.get(name).cloned().unwrap_or_default();
    same("sessionTokenInCookie", &json!(context.cookie_token), &optional("sessionTokenInCookie"))?;
    same("devBrowserToken", &json!(context.dev_browser), &optional("devBrowserToken"))?;
    same_number("clientUat", context.client_uat, &expected["clientUat"])?;
    let counter = &expected["handshakeRedirectLoopCounter"];
    same_number("handshakeRedirectLoopCounter", context.redirects, counter)?;
    same("frontendApi", &json!(context.frontend_api()), &expected["frontendApi"])?;
    same("usesSuffixedCookies", &json!(context.suffixed), &expected["usesSuffixedCookies"])?;
    let foreign = json!(context.is_cross_origin_referrer());
    same("isCrossOriginReferrer", &foreign, &expected["isCrossOriginReferrer"])?;
    let known = json!(context.is_known_clerk_referrer());
    same("isKnownClerkReferrer", &known, &expected["isKnownClerkReferrer"])?;
    same("clerkUrl", &json!(context.address.as_str()), &expected["clerkUrl"])
}

/// Group `authenticate_request`. What takes machine tokens as well is for a layer that takes them.
pub(crate) fn request(row: &Value) -> Verdict {
    if !accepts_sessions(&row["input"]["options"]) {
        return Verdict::NotImplemented;
    }
    match check_request(row) {
        Ok(None) => Verdict::Pass,
        Ok(Some(rule)) => Verdict::Excused(rule),
        Err(detail) => Verdict::differs(Aspect::Outcome, true, detail),
    }
}

/// Group `authenticate_context`.
pub(crate) fn context(row: &Value) -> Verdict {
    verdict(check_context(row))
}

/// Group `request_url_and_cookies`.
pub(crate) fn url_and_cookies(row: &Value) -> Verdict {
    verdict(check_url_and_cookies(row))
}

/// Group `suffixed_cookie_selection`.
pub(crate) fn suffix_selection(row: &Value) -> Verdict {
    verdict(check_suffix_selection(row))
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Ok(()) => Verdict::Pass,
        Err(detail) => Verdict::differs(Aspect::Content, true, detail),
    }
}

/// The rule under which the row deviates, if it does.
fn check_request(row: &Value) -> Result<Option<&'static str>, String> {
    let site = match site(&row["input"]["options"]) {
        Ok(site) => site,
        Err(_) if row["expected"]["throws"] == true => return Ok(Some(THROWS)),
        Err(error) => return Err(error),
    };
    let (answer, asked) = run(row, &site)?;
    let same = compare(row, &answer).and_then(|()| compare_calls(row, &asked));
    match (same, deviation(row, &answer)) {
        (Ok(()), _) => Ok(None),
        (Err(_), Some(rule)) => Ok(Some(rule)),
        (Err(detail), None) => Err(detail),
    }
}

const THROWS: &str = "state-instead-of-an-exception";

/// The deliberate deviations, each by the rule that makes it one.
fn deviation(row: &Value, answer: &Answer) -> Option<&'static str> {
    let (input, expected) = (&row["input"], &row["expected"]);
    let refused = !matches!(answer.state, State::SignedIn { .. });
    let reason = answer.state.reason().map(|reason| reason.code().into_owned());
    let throws = expected["throws"] == true;
    let needless_key = throws && text(&input["options"]["secretKey"]).is_empty();
    let kind = &expected["tokenType"];
    let machine = kind != "session_token" && (!kind.is_null() || mixed(&input["options"]));
    let over = answer_to_count(expected).is_some_and(|count| count > 3.0);
    let over = over && json!(reason) == expected["reason"];
    let mocked = header(input, "cookie").contains("__session=mock_token")
        || input["options"].get("clientUat").is_some();
    match () {
        () if throws && refused => Some(THROWS),
        () if needless_key => Some("no-secret-key-needed"),
        () if machine && refused => Some("machine-tokens-are-no-sessions"),
        () if over && refused => Some("loop-guard-that-holds"),
        () if mocked && refused => Some("mocked-verifier"),
        () => None,
    }
}

fn accepts_sessions(options: &Value) -> bool {
    match &options["acceptsToken"] {
        Value::Null => true,
        Value::String(kind) => kind == "session_token" || kind == "any",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "session_token"),
        _ => false,
    }
}

fn mixed(options: &Value) -> bool {
    options["acceptsToken"].is_array() || options["acceptsToken"] == "any"
}

/// The count that the reference sets.
fn answer_to_count(expected: &Value) -> Option<f64> {
    let lines = expected["set_cookie"].as_array()?;
    let line =
        lines.iter().find_map(|line| line.as_str()?.strip_prefix("__clerk_redirect_count="))?;
    line.split(';').next()?.parse().ok()
}

/// Judges the request, with the answers of the row whenever one is asked for.
fn run(row: &Value, site: &Site) -> Result<(Answer, Vec<Need>), String> {
    let request = Request::read(row);
    let keys = keys(row);
    let mut expect = Expectations::any();
    if let Some(audience) = row["input"]["options"]["audience"].as_str() {
        expect.audiences = vec![audience.to_owned()];
    }
    let evidence = Evidence {
        keys: keys.as_ref().map_err(|failure| *failure),
        expect: &expect,
        now: now(row),
        verified: None,
    };
    let mut answers = Answers { backend_api: has_backend_api(row), ..Answers::default() };
    let mut asked = Vec::new();
    for _ in 0..3 {
        match authenticate(site, request.head(), &evidence, &answers) {
            Ok(answer) => return Ok((answer, asked)),
            Err(need) => {
                match &need {
                    Need::Refresh(_) => answers.refreshed = Some(refreshed(row)),
                    _ => answers.payload = Some(payload(row)),
                }
                asked.push(need);
            }
        }
    }
    Err("asks again and again".to_owned())
}

fn compare(row: &Value, answer: &Answer) -> Outcome {
    let expected = &row["expected"];
    same("status", &json!(answer.state.name()), &expected["status"])?;
    let reason = answer.state.reason().map(|reason| reason.code().into_owned());
    same("reason", &json!(reason), &expected["reason"])?;
    let location = match &answer.state {
        State::Handshake { location, .. } => Some(location),
        _ => answer.clean.as_ref(),
    };
    same("location", &location.map_or(Value::Null, taken_apart), &expected["location"])?;
    same("set_cookie", &json!(set_cookies(&answer.headers)), &json!(guarded(expected)))?;
    same("headers", &json!(other_headers(&answer.headers)), &plain_headers(expected))?;
    if let State::SignedIn { token, verified } = &answer.state {
        if let Some(expected) = expected["token"].as_str() {
            same("token", &json!(token), &json!(expected))?;
        }
        let auth = &expected["auth"];
        if auth["isAuthenticated"] == true {
            same("userId", &json!(verified.session().user_id.as_str()), &auth["userId"])?;
        }
        same_use(row, token)?;
    }
    Ok(())
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

fn compare_calls(row: &Value, asked: &[Need]) -> Outcome {
    let Some(expected) = row["expected"]["api_calls"].as_array() else { return Ok(()) };
    let found: Vec<Value> = asked.iter().map(call).collect();
    same("api_calls", &json!(found), &json!(expected))
}

fn call(need: &Need) -> Value {
    match need {
        Need::Refresh(call) => json!({
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
        Need::Payload(nonce) => {
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

struct Request {
    method: Method,
    address: Url,
    headers: HeaderMap,
}

impl Request {
    fn read(row: &Value) -> Self {
        let request = &row["input"]["request"];
        let fields = request["headers"].as_array().into_iter().flatten();
        let fields = fields.filter_map(|field| {
            let name = HeaderName::try_from(text(&field[0])).ok()?;
            Some((name, HeaderValue::from_bytes(text(&field[1]).as_bytes()).ok()?))
        });
        Self {
            method: text(&request["method"]).parse().expect("a method"),
            address: Url::parse(text(&request["url"])).expect("an address"),
            headers: fields.collect(),
        }
    }

    fn head(&self) -> Head<'_> {
        Head { method: &self.method, address: &self.address, headers: &self.headers }
    }
}

fn site(options: &Value) -> Result<Site, String> {
    let option = |name: &str| Some(text(&options[name])).filter(|value| !value.is_empty());
    let key = PublishableKey::parse(option("publishableKey").unwrap_or_default());
    let mut site = Site::new(key.map_err(|error| error.to_string())?)
        .satellite(options["isSatellite"] == true)
        .auto_sync(options["satelliteAutoSync"] == true)
        .auto_proxy(true)
        .organizations(organizations(&options["organizationSyncOptions"]));
    if let Some(domain) = option("domain") {
        site = site.domain(domain);
    }
    if let Some(proxy) = option("proxyUrl").and_then(Proxy::parse) {
        site = site.proxy(proxy);
    }
    if let Some(address) = option("signInUrl").and_then(|address| Url::parse(address).ok()) {
        site = site.sign_in(address);
    }
    site.check().map_err(|error| error.to_string())?;
    Ok(site)
}

fn organizations(options: &Value) -> OrganizationSync {
    let list = |name: &str| options[name].as_array().into_iter().flatten().map(text);
    OrganizationSync::new(list("organizationPatterns"), list("personalAccountPatterns"))
}

/// The keys, from a PEM or from what the Backend API answers in the end.
fn keys(row: &Value) -> Result<KeySet, KeyFailure> {
    let input = &row["input"];
    if let Some(pem) = input["jwt_key"].as_str() {
        return KeySet::from_pem(pem).map_err(|_| KeyFailure::NotLoaded);
    }
    if let Some(pem) = input["options"]["jwtKey"].as_str() {
        return KeySet::from_pem(pem).map_err(|_| KeyFailure::NotLoaded);
    }
    let reply = input["upstream"].as_array().and_then(|replies| replies.last());
    let reply = reply.ok_or(KeyFailure::Unreachable)?;
    let body = text(&reply["body"]);
    let json: Option<Value> = serde_json::from_str(body).ok();
    match (reply["status"].as_u64(), json) {
        (Some(200), _) => KeySet::parse(body.as_bytes()).map_err(|error| match error {
            JwksError::NotJson => KeyFailure::Unreachable,
            _ => KeyFailure::NotLoaded,
        }),
        (Some(_), Some(json)) if json["errors"][0]["code"] == "clerk_key_invalid" => {
            Err(KeyFailure::SecretKeyInvalid)
        }
        (Some(_), Some(_)) => Err(KeyFailure::NotLoaded),
        _ => Err(KeyFailure::Unreachable),
    }
}

fn has_backend_api(row: &Value) -> bool {
    let input = &row["input"];
    input.get("api_stub").is_some() || input["options"].get("apiClient").is_some()
}

/// What the stub, or the recorded call of a name, answers.
fn api_answer(row: &Value, stub: &str, call: &str) -> Option<Value> {
    let input = &row["input"];
    let stubbed = input["api_stub"].get(stub).cloned();
    stubbed.or_else(|| {
        let calls = input["api_client_calls"].as_array()?;
        calls.iter().find(|made| made["call"] == call).cloned()
    })
}

fn refreshed(row: &Value) -> Result<Vec<String>, RefreshDenial> {
    let answer = api_answer(row, "refresh", "sessions.refreshSession").unwrap_or_default();
    match (&answer["result"]["cookies"], &answer["throws"]["errors"][0]["code"]) {
        (Value::Array(cookies), _) => Ok(cookies.iter().map(|c| text(c).to_owned()).collect()),
        (_, Value::String(code)) => Err(RefreshDenial::of_api_error(code)),
        _ => Err(RefreshDenial::Unexpected),
    }
}

fn payload(row: &Value) -> Option<Vec<String>> {
    let answer = api_answer(row, "handshake", "clients.getHandshakePayload")?;
    let lines = answer["result"]["directives"].as_array()?;
    Some(lines.iter().map(|line| text(line).to_owned()).collect())
}

fn header(input: &Value, name: &str) -> String {
    let fields = input["request"]["headers"].as_array().into_iter().flatten();
    fields.filter(|field| field[0] == name).map(|field| text(&field[1])).collect()
}

fn now(row: &Value) -> Timestamp {
    Timestamp::from_millis(row["now_ms"].as_i64().unwrap_or_default())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn same(what: &str, found: &Value, expected: &Value) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found}, expected {expected}"))
}

fn same_number(what: &str, found: f64, expected: &Value) -> Outcome {
    let equal = expected.as_f64().is_some_and(|number| (number - found).abs() < f64::EPSILON);
    if equal { Ok(()) } else { Err(format!("{what}: found {found}, expected {expected}")) }
}
