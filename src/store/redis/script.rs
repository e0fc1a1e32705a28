//! What is done at the server in one step.

use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};

use super::keys::Keys;

/// A script with what it is to work on.
pub(super) type Call<'a> = ScriptInvocation<'a>;

/// A script, made of parts.
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

/// These have keys of their own: a member's news, and everybody's; a page of a set; what is none of ours.
pub(super) static TELL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tell.lua")));
pub(super) static TOLD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("told.lua")));
pub(super) static PAGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("page.lua")));
pub(super) static MEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("mend.lua")));

impl Scripted {
    pub(super) fn call(&self, keys: &Keys) -> Call<'_> {
        let mut call = self.0.prepare_invoke();
        for key in &keys.all {
            call.key(key);
        }
        call
    }
}
