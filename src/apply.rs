//! Carries out a Plan in the order that `plan` gives; keeps the inventory.

mod applier;
mod applyset;
mod error;
mod ignored;
mod inventory;
mod leftover;
mod object;
mod owners;
mod payload;
mod preflight;
mod prune;
mod replace;
mod send;
mod shown;
mod wait;

pub use applier::Applier;
pub use applyset::{additional_namespaces, applyset_id, contains_group_kinds, tooling, tooling_name};
pub use ignored::trial;
pub use inventory::{Parent, ParentError, Shard, Stored, TooLarge};
pub use leftover::leftovers;
pub use object::{explain, rewritten_of};
pub use owners::taking;
pub use payload::{body, without_ignored};
pub use prune::{Patience, prune};
