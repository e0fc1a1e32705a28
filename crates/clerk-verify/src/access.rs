//! Requirements that a session must meet.

use std::borrow::Cow;

/// Requirements on a session: a role, a permission, a feature, a plan, a recent verification.
///
/// The session must meet every requirement that is set. An empty `Access` is never met.
/// [`Session::has`](crate::token::Session::has) checks it.
///
/// ```
/// use clerk_verify::access::{Access, Reverification};
///
/// let demand = Access::role("org:admin").and_reverification(Reverification::STRICT);
/// # let _ = demand;
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// The role that the session must have.
    pub role: Option<Cow<'static, str>>,
    /// The permission that the session must have.
    pub permission: Option<Cow<'static, str>>,
    /// The feature that the session's plan must include.
    pub feature: Option<Cow<'static, str>>,
    /// The plan that the session must have.
    pub plan: Option<Cow<'static, str>>,
    /// How recently the user must have verified a factor.
    pub reverification: Option<Reverification>,
}

macro_rules! demands {
    ($($(#[$doc:meta])* $name:ident, $and:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(name: impl Into<Cow<'static, str>>) -> Self {
            Self { $name: Some(name.into()), ..Self::default() }
        }

        #[doc = concat!("And [`", stringify!($name), "`](Self::", stringify!($name), ").")]
        #[must_use]
        pub fn $and(mut self, name: impl Into<Cow<'static, str>>) -> Self {
            self.$name = Some(name.into());
            self
        }
    )*};
}

impl Access {
    demands! {
        /// Requires a role in the active organisation, such as `org:admin`; `admin` is equivalent.
        role, and_role;
        /// Requires a permission in the active organisation, such as `org:teams:manage`.
        permission, and_permission;
        /// Requires a feature of the user's or the organisation's plan: `teams`, or with a scope
        /// `o:teams` (organisation) or `u:teams` (user).
        feature, and_feature;
        /// Requires a plan: `pro`, or with a scope `o:pro` (organisation) or `u:pro` (user).
        plan, and_plan;
    }

    /// Requires that the user verified a factor recently.
    #[must_use]
    pub fn reverification(demand: Reverification) -> Self {
        Self { reverification: Some(demand), ..Self::default() }
    }

    /// Adds [`reverification`](Self::reverification) to the requirements.
    #[must_use]
    pub fn and_reverification(mut self, demand: Reverification) -> Self {
        self.reverification = Some(demand);
        self
    }
}

/// The factor that the user must have verified, and the maximum age of that verification.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Reverification {
    /// The factor to verify.
    pub level: Factor,
    /// Maximum age in minutes; an age equal to this value is too old. Zero is never met.
    pub within_minutes: u32,
}

impl Reverification {
    /// Requires both factors within 10 minutes.
    pub const STRICT_MFA: Self = Self { level: Factor::Multi, within_minutes: 10 };
    /// Requires the second factor within 10 minutes.
    pub const STRICT: Self = Self { level: Factor::Second, within_minutes: 10 };
    /// Requires the second factor within an hour.
    pub const MODERATE: Self = Self { level: Factor::Second, within_minutes: 60 };
    /// Requires the second factor within a day.
    pub const LAX: Self = Self { level: Factor::Second, within_minutes: 24 * 60 };
}

/// A factor of authentication. A user without a second factor must verify the first factor instead.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Factor {
    /// The first factor.
    First,
    /// The second factor.
    Second,
    /// Both factors.
    Multi,
}

impl Factor {
    /// Returns Clerk's name for the factor, such as `second_factor`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first_factor",
            Self::Second => "second_factor",
            Self::Multi => "multi_factor",
        }
    }
}
