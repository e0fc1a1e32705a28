//! Surfaces: the parts of Clerk that fail independently.

use std::slice;

/// A part of Clerk that fails separately in real outages.
///
/// Methods that take a group of surfaces accept a single one too, see [`SimClerk::break_with`].
///
/// [`SimClerk::break_with`]: super::SimClerk::break_with
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SimSurface {
    /// `POST /v1/client/sessions/{sid}/tokens` and `…/touch` on the Frontend API.
    SessionMint,
    /// `GET /v1/client/handshake` on the Frontend API.
    Handshake,
    /// Other reads from the Frontend API: client, environment, health, unknown paths.
    Client,
    /// Writes to the Frontend API, and the sign-in page.
    SignIn,
    /// `GET /.well-known/jwks.json` on the Frontend API.
    Jwks,
    /// Reads from the Backend API, its session tokens, and the verification of machine tokens.
    BackendApi,
    /// Writes to the Backend API, other than session tokens.
    BackendMutation,
    /// `GET /v1/jwks` on the Backend API.
    BackendJwks,
    /// The status page, on its own host.
    StatusPage,
}

impl SimSurface {
    /// Number of surfaces.
    pub(super) const COUNT: usize = Self::ALL.len();

    /// The surfaces of the Frontend API, which browsers call.
    pub const FRONTEND: [Self; 5] =
        [Self::SessionMint, Self::Handshake, Self::Client, Self::SignIn, Self::Jwks];

    /// The surfaces of the Backend API, which servers call.
    pub const BACKEND: [Self; 3] = [Self::BackendApi, Self::BackendMutation, Self::BackendJwks];

    /// The surfaces of Clerk itself: both APIs, without the status page.
    pub const CLERK: [Self; 8] = *Self::ALL.first_chunk().expect("nine are more than eight");

    /// All surfaces, including the status page.
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

    /// Returns the surface's index in [`Self::ALL`].
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

    /// Returns the surfaces of this host.
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
    fn every_surface_has_an_index_and_one_host() {
        for (place, surface) in SimSurface::ALL.into_iter().enumerate() {
            assert_eq!(surface.index(), place);
            let hosts = Host::ALL.iter().filter(|host| host.surfaces().contains(&surface));
            assert_eq!(hosts.count(), 1, "{surface:?}");
        }
    }
}
