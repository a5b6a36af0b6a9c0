//! The loop of one sync as a state machine: what was learned goes in, what is to be done comes
//! out. It holds no socket, no clock and no task, so every decision that could delete something
//! can be tested as values.

mod approval;
mod audit;
mod backoff;
mod basis;
mod classify;
mod contest;
mod cycle;
mod effect;
mod effect_error;
mod finish;
mod fleet;
mod follow;
mod git_state;
mod handover;
mod heal;
mod heal_queue;
mod machine;
mod obstacles;
mod overdue;
mod quiet;
mod record;
mod relative;
mod report;
mod settling;
mod state;
mod stored;
#[cfg(test)]
mod tests;
mod user_requests;
mod view;
mod work;

pub use effect::{
    Audited, ClusterReads, Effect, EffectId, Examined, Input, Moment, Observation, RenderedCommit, Unrendered,
    UserRequests,
};
pub use effect_error::EffectError;
pub use fleet::{Fleet, Holding};
pub use handover::{
    DECLARATIONS, DeclarationWait, OtherRendering, Takeable, TakeoverQuestion, WaitedInVain, has_unknown_set, to_read,
};
pub use machine::Machine;
pub use relative::ORIGIN;
