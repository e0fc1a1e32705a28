//! Lenient parsing of Clerk's JSON, parts of which users write themselves.
//!
//! Unreadable parts become `null`, and the rest of the document stays readable.

use std::collections::HashMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Maximum nesting of a value. Deeper values become `null`, because other documents embed the value
/// and must stay readable.
const DEEPEST: u32 = 64;
/// Maximum depth of the search for unreadable parts. It reaches the user metadata within a session
/// event, also within a list.
const DEPTH: u32 = 8;

/// Parses a document. Values that nest too deeply and numbers out of range become `null`.
///
/// Returns `None` if the text is not JSON.
pub(crate) fn read(text: &[u8]) -> Option<Value> {
    let mut value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(_) => without_unreadable(serde_json::from_slice(text).ok()?, DEPTH),
    };
    flatten(&mut value, DEEPEST);
    Some(value)
}

fn flatten(value: &mut Value, deepest: u32) {
    let Some(rest) = deepest.checked_sub(1) else {
        if value.is_object() || value.is_array() {
            *value = Value::Null;
        }
        return;
    };
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| flatten(value, rest)),
        Value::Array(items) => items.iter_mut().for_each(|value| flatten(value, rest)),
        _ => {}
    }
}

fn without_unreadable(raw: &RawValue, depth: u32) -> Value {
    if let Ok(value) = serde_json::from_str(raw.get()) {
        return value;
    }
    let Some(deeper) = depth.checked_sub(1) else { return Value::Null };
    if let Ok(members) = serde_json::from_str::<HashMap<String, &RawValue>>(raw.get()) {
        let read = |(name, raw)| (name, without_unreadable(raw, deeper));
        return members.into_iter().map(read).collect::<Map<_, _>>().into();
    }
    match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        Ok(items) => items.into_iter().map(|raw| without_unreadable(raw, deeper)).collect(),
        Err(_) => Value::Null,
    }
}

/// The integer part of a number, such as a timestamp. Returns `None` if `value` is not a number.
#[expect(clippy::cast_possible_truncation, reason = "a fraction is left out, and it saturates")]
pub(crate) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|number| number as i64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn an_invalid_value_spoils_no_other() {
        let (deep, far) = (nested(100_000), "1e400");
        let text = format!(
            r#"{{"type":"session.ended","data":{{"id":"sess_1","user":{{"id":"user_1","unsafe_metadata":{{"a":{deep},"b":1,"c":{far}}}}}}}}}"#
        );
        let mut event = read(text.as_bytes()).expect("JSON");
        let metadata = event["data"]["user"]["unsafe_metadata"].take();
        assert_eq!((&metadata["b"], &metadata["c"]), (&json!(1), &Value::Null));
        assert!(metadata["a"].to_string().len() < 200, "{metadata}");
        let user = json!({ "id": "user_1", "unsafe_metadata": null });
        let wanted = json!({ "type": "session.ended", "data": { "id": "sess_1", "user": user } });
        assert_eq!(event, wanted);
        let list = format!(r#"{{"data":[{{"id":1}},{{"id":2,"m":{far}}}]}}"#);
        assert_eq!(
            read(list.as_bytes()),
            Some(json!({ "data": [{ "id": 1 }, { "id": 2, "m": null }] }))
        );
        assert_eq!(read(far.as_bytes()), Some(Value::Null));
    }

    /// What was read is kept in other documents, and has to be readable there.
    #[test]
    fn a_parsed_value_parses_again_within_its_margin() {
        for depth in [1, 60, 64, 65, 100, 124, 125, 126, 127, 128, 129, 1_000] {
            let text = format!(r#"{{"data":{{"unsafe_metadata":{}}}}}"#, nested(depth));
            let value = read(text.as_bytes()).expect("JSON");
            let kept = json!({ "a": { "b": { "c": [value] } } }).to_string();
            serde_json::from_str::<Value>(&kept).expect("as deep as may be");
            assert!(value["data"]["unsafe_metadata"].is_array(), "{depth}");
        }
    }

    #[test]
    fn invalid_json_is_none() {
        for text in ["", "hello", "{", "{}}", "[1,]", "\"\u{1}\"", &"[".repeat(1_000)] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(b"\"\xff\""), None);
    }

    #[test]
    fn any_number_is_taken_without_its_fraction() {
        for value in [json!(1_790_000_000), json!(1_790_000_000.5)] {
            assert_eq!(whole(&value), Some(1_790_000_000), "{value}");
        }
        for value in [json!("1790000000"), json!(null), json!([]), json!(true)] {
            assert_eq!(whole(&value), None, "{value}");
        }
        assert_eq!(whole(&json!(1e300)), Some(i64::MAX));
    }
}
