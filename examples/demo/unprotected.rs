//! The application behind plain verification.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use demo_support::app::{self, Notes};
use demo_support::plain::{Plain, verify_session};

pub(crate) fn application(plain: Arc<Plain>, notes: Notes) -> Router {
    let routes = app::reading().merge(app::writing()).with_state(notes);
    routes.route_layer(from_fn_with_state(plain, verify_session))
}
