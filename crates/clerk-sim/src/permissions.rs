//! Packing of an organization's permissions in session tokens of version 2.

/// The claims `fea`, `per` and `fpm` of a token.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Packed {
    /// Features, such as `o:posts,o:teams`.
    pub(super) features: String,
    /// Permission names, such as `read,write`.
    pub(super) permissions: String,
    /// One mask per feature, such as `3,1`: bit *n* stands for permission *n*.
    pub(super) masks: String,
}

/// Packs permissions such as `org:posts:read`. Permissions in another format are left out, and so
/// are those beyond 128 different names.
pub(super) fn pack(permissions: &[String]) -> Packed {
    let mut features: Vec<(&str, u128)> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for permission in permissions {
        let Some((feature, name)) = split(permission) else { continue };
        let Some(bit) = place(&mut names, name).and_then(|place| 1_u128.checked_shl(place)) else {
            continue;
        };
        match features.iter_mut().find(|(known, _)| *known == feature) {
            Some((_, mask)) => *mask |= bit,
            None => features.push((feature, bit)),
        }
    }
    Packed {
        features: join(features.iter().map(|(feature, _)| format!("o:{feature}"))),
        permissions: join(names.iter().map(ToString::to_string)),
        masks: join(features.iter().map(|(_, mask)| mask.to_string())),
    }
}

fn split(permission: &str) -> Option<(&str, &str)> {
    permission.strip_prefix("org:")?.split_once(':')
}

/// Returns the index of `name`, and appends a new name.
fn place<'a>(names: &mut Vec<&'a str>, name: &'a str) -> Option<u32> {
    let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    u32::try_from(place).ok()
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_pack_into_one_mask_per_feature() {
        let permissions = ["org:posts:read", "org:posts:write", "org:teams:write", "odd"];
        let packed = pack(&permissions.map(String::from));
        assert_eq!(
            packed,
            Packed {
                features: "o:posts,o:teams".into(),
                permissions: "read,write".into(),
                masks: "3,2".into(),
            }
        );
        assert_eq!(pack(&[]), Packed::default());
    }
}
