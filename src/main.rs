//! The binary: everything is in the library.

use std::process::ExitCode;

/// It gives memory back that a burst of work needed; the allocator of the C library keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    driftless::cli::main()
}
