//! The machine in a world of plain values: git and a cluster that answer its effects at once or
//! not at all, and time that is a number.

mod acts;
mod answers;
mod beside;
mod follow;
mod guard;
mod hands;
mod order;
mod permits;
mod random;
mod reported;
mod states;
mod stops;
mod time;
mod trouble;
mod watched;
mod world;
