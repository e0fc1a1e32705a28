//! The requests, settings and answers of rows about whole requests, in this library's types.

use clerk_resilience::authenticate::{
    Accepts, BackendResponses, Head, KeyFailure, NeedsBackend, OrganizationSync, Proxy,
    RefreshDenial, Site, SiteError,
};
use clerk_resilience::jwks::{JwksError, KeySet};
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::machine::{MachineError, MachineQuestion, MachineToken};
use clerk_resilience::token::{TokenKind, TokenKinds};
use clerk_resilience::transport::ApiResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use url::Url;

use crate::options::reply;

/// The head of a recorded request.
pub(crate) struct Request {
    method: Method,
    pub(crate) address: Url,
    pub(crate) headers: HeaderMap,
}

impl Request {
    pub(crate) fn read(row: &Value) -> Self {
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

    pub(crate) fn head(&self) -> Head<'_> {
        Head { method: &self.method, address: &self.address, headers: &self.headers }
    }
}

/// Why an application with such settings is not started; the words are in the exception that the
/// reference throws at each request.
#[derive(Debug)]
pub(crate) struct Misconfigured(pub(crate) &'static str);

/// The application, if its settings fit together. Tokens between machines have no use for them.
pub(crate) fn site(options: &Value, accepts: &Accepts) -> Result<Site, Misconfigured> {
    let site = unchecked_site(options, accepts)?;
    if *accepts == Accepts::Only(TokenKind::MachineToMachine) {
        return Ok(site);
    }
    if site.needs_secret_key() && text(&options["secretKey"]).is_empty() {
        return Err(Misconfigured("Missing Clerk Secret Key"));
    }
    if site.is_satellite() && mixed_modes(options) {
        return Err(Misconfigured("keys of different modes"));
    }
    site.check().map_err(|error| match error {
        SiteError::SatelliteWithoutSignIn => Misconfigured("Missing signInUrl"),
        SiteError::OrganizationPattern => Misconfigured("Invalid pattern"),
        SiteError::SignInAtSatellite => {
            Misconfigured("signInUrl needs to be on a different origin")
        }
        SiteError::SatelliteWithoutDomain => Misconfigured("Missing domain and proxyUrl"),
    })?;
    Ok(site)
}

/// The application. One that takes nothing but API keys or tokens between machines has no use for a
/// publishable key.
pub(crate) fn unchecked_site(options: &Value, accepts: &Accepts) -> Result<Site, Misconfigured> {
    use TokenKind::{ApiKey, MachineToMachine};
    let key = match PublishableKey::parse(text(&options["publishableKey"])) {
        Ok(key) => key,
        Err(_) if matches!(accepts, Accepts::Only(ApiKey | MachineToMachine)) => {
            PublishableKey::for_host("clerk.example.com", InstanceKind::Production).expect("a host")
        }
        Err(_) => return Err(Misconfigured("ublishable key")),
    };
    configured(options, key)
}

fn configured(options: &Value, key: PublishableKey) -> Result<Site, Misconfigured> {
    let option = |name: &str| Some(text(&options[name])).filter(|value| !value.is_empty());
    let mut site = Site::new(key)
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
    if let Some(address) = option("signInUrl") {
        site = match Url::parse(address) {
            Ok(address) => site.sign_in(address),
            Err(_) if options["isSatellite"] == true => {
                return Err(Misconfigured("signInUrl needs to have a absolute url"));
            }
            Err(_) => site,
        };
    }
    Ok(site)
}

/// The keys belong to different modes, live and test, so that they are not of one instance.
pub(crate) fn mixed_modes(options: &Value) -> bool {
    let publishable = InstanceKind::of_publishable_key(text(&options["publishableKey"]));
    let secret = InstanceKind::of_secret_key(text(&options["secretKey"]));
    publishable.zip(secret).is_some_and(|(publishable, secret)| publishable != secret)
}

pub(crate) fn organizations(options: &Value) -> OrganizationSync {
    let list = |name: &str| options[name].as_array().into_iter().flatten().map(text);
    OrganizationSync::new(list("organizationPatterns"), list("personalAccountPatterns"))
}

/// `acceptsToken`.
pub(crate) fn accepts(options: &Value) -> Accepts {
    let kind = |name: &Value| TokenKind::from_name(text(name));
    match &options["acceptsToken"] {
        Value::Array(names) => Accepts::AnyOf(TokenKinds::of(names.iter().filter_map(kind))),
        name if name == "any" => Accepts::AnyOf(TokenKinds::any()),
        name => kind(name).map_or_else(Accepts::default, Accepts::Only),
    }
}

/// The keys, from a PEM or from what the Backend API answers in the end.
pub(crate) fn keys(row: &Value) -> Result<KeySet, KeyFailure> {
    let input = &row["input"];
    let pem = input["jwt_key"].as_str().or(input["options"]["jwtKey"].as_str());
    if let Some(pem) = pem {
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

/// What is known before anything is asked.
pub(crate) fn answers(row: &Value) -> BackendResponses {
    let input = &row["input"];
    let stubbed = input.get("api_stub").is_some() || input["options"].get("apiClient").is_some();
    BackendResponses { backend_api: stubbed, ..BackendResponses::default() }
}

/// Adds the recorded answer to what is needed.
pub(crate) fn answer(
    row: &Value,
    need: &NeedsBackend,
    answers: &mut BackendResponses,
) -> Result<(), Misconfigured> {
    match need {
        NeedsBackend::Refresh(_) => answers.refreshed = Some(refreshed(row)),
        NeedsBackend::Payload(_) => answers.payload = Some(payload(row)),
        NeedsBackend::Machine(token) => answers.machine = Some(machine(row, token)?),
        _ => {}
    }
    Ok(())
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

/// Nothing can be asked without a key; what can be goes to the address that was recorded.
fn machine(row: &Value, token: &str) -> Result<Result<MachineToken, MachineError>, Misconfigured> {
    let options = &row["input"]["options"];
    if ["secretKey", "machineSecretKey"].iter().all(|name| text(&options[*name]).is_empty()) {
        return Err(Misconfigured("Machine token authentication requires"));
    }
    let api = options["apiUrl"].as_str().unwrap_or("https://api.clerk.com");
    let question = MachineQuestion::about(token, &Url::parse(api).expect("an address"));
    let question = question.expect("an opaque token");
    let recorded = &row["input"]["upstream"][0];
    let address = &recorded["request"]["url"];
    if !address.is_null() && address != question.url.as_str() {
        return Ok(Err(MachineError::Unanswered));
    }
    Ok(match reply(recorded) {
        Some(ApiResponse { status, body, .. }) => question.answer(status, &body),
        None => Err(MachineError::Unanswered),
    })
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
