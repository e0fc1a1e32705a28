//! What outlives a process, in a state directory and in a store.

mod shutdown;
mod state_dir;
mod store;
