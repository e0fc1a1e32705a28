//! What happened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of the process.
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

/// The counts at one moment; each counts since the start of the process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that passed with a session within its time.
    pub fresh: u64,
    /// Requests that passed as a machine's.
    pub machines: u64,
    /// Requests whose expired session was renewed on the way.
    pub renewed: u64,
    /// Requests that passed in grace.
    pub grace: u64,
    /// Requests that would have passed in grace, were it not only reported.
    pub grace_reported: u64,
    /// Refusals of grace that were not recorded in the audit log, because ten of the same session were
    /// recorded in the same minute.
    pub audit_withheld: u64,
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
    /// first request; [`AzpPolicy::Required`](clerk_verify::token::AzpPolicy::Required) would refuse them.
    pub without_azp: u64,
    /// Questions asked of Clerk and its status page.
    pub upstream_calls: u64,
    /// Questions asked of the Backend API because a request waited for the answer.
    pub backend_questions: u64,
    /// How many of these it did not answer in time, or with 429 or a failure of its own.
    pub backend_unanswered: u64,
    /// Machine tokens of which an earlier answer of the Backend API told.
    pub machine_answers_reused: u64,
    /// Times the state directory could not be read or written.
    pub state_failures: u64,
    /// Signals to the driver that were dropped because it was too far behind.
    pub signals_dropped: u64,
    /// Sign-outs that never reach Clerk, because 50,000 others waited. The sessions are refused here.
    pub sign_outs_dropped: u64,
    /// Webhooks that were kept, because something here acts on them.
    pub webhooks_accepted: u64,
    /// Webhooks of kinds that nothing here acts on.
    pub webhooks_unused: u64,
    /// Webhooks that had come before.
    pub webhooks_repeated: u64,
    /// Webhooks without a good signature or at a wrong time.
    pub webhooks_refused: u64,
    /// Webhooks whose signature is good and whose content makes no sense.
    pub webhooks_nonsense: u64,
    /// Webhooks that could not be kept, so that Clerk sends them again.
    pub webhooks_not_kept: u64,
    /// Times that a hook failed.
    pub hook_failures: u64,
    /// Times that the store did not do its work, deliveries aside.
    pub store_failures: u64,
    /// 1 when the store should outlive the process and does not, because it could not be opened; see
    /// [`Store::fallen_back`](crate::store::Store::fallen_back).
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
