//! The time that dates the claims of a token.

use std::time::Duration;

use super::Timestamp;

/// The time that dates the claims of a token: the earlier of `oiat` and `iat`.
///
/// `iat` is the time of the signature. `oiat` is the time at which Clerk read the claims from its
/// database. A token that Clerk's edge signs during an outage at Clerk has a fresh `iat` and an old
/// `oiat`. Therefore `iat` alone does not date the claims.
///
/// Comparisons with revocations take this type, so that a bare `iat` cannot be used by mistake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClaimsTime {
    signed: Option<Timestamp>,
    as_of: Option<Timestamp>,
}

impl ClaimsTime {
    /// Creates the time of claims that were signed at `signed` (`iat`) and read at `read` (`oiat`).
    /// The earlier of the two dates the claims. Claims that lack either time count as older than
    /// everything.
    #[must_use]
    pub fn signed(signed: Option<Timestamp>, read: Option<Timestamp>) -> Self {
        Self { signed, as_of: signed.zip(read).map(|(signed, read)| signed.min(read)) }
    }

    /// Creates the time of unsigned facts that were true at `at`.
    #[must_use]
    pub fn read(at: Option<Timestamp>) -> Self {
        Self { signed: at, as_of: at }
    }

    /// Returns the earlier of `oiat` and `iat`; `None` when the claims have no date.
    #[must_use]
    pub fn as_of(self) -> Option<Timestamp> {
        self.as_of
    }

    /// Returns the age of the claims at `now`; [`Duration::MAX`] when the claims have no date.
    #[must_use]
    pub fn age(self, now: Timestamp) -> Duration {
        self.as_of.map_or(Duration::MAX, |as_of| now.since(as_of))
    }

    /// Returns true when the claims are dated at or before `mark`, or have no date.
    #[must_use]
    pub fn is_covered_by(self, mark: Timestamp) -> bool {
        self.as_of.is_none_or(|as_of| as_of <= mark)
    }

    /// Returns true when the signature is dated at or before `mark`, or has no date.
    #[must_use]
    pub fn is_signed_by(self, mark: Timestamp) -> bool {
        self.signed.is_none_or(|signed| signed <= mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn claims_are_as_old_as_the_earlier_of_both_times() {
        for (iat, oiat, as_of) in [(100, 100, 100), (100, 40, 40), (100, 900, 100)] {
            let time = ClaimsTime::signed(Some(at(iat)), Some(at(oiat)));
            assert_eq!(time.as_of(), Some(at(as_of)), "{iat} {oiat}");
            assert_eq!(time.age(at(160)), Duration::from_secs(160 - as_of.unsigned_abs()));
            assert!(time.is_covered_by(at(as_of)) && !time.is_covered_by(at(as_of - 1)));
            assert!(time.is_signed_by(at(iat)) && !time.is_signed_by(at(iat - 1)));
        }
    }

    #[test]
    fn claims_without_a_time_are_older_than_every_mark() {
        for (iat, oiat) in [(None, Some(at(100))), (Some(at(100)), None), (None, None)] {
            let time = ClaimsTime::signed(iat, oiat);
            assert!(time.is_covered_by(at(-1_000_000)));
            assert_eq!((time.as_of(), time.age(at(0))), (None, Duration::MAX));
        }
    }

    #[test]
    fn claims_of_the_future_have_no_age() {
        let time = ClaimsTime::signed(Some(at(105)), Some(at(105)));
        assert_eq!(time.age(at(100)), Duration::ZERO);
    }
}
