//! A JSON value, parsed leniently.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// Latest time that a browser's `Date` can hold, in Unix seconds. A claim beyond it is rejected,
/// because comparisons would be meaningless.
const MAX_SECONDS: f64 = 8.64e12;

/// A claim or header parameter as received. Lenient parsing turns a wrong type into a specific
/// rejection instead of a parse error. Text is borrowed where possible.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Json<'a> {
    #[default]
    Absent,
    Null,
    Text(Cow<'a, str>),
    Number(f64),
    Flag(bool),
    List(Vec<Json<'a>>),
    Object(Vec<(Name<'a>, Json<'a>)>),
}

/// The name of an object member.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Name<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl<'a> Json<'a> {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// Returns the elements of a list; an empty slice for any other value.
    pub(crate) fn list(&self) -> &[Json<'a>] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    /// Returns a member of an object; the last of equal names wins.
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(members) => {
                members.iter().rev().find(|(member, _)| member.0 == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Returns true for values that are falsy in JavaScript.
    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::Absent | Self::Null | Self::Flag(false) => true,
            Self::Text(text) => text.is_empty(),
            Self::Number(n) => *n == 0.0,
            Self::Flag(true) | Self::List(_) | Self::Object(_) => false,
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns a `NumericDate` (RFC 7519 §2) in whole Unix seconds. Fractions are truncated, as
    /// Clerk does.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked and fractions go")]
    pub(crate) fn seconds(&self) -> Option<i64> {
        self.number().filter(|n| n.abs() <= MAX_SECONDS).map(|n| n.trunc() as i64)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    #[expect(clippy::cast_precision_loss, reason = "JSON numbers are doubles to Clerk")]
    fn visit_u64<E>(self, n: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(n as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "JSON numbers are doubles to Clerk")]
    fn visit_i64<E>(self, n: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(n as f64))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number(n))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json<'de>, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            list.push(element);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_json_is_read_as_something() {
        for (json, value) in [
            ("\"a\"", Json::Text("a".into())),
            ("1", Json::Number(1.0)),
            ("-1", Json::Number(-1.0)),
            ("1.5", Json::Number(1.5)),
            ("null", Json::Null),
            ("true", Json::Flag(true)),
            ("[1,[2]]", Json::List(vec![Json::Number(1.0), Json::List(vec![Json::Number(2.0)])])),
            ("{\"a\":{}}", Json::Object(vec![(Name("a".into()), Json::Object(vec![]))])),
        ] {
            assert_eq!(serde_json::from_str::<Json<'_>>(json).expect(json), value);
        }
    }

    #[test]
    fn the_last_of_equal_members_wins() {
        let object: Json<'_> = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).expect("an object");
        assert_eq!(object.get("a"), Some(&Json::Number(3.0)));
        assert_eq!(object.get("c"), None);
        assert_eq!(Json::Absent.get("a"), None);
    }

    #[test]
    fn a_numeric_date_is_a_number_in_the_range_of_dates() {
        assert_eq!(Json::Number(1.9).seconds(), Some(1));
        assert_eq!(Json::Number(-1.9).seconds(), Some(-1));
        assert_eq!(Json::Number(1e300).seconds(), None);
        assert_eq!(Json::Number(f64::NAN).seconds(), None);
        assert_eq!(Json::Text("1".into()).seconds(), None);
    }
}
