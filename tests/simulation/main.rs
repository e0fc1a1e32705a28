//! A world in virtual time, from a seed: the application with the real layer and its real driver, a
//! simulated Clerk in all weathers, users, attackers, operators and restarts; and an oracle, written
//! from the policy, that judges every answer. How to run and to replay it is in `docs/simulation.md`.

mod answer;
mod evidence;
mod grace;
mod memory;
mod news;
mod oracle;
mod plan;
mod play;
mod process;
mod run;
mod strict;
mod tally;
mod weather;
mod wire;
