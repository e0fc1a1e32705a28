//! The lists of features and plans in a token, `o:teams,u:basic,ou:both`.

/// A list of features or plans, by whom they belong to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Scoped {
    /// Those of the active organisation, scope `o`.
    pub organization: Vec<String>,
    /// Those of the user, scope `u`.
    pub user: Vec<String>,
}

impl Scoped {
    /// Reads a `fea` or `pla` claim. An entry in both scopes (`ou` or `uo`) is in both lists; one
    /// without a scope, or with another, is in neither.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let mut scoped = Self::default();
        for (scope, name) in list.split(',').filter_map(|entry| entry.trim().split_once(':')) {
            if matches!(scope, "o" | "ou" | "uo") {
                scoped.organization.push(name.to_owned());
            }
            if matches!(scope, "u" | "ou" | "uo") {
                scoped.user.push(name.to_owned());
            }
        }
        scoped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stands_under_each_of_its_scopes() {
        let scoped = Scoped::parse("o:teams, u:basic,ou:both,uo:same:x,x:odd,bare,");
        assert_eq!(scoped.organization, ["teams", "both", "same:x"]);
        assert_eq!(scoped.user, ["basic", "both", "same:x"]);
        assert_eq!(Scoped::parse(""), Scoped::default());
    }
}
