//! The machine in a world of plain values: git and a cluster that answer its effects at once or
//! not at all, and time that is a number.

mod answers;
mod beside;
mod dead_ends;
mod follow;
mod guard;
mod hands;
mod order;
mod random;
mod replace;
mod reported;
mod states;
mod time;
mod trouble;
mod watched;
mod world;
