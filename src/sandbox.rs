//! Starts a helper program that works on what strangers wrote (charts, overlays, encrypted files), so that it reaches
//! nothing but its stdin, stdout and stderr.
//!
//! ```text
//!  agent: Launcher::run ──> `driftless sandbox-exec` ──exec──> the helper
//!         time, output,      limits, environment,               same process: what was given up
//!         kill               Landlock, seccomp                  cannot be had again
//! ```
//!
//! driftless starts itself again, since a process of many threads must not do all of this between fork and exec. The
//! room knows nothing of what the helpers do. Why it is done this way: `docs/adr/0035-the-sandbox-of-helpers.md`.

mod child;
mod confinement;
mod error;
#[cfg(target_os = "linux")]
mod filesystem;
mod helper;
mod launch;
mod limits;
mod running;
mod support;
#[cfg(target_os = "linux")]
mod syscalls;

pub use child::child;
pub use confinement::{HelperAccess, HelperLimits, Mode, Network};
pub use error::LaunchError;
pub use helper::Helper;
pub use launch::{Launcher, Started};
pub use support::{Support, support};
