//! The side of the child: gives up what the helper must not have, one after the other, and becomes the helper.
//!
//! It runs before driftless has a second thread, a log or a configuration, and knows nothing but its arguments.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::confinement::Confinement;
use super::error::{NOT_STARTED, NotStarted};
use super::limits;

/// The first argument of a driftless that is to become a helper. People have no use for it, so no help shows it.
pub(super) const COMMAND: &str = "sandbox-exec";

/// Becomes the helper, where the arguments of the process say so: `driftless sandbox-exec CONFINEMENT PROGRAM
/// ARGUMENTS`. Returns `None` where they do not, and an exit code where the helper cannot be started.
#[must_use]
pub fn child(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let _itself = arguments.next();
    if arguments.next()? != COMMAND {
        return None;
    }
    let why = become_helper(arguments);
    // Whether it can be written or not, this is the end.
    let _ = writeln!(std::io::stderr(), "{}", why.to_line());
    Some(ExitCode::from(NOT_STARTED))
}

/// Returns only when it fails.
fn become_helper(mut arguments: impl Iterator<Item = OsString>) -> NotStarted {
    let (Some(confinement), Some(program)) = (arguments.next(), arguments.next()) else {
        return NotStarted::Failed(format!(
            "`driftless {COMMAND}` is for driftless itself, which starts helpers by it"
        ));
    };
    let confinement: Confinement = match serde_json::from_slice(confinement.as_encoded_bytes()) {
        Ok(confinement) => confinement,
        Err(error) => return NotStarted::Failed(format!("read the first argument: {error}")),
    };
    let mut helper = Command::new(&program);
    helper.args(arguments).env_clear().envs(confinement.of_go());
    for name in &confinement.variables {
        if let Some(value) = std::env::var_os(name) {
            helper.env(name, value);
        }
    }
    if let Err(why) = confine(&confinement, Path::new(&program)) {
        return why;
    }
    let error = helper.exec();
    let name = program.display();
    NotStarted::Failed(format!("execute {name}: {error}; it has to be executable and statically linked"))
}

fn confine(confinement: &Confinement, program: &Path) -> Result<(), NotStarted> {
    limits::limit(confinement).map_err(NotStarted::because)?;
    std::env::set_current_dir("/").map_err(|error| NotStarted::Failed(format!("change to /: {error}")))?;
    #[cfg(target_os = "linux")]
    return linux::confine(confinement, program);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = program;
        match confinement.mode {
            super::Mode::BestEffort => Ok(()),
            super::Mode::Required => Err(NotStarted::Unsupported("Linux".to_owned())),
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;

    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

    use super::{Confinement, NotStarted};
    use crate::sandbox::confinement::Mode;
    use crate::sandbox::{filesystem, syscalls};

    pub(super) fn confine(confinement: &Confinement, program: &Path) -> Result<(), NotStarted> {
        let failed = |what: &'static str| move |error| NotStarted::Failed(format!("{what}: {error}"));
        die_with_parent(confinement.parent)?;
        // Where the pod has no memory left, this is the process to kill. It needs no permission, and is no must.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        keep_descriptors_from_helper()?;
        set_no_new_privs(true).map_err(failed("set no_new_privs"))?;
        // An agent that runs as root would have its helper raise limits again, among much else.
        let none = CapabilitySet::empty();
        let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, none).map_err(failed("drop capabilities"))?;

        let confined = filesystem::restrict(program, &confinement.files, confinement.network);
        required(confinement.mode, "Landlock", confined.map_err(NotStarted::because)?)?;
        // The last step, since it forbids the others.
        let confined = syscalls::restrict(confinement.network, !confinement.files.is_empty());
        required(confinement.mode, "seccomp", confined.map_err(NotStarted::because)?)
    }

    fn required(mode: Mode, what: &str, confined: bool) -> Result<(), NotStarted> {
        if confined || mode == Mode::BestEffort { Ok(()) } else { Err(NotStarted::Unsupported(what.to_owned())) }
    }

    /// The signal comes when the thread ends that started this process, so that one has to wait for the helper.
    fn die_with_parent(parent: u32) -> Result<(), NotStarted> {
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| NotStarted::Failed(format!("ask to be killed with the parent: {error}")))?;
        // It may have ended before that was asked for.
        let alive = getppid().is_some_and(|now| u32::try_from(Pid::as_raw(Some(now))) == Ok(parent));
        if alive { Ok(()) } else { Err(NotStarted::Failed("the parent has ended".to_owned())) }
    }

    /// All but stdin, stdout and stderr end with exec. driftless opens its files in that way; this holds for libraries as
    /// well, and for whatever the agent itself was given.
    fn keep_descriptors_from_helper() -> Result<(), NotStarted> {
        // SAFETY: no descriptor is closed here, nor is its owner changed: each is marked to be closed by exec.
        #[allow(unsafe_code)]
        let done = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        if done == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        // Linux 5.11. Landlock is no older, so this is for `best-effort` alone.
        if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) {
            return Ok(());
        }
        Err(NotStarted::Failed(format!("close descriptors: {error}")))
    }
}
