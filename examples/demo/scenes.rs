//! The ways to break Clerk: those of the record, and a few that an attacker would like.

use std::time::Duration;

use clerk_resilience::sim::{SimBoard, SimClerk, SimComponentState, SimFault, SimSurface};

/// One way.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) id: &'static str,
    pub(crate) label: &'static str,
    /// What to expect.
    pub(crate) hint: &'static str,
    set: fn(&SimClerk),
}

impl Scene {
    pub(crate) fn named(id: &str) -> Option<&'static Self> {
        ALL.iter().flat_map(|(_, scenes)| *scenes).find(|scene| scene.id == id)
    }

    /// Breaks Clerk this way and no other.
    pub(crate) fn play(&self, sim: &SimClerk) {
        heal(sim);
        (self.set)(sim);
    }
}

pub(crate) fn heal(sim: &SimClerk) {
    sim.heal_all();
    sim.set_board(SimBoard::default());
}

/// All of them, in groups.
pub(crate) const ALL: [(&str, &[Scene]); 3] =
    [("All of Clerk", &WHOLE), ("Only", &PARTS), ("Somebody else", &STRANGERS)];

const WHOLE: [Scene; 6] = [
    Scene {
        id: "storm",
        label: "429 storm",
        hint: "As in February 2026: over 95 % of requests are answered 429, the rest very slowly. Ada is not among the lucky ones.",
        set: |sim| {
            let slow = SimFault::Latency(Duration::from_secs(6));
            sim.set_faults(SimSurface::CLERK, [(0.95, SimFault::status(429)), (0.05, slow)]);
            sim.break_with(SimSurface::SessionMint, SimFault::status(429));
        },
    },
    Scene {
        id: "down",
        label: "All 503",
        hint: "Every request is answered 503 by the network in front of Clerk.",
        set: |sim| sim.break_with(SimSurface::CLERK, SimFault::cdn(503)),
    },
    Scene {
        id: "slow",
        label: "Slow",
        hint: "Right answers, 2 s late. Slow is not down: nothing is granted, and nothing is needed.",
        set: |sim| {
            sim.break_with(SimSurface::CLERK, SimFault::Latency(Duration::from_secs(2)));
        },
    },
    Scene {
        id: "hang",
        label: "Silence",
        hint: "Connections are accepted and never answered. Silence could be our own fault, so the layer waits for the status page to agree, up to 90 s.",
        set: |sim| silent(sim, &SimFault::Hang),
    },
    Scene {
        id: "refused",
        label: "Refused",
        hint: "Nothing listens. That could be our own fault, so the layer waits for the status page to agree, up to 90 s.",
        set: |sim| silent(sim, &SimFault::Refused),
    },
    Scene {
        id: "dns",
        label: "DNS gone",
        hint: "The names do not resolve (here: nothing listens). The layer waits for the status page to agree, up to 90 s.",
        set: |sim| silent(sim, &SimFault::Dns),
    },
];

const PARTS: [Scene; 5] = [
    Scene {
        id: "jwks",
        label: "Keys",
        hint: "The signing keys cannot be fetched. Plain verification drops its own within 5 minutes; the layer keeps the last good ones.",
        set: |sim| {
            let keys = [SimSurface::Jwks, SimSurface::BackendJwks];
            sim.break_with(keys, SimFault::status(500));
        },
    },
    Scene {
        id: "mint",
        label: "Sessions",
        hint: "Keys still come from a cache, but no token is renewed and no page gets through a handshake.",
        set: |sim| {
            let sessions = [
                SimSurface::SessionMint,
                SimSurface::Handshake,
                SimSurface::Client,
                SimSurface::SignIn,
            ];
            sim.break_with(sessions, SimFault::status(503));
        },
    },
    Scene {
        id: "handshake",
        label: "Handshake",
        hint: "As in April 2026: only the redirect for expired pages fails. Tokens are renewed in time, so nobody notices.",
        set: |sim| sim.break_with(SimSurface::Handshake, SimFault::status(500)),
    },
    Scene {
        id: "backend",
        label: "Backend API",
        hint: "As in autumn 2025. Sessions go on; plain verification fetches its keys there and fails within 5 minutes.",
        set: |sim| sim.break_with(SimSurface::BACKEND, SimFault::status(503)),
    },
    Scene {
        id: "maintenance",
        label: "Maintenance",
        hint: "Clerk refuses whatever changes something. Sign-ins fail, sessions go on.",
        set: |sim| {
            let changes = [SimSurface::SignIn, SimSurface::BackendMutation];
            sim.break_with(changes, SimFault::maintenance());
        },
    },
];

const STRANGERS: [Scene; 1] = [Scene {
    id: "portal",
    label: "Captive portal",
    hint: "A stranger answers in Clerk's place. That proves no outage: half a minute after their expiry, tokens get an honest 503.",
    set: |sim| sim.break_with(SimSurface::CLERK, SimFault::Html),
}];

/// Without a word from Clerk itself, its status page counts.
fn silent(sim: &SimClerk, fault: &SimFault) {
    sim.break_with(SimSurface::CLERK, fault.clone());
    sim.set_board(SimBoard::everything(&SimComponentState::MajorOutage));
}
