//! Publishable and secret keys, and what follows from them.

use clerk_resilience::key::{Hosting, InstanceKind, PublishableKey};
use clerk_resilience::token::CookieNames;
use serde_json::{Value, json};

use crate::verdict::{Verdict, refuses};

/// `parsePublishableKey` and `isPublishableKey`.
pub(crate) fn publishable_key(row: &Value) -> Verdict {
    let (input, expected) = (&row["input"], &row["expected"]);
    let key = PublishableKey::parse(input["key"].as_str().unwrap_or_default());
    if input.get("predicate").is_some() {
        return Verdict::equal(&json!(key.is_ok()), expected);
    }
    match key {
        // A refusal is a refusal, whether the reference throws or returns nothing.
        Err(_) if refuses(expected) => Verdict::Pass,
        Err(_) => Verdict::equal(&Value::Null, expected),
        Ok(key) => Verdict::equal(&parsed(&key, &input["options"]), expected),
    }
}

fn parsed(key: &PublishableKey, options: &Value) -> Value {
    let text = |name: &str| options[name].as_str().filter(|text| !text.is_empty());
    let satellite = options["isSatellite"] == true;
    let hosting = match (text("proxyUrl"), text("domain")) {
        (Some(proxy), _) => Hosting::Proxy(proxy),
        (None, Some(domain)) if satellite => Hosting::Satellite(domain),
        _ => Hosting::Own,
    };
    let kind = if key.kind() == InstanceKind::Production { "production" } else { "development" };
    json!({ "instanceType": kind, "frontendApi": key.frontend_api_at(hosting) })
}

/// `buildPublishableKey` and `publishableKeyFromHost`, which hands a development key back as it is.
pub(crate) fn build(row: &Value) -> Verdict {
    let input = &row["input"];
    let argument = |place: usize| input["args"][place].as_str().unwrap_or_default();
    let built = match input["function"].as_str() {
        Some("buildPublishableKey") => PublishableKey::for_frontend_api(argument(0)),
        Some("publishableKeyFromHost") => match PublishableKey::parse(argument(1)) {
            Ok(key) if key.kind() == InstanceKind::Development => Ok(key),
            _ => PublishableKey::for_domain(argument(0)),
        },
        other => panic!("unknown function {other:?}"),
    };
    match built {
        Err(_) if refuses(&row["expected"]) => Verdict::Pass,
        Err(_) => Verdict::equal(&Value::Null, &row["expected"]),
        Ok(key) => Verdict::equal(&json!(key.as_str()), &row["expected"]),
    }
}

/// The four predicates on a key's prefix.
pub(crate) fn kind(row: &Value) -> Verdict {
    let text = row["input"]["key"].as_str().unwrap_or_default();
    let function = row["input"]["function"].as_str().unwrap_or_default();
    let kind = if function.ends_with("SecretKey") {
        InstanceKind::of_secret_key(text)
    } else {
        InstanceKind::of_publishable_key(text)
    };
    let asked = if function.starts_with("isDevelopment") {
        InstanceKind::Development
    } else {
        InstanceKind::Production
    };
    Verdict::equal(&json!(kind == Some(asked)), &row["expected"])
}

/// `getCookieSuffix`.
pub(crate) fn cookie_suffix(row: &Value) -> Verdict {
    let key = PublishableKey::parse(row["input"]["publishable_key"].as_str().unwrap_or_default());
    if key.is_err() && refuses(&row["expected"]) {
        return Verdict::Pass;
    }
    let suffix = key.map(|key| CookieNames::of(&key).suffix().to_owned());
    Verdict::equal(&json!(suffix.ok()), &row["expected"])
}

/// `buildAccountsBaseUrl`. No host has no pages.
pub(crate) fn accounts_base_url(row: &Value) -> Verdict {
    let host = row["input"]["frontend_api"].as_str().unwrap_or_default();
    let address = PublishableKey::for_frontend_api(host).map(|key| key.accounts_url());
    Verdict::equal(&json!(address.unwrap_or_default()), &row["expected"])
}
