//! What the layer leaves for the extractors, under a type that no other code can name.

use std::sync::Arc;

use clerk_verify::token::InvalidToken;

use crate::decide::{Auth, Caller, Rejection};
use crate::engine::Shared;
use crate::http::response::Answers;

/// The outcome of a request that passed.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Who sends it, if that is known.
    pub(crate) caller: Option<Caller>,
    /// Why it is not.
    pub(crate) otherwise: Rejection,
    /// How a rejection is to look.
    pub(crate) answers: Arc<Answers>,
    /// Where handlers may ask further.
    pub(crate) shared: Arc<Shared>,
}

impl Outcome {
    /// The session, if it is one.
    pub(crate) fn auth(&self) -> Option<&Auth> {
        self.caller.as_ref()?.user()
    }

    /// Why a handler does not get the kind of caller that it takes.
    pub(crate) fn missing(&self) -> Rejection {
        let other = self.caller.is_some();
        if other { Rejection::Invalid(InvalidToken::Kind) } else { self.otherwise }
    }
}
