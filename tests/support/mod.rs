//! What tests need of the world around driftless.

pub mod git;
pub mod githttp;
