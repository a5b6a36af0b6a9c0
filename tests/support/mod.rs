//! What tests need of the world around driftless.

pub mod agent;
pub mod audit;
pub mod clock;
pub mod cluster;
pub mod git;
pub mod githttp;
pub mod plane;
pub mod process;
pub mod site;
pub mod wait;
