//! The extractors [`Machine`] and [`Caller`].

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use super::{AuthRejection, outcome};
use crate::decide::{Caller, Machine};

/// Returns the machine of a request.
impl<S: Send + Sync> FromRequestParts<S> for Machine {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        required(parts, |caller| caller.machine().cloned())
    }
}

/// Returns `None` if an optional machine is absent. A missing layer is still an error.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Machine {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, AuthRejection> {
        outcome(parts).map(|outcome| outcome.caller.as_ref()?.machine().cloned())
    }
}

/// Returns the sender of a request, a user's session or a machine.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AuthRejection> {
        required(parts, |caller| Some(caller.clone()))
    }
}

/// Returns `None` if the route is optional and the sender unknown. A missing layer is still an
/// error.
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
