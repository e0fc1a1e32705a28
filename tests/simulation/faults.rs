//! What is wrong with Clerk, or with the way to it, for a while.

use std::time::Duration;

use clerk_resilience::sim::{SimFault, SimSurface};
use fastrand::Rng;

/// One kind of trouble.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// For the trace.
    pub(crate) name: &'static str,
    pub(crate) surfaces: Vec<SimSurface>,
    pub(crate) fault: Option<SimFault>,
    /// The share of calls that meet the fault.
    pub(crate) share: f64,
    /// The egress canary answers.
    pub(crate) canary: bool,
    /// Browsers get fresh tokens all the while.
    pub(crate) users_alive: bool,
    /// Clerk is down beyond doubt: everything there fails, in Clerk's own voice.
    pub(crate) beyond_doubt: bool,
}

impl Faults {
    pub(crate) fn fair() -> Self {
        Self {
            name: "fair",
            surfaces: Vec::new(),
            fault: None,
            share: 0.0,
            canary: true,
            users_alive: true,
            beyond_doubt: false,
        }
    }

    fn of(name: &'static str, surfaces: &[SimSurface], fault: SimFault) -> Self {
        let (surfaces, fault) = (surfaces.to_vec(), Some(fault));
        Self { name, surfaces, fault, share: 1.0, users_alive: false, ..Self::fair() }
    }

    /// Clerk is down, and says so.
    pub(crate) fn down(rng: &mut Rng) -> Self {
        let fault = [429, 429, 500, 503, 502][rng.usize(..5)];
        let down = Self::of("down", &SimSurface::CLERK, SimFault::status(fault));
        Self { beyond_doubt: true, ..down }
    }

    /// Clerk is well, and we cannot reach it.
    pub(crate) fn cut_off(rng: &mut Rng) -> Self {
        let cut = Self::of("cut off", &SimSurface::ALL, silence(rng));
        Self { canary: rng.bool(), users_alive: true, ..cut }
    }

    /// Clerk's edge turns us away, and us alone.
    pub(crate) fn turned_away(rng: &mut Rng) -> Self {
        let fault = [429, 503][rng.usize(..2)];
        let away = Self::of("turned away", &SimSurface::CLERK, SimFault::status(fault));
        Self { users_alive: true, ..away }
    }

    pub(crate) fn any(rng: &mut Rng) -> Self {
        use SimSurface as S;
        match rng.u32(..20) {
            0..=6 => Self::down(rng),
            7 => Self::of("mint", &[S::SessionMint], voice(rng)),
            8 => Self::of("mint, handshake", &[S::SessionMint, S::Handshake], voice(rng)),
            9 => Self { users_alive: true, ..Self::of("backend", &S::BACKEND, voice(rng)) },
            10 => Self::of("silence", &S::CLERK, silence(rng)),
            11 | 12 => Self::cut_off(rng),
            13 => Self::of("stranger", &S::CLERK, stranger(rng)),
            14 => Self {
                users_alive: true,
                ..Self::of("keys", &[S::Jwks, S::BackendJwks], bad_keys(rng))
            },
            15 => Self::of(
                "slow",
                &S::CLERK,
                SimFault::Latency(Duration::from_millis(rng.u64(800..4_000))),
            ),
            16 | 17 => {
                Self { share: 0.3 + 0.6 * rng.f64(), beyond_doubt: false, ..Self::down(rng) }
            }
            18 => Self::of("maintenance", &S::CLERK, SimFault::maintenance()),
            _ => Self::turned_away(rng),
        }
    }
}

fn voice(rng: &mut Rng) -> SimFault {
    SimFault::status([429, 500, 503][rng.usize(..3)])
}

fn silence(rng: &mut Rng) -> SimFault {
    [SimFault::Hang, SimFault::Refused, SimFault::Reset, SimFault::Dns, SimFault::SlowDrip]
        [rng.usize(..5)]
    .clone()
}

fn stranger(rng: &mut Rng) -> SimFault {
    let elsewhere = "https://portal.example/".parse().expect("an address");
    [SimFault::Tls, SimFault::Html, SimFault::Redirect(elsewhere)][rng.usize(..3)].clone()
}

fn bad_keys(rng: &mut Rng) -> SimFault {
    [
        SimFault::EmptyKeys,
        SimFault::ForeignKeys,
        SimFault::InvalidJson,
        SimFault::Html,
        SimFault::status(500),
    ][rng.usize(..5)]
    .clone()
}
