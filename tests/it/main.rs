//! The integration tests: one binary, a folder for each topic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
mod cli;
mod deploy;
mod drift;
mod faults;
mod git;
mod manifests;
mod ownership;
mod project;
mod prune;
mod random;
mod render;
mod replace;
mod scale;
mod security;
#[path = "../support/mod.rs"]
mod support;
mod sync;
mod telemetry;
