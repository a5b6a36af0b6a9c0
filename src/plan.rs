//! Desired and observed and policy in, a Plan out. A pure function: no I/O, no clock.

mod status;

pub use status::{Commit, Held, Phase, Problem, SyncStatus};
