//! When clerk-js asks for the next token, as measured with the real one in a real browser.

use std::time::Duration;

/// clerk-js renews a token at this age.
pub const RENEW_AFTER: Duration = Duration::from_secs(43);
/// After a failure it waits until 5 s before the token expires.
const SECOND_CHANCE: Duration = Duration::from_secs(11);
/// Then it retries with growing pauses.
const FIRST_PAUSE: Duration = Duration::from_secs(3);
const GROWTH: f64 = 1.55;
const LONGEST_PAUSE: Duration = Duration::from_secs(50);
/// Retries before the pauses start over.
const RETRIES: u32 = 8;
const NEW_CHAIN: Duration = Duration::from_secs(5);

/// The renewals of one open tab.
#[derive(Debug, Default)]
pub struct Renewal {
    failures: u32,
}

impl Renewal {
    /// The pause after an attempt.
    pub fn pause_after(&mut self, succeeded: bool) -> Duration {
        if succeeded {
            self.failures = 0;
            return RENEW_AFTER;
        }
        self.failures += 1;
        match self.failures {
            1 => SECOND_CHANCE,
            failures if failures < 2 + RETRIES => {
                let exponent = i32::try_from(failures - 2).unwrap_or(i32::MAX);
                FIRST_PAUSE.mul_f64(GROWTH.powi(exponent)).min(LONGEST_PAUSE)
            }
            _ => {
                self.failures = 1;
                NEW_CHAIN
            }
        }
    }
}
