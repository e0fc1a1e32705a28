//! The reference's options and mocked answers in this library's types.

use std::time::Duration;

use bytes::Bytes;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::token::{Expectations, InvalidToken, Session, Timing};
use clerk_resilience::upstream::Reply;
use clerk_resilience::verify::{Unverified, verify};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::Arc;

/// The row's clock.
pub(crate) fn now(row: &Value) -> Timestamp {
    Timestamp::from_millis(row["now_ms"].as_i64().unwrap_or_default())
}

/// One text, or a list of which only texts with something in them count.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let texts = list.iter().filter_map(Value::as_str).filter(|text| !text.is_empty());
    texts.map(str::to_owned).collect()
}

/// `Err` when this library's types have no place for what is asked.
pub(crate) fn expectations(options: &Value) -> Result<Expectations, String> {
    let mut expect = Expectations::any();
    expect.audiences = texts(&options["audience"]);
    expect.authorized_parties = texts(&options["authorizedParties"]);
    expect.issuers = texts(&options["issuer"]);
    expect.header_types = texts(&options["headerType"]);
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
        _ => InvalidToken::UnknownKey.code().to_owned(),
    })?;
    let code = match verified.timing(now, expect.leeway) {
        Timing::Current => return Ok(Arc::clone(verified.session())),
        Timing::Expired { .. } | Timing::ExpiredForGood => InvalidToken::Expired,
        Timing::NotYet => InvalidToken::NotYet,
        _ => InvalidToken::IssuedInFuture,
    };
    Err(code.code().to_owned())
}

/// A recorded answer of Clerk; `None` for a failure of the network.
pub(crate) fn reply(recorded: &Value) -> Option<Reply> {
    let status = recorded["status"].as_u64().and_then(|status| u16::try_from(status).ok())?;
    Some(Reply {
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
