//! `make bench`. It fails only where something is wrong, never since something is slow.

mod fixture;
mod rendering;
mod syncing;
