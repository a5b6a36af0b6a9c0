//! The loop of one sync as a state machine: what was learned goes in, what is to be done comes
//! out. It holds no socket, no clock and no task, so every decision that could delete something
//! can be tested as values.

mod approval;
mod audit;
mod backoff;
mod basis;
mod contest;
mod cycle;
mod effect;
mod finish;
mod follow;
mod heal;
mod lane;
mod machine;
mod marks;
mod news;
mod obstacles;
mod overdue;
mod quiet;
mod record;
mod report;
mod settling;
mod stored;
#[cfg(test)]
mod tests;
mod view;
mod weigh;
mod work;

pub use effect::{
    Audited, Effect, EffectId, Examined, Input, Marks, Moment, Notice, Observation, Outcome, RenderedCommit, Unrendered,
};
pub use machine::Machine;
