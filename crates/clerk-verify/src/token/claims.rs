//! The payload as received, parsed once and leniently. [`Expectations`](super::Expectations) checks
//! it, and a [`Session`](super::Session) is built from it.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::json::{Json, Name};

/// Every claim that is checked or stored. The last of equal names wins.
#[derive(Debug, Default)]
pub(crate) struct Claims<'a> {
    pub(crate) sub: Json<'a>,
    pub(crate) sid: Json<'a>,
    pub(crate) iss: Json<'a>,
    pub(crate) azp: Json<'a>,
    pub(crate) jti: Json<'a>,
    pub(crate) exp: Json<'a>,
    pub(crate) nbf: Json<'a>,
    pub(crate) iat: Json<'a>,
    pub(crate) v: Json<'a>,
    pub(crate) sts: Json<'a>,
    pub(crate) fea: Json<'a>,
    pub(crate) pla: Json<'a>,
    pub(crate) org_id: Json<'a>,
    pub(crate) org_slug: Json<'a>,
    pub(crate) org_role: Json<'a>,
    pub(crate) org_permissions: Json<'a>,
    pub(crate) aud: Json<'a>,
    pub(crate) fva: Json<'a>,
    pub(crate) o: Json<'a>,
    pub(crate) act: Json<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Claims<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a claims object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims<'de>, A::Error> {
        let mut claims = Claims::default();
        while let Some(Name(name)) = map.next_key()? {
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
