//! The loop of one sync as a state machine: what was learned goes in, what is to be done comes
//! out. It holds no socket, no clock and no task, so every decision that could delete something
//! can be tested as values.

mod backoff;
mod cycle;
mod effect;
mod machine;
mod news;
mod report;
#[cfg(test)]
mod tests;
mod work;

pub use effect::{Effect, EffectId, Input, Marks, Moment, Notice, Observation, Outcome, RenderedCommit};
pub use machine::Machine;
