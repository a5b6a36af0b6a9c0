//! The repository itself: what modules may import, what the documentation promises, kept fuzz inputs.

mod docs;
mod fuzz;
mod rooms;
