//! The integration tests: one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cli;
mod clock;
mod config;
mod crash;
mod docs;
mod drift;
mod errors;
mod events;
mod explain;
mod faults;
mod gitfaults;
mod hostile;
mod http;
mod ignore;
mod ignore_modes;
mod inventory;
mod leader;
mod migrate;
mod order;
mod permission;
mod plan;
mod prune;
mod random;
mod refused;
mod secrets;
mod servertrouble;
mod shop;
mod source;
#[path = "../support/mod.rs"]
mod support;
mod sync;
mod traces;
mod watch;
mod watched;
mod watched_adopt;
mod watched_audit;
mod watched_jobs;
mod watched_kinds;
mod watched_marks;
mod watched_policy;
mod watched_quiet;
