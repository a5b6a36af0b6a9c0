//! Carries out a Plan in stages; keeps the inventory.

mod applyset;
mod carry_out;
mod error;
mod ignored;
mod inventory;
mod leftover;
mod object;
mod owners;
mod preflight;
mod prune;
mod replace;
mod shown;
mod wait;

pub use applyset::{additional_namespaces, applyset_id, contains_group_kinds, tooling, tooling_name};
pub use carry_out::Job;
pub use ignored::{trial, without_ignored};
pub use inventory::{Parent, ParentError, Piece, Stored, TooLarge};
pub use leftover::leftovers;
pub use object::{body, explain};
pub use owners::taking;
pub use prune::{Patience, prune};
