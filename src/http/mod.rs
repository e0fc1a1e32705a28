//! HTTP: the layer, the extractors, the responses and the built-in routes.

pub(crate) mod extract;
pub(crate) mod layer;
pub(crate) mod origin;
pub(crate) mod outcome;
pub(crate) mod response;
pub(crate) mod routes;
