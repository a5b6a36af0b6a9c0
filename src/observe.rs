//! What the world gets to see: log, metrics, HTTP. Everything hears the same `Event`s.

mod event;

pub use event::{ApplyResult, Event, LookResult, PruneResult, SyncResult, Work};
