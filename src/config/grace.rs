//! Grace policy and ticket keys from environment variables.

use super::env::Vars;
use super::error::{ConfigError, invalid};
use crate::decide::policy::{GracePolicy, PolicyError};
use crate::state::ticket::TicketKeys;

const GRACE: &str = "CLERK_RESILIENCE_GRACE";
const MAX_GRACE: &str = "CLERK_RESILIENCE_MAX_GRACE";
const EPISODE: &str = "CLERK_RESILIENCE_GRACE_BUDGET";
const DAY: &str = "CLERK_RESILIENCE_GRACE_DAY_BUDGET";
const TICKETS: &str = "CLERK_RESILIENCE_TICKET_KEYS";

impl Vars<'_> {
    pub(super) fn grace(&self) -> Result<GracePolicy, ConfigError> {
        let preset = self.get(GRACE);
        let policy = match preset.as_deref().map(|text| text.trim().to_ascii_lowercase()).as_deref()
        {
            None | Some("off") => {
                return self.without_bounds().map(|()| GracePolicy::disabled());
            }
            Some("report-only") => GracePolicy::balanced().report_only(),
            Some("balanced") => GracePolicy::balanced(),
            Some("available") => GracePolicy::available(),
            Some(_) => {
                return Err(invalid(GRACE, &"write off, report-only, balanced or available"));
            }
        };
        // An empty bound is an invalid duration; the policy does not fall back to the preset's
        // bound.
        let policy = match self.raw(MAX_GRACE) {
            Some(span) => policy.max_grace(span),
            None => policy,
        };
        let policy = match self.raw(EPISODE) {
            Some(span) => policy.episode_budget(span),
            None => policy,
        };
        let policy = match self.raw(DAY) {
            Some(span) => policy.day_budget(span),
            None => policy,
        };
        policy.check().map_err(in_variables)?;
        Ok(policy)
    }

    pub(super) fn tickets(&self) -> Result<Option<TicketKeys>, ConfigError> {
        let keys = self.get(TICKETS).map(|text| TicketKeys::parse(text.trim()));
        keys.transpose().map_err(|error| invalid(TICKETS, &error))
    }

    /// Rejects bounds while grace is off: an operator who sets a bound expects grace.
    fn without_bounds(&self) -> Result<(), ConfigError> {
        match [MAX_GRACE, EPISODE, DAY].into_iter().find(|name| self.raw(name).is_some()) {
            None => Ok(()),
            Some(bound) => Err(ConfigError::Contradiction {
                first: bound,
                second: GRACE,
                problem: "a bound is set, but grace is off; set CLERK_RESILIENCE_GRACE to report-only, balanced or available, or unset the bound",
            }),
        }
    }
}

/// Translates option names in a policy error into variable names.
fn in_variables(error: PolicyError) -> ConfigError {
    match error {
        PolicyError::Span { option, source } => invalid(variable(option), &source),
        PolicyError::Bound { option, problem } => invalid(variable(option), &problem),
        PolicyError::Contradiction { first, second, problem } => {
            ConfigError::Contradiction { first: variable(first), second: variable(second), problem }
        }
    }
}

fn variable(option: &'static str) -> &'static str {
    match option {
        "max_grace" => MAX_GRACE,
        "episode_budget" => EPISODE,
        "day_budget" => DAY,
        other => other,
    }
}
