//! Selection of the active organisation by the path of a request.

use super::pattern::Pattern;
use crate::token::Organization;

/// Path patterns of organisations and of the personal account.
///
/// In a pattern, `:id` or `:slug` matches one segment and `(.*)` matches any rest, as in
/// `/orgs/:slug/(.*)`. Matching ignores case and a slash at the end. A pattern with any other
/// operator never matches, and [`Site::check`](super::Site::check) rejects it.
#[derive(Clone, Debug, Default)]
pub struct OrganizationSync {
    organization: Vec<Pattern>,
    personal: Vec<Pattern>,
    /// True when a pattern could not be parsed.
    unreadable: bool,
}

impl OrganizationSync {
    /// Parses the patterns. Patterns that cannot be parsed are omitted; see
    /// [`is_readable`](Self::is_readable).
    #[must_use]
    pub fn new<'a>(
        organization: impl IntoIterator<Item = &'a str>,
        personal: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut unreadable = false;
        let mut read = |pattern: &str| {
            let pattern = Pattern::parse(pattern);
            unreadable |= pattern.is_none();
            pattern
        };
        let organization = organization.into_iter().filter_map(&mut read).collect();
        let personal = personal.into_iter().filter_map(&mut read).collect();
        Self { organization, personal, unreadable }
    }

    /// Returns true when every pattern could be parsed.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.unreadable
    }

    /// Returns the organisation or account that a path requires. Organisation patterns take
    /// precedence.
    pub(super) fn target(&self, path: &str) -> Option<Target> {
        let named = self.organization.iter().find_map(|pattern| pattern.matches(path));
        let target =
            named.and_then(|found| found.id.map(Target::Id).or(found.slug.map(Target::Slug)));
        let personal = || self.personal.iter().any(|pattern| pattern.matches(path).is_some());
        target.or_else(|| personal().then_some(Target::Personal))
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Target {
    Id(String),
    Slug(String),
    Personal,
}

impl Target {
    /// Returns the value of `organization_id`. The Frontend API accepts a slug there too.
    pub(super) fn parameter(&self) -> &str {
        match self {
            Self::Id(name) | Self::Slug(name) => name,
            Self::Personal => "",
        }
    }

    /// Returns true when a session with this organisation satisfies the path.
    pub(super) fn is_active(&self, organization: Option<&Organization>) -> bool {
        match self {
            Self::Id(id) => organization.is_some_and(|org| org.id.as_str() == id),
            Self::Slug(slug) => {
                organization.is_some_and(|org| org.slug.as_deref() == Some(slug.as_str()))
            }
            Self::Personal => organization.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_organisation() {
        let sync = OrganizationSync::new(
            ["/orgs/:slug", "/orgs/:slug/(.*)", "/by-id/:id", "i am not a path", "/x/:id?"],
            ["/me", "/me/(.*)"],
        );
        let slug = |slug: &str| Some(Target::Slug(slug.to_owned()));
        assert_eq!(sync.target("/orgs/acme"), slug("acme"));
        assert_eq!(sync.target("/Orgs/acme/"), slug("acme"));
        assert_eq!(sync.target("/orgs/acme/settings/x"), slug("acme"));
        assert_eq!(sync.target("/by-id/org_1"), Some(Target::Id("org_1".to_owned())));
        assert_eq!(sync.target("/me/settings"), Some(Target::Personal));
        for path in ["/", "/orgs", "/orgs/", "/by-id/a/b", "/x/a", "/meme"] {
            assert_eq!(sync.target(path), None, "{path}");
        }
    }
}
