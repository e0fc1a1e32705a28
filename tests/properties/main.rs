//! Properties of the pure floors: what holds for all values, and the judgement against a second one
//! that was written from the policy alone.

mod case;
mod cases;
mod grace;
mod judgement;
mod reference;
mod values;
