//! [`GracePolicy`]: the conditions under which expired tokens pass while Clerk is down.
//!
//! Every condition has a number, G1 to G16, which [`GraceDenial`](crate::decide::GraceDenial) and
//! `docs/design.md` use. A policy sets the limits of these conditions; it cannot remove one, except
//! G6 by a method whose name begins with `dangerously_`.

use std::time::Duration;

use super::span::{Span, SpanError};

/// Maximum grace of any configuration, counted from a token's `exp`: 24 hours. A token older than
/// that counts as no token, also for sign-outs and the audit.
pub const MAX_GRACE: Duration = clerk_verify::token::EXPIRED_FOR_GOOD;
/// Maximum bridge. The bridge is an allowance for clock differences, not grace.
const MAX_BRIDGE: Duration = Duration::from_secs(60);

/// Whether the layer evaluates the conditions of grace, and whether the result has an effect.
///
/// The order is the usual way to production: [`Disabled`](Self::Disabled), then
/// [`ReportOnly`](Self::ReportOnly) until one outage or drill was observed, then
/// [`Enabled`](Self::Enabled).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum GraceMode {
    /// The layer rejects expired tokens without an evaluation. The default. An expired token gets
    /// 401 while Clerk is healthy, and 503 while it is not.
    #[default]
    Disabled,
    /// The layer evaluates, logs and counts; its responses are the same as with `Disabled`.
    ReportOnly,
    /// The layer evaluates the conditions, and accepts expired tokens that meet them.
    Enabled,
}

/// The required evidence that this application saw the session with a valid token.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SessionEvidence {
    /// The record of sessions that this application has seen, in memory, in the state directory, in
    /// the store, or in a [ticket](crate::Builder::tickets). The default.
    #[default]
    Seen,
    /// The token alone. Only [`dangerously_trust_the_token_alone`] sets it.
    ///
    /// [`dangerously_trust_the_token_alone`]: GracePolicy::dangerously_trust_the_token_alone
    TokenAlone,
}

/// The conditions under which the layer accepts an expired session token while Clerk is down.
///
/// A session token lives 60 s, and only Clerk can renew it. A minute into an outage every honest
/// browser therefore presents an expired token. Grace accepts such a token if *all* of these hold:
///
/// * an outage is proven, or Clerk has just come back and sessions still renew;
/// * the signature is good, by keys that Clerk confirmed within 24 h, and every other check passes;
/// * the session was alive when the outage began, and this application saw it valid;
/// * nothing revoked the session, its user, or the user's membership;
/// * the session is neither impersonated nor pending;
/// * the route allows grace for the method, see [`GraceAccess`](crate::GraceAccess);
/// * no limit of this policy is reached.
///
/// A new sign-in, a machine token, an unknown key or a bad signature never gets grace.
///
/// Every limit counts from a fixed point: the `exp` that Clerk signed, or the start of the first
/// outage of an episode. Outages less than 15 min apart are one episode. Use of a session never
/// prolongs it, and neither does a restart with a state directory or a store.
///
/// Time limits are a [`Duration`], or text with a unit ([`Span`]). Zero means no grace. Text that
/// is no time span also means no grace, and an error at build.
///
/// # Examples
///
/// Shorter limits, and a dry run first:
///
/// ```
/// use std::time::Duration;
/// use clerk_resilience::{GraceMode, GracePolicy};
///
/// let policy = GracePolicy::balanced()
///     .max_grace("30min")
///     .episode_budget(Duration::from_secs(60 * 60))
///     .webhooks_within("5min")
///     .report_only();
/// assert_eq!(policy.mode(), GraceMode::ReportOnly);
/// assert!(policy.check().is_ok());
/// ```
///
/// A mistake is an error at build, and no grace until then:
///
/// ```
/// use clerk_resilience::GracePolicy;
///
/// let policy = GracePolicy::balanced().max_grace("30");
/// let error = policy.check().expect_err("a number without a unit");
/// assert!(error.to_string().contains("max_grace"));
/// ```
///
/// # An outage over time
///
/// With [`balanced`](Self::balanced), for a session whose token was signed just before Clerk
/// failed, and an outage that begins at 12:00:
///
/// | time | state | `GET` of the session |
/// |---|---|---|
/// | about 12:00:05 | two probes failed: suspect | its token has not expired, passes |
/// | 12:00:10 to 12:00:25 | proven by two signals: outage | passes |
/// | 12:01:00 | its token expired | passes in grace |
/// | 13:01:00 | `exp` + 60 min | 503 from now on |
/// | 14:00:00 | 120 min of outage are used up | 503 for every expired session |
/// | Clerk is back | recovering, grace drains for 60 to 90 s | open tabs renew and pass as usual |
///
/// The same as a test, in virtual time:
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
/// use clerk_resilience::{Auth, GracePolicy, SimClerkExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sim = SimClerk::in_memory();
/// let clerk = sim.layer(|builder| builder.grace(GracePolicy::balanced().max_grace("5min")));
/// let app = Router::new().route("/", get(async |_: Auth| "hello")).layer(clerk);
/// let request = sim.get("/", &sim.sign_in("user_1"));
/// assert_eq!(sim.send(&app, &request).await.status(), 200);
///
/// sim.break_with(SimSurface::CLERK, SimFault::status(503));
/// for (minutes, status) in [(2, 200), (3, 200), (3, 503)] {
///     sim.pass(Duration::from_secs(minutes * 60)).await;
///     assert_eq!(sim.send(&app, &request).await.status(), status);
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GracePolicy {
    pub(crate) mode: GraceMode,
    pub(crate) evidence: SessionEvidence,
    pub(crate) max_grace: Duration,
    pub(crate) slack: Duration,
    pub(crate) seen_within: Duration,
    pub(crate) bridge: Duration,
    pub(crate) max_lifetime: Duration,
    pub(crate) episode_budget: Duration,
    pub(crate) day_budget: Duration,
    pub(crate) max_age: Duration,
    pub(crate) max_idle: Duration,
    pub(crate) per_minute: u32,
    pub(crate) deny_list_within: Duration,
    pub(crate) webhooks_within: Option<Duration>,
    /// Names of the options that the application set.
    chosen: Vec<&'static str>,
    faults: Vec<(&'static str, SpanError)>,
}

impl GracePolicy {
    /// Disables grace. [`ClerkResilience::new`](crate::ClerkResilience::new) uses this policy
    /// unless environment variables enable grace.
    ///
    /// A request then differs from one behind a strict verifier in one way only: where the layer
    /// cannot verify a credential, the response is 503 instead of 401.
    #[must_use]
    pub fn disabled() -> Self {
        Self { mode: GraceMode::Disabled, ..Self::balanced() }
    }

    /// Disables grace, and sets grace and bridge to zero, so that no later mode allows either.
    ///
    /// The 30 s of the bridge are off, too, so that no token passes after `exp` and the leeway.
    #[must_use]
    pub fn strict() -> Self {
        Self { bridge: Duration::ZERO, max_grace: Duration::ZERO, ..Self::disabled() }
    }

    /// Enables grace with the recommended limits:
    ///
    /// | limit | value |
    /// |---|---|
    /// | a token is accepted until | `exp` + 60 min |
    /// | the session was active when the outage began | `exp` ≥ start − 60 s, or seen valid ≤ 10 min before |
    /// | lifetime of the token (`exp` − `iat`) | ≤ 10 min |
    /// | outage time with grace, per episode | ≤ 120 min |
    /// | outage time with grace, in 24 h | ≤ 4 h |
    /// | bridge while an outage is only suspected | `exp` + 30 s |
    /// | time since the session was last seen valid | ≤ 12 h |
    /// | time between two requests of a session | ≤ 60 min |
    /// | requests in grace, per session and minute | ≤ 120 |
    /// | time since an external deny list was last complete | ≤ 60 s |
    ///
    /// ```
    /// use clerk_resilience::{GraceMode, GracePolicy};
    ///
    /// assert_eq!(GracePolicy::balanced().mode(), GraceMode::Enabled);
    /// assert_eq!(GracePolicy::default().mode(), GraceMode::Disabled);
    /// ```
    #[must_use]
    pub fn balanced() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            mode: GraceMode::Enabled,
            evidence: SessionEvidence::Seen,
            max_grace: minutes(60),
            slack: minutes(1),
            seen_within: minutes(10),
            bridge: Duration::from_secs(30),
            max_lifetime: minutes(10),
            episode_budget: minutes(120),
            day_budget: minutes(240),
            max_age: minutes(12 * 60),
            max_idle: minutes(60),
            per_minute: 120,
            deny_list_within: minutes(1),
            webhooks_within: None,
            chosen: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Enables grace with wider limits, for read-only applications that prefer availability: 120
    /// min per token, 240 min per episode, 15 min of slack. They cover the longest outage on
    /// Clerk's record.
    #[must_use]
    pub fn available() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            max_grace: minutes(120),
            episode_budget: minutes(240),
            slack: minutes(15),
            ..Self::balanced()
        }
    }

    /// Evaluates, logs and counts grace, but responds as if grace were disabled: a dry run.
    ///
    /// The audit records each request that would have passed as `clerk.grace.reported`, and
    /// [`Counts::grace_reported`](crate::Counts::grace_reported) counts them. The environment
    /// variable is `CLERK_RESILIENCE_GRACE=report-only`.
    #[must_use]
    pub fn report_only(mut self) -> Self {
        self.mode = GraceMode::ReportOnly;
        self
    }

    /// Sets how long after its `exp` a token may pass. More than [`MAX_GRACE`] is an error at
    /// build.
    ///
    /// Default 60 min. This is the longest time for which a stolen token of a live session is
    /// useful, in a proven outage and only for reading unless a route allows more.
    #[must_use]
    pub fn max_grace(mut self, span: impl Into<Span>) -> Self {
        self.max_grace = self.read("max_grace", span.into());
        self
    }

    /// Sets the outage time with grace per episode; at most 24 hours.
    ///
    /// Default 120 min. The budget counts the time of the outages, not of the requests, so it ends
    /// for all sessions at once. It must not exceed the [day budget](Self::day_budget) if both are
    /// set.
    #[must_use]
    pub fn episode_budget(mut self, span: impl Into<Span>) -> Self {
        self.episode_budget = self.read("episode_budget", span.into());
        self
    }

    /// Sets the outage time with grace in any 24 hours; at most 24 hours.
    ///
    /// Default 4 h. It bounds grace where Clerk fails again and again, with pauses that end each
    /// episode.
    #[must_use]
    pub fn day_budget(mut self, span: impl Into<Span>) -> Self {
        self.day_budget = self.read("day_budget", span.into());
        self
    }

    /// Sets how long after its `exp` a token passes while an outage is suspected but not proven.
    /// The bridge is an allowance for clock differences; at most 60 s. Zero disables it.
    ///
    /// Default 30 s. Proof of an outage takes 10 to 25 s; without the bridge, sessions would get
    /// 503 until then. The bridge also lasts 30 s when proof never comes, for example without an
    /// egress canary.
    #[must_use]
    pub fn bridge(mut self, span: impl Into<Span>) -> Self {
        self.bridge = self.read("bridge", span.into());
        self
    }

    /// Sets the maximum time since the session was last seen with a valid token. This limit matters
    /// only if more than 60 min of grace are allowed.
    ///
    /// Default 12 h, condition G13.
    #[must_use]
    pub fn max_age(mut self, span: impl Into<Span>) -> Self {
        self.max_age = self.read("max_age", span.into());
        self
    }

    /// Sets the maximum time between two requests of a session. Requests in grace count.
    ///
    /// Default 60 min, condition G13. A session that nobody uses thus ends earlier than its grace.
    #[must_use]
    pub fn max_idle(mut self, span: impl Into<Span>) -> Self {
        self.max_idle = self.read("max_idle", span.into());
        self
    }

    /// Sets how many requests with an expired token a session may send in a minute of the wall
    /// clock. Further requests get 503.
    ///
    /// Default 120, condition G14. Only requests that meet every other condition count, each once,
    /// however many layers judge it.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.per_minute = requests;
        self
    }

    /// Sets the maximum age of the last complete read of an external deny list
    /// ([`Builder::external_deny_list`](crate::Builder::external_deny_list)), or of a store that
    /// instances share. Default 60 s, condition G8.
    #[must_use]
    pub fn deny_list_within(mut self, span: impl Into<Span>) -> Self {
        self.deny_list_within = self.read("deny_list_within", span.into());
        self
    }

    /// Requires that a webhook, or a complete reconciliation, arrived at most this long before the
    /// outage began; 5 min is a good value. Default: no requirement, because applications without
    /// webhooks could never have grace.
    ///
    /// The requirement is for applications that rely on webhooks for bans: a feed that died
    /// unnoticed would otherwise let a banned user in for the length of grace. Condition G9.
    #[must_use]
    pub fn webhooks_within(mut self, span: impl Into<Span>) -> Self {
        self.webhooks_within = Some(self.read("webhooks_within", span.into()));
        self
    }

    /// **Dangerous.** Accepts sessions that this application has never seen, on an expired token
    /// alone.
    ///
    /// An attacker with an old token that was valid when the outage began gets access, even if the
    /// token was never used here. Use this only for applications that cannot store sessions, such
    /// as functions that live for one request, and that only show nearly public data.
    #[must_use]
    pub fn dangerously_trust_the_token_alone(mut self) -> Self {
        self.evidence = SessionEvidence::TokenAlone;
        self
    }

    /// Returns the mode.
    #[must_use]
    pub fn mode(&self) -> GraceMode {
        self.mode
    }

    /// Checks each limit, and whether the limits fit together.
    ///
    /// [`Builder::build`](crate::Builder::build) calls this method. Call it in a test, to check a
    /// policy that comes from a configuration file.
    ///
    /// # Errors
    ///
    /// Returns [`PolicyError`], which names the options and the fix.
    pub fn check(&self) -> Result<(), PolicyError> {
        if let Some((option, error)) = self.faults.first() {
            return Err(PolicyError::Span { option, source: error.clone() });
        }
        let long = [
            ("max_grace", self.max_grace),
            ("episode_budget", self.episode_budget),
            ("day_budget", self.day_budget),
        ];
        if let Some((option, _)) = long.into_iter().find(|(_, span)| *span > MAX_GRACE) {
            let problem = "grace is limited to 24 hours; choose at most that";
            return Err(PolicyError::Bound { option, problem });
        }
        if self.bridge > MAX_BRIDGE {
            let problem = "the bridge is an allowance for clock differences; choose at most 60 s";
            return Err(PolicyError::Bound { option: "bridge", problem });
        }
        self.agree(
            ("episode_budget", self.episode_budget),
            ("day_budget", self.day_budget),
            "an episode cannot have more outage time than 24 hours; lower the first or raise the second",
        )?;
        self.agree(
            ("bridge", self.bridge),
            ("max_grace", self.max_grace),
            "a suspected outage cannot have more time than a proven one; lower the first or raise the second",
        )
    }

    /// The smaller of two limits applies. If the application set both, a contradiction is an error.
    fn agree(
        &self,
        (first, less): (&'static str, Duration),
        (second, more): (&'static str, Duration),
        problem: &'static str,
    ) -> Result<(), PolicyError> {
        let chosen = [first, second].iter().all(|option| self.chosen.contains(option));
        if chosen && less > more {
            return Err(PolicyError::Contradiction { first, second, problem });
        }
        Ok(())
    }

    /// Invalid text counts as zero, and becomes an error at build.
    fn read(&mut self, option: &'static str, span: Span) -> Duration {
        self.chosen.push(option);
        span.duration().unwrap_or_else(|error| {
            self.faults.push((option, error));
            Duration::ZERO
        })
    }
}

impl Default for GracePolicy {
    fn default() -> Self {
        Self::disabled()
    }
}

/// An invalid grace policy. The message names the options and the fix.
///
/// ```
/// use clerk_resilience::GracePolicy;
/// use clerk_resilience::policy::PolicyError;
///
/// let policy = GracePolicy::balanced().episode_budget("2h").day_budget("1h");
/// assert!(matches!(
///     policy.check(),
///     Err(PolicyError::Contradiction { first: "episode_budget", second: "day_budget", .. })
/// ));
/// ```
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A text that is no time span.
    #[error("{option} cannot be used: {source}")]
    Span {
        /// The option.
        option: &'static str,
        /// The problem.
        source: SpanError,
    },
    /// A limit out of its range.
    #[error("{option} cannot be used: {problem}")]
    Bound {
        /// The option.
        option: &'static str,
        /// The problem and the fix.
        problem: &'static str,
    },
    /// Two options that contradict each other.
    #[error("{first} and {second} do not fit together: {problem}")]
    Contradiction {
        /// One option.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// The fix.
        problem: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_span_gives_no_grace_and_names_the_option() {
        for text in ["", " ", "false", "5", "-5m", "1.5", "60 minuets", "1e300s", "∞"] {
            let policy = GracePolicy::balanced().max_grace(text);
            assert_eq!(policy.max_grace, Duration::ZERO, "{text:?}");
            let error = policy.check().expect_err(text).to_string();
            assert!(error.starts_with("max_grace cannot be used"), "{error}");
            assert!(error.contains("unit"), "{error}");
        }
    }

    #[test]
    fn zero_in_any_spelling_is_no_grace() {
        for zero in ["0", "0s", " 0min "] {
            let policy = GracePolicy::balanced().max_grace(zero);
            assert_eq!((policy.max_grace, policy.check()), (Duration::ZERO, Ok(())), "{zero:?}");
        }
        assert_eq!(GracePolicy::balanced().max_grace(Duration::ZERO).check(), Ok(()));
    }

    #[test]
    fn a_later_good_value_does_not_hide_an_earlier_mistake() {
        let policy = GracePolicy::balanced().bridge("5").bridge("5s");
        assert!(policy.check().is_err());
    }

    #[test]
    fn too_wide_and_contradicting_bounds_are_named() {
        let day = Duration::from_secs(24 * 60 * 60);
        for (policy, names) in [
            (GracePolicy::balanced().max_grace(day * 2), vec!["max_grace", "24 hours"]),
            (GracePolicy::balanced().episode_budget(day * 2), vec!["episode_budget", "24 hours"]),
            (GracePolicy::balanced().day_budget("1month"), vec!["day_budget", "24 hours"]),
            (GracePolicy::balanced().bridge("61s"), vec!["bridge", "60 s"]),
            (
                GracePolicy::balanced().episode_budget("2h").day_budget("1h"),
                vec!["episode_budget", "day_budget"],
            ),
            (GracePolicy::balanced().max_grace("5s").bridge("6s"), vec!["bridge", "max_grace"]),
        ] {
            let error = policy.check().expect_err("refused").to_string();
            assert!(names.iter().all(|name| error.contains(name)), "{error}");
        }
        for preset in [
            GracePolicy::strict(),
            GracePolicy::disabled(),
            GracePolicy::balanced(),
            GracePolicy::available(),
            GracePolicy::balanced().day_budget("1h"),
            GracePolicy::balanced().max_grace(day).episode_budget(day).day_budget(day),
            GracePolicy::balanced().bridge("60s").max_grace("60s"),
        ] {
            assert_eq!(preset.check(), Ok(()));
        }
    }

    #[test]
    fn the_presets_match_their_documentation() {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let balanced = GracePolicy::balanced();
        assert_eq!(balanced.mode(), GraceMode::Enabled);
        assert_eq!((balanced.max_grace, balanced.bridge), (minutes(60), minutes(1) / 2));
        assert_eq!((balanced.slack, balanced.seen_within), (minutes(1), minutes(10)));
        assert_eq!((balanced.episode_budget, balanced.day_budget), (minutes(120), minutes(240)));
        assert_eq!((balanced.max_age, balanced.max_idle), (minutes(720), minutes(60)));
        assert_eq!((balanced.max_lifetime, balanced.deny_list_within), (minutes(10), minutes(1)));
        assert_eq!((balanced.per_minute, balanced.webhooks_within), (120, None));
        let available = GracePolicy::available();
        assert_eq!(available.mode(), GraceMode::Enabled);
        assert_eq!((available.max_grace, available.slack), (minutes(120), minutes(15)));
        assert_eq!(available.episode_budget, minutes(240));
        let strict = GracePolicy::strict();
        assert_eq!((strict.max_grace, strict.bridge), (Duration::ZERO, Duration::ZERO));
        assert_eq!(strict.mode(), GraceMode::Disabled);
        assert_eq!(GracePolicy::disabled().mode(), GraceMode::Disabled);
    }

    #[test]
    fn an_unlimited_span_is_capped_or_rejected() {
        assert!(GracePolicy::balanced().max_grace(Duration::MAX).check().is_err());
        assert!(GracePolicy::balanced().max_grace("5000000000years").check().is_err());
    }
}
