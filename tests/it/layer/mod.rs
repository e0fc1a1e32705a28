//! The layer: which requests pass, and what the others are answered.

mod cookies;
mod counted_once;
mod guards;
mod leases;
mod malicious_requests;
mod nested_layers;
mod preflight;
mod responses;
mod routes;
mod tower_service;
