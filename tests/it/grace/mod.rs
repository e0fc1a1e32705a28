//! Grace: its conditions, its limits, and what is recorded of it.

mod audit;
mod conditions;
mod limits;
mod outage;
