//! One JSON value of which only the simple kinds are of use.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Latest time that a browser's `Date` can hold, in Unix seconds. Beyond it comparison is
/// meaningless, so such a claim is refused.
const MAX_SECONDS: f64 = 8.64e12;

/// A claim or header parameter as it came: signed tokens are read leniently and judged afterwards,
/// so that a wrong type is a named refusal and not a parse error.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Scalar {
    #[default]
    Absent,
    Text(String),
    Number(f64),
    /// `null`, a boolean, an array or an object.
    Other,
}

impl Scalar {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// A `NumericDate` (RFC 7519 §2) in whole Unix seconds, fractions cut off as Clerk does.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked and fractions go")]
    pub(crate) fn seconds(&self) -> Option<i64> {
        match self {
            Self::Number(n) if n.abs() <= MAX_SECONDS => Some(n.trunc() as i64),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    #[expect(clippy::cast_precision_loss, reason = "JSON numbers are doubles to Clerk")]
    fn visit_u64<E>(self, n: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(n as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "JSON numbers are doubles to Clerk")]
    fn visit_i64<E>(self, n: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(n as f64))
    }

    fn visit_f64<E>(self, n: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(n))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_json_is_read_as_something() {
        for (json, scalar) in [
            ("\"a\"", Scalar::Text("a".into())),
            ("1", Scalar::Number(1.0)),
            ("-1", Scalar::Number(-1.0)),
            ("1.5", Scalar::Number(1.5)),
            ("null", Scalar::Other),
            ("true", Scalar::Other),
            ("[1,[2]]", Scalar::Other),
            ("{\"a\":{}}", Scalar::Other),
        ] {
            assert_eq!(serde_json::from_str::<Scalar>(json).expect(json), scalar);
        }
    }

    #[test]
    fn a_numeric_date_is_a_number_in_the_range_of_dates() {
        assert_eq!(Scalar::Number(1.9).seconds(), Some(1));
        assert_eq!(Scalar::Number(-1.9).seconds(), Some(-1));
        assert_eq!(Scalar::Number(1e300).seconds(), None);
        assert_eq!(Scalar::Number(f64::NAN).seconds(), None);
        assert_eq!(Scalar::Text("1".into()).seconds(), None);
    }
}
