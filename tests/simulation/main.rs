//! A world in virtual time, from a seed: the application with the real layer and its real driver, a
//! simulated Clerk with every fault, users, attackers, operators and restarts; and an oracle, written
//! from the policy, that judges every answer. How to run and to replay it is in `docs/simulation.md`.

mod answer;
mod delivery;
mod evidence;
mod faults;
mod grace;
mod memory;
mod network;
mod oracle;
mod plan;
mod play;
mod process;
mod run;
mod strict;
mod tally;
