//! Desired and observed and policy in, a Plan out. A pure function: no I/O, no clock.

mod diff;
mod status;

pub use diff::{DiffKind, DiffLine, ObjectDiff, diff, project};
pub use status::{Commit, Held, Phase, Problem, SyncStatus};
