//! The machine, or whoever it is, as an argument of a handler.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::{AuthRejection, outcome};
use crate::decide::{Caller, Machine};

/// The machine of a request.
impl<S: Send + Sync> FromRequestParts<S> for Machine {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        required(parts, |caller| caller.machine().cloned())
    }
}

/// `None` where the machine is optional and absent. A forgotten layer is still an error.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Machine {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        outcome(parts).map(|outcome| outcome.caller.as_ref()?.machine().cloned())
    }
}

/// Whoever sends a request.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        required(parts, |caller| Some(caller.clone()))
    }
}

/// `None` where nobody need be known and nobody is. A forgotten layer is still an error.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        outcome(parts).map(|outcome| outcome.caller.clone())
    }
}

fn required<T>(parts: &Parts, take: impl Fn(&Caller) -> Option<T>) -> Result<T, AuthRejection> {
    let outcome = outcome(parts)?;
    let taken = outcome.caller.as_ref().and_then(take);
    taken.ok_or_else(|| AuthRejection::new(outcome.missing(), Arc::clone(&outcome.answers), parts))
}
