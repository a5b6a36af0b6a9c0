//! The integration tests: one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli;
mod config;
mod crash;
mod drift;
mod errors;
mod explain;
mod faults;
mod http;
mod ignore;
mod inventory;
mod order;
mod plan;
mod prune;
mod random;
mod shop;
mod source;
#[path = "../support/mod.rs"]
mod support;
mod sync;
mod watch;
mod watched;
