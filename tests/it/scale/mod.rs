//! Many objects, syncs or readers at once, and what quiet costs.

mod bench;
mod large_inventories;
mod load;
mod long_chains;
mod quiet;
