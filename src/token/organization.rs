//! The active organisation, and how Clerk packs its permissions into a version 2 token.
//!
//! `fea` lists features with their scopes (`o:teams,u:basic`), `per` lists permission names, and
//! `fpm` holds one decimal bit mask per feature that says which of `per` are granted on it. Clerk's
//! JavaScript SDK counts masks by the position among the organisation's features, its documentation
//! and other SDKs by the position in the whole list. The two readings differ when a user feature
//! comes first; only what both grant is granted here.

use super::claims::Claims;
use super::json::Json;
use crate::id::{OrgId, bare};

/// The organisation that is active in a session, and what the user may do in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Organization {
    /// The organisation's id.
    pub id: OrgId,
    /// Its slug, if it has one.
    pub slug: Option<String>,
    /// The user's role, with its prefix, as `org:admin`.
    pub role: Option<String>,
    /// The user's permissions, as `org:teams:manage`. System permissions are never in a token.
    pub permissions: Vec<String>,
}

impl Organization {
    pub(crate) fn version_1(claims: &Claims<'_>) -> Option<Self> {
        let permissions = claims.org_permissions.list();
        Some(Self {
            id: OrgId::from(claims.org_id.text().filter(|id| !id.is_empty())?),
            slug: claims.org_slug.text().map(str::to_owned),
            role: claims.org_role.text().map(str::to_owned),
            permissions: permissions.iter().filter_map(Json::text).map(str::to_owned).collect(),
        })
    }

    pub(crate) fn version_2(claims: &Claims<'_>) -> Option<Self> {
        let text = |name| claims.o.get(name).and_then(Json::text).filter(|t| !t.is_empty());
        Some(Self {
            id: OrgId::from(text("id")?),
            slug: text("slg").map(str::to_owned),
            role: text("rol").map(|role| ["org:", role].concat()),
            permissions: permissions(
                claims.fea.text().unwrap_or_default(),
                text("per").unwrap_or_default(),
                text("fpm").unwrap_or_default(),
            ),
        })
    }
}

/// True when two role or permission names mean the same, with or without their `org:` in front.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    bare(a) == bare(b)
}

fn permissions(fea: &str, per: &str, fpm: &str) -> Vec<String> {
    if fea.is_empty() || per.is_empty() || fpm.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = per.split(',').map(str::trim).collect();
    let masks: Vec<Vec<bool>> = fpm.split(',').map(|m| mask(m.trim(), names.len())).collect();
    let mut granted = Vec::new();
    let mut among_org = 0;
    for (in_list, feature) in fea.split(',').map(str::trim).enumerate() {
        let Some((scope, slug)) = feature.split_once(':') else { return Vec::new() };
        if !matches!(scope, "o" | "ou" | "uo") {
            continue;
        }
        let both = masks.get(among_org).zip(masks.get(in_list));
        among_org += 1;
        let Some((one, other)) = both else { continue };
        let bits = one.iter().zip(other).map(|(a, b)| *a && *b);
        let names = names.iter().zip(bits).filter(|(_, set)| *set);
        granted.extend(names.map(|(name, _)| ["org:", slug, ":", name].concat()));
    }
    granted
}

/// The lowest `width` bits of a decimal number of any size, lowest first. Anything but digits is an
/// empty mask: it grants nothing.
fn mask(decimal: &str, width: usize) -> Vec<bool> {
    if decimal.is_empty() || !decimal.bytes().all(|b| b.is_ascii_digit()) {
        return vec![false; width];
    }
    let mut digits: Vec<u8> = decimal.bytes().map(|b| b - b'0').collect();
    (0..width).map(|_| halve(&mut digits)).collect()
}

/// Divides a decimal number by two in place and returns the remainder.
fn halve(digits: &mut [u8]) -> bool {
    let mut carry = 0;
    for digit in digits {
        let value = carry * 10 + *digit;
        *digit = value / 2;
        carry = value % 2;
    }
    carry == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example_decodes() {
        assert_eq!(
            permissions("o:dashboard,o:teams", "manage,read", "3,2"),
            ["org:dashboard:manage", "org:dashboard:read", "org:teams:read"]
        );
    }

    #[test]
    fn where_the_two_readings_of_the_masks_differ_only_the_common_part_is_granted() {
        assert!(permissions("u:basic,o:teams", "manage,read", "0,2").is_empty());
        assert!(permissions("u:basic,o:teams", "manage,read", "3,0").is_empty());
        assert_eq!(permissions("u:basic,o:teams", "manage,read", "3,2"), ["org:teams:read"]);
        assert_eq!(permissions("o:teams,u:basic", "manage,read", "2"), ["org:teams:read"]);
    }

    #[test]
    fn masks_of_any_width_decode_and_malformed_ones_grant_nothing() {
        let names: Vec<String> = (0..130).map(|n| format!("p{n}")).collect();
        let two_to_129 = "680564733841876926926749214863536422912";
        assert_eq!(permissions("o:f", &names.join(","), two_to_129), ["org:f:p129"]);
        for bad in ["-1", "1.5", "0x1", "+1", "1invalid", " "] {
            assert!(permissions("o:f", "a,b", bad).is_empty(), "{bad}");
        }
        assert!(permissions("o:f", "a", "2").is_empty(), "bits beyond the names are dropped");
    }

    #[test]
    fn a_feature_without_a_scope_grants_nothing_at_all() {
        assert!(permissions("o:f,broken", "a", "1,1").is_empty());
    }

    #[test]
    fn names_match_with_and_without_their_prefix() {
        assert!(same_name("admin", "org:admin"));
        assert!(same_name("org:org:admin", "org:admin"));
        assert!(!same_name("org:admin", "org:member"));
    }
}
