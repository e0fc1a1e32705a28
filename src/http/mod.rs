//! Requests and responses: the layer, the extractors, the answers and the own routes.

pub(crate) mod extract;
pub(crate) mod layer;
pub(crate) mod origin;
pub(crate) mod outcome;
pub(crate) mod response;
pub(crate) mod routes;
