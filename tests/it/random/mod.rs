//! Random runs of the whole agent by seed: every request is checked against rules.

mod act;
mod action;
mod book;
mod declared;
mod end;
mod rules;
mod run;
mod seeds;
mod shrink;
