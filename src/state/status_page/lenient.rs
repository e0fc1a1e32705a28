//! Lenient deserialization, for documents that deviate from their documented format.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Condition;

/// A list that retains its readable rows. A missing list or `null` counts as empty.
#[derive(Debug)]
pub(super) struct Rows<T> {
    rows: Vec<T>,
    complete: bool,
}

impl<T> Rows<T> {
    /// The condition of a component that such a list of impairments does not name: operational, or
    /// unknown if some row was unreadable.
    pub(super) fn silence(&self) -> Condition {
        if self.complete { Condition::Operational } else { Condition::Unknown }
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), complete: true }
    }
}

impl<T> Deref for Rows<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.rows
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let values = match Value::deserialize(from)? {
            Value::Array(values) => values,
            other => return Ok(Self { rows: Vec::new(), complete: other.is_null() }),
        };
        let found = values.len();
        let rows: Vec<T> =
            values.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect();
        Ok(Self { complete: rows.len() == found, rows })
    }
}

/// Deserializes a value of the expected type. A value of another type counts as missing.
pub(super) fn option<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(json: &str) -> Rows<u8> {
        serde_json::from_str(json).expect("rows are read from any JSON")
    }

    #[test]
    fn unreadable_rows_are_skipped() {
        let rows = rows(r#"[1, "two", 3, null, 400]"#);
        assert_eq!(*rows, [1, 3]);
        assert_eq!(rows.silence(), Condition::Unknown);
    }

    #[test]
    fn a_null_list_is_empty_and_silent() {
        assert_eq!(rows("null").silence(), Condition::Operational);
        assert_eq!(rows("[]").silence(), Condition::Operational);
    }

    #[test]
    fn something_that_is_no_list_has_no_rows_and_proves_nothing() {
        assert!(rows(r#"{"0": 1}"#).is_empty());
        assert_eq!(rows(r#""none""#).silence(), Condition::Unknown);
    }
}
