//! What operators see: the health endpoint and the doctor.

mod doctor;
mod endpoint;
