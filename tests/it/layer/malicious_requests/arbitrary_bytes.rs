//! Arbitrary bytes, and altered tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use test_support::world::World;

use super::{encode, generous, raw};

/// One world for many cases.
struct Arena {
    runtime: tokio::runtime::Runtime,
    world: World,
    token: String,
}

impl Arena {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let world = runtime.block_on(generous());
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        Self { runtime, world, token }
    }

    fn status(&self, name: &str, value: &[u8]) -> Option<u16> {
        let request = raw(name, value)?;
        Some(self.runtime.block_on(self.world.send(request)).status.as_u16())
    }
}

#[test]
fn arbitrary_bytes_neither_pass_nor_panic() {
    let arena = Arena::new();
    assert_eq!(
        arena.status("authorization", format!("Bearer {}", arena.token).as_bytes()),
        Some(200)
    );
    let json = "[{}\\[\\]\":,a-z0-9.eE+-]{0,60}";
    let token = (json, json, "[A-Za-z0-9_-]{0,40}").prop_map(|(header, payload, signature)| {
        format!("{}.{}.{signature}", encode(&header), encode(&payload)).into_bytes()
    });
    let header = prop_oneof![
        r#"\{"alg":"(RS256|none|HS256|ES256|RS512|)","kid":"[a-z_]{0,9}","typ":"(JWT|at\+jwt|)"\}"#,
        r#"\{"kid":(1|null|\[\]|\{\}|"__proto__"),"alg":"RS256","crit":\["exp"\]\}"#,
    ];
    let claims = r#"\{"sub":"u","exp":[0-9]{1,12},"iat":-?[0-9]{1,12},"iss":"https://clerk\.sim\.example"\}"#;
    let plausible = (header, claims, prop::collection::vec(any::<u8>(), 0..300)).prop_map(
        |(header, claims, signature)| {
            let signature = URL_SAFE_NO_PAD.encode(signature);
            format!("{}.{}.{signature}", encode(&header), encode(&claims)).into_bytes()
        },
    );
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[ -~]{0,100}".prop_map(String::into_bytes),
        "[.=; ,%_A-Za-z]{0,60}".prop_map(String::into_bytes),
        token,
        plausible,
    ];
    let prefix = prop_oneof![
        Just(("authorization", "Bearer ")),
        Just(("authorization", "")),
        Just(("cookie", "__session=")),
        Just(("cookie", "a=b; __session=")),
        Just(("cookie", "")),
    ];
    proptest!(ProptestConfig::with_cases(1024), |((name, prefix) in prefix, bytes in bytes)| {
        let status = arena.status(name, &[prefix.as_bytes(), &bytes].concat());
        prop_assert!(matches!(status, None | Some(401 | 503)), "{:?}", status);
    });
}

#[test]
fn no_altered_token_passes() {
    let arena = Arena::new();
    let length = arena.token.len();
    let change = prop_oneof![Just(None), "[A-Za-z0-9_.=%+/ -]".prop_map(|c| c.bytes().next())];
    proptest!(ProptestConfig::with_cases(512), |(place in 0..length, change in change)| {
        let mut token = arena.token.clone().into_bytes();
        match change {
            None => drop(token.remove(place)),
            Some(byte) if byte == token[place] => return Ok(()),
            Some(byte) => token[place] = byte,
        }
        let value = [b"Bearer ", &*token].concat();
        let status = arena.status("authorization", &value);
        prop_assert!(matches!(status, Some(401 | 503)), "{} {:?}: {:?}", place, change, status);
    });
}
