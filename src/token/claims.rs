//! The payload as it came, read once and leniently; [`Expectations`](super::Expectations) judge it
//! and a [`Session`](super::Session) is made of it.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::scalar::Scalar;

/// Every claim that is judged or kept. The last of equal names wins.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pub(crate) sub: Scalar,
    pub(crate) sid: Scalar,
    pub(crate) iss: Scalar,
    pub(crate) azp: Scalar,
    pub(crate) jti: Scalar,
    pub(crate) exp: Scalar,
    pub(crate) nbf: Scalar,
    pub(crate) iat: Scalar,
    pub(crate) v: Scalar,
    pub(crate) sts: Scalar,
    pub(crate) fea: Scalar,
    pub(crate) pla: Scalar,
    pub(crate) org_id: Scalar,
    pub(crate) org_slug: Scalar,
    pub(crate) org_role: Scalar,
    pub(crate) org_permissions: Value,
    pub(crate) aud: Value,
    pub(crate) fva: Value,
    pub(crate) o: Value,
    pub(crate) act: Value,
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a claims object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = Claims::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*name {
                "sub" => claims.sub = map.next_value()?,
                "sid" => claims.sid = map.next_value()?,
                "iss" => claims.iss = map.next_value()?,
                "azp" => claims.azp = map.next_value()?,
                "jti" => claims.jti = map.next_value()?,
                "exp" => claims.exp = map.next_value()?,
                "nbf" => claims.nbf = map.next_value()?,
                "iat" => claims.iat = map.next_value()?,
                "v" => claims.v = map.next_value()?,
                "sts" => claims.sts = map.next_value()?,
                "fea" => claims.fea = map.next_value()?,
                "pla" => claims.pla = map.next_value()?,
                "org_id" => claims.org_id = map.next_value()?,
                "org_slug" => claims.org_slug = map.next_value()?,
                "org_role" => claims.org_role = map.next_value()?,
                "org_permissions" => claims.org_permissions = map.next_value()?,
                "aud" => claims.aud = map.next_value()?,
                "fva" => claims.fva = map.next_value()?,
                "o" => claims.o = map.next_value()?,
                "act" => claims.act = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(claims)
    }
}
