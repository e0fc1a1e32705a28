//! The Lua scripts, which run atomically on the server.

use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};

use super::keys::RedisKeys;

/// A call of a script with its keys and arguments.
pub(super) type ScriptCall<'a> = ScriptInvocation<'a>;

/// A script that is concatenated from several files.
pub(super) struct Scripted(LazyLock<Script>);

macro_rules! scripts {
    ($($name:ident: $($part:literal)*;)*) => {$(
        pub(super) static $name: Scripted = Scripted(LazyLock::new(|| {
            Script::new(concat!(include_str!("keys.lua"), $(include_str!($part)),*))
        }));
    )*};
}

scripts! {
    ACCEPT: "people.lua" "denials.lua" "accept.lua";
    DENY: "denials.lua" "deny.lua";
    MERGE: "people.lua" "merge.lua";
    CLAIM: "count.lua" "claim.lua";
    SETTLE: "count.lua" "settle.lua";
    DEAD: "count.lua" "dead.lua";
    REVIVE: "count.lua" "revive.lua";
    PRUNE: "prune.lua";
    ORIGIN: "origin.lua";
}

/// Scripts with keys of their own: publishing a member's data, reading all members' data, reading a
/// page of a set, and renaming keys of an unexpected type.
pub(super) static TELL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tell.lua")));
pub(super) static TOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("told.lua")));
pub(super) static PAGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("page.lua")));
pub(super) static MEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("mend.lua")));

impl Scripted {
    pub(super) fn call(&self, keys: &RedisKeys) -> ScriptCall<'_> {
        let mut call = self.0.prepare_invoke();
        for key in &keys.all {
            call.key(key);
        }
        call
    }
}
