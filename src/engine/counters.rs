//! Counters of requests, calls to Clerk, webhooks and failures.

use std::sync::atomic::{AtomicU64, Ordering};

/// Atomic counters. Each one counts from the build of the layer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    fresh: AtomicU64,
    machines: AtomicU64,
    renewed: AtomicU64,
    grace: AtomicU64,
    grace_reported: AtomicU64,
    audit_withheld: AtomicU64,
    anonymous: AtomicU64,
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
    unavailable: AtomicU64,
    handshakes: AtomicU64,
    without_azp: AtomicU64,
    upstream_calls: AtomicU64,
    backend_questions: AtomicU64,
    backend_unanswered: AtomicU64,
    machine_answers_reused: AtomicU64,
    state_failures: AtomicU64,
    signals_dropped: AtomicU64,
    sign_outs_dropped: AtomicU64,
    webhooks_accepted: AtomicU64,
    webhooks_unused: AtomicU64,
    webhooks_repeated: AtomicU64,
    webhooks_refused: AtomicU64,
    webhooks_nonsense: AtomicU64,
    webhooks_not_kept: AtomicU64,
    hook_failures: AtomicU64,
    store_failures: AtomicU64,
    store_fallen_back: AtomicU64,
}

/// Counter values at one moment, as returned by
/// [`ClerkResilience::counts`](crate::ClerkResilience::counts).
///
/// Each value counts from the build of the layer and never decreases. The values are not read
/// atomically together. A request counts once, however many layers judge it: in at most one of
/// [`fresh`](Self::fresh), [`machines`](Self::machines), [`grace`](Self::grace),
/// [`anonymous`](Self::anonymous), [`unauthorized`](Self::unauthorized),
/// [`forbidden`](Self::forbidden), [`unavailable`](Self::unavailable) or
/// [`handshakes`](Self::handshakes).
///
/// | grows | look at |
/// |---|---|
/// | [`unavailable`](Self::unavailable) while the verdict is `healthy` | keys and clock in `/auth/health` |
/// | [`webhooks_refused`](Self::webhooks_refused) | the signing secret |
/// | [`webhooks_not_kept`](Self::webhooks_not_kept), [`store_failures`](Self::store_failures) | the store |
/// | [`state_failures`](Self::state_failures) | the state directory |
/// | [`hook_failures`](Self::hook_failures) | the application's hooks |
/// | [`backend_unanswered`](Self::backend_unanswered) | the Backend API and its quota |
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use clerk_resilience::{ClerkResilience, Verdict};
///
/// /// Logs once a minute what the layer could not verify while Clerk was well.
/// async fn watch(clerk: ClerkResilience) {
///     let mut before = clerk.counts();
///     loop {
///         tokio::time::sleep(Duration::from_secs(60)).await;
///         let now = clerk.counts();
///         let unverified = now.unavailable - before.unavailable;
///         if unverified > 0 && clerk.verdict() == Verdict::Healthy {
///             eprintln!("{unverified} requests got 503 within a minute");
///         }
///         before = now;
///     }
/// }
/// # let _ = watch;
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests accepted with a session token that has not expired.
    pub fresh: u64,
    /// Requests accepted with a machine token.
    pub machines: u64,
    /// Requests whose expired session the layer refreshed at the Backend API.
    pub renewed: u64,
    /// Requests accepted in grace, the bridge included. Zero while Clerk is well.
    pub grace: u64,
    /// Requests answered 503 in report-only mode that grace would have accepted. These requests
    /// also count as [`unavailable`](Self::unavailable).
    pub grace_reported: u64,
    /// Grace rejections withheld from the audit log. The log records at most ten rejections of one
    /// session per minute.
    pub audit_withheld: u64,
    /// Requests accepted without a session.
    pub anonymous: u64,
    /// Requests answered 401 or redirected to the sign-in page.
    pub unauthorized: u64,
    /// Requests answered 403.
    pub forbidden: u64,
    /// Requests answered 503. Grows in an outage; alert on it only while the verdict is `healthy`.
    pub unavailable: u64,
    /// Requests redirected to Clerk's handshake for a fresh session. Many of them in a row for one
    /// visitor mean a loop, which ends at a page after three returns.
    pub handshakes: u64,
    /// Verified tokens without an `azp` claim. Each token counts once while it is cached.
    /// [`AzpPolicy::Required`](clerk_verify::token::AzpPolicy::Required) would reject these tokens.
    pub without_azp: u64,
    /// Calls that the driver and reconciliation made to Clerk, its status page and the egress
    /// canaries.
    pub upstream_calls: u64,
    /// Backend API calls made for a request or a profile look-up.
    pub backend_questions: u64,
    /// Calls of [`backend_questions`](Self::backend_questions) that timed out, failed, or were
    /// answered 429 or 5xx.
    pub backend_unanswered: u64,
    /// Requests with a machine token that a cached Backend API response decided.
    pub machine_answers_reused: u64,
    /// Failed reads and writes of the state directory. Until a write succeeds, nothing survives a
    /// restart.
    pub state_failures: u64,
    /// Signals dropped because the driver's signal queue was full.
    pub signals_dropped: u64,
    /// Sign-outs that never reach Clerk, because 50,000 others were pending or the driver had
    /// ended. The application still rejects these sessions.
    pub sign_outs_dropped: u64,
    /// Webhooks accepted that revoke something, change a profile or have a hook.
    pub webhooks_accepted: u64,
    /// Webhooks accepted that had no effect. Deselect such kinds in the Clerk dashboard to save
    /// deliveries.
    pub webhooks_unused: u64,
    /// Webhooks received before, with the same message id.
    pub webhooks_repeated: u64,
    /// Webhooks rejected because of a bad signature or timestamp.
    pub webhooks_refused: u64,
    /// Webhooks with a good signature and a malformed body.
    pub webhooks_nonsense: u64,
    /// Webhooks that the store failed to accept. The receiver answers 503 so that Clerk retries.
    pub webhooks_not_kept: u64,
    /// Failed attempts to run an event's hooks.
    pub hook_failures: u64,
    /// Failed calls of the store, failed webhook deliveries included.
    pub store_failures: u64,
    /// 1 if the configured durable store failed to open and an in-memory store replaces it; else 0.
    /// See [`Store::fallback_error`](crate::store::Store::fallback_error).
    pub store_fallen_back: u64,
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
    passed_machine => machines,
    renewed_session => renewed,
    passed_in_grace => grace,
    reported_grace => grace_reported,
    withheld_audit => audit_withheld,
    passed_anonymous => anonymous,
    answered_unauthorized => unauthorized,
    answered_forbidden => forbidden,
    answered_unavailable => unavailable,
    sent_to_clerk => handshakes,
    saw_no_azp => without_azp,
    asked_upstream => upstream_calls,
    asked_backend => backend_questions,
    unanswered_by_backend => backend_unanswered,
    reused_answer => machine_answers_reused,
    state_failed => state_failures,
    signal_dropped => signals_dropped,
    sign_out_dropped => sign_outs_dropped,
    webhook_accepted => webhooks_accepted,
    webhook_unused => webhooks_unused,
    webhook_repeated => webhooks_repeated,
    webhook_refused => webhooks_refused,
    webhook_made_no_sense => webhooks_nonsense,
    webhook_not_kept => webhooks_not_kept,
    hook_failed => hook_failures,
    store_failed => store_failures,
    store_fell_back => store_fallen_back,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            fresh: read(&self.fresh),
            machines: read(&self.machines),
            renewed: read(&self.renewed),
            grace: read(&self.grace),
            grace_reported: read(&self.grace_reported),
            audit_withheld: read(&self.audit_withheld),
            anonymous: read(&self.anonymous),
            unauthorized: read(&self.unauthorized),
            forbidden: read(&self.forbidden),
            unavailable: read(&self.unavailable),
            handshakes: read(&self.handshakes),
            without_azp: read(&self.without_azp),
            upstream_calls: read(&self.upstream_calls),
            backend_questions: read(&self.backend_questions),
            backend_unanswered: read(&self.backend_unanswered),
            machine_answers_reused: read(&self.machine_answers_reused),
            state_failures: read(&self.state_failures),
            signals_dropped: read(&self.signals_dropped),
            sign_outs_dropped: read(&self.sign_outs_dropped),
            webhooks_accepted: read(&self.webhooks_accepted),
            webhooks_unused: read(&self.webhooks_unused),
            webhooks_repeated: read(&self.webhooks_repeated),
            webhooks_refused: read(&self.webhooks_refused),
            webhooks_nonsense: read(&self.webhooks_nonsense),
            webhooks_not_kept: read(&self.webhooks_not_kept),
            hook_failures: read(&self.hook_failures),
            store_failures: read(&self.store_failures),
            store_fallen_back: read(&self.store_fallen_back),
        }
    }
}
