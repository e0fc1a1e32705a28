//! The truth table of the decision, row by row.

mod expired;
mod machines;
mod memberships;
mod sessions;
mod unknown_keys;
