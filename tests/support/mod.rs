//! What tests need of the world around driftless.

pub mod agent;
pub mod audit;
pub mod cluster;
pub mod fault;
pub mod git;
pub mod githttp;
pub mod process;
pub mod site;
pub mod story;
pub mod wait;
