//! Lists of features and plans in a token, such as `o:teams,u:basic,ou:both`.

/// Features or plans, grouped by owner.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Scoped {
    /// Entries of the active organisation, scope `o`.
    pub organization: Vec<String>,
    /// Entries of the user, scope `u`.
    pub user: Vec<String>,
}

impl Scoped {
    /// Parses a `fea` or `pla` claim. An entry with both scopes (`ou` or `uo`) is in both lists; an
    /// entry with an unknown scope is in neither. If any entry has no scope, both lists are empty,
    /// as in Clerk's JavaScript SDK.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let mut scoped = Self::default();
        for ScopeEntry { scope, name } in entries(list).unwrap_or_default() {
            if scope.is_organizations() {
                scoped.organization.push(name.to_owned());
            }
            if scope.is_users() {
                scoped.user.push(name.to_owned());
            }
        }
        scoped
    }
}

/// One feature or plan of a list.
pub(super) struct ScopeEntry<'a> {
    pub(super) scope: Scope,
    pub(super) name: &'a str,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Scope {
    Organization,
    User,
    Both,
    /// A scope that Clerk does not document.
    Other,
}

impl Scope {
    pub(super) fn is_organizations(self) -> bool {
        matches!(self, Self::Organization | Self::Both)
    }

    pub(super) fn is_users(self) -> bool {
        matches!(self, Self::User | Self::Both)
    }
}

/// Parses the entries of a list, in order; `None` when an entry has no scope.
pub(super) fn entries(list: &str) -> Option<Vec<ScopeEntry<'_>>> {
    if list.is_empty() {
        return Some(Vec::new());
    }
    list.split(',').map(entry).collect()
}

fn entry(text: &str) -> Option<ScopeEntry<'_>> {
    let (scope, name) = trim(text).split_once(':')?;
    let scope = match scope {
        "o" => Scope::Organization,
        "u" => Scope::User,
        "ou" | "uo" => Scope::Both,
        _ => Scope::Other,
    };
    Some(ScopeEntry { scope, name })
}

/// Trims exactly the white space that JavaScript's `String.prototype.trim` trims.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stands_under_each_of_its_scopes() {
        let scoped = Scoped::parse("o:teams, u:basic,ou:both,uo:same:x,x:odd");
        assert_eq!(scoped.organization, ["teams", "both", "same:x"]);
        assert_eq!(scoped.user, ["basic", "both", "same:x"]);
        assert_eq!(Scoped::parse(""), Scoped::default());
    }

    #[test]
    fn an_entry_without_a_scope_spoils_the_whole_list() {
        for list in ["o:teams,bare", "o:teams,", ",o:teams", " ", "o:teams,,u:basic"] {
            assert_eq!(Scoped::parse(list), Scoped::default(), "{list:?}");
        }
    }

    #[test]
    fn white_space_is_what_javascript_trims() {
        for space in [" ", "\t", "\n", "\u{a0}", "\u{feff}", "\u{2028}", "\u{3000}"] {
            let list = format!("{space}o:teams{space}");
            assert_eq!(Scoped::parse(&list).organization, ["teams"], "{space:?}");
        }
        for other in ["\u{85}", "\u{200b}", "\u{180e}"] {
            let list = format!("{other}o:teams");
            assert!(Scoped::parse(&list).organization.is_empty(), "{other:?}");
        }
    }
}
