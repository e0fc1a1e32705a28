//! The result that the layer passes to the extractors, in a request extension of a private type.

use std::sync::Arc;

use clerk_verify::token::InvalidToken;

use crate::decide::{Auth, Caller, Rejection};
use crate::engine::Shared;
use crate::http::response::Responder;

/// The result of a request that passed.
#[derive(Clone, Debug)]
pub(crate) struct RequestOutcome {
    /// The verified sender; `None` for an anonymous request.
    pub(crate) caller: Option<Caller>,
    /// The reason why the request has no verified sender.
    pub(crate) otherwise: Rejection,
    /// The builder of rejection responses.
    pub(crate) answers: Arc<Responder>,
    /// The shared state, for further look-ups by handlers.
    pub(crate) shared: Arc<Shared>,
}

impl RequestOutcome {
    /// Returns the session; `None` for a machine or an anonymous request.
    pub(crate) fn auth(&self) -> Option<&Auth> {
        self.caller.as_ref()?.user()
    }

    /// Returns the rejection for a handler that requires another kind of caller.
    pub(crate) fn missing(&self) -> Rejection {
        let other = self.caller.is_some();
        if other { Rejection::Invalid(InvalidToken::Kind) } else { self.otherwise }
    }
}
