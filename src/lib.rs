//! driftless
pub mod agent;
pub mod apply;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod object;
pub mod observe;
pub mod plan;
pub mod reconcile;
pub mod render;
pub mod source;
