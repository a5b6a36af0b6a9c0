//! File descriptors. Every watch of every sync has a connection, so a hundred syncs need more than the 1,024 that
//! systems give a process which does not ask for more (systemd and containerd, for the sake of `select`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than any agent needs.
const ENOUGH: u64 = 65_536;

/// Takes as many as the system allows. Where it allows no more, there are as many as before.
pub fn take_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let allowed = maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if current.is_some_and(|current| current < allowed) {
        let raised = Rlimit { current: Some(allowed), maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "the limit of file descriptors cannot be raised");
        }
    }
}

/// How many the process may have.
pub(super) fn descriptors() -> usize {
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
