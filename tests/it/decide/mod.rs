//! The judgement alone: one request and what is known at its time.

mod context;
mod grace_conditions;
mod truth_table;
