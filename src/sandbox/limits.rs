//! Limits of the kernel for one process (getrlimit(2)).

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use super::confinement::{Confinement, Network};

/// A helper has three open files, and what Go waits for them with.
const FILES: u64 = 64;
/// With connections.
const FILES_WITH_NETWORK: u64 = 256;
/// Go's goroutines have stacks of their own, which are data.
const STACK_BYTES: u64 = 8 << 20;

/// The kernel does not take a limit.
#[derive(Debug, Error)]
#[error("limit {what}: {source}")]
pub(super) struct LimitError {
    /// What was to be limited, in words that follow "limit".
    what: &'static str,
    source: Errno,
}

/// Not `RLIMIT_AS`, since Go reserves far more addresses than it uses; `RLIMIT_DATA` counts what may be written to.
/// Not `RLIMIT_NPROC`, which counts what every process of the user has, in other pods of the node as well, and does not
/// hold for root: the filter of system calls allows no process at all.
pub(super) fn limit(confinement: &Confinement) -> Result<(), LimitError> {
    let open = if confinement.network == Network::Allowed { FILES_WITH_NETWORK } else { FILES };
    lower("CPU time", Resource::Cpu, confinement.cpu_seconds)?;
    lower("memory", Resource::Data, confinement.memory_bytes)?;
    lower("the stack", Resource::Stack, STACK_BYTES)?;
    lower("the size of files", Resource::Fsize, 0)?;
    lower("open files", Resource::Nofile, open)?;
    // Not 0: where core dumps are piped to a program, only 1 keeps the kernel from starting it (core(5)). No file
    // comes of it either, since the kernel writes none that is smaller than a page.
    lower("core dumps", Resource::Core, 1)
}

/// Never raises a limit, which would be refused. Nothing is left to the program's own will (the soft limit): Go ignores
/// `SIGXCPU`.
fn lower(what: &'static str, resource: Resource, wanted: u64) -> Result<(), LimitError> {
    let limit = Some(getrlimit(resource).maximum.unwrap_or(u64::MAX).min(wanted));
    setrlimit(resource, Rlimit { current: limit, maximum: limit }).map_err(|source| LimitError { what, source })
}
