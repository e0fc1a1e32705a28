//! Identifiers of Clerk's objects. Each type is distinct, so one cannot be passed for another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the identifier without validating it.
            pub fn new(id: impl Into<Arc<str>>) -> Self {
                Self(id.into())
            }

            /// Returns the identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self::new(id)
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self::new(id)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

ids! {
    /// A user id, `user_…`: the `sub` claim.
    UserId
    /// A session id, `sess_…`: the `sid` claim.
    SessionId
    /// An organisation id, `org_…`: the `o.id` claim (v2) or `org_id` (v1).
    OrgId
    /// A signing key id, `ins_…`: the `kid` header parameter. Clerk uses the id of the instance.
    KeyId
    /// A token id: the `jti` claim.
    TokenId
}

/// Returns the name of a role or a permission without its `org:` prefix.
#[must_use]
pub fn bare(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("org:") {
        name = rest;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_its_text() {
        let id = UserId::new("user_1");
        assert_eq!(id.to_string(), "user_1");
        assert_eq!(format!("{id:?}"), "\"user_1\"");
        assert_eq!(id.as_str(), "user_1");
    }
}
