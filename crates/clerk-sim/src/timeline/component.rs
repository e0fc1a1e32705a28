//! Components of a timeline, and the surfaces that they cover.

use super::super::surface::SimSurface;

/// The component that a phase describes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TimelineComponent {
    All,
    Dns,
    AllButSessions,
    FrontendApi,
    BackendApi,
    /// A single surface.
    Only(SimSurface),
    /// A component that the simulation lacks.
    Elsewhere,
}

impl TimelineComponent {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "all" => Self::All,
            "dns" => Self::Dns,
            "all_but_sessions" => Self::AllButSessions,
            "fapi" => Self::FrontendApi,
            "bapi" => Self::BackendApi,
            "fapi_sessions" => Self::Only(SimSurface::SessionMint),
            "fapi_handshake" => Self::Only(SimSurface::Handshake),
            "fapi_mutations" => Self::Only(SimSurface::SignIn),
            "bapi_mutations" => Self::Only(SimSurface::BackendMutation),
            "status_page" => Self::Only(SimSurface::StatusPage),
            _ => Self::Elsewhere,
        }
    }

    /// Returns how specific the component is for a surface, higher for narrower. `None` if the
    /// component does not cover the surface.
    pub(super) fn closeness(self, surface: SimSurface) -> Option<u8> {
        let (closeness, covers) = match self {
            Self::All | Self::Dns => (1, SimSurface::CLERK.contains(&surface)),
            Self::AllButSessions => {
                let session = surface == SimSurface::SessionMint;
                (2, !session && SimSurface::CLERK.contains(&surface))
            }
            Self::FrontendApi => (3, SimSurface::FRONTEND.contains(&surface)),
            Self::BackendApi => (3, SimSurface::BACKEND.contains(&surface)),
            Self::Only(one) => (4, one == surface),
            Self::Elsewhere => (0, false),
        };
        covers.then_some(closeness)
    }
}
