//! The commands: what they print, their exit codes, and what they make a daemon do.

mod commands;
mod explain;
mod plan;
mod remove;
