//! The reference's options and mocked answers in this library's types.

use std::time::Duration;

use bytes::Bytes;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::token::{Expectations, InvalidToken, Session, Timing};
use clerk_resilience::transport::ApiResponse;
use clerk_resilience::verify::{Unverified, verify};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::Arc;

/// The row's clock.
pub(crate) fn now(row: &Value) -> Timestamp {
    Timestamp::from_millis(row["now_ms"].as_i64().unwrap_or_default())
}

/// The entries of an option: of a list each one, and an empty text for what is no text; otherwise the
/// text itself, if it is not empty.
pub(crate) fn entries(value: &Value) -> Vec<String> {
    let text = |entry: &Value| entry.as_str().unwrap_or_default().to_owned();
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        Value::String(one) if !one.is_empty() => vec![one.clone()],
        _ => Vec::new(),
    }
}

/// The same without empty entries, which the reference leaves out of audiences and issuers.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    entries(value).into_iter().filter(|text| !text.is_empty()).collect()
}

/// The accepted values of `typ`: `null` means `JWT` and nothing else, and an empty list means none.
pub(crate) fn header_types(options: &Value) -> Vec<String> {
    match options.get("headerType") {
        None => Vec::new(),
        Some(Value::Null) => vec!["JWT".to_owned()],
        Some(Value::String(one)) => vec![one.clone()],
        Some(given) => {
            Some(entries(given)).filter(|l| !l.is_empty()).unwrap_or(vec!["-".to_owned()])
        }
    }
}

/// `Err` when this library's types have no place for what is asked.
pub(crate) fn expectations(options: &Value) -> Result<Expectations, String> {
    let mut expect = Expectations::any();
    expect.audiences = texts(&options["audience"]);
    expect.authorized_parties = entries(&options["authorizedParties"]);
    expect.issuers = texts(&options["issuer"]);
    expect.header_types = header_types(options);
    expect.leeway = leeway(&options["clockSkewInMs"])?;
    Ok(expect)
}

/// Anything but a finite number means the default.
pub(crate) fn leeway(skew: &Value) -> Result<Duration, String> {
    match skew.as_f64() {
        None => Ok(Duration::from_secs(5)),
        Some(millis) => Duration::try_from_secs_f64(millis / 1000.0)
            .map_err(|_| "a negative leeway cannot be configured".to_owned()),
    }
}

/// Verifies a token and compares its times with the present.
pub(crate) fn judge(
    token: &str,
    keys: &KeySet,
    expect: &Expectations,
    now: Timestamp,
) -> Result<Arc<Session>, String> {
    let verified = verify(token, keys, expect).map_err(|unverified| match unverified {
        Unverified::Invalid(reason) => reason.code().to_owned(),
        Unverified::UnknownKey(_) => InvalidToken::UnknownKey.code().to_owned(),
    })?;
    let code = match verified.timing(now, expect.leeway) {
        Timing::Current => return Ok(Arc::clone(verified.session())),
        Timing::Expired { .. } | Timing::ExpiredForGood => InvalidToken::Expired,
        Timing::NotYet => InvalidToken::NotYet,
        Timing::IssuedInFuture => InvalidToken::IssuedInFuture,
    };
    Err(code.code().to_owned())
}

/// A recorded answer of Clerk; `None` for a failure of the network.
pub(crate) fn reply(recorded: &Value) -> Option<ApiResponse> {
    let status = recorded["status"].as_u64().and_then(|status| u16::try_from(status).ok())?;
    Some(ApiResponse {
        status: StatusCode::from_u16(status).ok()?,
        headers: HeaderMap::new(),
        body: Bytes::from(recorded["body"].as_str().unwrap_or_default().to_owned()),
        latency: Duration::ZERO,
    })
}

/// The keys that the reference's cache can have held.
pub(crate) fn recorded_keys(row: &Value) -> KeySet {
    let document = serde_json::json!({ "keys": row["$recorded_keys"] });
    KeySet::parse(document.to_string().as_bytes()).unwrap_or_default()
}
