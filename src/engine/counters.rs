//! What happened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    fresh: AtomicU64,
    grace: AtomicU64,
    grace_reported: AtomicU64,
    anonymous: AtomicU64,
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
    unavailable: AtomicU64,
    handshakes: AtomicU64,
    without_azp: AtomicU64,
    upstream_calls: AtomicU64,
    state_failures: AtomicU64,
    signals_dropped: AtomicU64,
}

/// The counts at one moment; each counts since the start of the process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that passed with a session within its time.
    pub fresh: u64,
    /// Requests that passed in grace.
    pub grace: u64,
    /// Requests that would have passed in grace, were it not only reported.
    pub grace_reported: u64,
    /// Requests that passed without a session.
    pub anonymous: u64,
    /// Requests answered 401, or sent to sign in.
    pub unauthorized: u64,
    /// Requests answered 403.
    pub forbidden: u64,
    /// Requests answered 503.
    pub unavailable: u64,
    /// Browsers sent to Clerk for a fresh session.
    pub handshakes: u64,
    /// Tokens that were verified and name no application they were made for. Each counts once, at its
    /// first request; [`AzpPolicy::Required`](crate::token::AzpPolicy::Required) would refuse them.
    pub without_azp: u64,
    /// Questions asked of Clerk and its status page.
    pub upstream_calls: u64,
    /// Times the state directory could not be read or written.
    pub state_failures: u64,
    /// Signals to the driver that were dropped because it was too far behind.
    pub signals_dropped: u64,
}

macro_rules! counted {
    ($($method:ident => $field:ident),* $(,)?) => {
        impl Counters {
            $(pub(crate) fn $method(&self) {
                self.$field.fetch_add(1, Ordering::Relaxed);
            })*
        }
    };
}

counted! {
    passed_fresh => fresh,
    passed_in_grace => grace,
    reported_grace => grace_reported,
    passed_anonymous => anonymous,
    answered_unauthorized => unauthorized,
    answered_forbidden => forbidden,
    answered_unavailable => unavailable,
    sent_to_clerk => handshakes,
    saw_no_azp => without_azp,
    asked_upstream => upstream_calls,
    state_failed => state_failures,
    signal_dropped => signals_dropped,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            fresh: read(&self.fresh),
            grace: read(&self.grace),
            grace_reported: read(&self.grace_reported),
            anonymous: read(&self.anonymous),
            unauthorized: read(&self.unauthorized),
            forbidden: read(&self.forbidden),
            unavailable: read(&self.unavailable),
            handshakes: read(&self.handshakes),
            without_azp: read(&self.without_azp),
            upstream_calls: read(&self.upstream_calls),
            state_failures: read(&self.state_failures),
            signals_dropped: read(&self.signals_dropped),
        }
    }
}
