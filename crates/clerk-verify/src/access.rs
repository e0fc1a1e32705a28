//! What a session can be asked to have.

use std::borrow::Cow;

/// A demand on a session: a role, a permission, a feature, a plan, a recent verification, or several
/// of them, which must then all be met. A demand for nothing is never met.
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
    /// The verification that must be recent.
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
        /// A role in the active organisation, as `org:admin`; `admin` means the same.
        role, and_role;
        /// A permission in the active organisation, as `org:teams:manage`.
        permission, and_permission;
        /// A feature of the user's or the organisation's plan: `teams`, or with the scope `o:teams`,
        /// `u:teams`.
        feature, and_feature;
        /// A plan: `pro`, or with the scope `o:pro`, `u:pro`.
        plan, and_plan;
    }

    /// That the user verified a factor recently.
    #[must_use]
    pub fn reverification(demand: Reverification) -> Self {
        Self { reverification: Some(demand), ..Self::default() }
    }

    /// And [`reverification`](Self::reverification).
    #[must_use]
    pub fn and_reverification(mut self, demand: Reverification) -> Self {
        self.reverification = Some(demand);
        self
    }
}

/// How recently, and with what, the user must have proven who they are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Reverification {
    /// Which factor.
    pub level: Factor,
    /// Within how many minutes; an age equal to this is too old. Zero is never met.
    pub within_minutes: u32,
}

impl Reverification {
    /// Both factors within 10 minutes.
    pub const STRICT_MFA: Self = Self { level: Factor::Multi, within_minutes: 10 };
    /// The second factor within 10 minutes.
    pub const STRICT: Self = Self { level: Factor::Second, within_minutes: 10 };
    /// The second factor within an hour.
    pub const MODERATE: Self = Self { level: Factor::Second, within_minutes: 60 };
    /// The second factor within a day.
    pub const LAX: Self = Self { level: Factor::Second, within_minutes: 24 * 60 };
}

/// A factor of authentication. A user who has no second factor is asked for the first in its place.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Factor {
    /// The first.
    First,
    /// The second.
    Second,
    /// Both.
    Multi,
}

impl Factor {
    /// Clerk's name for it, as `second_factor`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first_factor",
            Self::Second => "second_factor",
            Self::Multi => "multi_factor",
        }
    }
}
