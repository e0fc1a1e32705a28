//! Which of a request's cookies count: Clerk's eight rules, over cookies of every kind.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::authenticate::{Context, Head, Site};
use clerk_resilience::clock::Timestamp;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::token::{CookieNames, Located, decode, locate};
use http::header::COOKIE;
use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::Value;
use url::Url;

const HOST: &str = "clerk.example.com";
const NOW: i64 = 1_000;

/// Cookies by name, as a browser would send them.
type Jar = HashMap<String, String>;

#[derive(Debug)]
struct Instance {
    key: PublishableKey,
    names: CookieNames,
    site: Site,
}

impl Instance {
    fn of(kind: InstanceKind) -> Self {
        let key = PublishableKey::for_host(HOST, kind).expect("a plain host");
        Self { names: CookieNames::of(&key), site: Site::new(key.clone()), key }
    }

    fn own(&self, name: &str) -> String {
        format!("{name}_{}", self.names.suffix())
    }
}

/// The rules as the reference has them, each for itself, on whole cookies.
fn uses_suffixed(jar: &Jar, instance: &Instance) -> bool {
    let cookie = |name: &str| jar.get(name).filter(|value| !value.is_empty());
    let (session, uat) = (cookie("__session"), cookie("__client_uat"));
    let own_session = cookie(&instance.own("__session"));
    let own_uat = cookie(&instance.own("__client_uat"));
    let claims = |token: Option<&String>| {
        decode(token.map_or("", String::as_str)).map_or(Value::Null, |decoded| decoded.claims)
    };
    let (plain, own) = (claims(session), claims(own_session));
    let iat = |claims: &Value| claims["iat"].as_i64().unwrap_or(0);
    let zero = |uat: Option<&String>| uat.is_some_and(|uat| uat == "0");
    if session.is_some() && plain["iss"].as_str().is_none_or(str::is_empty) {
        return false;
    }
    let issuer = plain["iss"].as_str().unwrap_or_default().to_lowercase();
    if session.is_some() && issuer.replace("https://", "").replace("http://", "") != HOST {
        return true;
    }
    if own_uat.is_none() && own_session.is_none() {
        return false;
    }
    if !zero(own_uat) && !zero(uat) && iat(&plain) > iat(&own) {
        return false;
    }
    if zero(own_uat) && !zero(uat) {
        return false;
    }
    let expired = own["exp"].as_i64().is_some_and(|exp| exp <= NOW);
    if instance.key.kind() == InstanceKind::Development && !zero(own_uat) && zero(uat) && expired {
        return false;
    }
    own_uat.is_some() || own_session.is_none()
}

fn token(claims: &str) -> String {
    format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims))
}

fn session() -> impl Strategy<Value = Option<String>> {
    let issuer = prop_oneof![
        4 => Just(format!("https://{HOST}")),
        1 => Just(format!("HTTP://{HOST}")),
        4 => Just("https://clerk.other.com".to_owned()),
        1 => Just(String::new()),
    ];
    let dated = (issuer, 1..4_i64, 999..1_002_i64).prop_map(|(issuer, iat, exp)| {
        token(&format!(r#"{{"iss":"{issuer}","iat":{iat},"exp":{exp}}}"#))
    });
    let undated = Just(token(&format!(r#"{{"iss":"https://{HOST}"}}"#)));
    let anonymous = Just(token(r#"{"iat":2}"#));
    let other = prop_oneof![undated, anonymous, Just(String::new()), Just("a.b".to_owned())];
    prop::option::of(prop_oneof![4 => dated, 1 => other])
}

fn uat() -> impl Strategy<Value = Option<String>> {
    let values = prop_oneof![Just("0"), Just("2"), Just("x"), Just("")];
    prop::option::of(values.prop_map(str::to_owned))
}

/// The cookies, and the fields that carry them, in either order and in one field or several.
fn jar() -> impl Strategy<Value = ([Option<String>; 4], bool, bool)> {
    ((session(), session(), uat(), uat()), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |((plain, own, uat, own_uat), same, reversed, split)| {
            let own = if same { plain.clone() } else { own };
            ([plain, own, uat, own_uat], reversed, split)
        },
    )
}

fn fields(cookies: &[(String, String)], split: bool) -> HeaderMap {
    let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let lines = if split { pairs } else { vec![pairs.join("; ")] };
    lines.iter().map(|line| (COOKIE, line.parse().expect("a field"))).collect()
}

/// One jar, asked of the page's judgement and of the token's search.
fn check(instance: &Instance, values: [Option<String>; 4], reversed: bool, split: bool) {
    let names = ["__session", "__client_uat"].map(|name| [name.to_owned(), instance.own(name)]);
    let [plain, own, uat, own_uat] = values;
    let mut cookies: Vec<_> = names.concat().into_iter().zip([plain, own, uat, own_uat]).collect();
    if reversed {
        cookies.reverse();
    }
    let cookies: Vec<_> =
        cookies.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let jar: Jar = cookies.iter().cloned().collect();
    let headers = fields(&cookies, split);
    let now = Timestamp::from_secs(NOW);

    let suffixed = uses_suffixed(&jar, instance);
    let of = |name: &str, suffixed: bool| {
        let name = if suffixed { instance.own(name) } else { name.to_owned() };
        jar.get(&name).filter(|value| !value.is_empty()).cloned()
    };
    let address = Url::parse("https://app.example.com/").expect("an address");
    let head = Head { method: &Method::GET, address: &address, headers: &headers };
    let context = Context::new(&instance.site, head, now);
    assert_eq!(context.suffixed, suffixed, "{jar:?}");
    assert_eq!(context.cookie_token, of("__session", suffixed), "{jar:?}");

    // The search takes the newer one when there is no `__client_uat`.
    let uats = [true, false].map(|suffixed| of("__client_uat", suffixed));
    let (own, plain) = (of("__session", true), of("__session", false));
    let issued = |token: &Option<String>| {
        decode(token.as_deref().unwrap_or_default())
            .map_or(0, |t| t.claims["iat"].as_i64().unwrap_or(0))
    };
    let foreign = suffixed && own.is_none();
    let newer = plain.is_some() && issued(&own) > issued(&plain);
    let suffixed = suffixed || (uats == [None, None] && newer);
    let (chosen, other) = if suffixed { (own, plain) } else { (plain, own) };
    let expected = if uats == [None, None] && !foreign { chosen.or(other) } else { chosen };
    let found = locate(&headers, &instance.names, &instance.key, now);
    assert_eq!(found.token(), expected.as_deref(), "{jar:?}");
    if let Located::Cookie { client_uat, .. } = found {
        let other = of("__client_uat", true).filter(|_| !suffixed);
        let text = of("__client_uat", suffixed).or(other);
        assert_eq!(client_uat, text.map(|text| text.parse().unwrap_or(0.0)), "{jar:?}");
    }
}

#[test]
fn cookie_selection_follows_the_eight_rules() {
    let kinds = [InstanceKind::Production, InstanceKind::Development].map(Instance::of);
    proptest!(ProptestConfig::with_cases(4_000), |((values, reversed, split) in jar(), at in 0..2_usize)| {
        check(&kinds[at], values, reversed, split);
    });
}

#[test]
fn the_first_cookie_of_a_name_counts_even_if_empty() {
    let instance = Instance::of(InstanceKind::Production);
    let token = |line: &str| {
        let headers = HeaderMap::from_iter([(COOKIE, line.parse().expect("a field"))]);
        let found = locate(&headers, &instance.names, &instance.key, Timestamp::from_secs(NOW));
        found.token().map(str::to_owned)
    };
    assert_eq!(token("__session=a; __session=b").as_deref(), Some("a"));
    assert_eq!(token("__session=; __session=b"), None);
}
