//! The machine in a world of plain values: git and a cluster that answer its effects at once or
//! not at all, and time that is a number.

mod acts;
mod additions;
mod answers;
mod approval;
mod beside;
mod contests;
mod dead_ends;
mod deletions;
mod follow;
mod guard;
mod hints;
mod inputs;
mod order;
mod outside;
mod permits;
mod random;
mod relative;
mod replace;
mod reported;
mod settling;
mod states;
mod stops;
mod stored;
mod time;
mod trouble;
mod watched;
mod words;
mod world;
