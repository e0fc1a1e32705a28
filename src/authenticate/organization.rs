//! The organisation that an address names, and whether the session must be switched to it.

use crate::token::Organization;

/// Which paths belong to an organisation, and which to the personal account.
///
/// A pattern is a path in which `:id` or `:slug` stands for one segment and `(.*)` for any rest, as
/// `/orgs/:slug/(.*)`. Letters match in both cases, and a slash at the end does not matter. A
/// pattern with any other operator never matches, and [`Site::check`](super::Site::check) refuses it.
#[derive(Clone, Debug, Default)]
pub struct OrganizationSync {
    organization: Vec<Pattern>,
    personal: Vec<Pattern>,
    /// A pattern could not be read.
    unreadable: bool,
}

impl OrganizationSync {
    /// Reads the patterns.
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

    /// True when every pattern could be read.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.unreadable
    }

    /// What a path asks for. The organisation's patterns come first.
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
    /// The value of `organization_id`; the Frontend API takes slugs there too.
    pub(super) fn parameter(&self) -> &str {
        match self {
            Self::Id(name) | Self::Slug(name) => name,
            Self::Personal => "",
        }
    }

    /// Whether a session with this organisation is what the path asks for.
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

#[derive(Clone, Debug)]
struct Pattern(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Segment(String),
    Rest,
}

#[derive(Clone, Default)]
struct Found {
    id: Option<String>,
    slug: Option<String>,
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = Some(text).filter(|text| !text.trim().is_empty())?;
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix("(.*)") {
                parts.push(Part::Rest);
                rest = tail;
            } else if let Some(tail) = rest.strip_prefix(':') {
                let end = tail.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                let (name, tail) = tail.split_at(end.unwrap_or(tail.len()));
                parts.push(Part::Segment(Some(name).filter(|n| !n.is_empty())?.to_owned()));
                rest = tail;
            } else {
                let end = rest.find([':', '(']).unwrap_or(rest.len());
                let (text, tail) = rest.split_at(end);
                if text.is_empty() || text.contains(['*', '+', '?', '{', '}', ')', '\\']) {
                    return None;
                }
                parts.push(Part::Text(text.to_owned()));
                rest = tail;
            }
        }
        Some(Self(parts))
    }

    fn matches(&self, path: &str) -> Option<Found> {
        step(&self.0, path, Found::default())
    }
}

fn step(parts: &[Part], path: &str, found: Found) -> Option<Found> {
    let Some((part, parts)) = parts.split_first() else {
        return matches!(path, "" | "/").then_some(found);
    };
    match part {
        Part::Text(text) => {
            let start = path.get(..text.len())?;
            start.eq_ignore_ascii_case(text).then(|| step(parts, &path[text.len()..], found))?
        }
        Part::Segment(name) => {
            let end = path.find(['/', '#', '?']).unwrap_or(path.len());
            let (segment, path) = path.split_at(end);
            let value = Some(segment).filter(|segment| !segment.is_empty())?.to_owned();
            let found = match name.as_str() {
                "id" => Found { id: Some(value), ..found },
                "slug" => Found { slug: Some(value), ..found },
                _ => found,
            };
            step(parts, path, found)
        }
        Part::Rest => {
            let ends = (0..=path.len()).rev().filter(|end| path.is_char_boundary(*end));
            ends.into_iter().find_map(|end| step(parts, &path[end..], found.clone()))
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
