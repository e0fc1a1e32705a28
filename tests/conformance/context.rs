//! Rows about what is read of a request: its address, its cookies, and which of them count.

use std::collections::BTreeMap;

use clerk_resilience::authenticate::{Context, Head, Site, public_address};
use clerk_resilience::key::PublishableKey;
use clerk_resilience::token::cookies;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use url::Url;

use crate::options::now;
use crate::request::{Request, accepts, text, unchecked_site};
use crate::verdict::{Aspect, Outcome, Verdict, member, refuses};

/// Group `authenticate_context`.
pub(crate) fn context(row: &Value) -> Verdict {
    without_key(row, &row["input"]["options"]["publishableKey"])
        .unwrap_or_else(|| verdict(check_context(row)))
}

/// Group `request_url_and_cookies`.
pub(crate) fn url_and_cookies(row: &Value) -> Verdict {
    verdict(check_url_and_cookies(row))
}

/// Group `suffixed_cookie_selection`.
pub(crate) fn suffix_selection(row: &Value) -> Verdict {
    without_key(row, &row["input"]["publishable_key"])
        .unwrap_or_else(|| verdict(check_suffix_selection(row)))
}

/// An application without a usable publishable key is not started.
fn without_key(row: &Value, key: &Value) -> Option<Verdict> {
    let error = PublishableKey::parse(text(key)).err()?;
    let alike = refuses(&row["expected"]);
    let refused = || Verdict::differs(Aspect::Outcome, false, error.to_string());
    Some(if alike { Verdict::Pass } else { refused() })
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Ok(()) => Verdict::Pass,
        Err(detail) => Verdict::differs(Aspect::Content, true, detail),
    }
}

fn check_url_and_cookies(row: &Value) -> Outcome {
    let request = Request::read(row);
    let mut found = BTreeMap::new();
    for (name, value) in cookies(&request.headers) {
        found.entry(name).or_insert(value);
    }
    let address = public_address(&request.address, &request.headers);
    let expected = &row["expected"];
    member("clerkUrl", &json!(address.as_str()), &expected["clerkUrl"])?;
    member("cookies", &json!(found), &expected["cookies"])
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
    member("uses_suffixed", &json!(context.suffixed), &expected["uses_suffixed"])?;
    let suffixed = format!("__session_{}", text(&input["suffix"]));
    let token = match expected["session_token"].as_str() {
        Some("suffixed") => &cookies[&suffixed],
        Some("unsuffixed") => &cookies["__session"],
        _ => &expected["session_token"],
    };
    member("session_token", &json!(context.cookie_token), token)?;
    member("client_uat", &json!(context.client_uat), &expected["client_uat"])
}

fn check_context(row: &Value) -> Outcome {
    let request = Request::read(row);
    let options = &row["input"]["options"];
    let site = unchecked_site(options, &accepts(options)).map_err(|error| error.0.to_owned())?;
    let context = Context::new(&site, request.head(), now(row));
    let expected = &row["expected"];
    let optional = |name: &str| expected.get(name).cloned().unwrap_or_default();
    member(
        "sessionTokenInCookie",
        &json!(context.cookie_token),
        &optional("sessionTokenInCookie"),
    )?;
    member("devBrowserToken", &json!(context.dev_browser), &optional("devBrowserToken"))?;
    member("clientUat", &json!(context.client_uat), &expected["clientUat"])?;
    let counter = &expected["handshakeRedirectLoopCounter"];
    member("handshakeRedirectLoopCounter", &json!(context.redirects), counter)?;
    member("frontendApi", &json!(context.frontend_api()), &expected["frontendApi"])?;
    member("usesSuffixedCookies", &json!(context.suffixed), &expected["usesSuffixedCookies"])?;
    let foreign = json!(context.is_cross_origin_referrer());
    member("isCrossOriginReferrer", &foreign, &expected["isCrossOriginReferrer"])?;
    let known = json!(context.is_known_clerk_referrer());
    member("isKnownClerkReferrer", &known, &expected["isKnownClerkReferrer"])?;
    member("clerkUrl", &json!(context.address.as_str()), &expected["clerkUrl"])
}
