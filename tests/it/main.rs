//! The integration tests: one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod drift;
mod errors;
mod order;
mod prune;
mod sync;
mod source;
#[path = "../support/mod.rs"]
mod support;
