//! The age of what a token says.

use std::time::Duration;

use super::Timestamp;

/// The time that dates the claims of a token: the earlier of `oiat` and `iat`.
///
/// `iat` is the time of the signature. `oiat` is the time at which Clerk read the claims from its
/// database. A token that Clerk's edge signs during an outage of Clerk's own has a fresh `iat` and
/// an old `oiat`, so `iat` alone says nothing about the age of the claims.
///
/// Every comparison with a revocation takes this type. A bare `iat` does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClaimsTime {
    signed: Option<Timestamp>,
    as_of: Option<Timestamp>,
}

impl ClaimsTime {
    /// The time of claims that were signed at `signed` (`iat`) and read at `read` (`oiat`). Claims
    /// are never newer than their signature. Without one of the two they count as older than
    /// everything.
    #[must_use]
    pub fn signed(signed: Option<Timestamp>, read: Option<Timestamp>) -> Self {
        Self { signed, as_of: signed.zip(read).map(|(signed, read)| signed.min(read)) }
    }

    /// The time of facts that were true at `at` and carry no signature of their own.
    #[must_use]
    pub fn read(at: Option<Timestamp>) -> Self {
        Self { signed: at, as_of: at }
    }

    /// The earlier of `oiat` and `iat`. `None` when the token does not say it.
    #[must_use]
    pub fn as_of(self) -> Option<Timestamp> {
        self.as_of
    }

    /// The age of the claims at `now`. [`Duration::MAX`] when the token does not say it.
    #[must_use]
    pub fn age(self, now: Timestamp) -> Duration {
        self.as_of.map_or(Duration::MAX, |as_of| now.since(as_of))
    }

    /// True when a mark that covers everything up to and including `mark` covers these claims.
    pub fn is_covered_by(self, mark: Timestamp) -> bool {
        self.as_of.is_none_or(|as_of| as_of <= mark)
    }

    /// True when the signature, too, is no later than `mark`.
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
