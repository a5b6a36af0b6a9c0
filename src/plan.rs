//! Desired and observed and policy in, a Plan out: what to create, configure, prune, keep or
//! refuse, each with its reason. A pure function: no I/O, no clock.

mod approval;
mod brought;
mod claims;
mod collect;
mod dead_end;
mod decide;
mod deletion;
mod diff;
mod graph;
mod looked_up;
mod order;
mod outcome;
mod provenance;
mod prune;
mod reason;
mod recheck;
mod replace;
mod reserved;
mod resolve;
mod rollout;
mod schedule;
mod status;
mod step;

pub use approval::{Approval, Approved, digest_of};
pub use brought::brought_along;
pub use claims::{Declaration, Neighbour, Others, Stake, Unsettled};
pub use collect::collect;
pub use dead_end::dead_end;
pub use decide::{PlanInput, drift_of, plan, plan_one};
pub use deletion::Deletions;
pub use diff::{DiffKind, DiffLine, ObjectDiff, diff};
pub use looked_up::{LookedUp, NOTHING_LOOKED_UP};
pub use order::{Stage, unorderable};
pub use outcome::{AppliedObject, ApplyResult, Obstacle, PruneResult, PrunedObject};
pub use provenance::{PLAIN, Provenance};
pub use reason::{Awaited, Reason};
pub use recheck::{Recheck, left_of, may_still_replace};
pub use replace::{NotReplaced, Replaceable, Replaceables, may_replace, never_changes};
pub use reserved::{Own, Reserved};
pub use resolve::{Definitions, Desired, Resolved, resolve};
pub use rollout::wait_for_rollouts;
pub use schedule::Schedule;
pub use status::{Contest, Drift, Held, Phase, Problem, Rewritten, SyncStatus};
pub use step::{Inventory, Plan, Recorded, Step, Verb};
