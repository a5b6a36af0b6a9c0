//! What the kernel offers for confining a program.

use std::fmt;

/// What the kernel offers. Its text is for people: "Landlock ABI 5, seccomp".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// The version of the Landlock ABI, from 1 (Linux 5.13).
    pub landlock: Option<u32>,
    /// Filters of system calls.
    pub seccomp: bool,
}

/// Asks the kernel. A filter of system calls around this process may still forbid what the kernel has.
#[must_use]
pub fn support() -> Support {
    #[cfg(target_os = "linux")]
    {
        Support { landlock: landlock_abi(), seccomp: rustix::thread::secure_computing_mode().is_ok() }
    }
    #[cfg(not(target_os = "linux"))]
    {
        Support { landlock: None, seccomp: false }
    }
}

impl Support {
    /// What [`Mode::Required`](super::Mode::Required) needs and is not there.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        match (self.landlock, self.seccomp) {
            (Some(_), true) => None,
            (None, true) => Some("Landlock"),
            (Some(_), false) => Some("seccomp"),
            (None, false) => Some("Landlock and seccomp"),
        }
    }
}

impl fmt::Display for Support {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            Some(abi) => write!(out, "Landlock ABI {abi}")?,
            None => out.write_str("no Landlock")?,
        }
        out.write_str(if self.seccomp { ", seccomp" } else { ", no seccomp" })
    }
}

/// The `landlock` crate keeps this to itself.
#[cfg(target_os = "linux")]
fn landlock_abi() -> Option<u32> {
    /// `LANDLOCK_CREATE_RULESET_VERSION`, `landlock_create_ruleset(2)`
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel takes no pointer and makes nothing; it returns a number.
    #[allow(unsafe_code)]
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION) };
    u32::try_from(version).ok().filter(|version| *version > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_in_one_line_what_there_is() {
        let full = Support { landlock: Some(5), seccomp: true };
        assert_eq!((full.to_string().as_str(), full.missing()), ("Landlock ABI 5, seccomp", None));
        let none = Support { landlock: None, seccomp: false };
        assert_eq!(
            (none.to_string().as_str(), none.missing()),
            ("no Landlock, no seccomp", Some("Landlock and seccomp"))
        );
    }
}
