//! Carries out a Plan in the order that `plan` gives.

mod applier;
mod error;
mod ignored;
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
pub use error::ApplyError;
pub use ignored::trial;
pub use leftover::leftovers;
pub use object::{explain, rewritten_of};
pub use owners::taking;
pub use payload::{body, without_ignored};
pub use prune::{Patience, prune};
