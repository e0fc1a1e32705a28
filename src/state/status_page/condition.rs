//! One vocabulary of conditions for all vendors.

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The condition of a component, or of the whole page.
///
/// Conditions are ordered by [`severity`](Self::severity), so `max` gives the worse of two.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// The component works.
    Operational,
    /// The component is out of service on purpose.
    Maintenance,
    /// The page does not state a condition, or states it in an unknown word.
    #[default]
    Unknown,
    /// The component works badly.
    Degraded,
    /// The component fails for some users.
    Partial,
    /// The component fails for all users.
    Major,
}

impl Condition {
    /// The rank from 0 (operational) to 5 (major outage).
    ///
    /// Unknown ranks above maintenance and below degraded. An unknown part and an operational part
    /// make an unknown whole, and a known impairment outranks a possible one.
    #[must_use]
    pub const fn severity(self) -> u8 {
        match self {
            Self::Operational => 0,
            Self::Maintenance => 1,
            Self::Unknown => 2,
            Self::Degraded => 3,
            Self::Partial => 4,
            Self::Major => 5,
        }
    }

    /// Whether this is an unplanned impairment: degraded, partial or major.
    #[must_use]
    pub const fn is_impaired(self) -> bool {
        self.severity() >= Self::Degraded.severity()
    }

    /// The worst of the conditions; unknown if there are none.
    pub(super) fn worst(conditions: impl IntoIterator<Item = Self>) -> Self {
        conditions.into_iter().max().unwrap_or_default()
    }

    /// Parses a component's status, in the spelling of any vendor.
    fn from_status(word: &str) -> Self {
        match word {
            "operational" | "OPERATIONAL" => Self::Operational,
            "degraded_performance" | "DEGRADEDPERFORMANCE" | "degraded" => Self::Degraded,
            "partial_outage" | "PARTIALOUTAGE" | "MINOROUTAGE" => Self::Partial,
            "major_outage" | "MAJOROUTAGE" | "full_outage" | "downtime" => Self::Major,
            "under_maintenance" | "UNDERMAINTENANCE" | "maintenance" => Self::Maintenance,
            _ => Self::Unknown,
        }
    }

    /// Parses a page's indicator or an incident's impact, in the spelling of Statuspage.
    ///
    /// Statuspage describes `major` as "Partial System Outage" and uses `critical` for a full
    /// outage.
    fn from_indicator(word: &str) -> Self {
        match word {
            "none" => Self::Operational,
            "minor" => Self::Degraded,
            "major" => Self::Partial,
            "critical" => Self::Major,
            "maintenance" => Self::Maintenance,
            _ => Self::Unknown,
        }
    }
}

impl Ord for Condition {
    fn cmp(&self, other: &Self) -> Ordering {
        self.severity().cmp(&other.severity())
    }
}

impl PartialOrd for Condition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Deserializes a status word. An unknown word or another type gives `Unknown`.
pub(super) fn status<'de, D: Deserializer<'de>>(from: D) -> Result<Condition, D::Error> {
    word(from, Condition::from_status)
}

/// Deserializes an indicator or impact word. An unknown word or another type gives `Unknown`.
pub(super) fn indicator<'de, D: Deserializer<'de>>(from: D) -> Result<Condition, D::Error> {
    word(from, Condition::from_indicator)
}

fn word<'de, D: Deserializer<'de>>(
    from: D,
    read: fn(&str) -> Condition,
) -> Result<Condition, D::Error> {
    Ok(Value::deserialize(from)?.as_str().map(read).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::Condition::{Degraded, Maintenance, Major, Operational, Partial, Unknown};
    use super::*;

    #[test]
    fn conditions_are_ordered_from_operational_to_major() {
        let sorted = [Operational, Maintenance, Unknown, Degraded, Partial, Major];
        assert!(sorted.is_sorted_by(|a, b| a < b));
        assert_eq!(sorted.map(Condition::severity), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn only_degraded_and_worse_is_an_impairment() {
        let impaired = [Operational, Maintenance, Unknown, Degraded, Partial, Major]
            .map(Condition::is_impaired);
        assert_eq!(impaired, [false, false, false, true, true, true]);
    }

    #[test]
    fn the_worst_of_nothing_is_unknown() {
        assert_eq!(Condition::worst([]), Unknown);
        assert_eq!(Condition::worst([Operational, Unknown]), Unknown);
        assert_eq!(Condition::worst([Major, Maintenance, Degraded]), Major);
    }

    #[test]
    fn every_vendor_word_is_read_and_no_other() {
        let rows = [
            ("operational", Operational),
            ("OPERATIONAL", Operational),
            ("degraded_performance", Degraded),
            ("DEGRADEDPERFORMANCE", Degraded),
            ("degraded", Degraded),
            ("partial_outage", Partial),
            ("PARTIALOUTAGE", Partial),
            ("MINOROUTAGE", Partial),
            ("major_outage", Major),
            ("MAJOROUTAGE", Major),
            ("full_outage", Major),
            ("downtime", Major),
            ("under_maintenance", Maintenance),
            ("UNDERMAINTENANCE", Maintenance),
            ("maintenance", Maintenance),
            ("not_monitored", Unknown),
            ("", Unknown),
            ("operational ", Unknown),
            ("none", Unknown),
        ];
        for (word, condition) in rows {
            assert_eq!(Condition::from_status(word), condition, "{word:?}");
        }
        let rows = [
            ("none", Operational),
            ("minor", Degraded),
            ("major", Partial),
            ("critical", Major),
            ("maintenance", Maintenance),
            ("purple", Unknown),
            ("operational", Unknown),
        ];
        for (word, condition) in rows {
            assert_eq!(Condition::from_indicator(word), condition, "{word:?}");
        }
    }
}
