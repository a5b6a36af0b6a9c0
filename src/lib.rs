//! driftless
pub mod config;
pub mod object;
pub mod observe;
pub mod plan;
pub mod render;
pub mod source;
