//! The parts of Clerk that can fail apart from each other.

use std::slice;

/// Where a request goes: the parts of Clerk that break separately in real outages.
///
/// A single surface can stand wherever a group of them can, see [`SimClerk::break_with`].
///
/// [`SimClerk::break_with`]: super::SimClerk::break_with
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SimSurface {
    /// `POST /v1/client/sessions/{sid}/tokens` and `…/touch` on the Frontend API.
    SessionMint,
    /// `GET /v1/client/handshake` on the Frontend API.
    Handshake,
    /// What else is read from the Frontend API: client, environment, health, unknown paths.
    Client,
    /// Everything that changes something on the Frontend API, and the page to sign in on.
    SignIn,
    /// `GET /.well-known/jwks.json` on the Frontend API.
    Jwks,
    /// What is read from the Backend API, and its session tokens.
    BackendApi,
    /// What changes something on the Backend API.
    BackendMutation,
    /// `GET /v1/jwks` on the Backend API.
    BackendJwks,
    /// The status page, which lives on a host of its own.
    StatusPage,
}

impl SimSurface {
    /// How many surfaces there are.
    pub(super) const COUNT: usize = Self::ALL.len();

    /// The Frontend API: what browsers talk to.
    pub const FRONTEND: [Self; 5] =
        [Self::SessionMint, Self::Handshake, Self::Client, Self::SignIn, Self::Jwks];

    /// The Backend API: what servers talk to.
    pub const BACKEND: [Self; 3] = [Self::BackendApi, Self::BackendMutation, Self::BackendJwks];

    /// Clerk itself: both APIs without the status page.
    pub const CLERK: [Self; 8] = *Self::ALL.first_chunk().expect("nine are more than eight");

    /// Everything there is, the status page included.
    pub const ALL: [Self; 9] = [
        Self::SessionMint,
        Self::Handshake,
        Self::Client,
        Self::SignIn,
        Self::Jwks,
        Self::BackendApi,
        Self::BackendMutation,
        Self::BackendJwks,
        Self::StatusPage,
    ];

    /// The surface's place in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl AsRef<[SimSurface]> for SimSurface {
    fn as_ref(&self) -> &[SimSurface] {
        slice::from_ref(self)
    }
}

/// The three hosts of a simulated Clerk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Host {
    Frontend,
    Backend,
    Status,
}

impl Host {
    pub(super) const ALL: [Self; 3] = [Self::Frontend, Self::Backend, Self::Status];

    /// The surfaces that live on this host.
    pub(super) fn surfaces(self) -> &'static [SimSurface] {
        match self {
            Self::Frontend => &SimSurface::FRONTEND,
            Self::Backend => &SimSurface::BACKEND,
            Self::Status => &[SimSurface::StatusPage],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_surface_has_its_place_and_one_host() {
        for (place, surface) in SimSurface::ALL.into_iter().enumerate() {
            assert_eq!(surface.index(), place);
            let hosts = Host::ALL.iter().filter(|host| host.surfaces().contains(&surface));
            assert_eq!(hosts.count(), 1, "{surface:?}");
        }
    }
}
