//! What the layer leaves for the extractors, under a type that no other code can name.

use std::sync::Arc;

use crate::decide::{Auth, Rejection};
use crate::respond::Answers;

/// The outcome of a request that passed.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The session, if there is one.
    pub(crate) auth: Option<Auth>,
    /// Why there is none.
    pub(crate) otherwise: Rejection,
    /// How a rejection is to look.
    pub(crate) answers: Arc<Answers>,
}
