//! The active organisation, and the encoding of its permissions in a version 2 token.
//!
//! `fea` lists features with their scopes (`o:teams,u:basic`), and `per` lists permission names.
//! `fpm` holds one decimal bit mask per feature, which selects the granted names of `per`. Clerk's
//! JavaScript SDK indexes masks by position among the organisation's features. Clerk's
//! documentation and other SDKs index them by position in the whole list. The two readings differ
//! when a user feature is first in the list. They also differ in white space, which JavaScript
//! trims, and in features with a second colon. This module grants only what both readings grant.

use super::InvalidToken;
use super::claims::Claims;
use super::json::Json;
use super::scope::{entries, trim};
use crate::id::OrgId;

/// The active organisation of a session, and the user's role and permissions in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Organization {
    /// The organisation's id.
    pub id: OrgId,
    /// The organisation's slug, if it has one.
    pub slug: Option<String>,
    /// The user's role with its prefix, such as `org:admin`.
    pub role: Option<String>,
    /// The user's permissions, such as `org:teams:manage`. Tokens never contain system permissions.
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

    /// Parses the claims `o` and `fea`.
    ///
    /// # Errors
    ///
    /// [`InvalidToken::Claim`] where Clerk's JavaScript SDK throws: for a list that is not text, or
    /// a feature without a scope.
    pub(crate) fn version_2(claims: &Claims<'_>) -> Result<Option<Self>, InvalidToken> {
        if claims.o.is_nothing() {
            return Ok(None);
        }
        let features = list(&claims.fea)?;
        let granted = match (claims.o.get("per"), claims.o.get("fpm")) {
            (Some(per), Some(fpm)) if !per.is_nothing() && !fpm.is_nothing() => {
                permissions(features, list(per)?, list(fpm)?)
            }
            _ => permissions(features, "", ""),
        };
        let permissions = granted.ok_or(InvalidToken::Claim)?;
        let text = |name| claims.o.get(name).and_then(Json::text).filter(|t| !t.is_empty());
        Ok(text("id").map(|id| Self {
            id: OrgId::from(id),
            slug: text("slg").map(str::to_owned),
            role: text("rol").map(|role| ["org:", role].concat()),
            permissions,
        }))
    }
}

/// Returns the text of a list. A falsy claim is the empty list.
fn list<'a>(claim: &'a Json<'_>) -> Result<&'a str, InvalidToken> {
    if claim.is_nothing() { Ok("") } else { claim.text().ok_or(InvalidToken::Claim) }
}

/// Decodes the granted permissions; `None` when a feature has no scope.
fn permissions(fea: &str, per: &str, fpm: &str) -> Option<Vec<String>> {
    let features = entries(fea)?;
    if per.is_empty() || fpm.is_empty() {
        return Some(Vec::new());
    }
    let names: Vec<&str> = per.split(',').collect();
    let masks: Vec<&str> = fpm.split(',').collect();
    let in_list = features.iter().zip(fea.split(',')).enumerate();
    let organizations = in_list.filter(|(_, (entry, _))| entry.scope.is_organizations());
    let mut granted = Vec::new();
    for (among_org, (in_list, (entry, as_written))) in organizations.enumerate() {
        // Other SDKs do not trim, and they skip or truncate a feature with a second colon.
        let untrimmed = as_written.split_once(':').map(|(_, name)| name);
        if entry.name.contains(':') || untrimmed != Some(entry.name) {
            continue;
        }
        let Some((one, other)) = masks.get(among_org).zip(masks.get(in_list)) else { continue };
        let (one, other) = (mask(trim(one), names.len()), mask(other, names.len()));
        let bits = one.iter().zip(other).map(|(a, b)| *a && b);
        let set = names.iter().zip(bits).filter(|(name, set)| *set && trim(name) == **name);
        granted.extend(set.map(|(name, _)| ["org:", entry.name, ":", name].concat()));
    }
    Some(granted)
}

/// Returns the lowest `width` bits of a decimal number of any size, lowest first. A text with
/// anything but digits, even white space, is an empty mask, which grants nothing.
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
    fn permissions(fea: &str, per: &str, fpm: &str) -> Vec<String> {
        super::permissions(fea, per, fpm).expect("every feature has a scope")
    }

    #[test]
    fn the_documented_example_decodes() {
        assert_eq!(
            permissions("o:dashboard,o:teams", "manage,read", "3,2"),
            ["org:dashboard:manage", "org:dashboard:read", "org:teams:read"]
        );
    }

    #[test]
    fn ambiguous_masks_grant_only_the_common_permissions() {
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
    fn a_feature_without_a_scope_makes_the_claims_unreadable() {
        for fea in ["o:f,broken", "o:f,", ",o:f", "broken"] {
            assert_eq!(super::permissions(fea, "a", "1,1"), None, "{fea:?}");
            assert_eq!(super::permissions(fea, "", ""), None, "{fea:?}");
        }
    }

    #[test]
    fn white_space_grants_no_more_than_any_sdk() {
        let cases = [
            ("o:a, o:b", "read,manage", "1,2", &["org:a:read", "org:b:manage"][..]),
            ("o:a ,o:b", "read", "1,1", &["org:b:read"]),
            ("o :a,o:b", "read", "1,1", &["org:b:read"]),
            ("o :a,o:b", "read", "1,0", &[]),
            ("o: a", "read", "1", &["org: a:read"]),
            ("o: ,o:b", "read", "1,1", &["org:b:read"]),
            ("o:a", " read,manage ,use", "7", &["org:a:use"]),
            ("o:a,o:b", "read", " 1,1", &["org:b:read"]),
            ("o:a,o:b", "read", "1,1 ", &["org:a:read"]),
            ("o:a", "read", "\u{feff}1", &[]),
            ("u:x,o:a", "read", " 1,1", &["org:a:read"]),
        ];
        for (fea, per, fpm, granted) in cases {
            assert_eq!(permissions(fea, per, fpm), granted, "{fea:?} {per:?} {fpm:?}");
        }
    }

    #[test]
    fn a_feature_with_a_second_colon_grants_nothing() {
        assert_eq!(permissions("o:a:b,o:c", "read", "1,1"), ["org:c:read"]);
        assert!(permissions("o:a:,o::b", "read", "1,1").is_empty());
    }
}
