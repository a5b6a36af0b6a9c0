//! seccomp: the system calls that a Go program needs to compute, to read stdin and to write stdout, and no others.
//!
//! What is not listed fails with `ENOSYS`, by which programs also know calls of newer kernels: they do without. Calls
//! of another architecture (32 bit) end the process. Which calls Go makes: `runtime/sys_linux_*.s` and
//! `runtime/os_linux.go` of its source.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use thiserror::Error as ThisError;

use super::confinement::Network;

/// Allowed with whatever arguments: they concern the process alone, or descriptors that it has.
const ALLOWED: &[c_long] = &[
    // stdin, stdout, stderr, and what Go waits for them with
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    // memory
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_brk,
    // threads, and signals to itself
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // who and when
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getcwd,
    libc::SYS_uname,
    libc::SYS_getrandom,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    // Once, for the helper. Landlock lets no other file be executed; where there is none, what is executed may still
    // open no file and start no process.
    libc::SYS_execve,
];

/// Those that newer architectures never had.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[c_long] = &[libc::SYS_arch_prctl, libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[c_long] = &[];

/// Reading files; which ones is Landlock's part.
const READING: &[c_long] = &[
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_pread64,
];

/// With sockets that it has. It may not listen.
const CONNECTIONS: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
];

/// Why system calls are not filtered.
#[derive(Debug, ThisError)]
pub(super) enum SyscallsError {
    /// There is no program for this filter.
    #[error("make the filter of system calls: {0}")]
    Make(#[from] BackendError),
    /// The kernel does not take the filter.
    #[error("apply the filter of system calls: {0}")]
    Apply(#[source] Error),
}

/// Whether it is enforced; where the kernel has no filters, it is not.
pub(super) fn restrict(network: Network, reads_files: bool) -> Result<bool, SyscallsError> {
    match apply_filter(&program(network, reads_files)?) {
        Ok(()) => Ok(true),
        Err(Error::Seccomp(error)) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => Ok(false),
        Err(error) => Err(SyscallsError::Apply(error)),
    }
}

fn program(network: Network, reads_files: bool) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in ALLOWED.iter().chain(ALLOWED_HERE) {
        rules.insert(*call, Vec::new());
    }
    for (call, rule) in conditions()? {
        rules.entry(call).or_default().push(rule);
    }
    if reads_files || network == Network::Allowed {
        rules.extend(READING.iter().map(|call| (*call, Vec::new())));
        // For reading only: neither written to nor created nor cut.
        let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
        rules.insert(libc::SYS_openat, vec![SeccompRule::new(vec![masked(2, writing, libc::O_RDONLY)?])?]);
    }
    if network == Network::Allowed {
        rules.extend(CONNECTIONS.iter().map(|call| (*call, Vec::new())));
        rules.insert(libc::SYS_socket, sockets()?);
    }
    let here = std::env::consts::ARCH.try_into()?;
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    SeccompFilter::new(rules, refused, SeccompAction::Allow, here)?.try_into()
}

/// Calls that are allowed with some arguments; each rule is one way.
fn conditions() -> Result<Vec<(c_long, SeccompRule)>, BackendError> {
    // exec keeps the number, so it is also the helper's.
    let itself = u64::from(std::process::id());
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    let mut conditions = vec![
        // A thread, and no process. clone3 has its flags in memory, where no filter sees them; it is not allowed.
        (libc::SYS_clone, vec![masked(0, libc::CLONE_THREAD | namespaces, libc::CLONE_THREAD)?]),
        // RLIMIT_DATA counts neither shared memory nor what grows as a stack.
        (libc::SYS_mmap, vec![masked(3, libc::MAP_SHARED | libc::MAP_GROWSDOWN, 0)?]),
        // Signals to itself: Go interrupts its threads by them.
        (libc::SYS_tgkill, vec![equal(0, itself)?]),
        (libc::SYS_kill, vec![equal(0, itself)?]),
        // Its own limits, to read them.
        (libc::SYS_prlimit64, vec![equal(0, 0)?, is_null(2)?]),
        // Go names its memory.
        (libc::SYS_prctl, vec![equal(0, libc::PR_SET_VMA.unsigned_abs().into())?]),
        // The helper may keep others from reading its memory.
        (libc::SYS_prctl, vec![equal(0, libc::PR_SET_DUMPABLE.unsigned_abs().into())?, equal(1, 0)?]),
    ];
    // Not F_SETOWN and F_SETSIG, by which the kernel sends any signal to any process of the user.
    for command in [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL] {
        conditions.push((libc::SYS_fcntl, vec![equal(1, command.unsigned_abs().into())?]));
    }
    conditions.into_iter().map(|(call, all)| Ok((call, SeccompRule::new(all)?))).collect()
}

/// TCP and UDP. Not Unix sockets, by which other programs of the pod or the node are reached; nor netlink.
fn sockets() -> Result<Vec<SeccompRule>, BackendError> {
    /// `SOCK_TYPE_MASK` of the kernel: the rest are flags.
    const TYPE: i32 = 0xf;
    let mut rules = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            rules.push(SeccompRule::new(vec![equal(0, family.unsigned_abs().into())?, masked(1, TYPE, kind)?])?);
        }
    }
    Ok(rules)
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn is_null(argument: u8) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)
}

/// Of the bits of the mask, those of the value are set and the others are not.
fn masked(argument: u8, mask: i32, value: i32) -> Result<SeccompCondition, BackendError> {
    let bits = |of: i32| u64::from(of.cast_unsigned());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits(mask)), bits(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_one_that_the_kernel_takes() {
        for network in [Network::Denied, Network::Allowed] {
            for reads_files in [false, true] {
                let program = program(network, reads_files).unwrap();
                assert!(program.len() < 4096, "BPF_MAXINSNS: {}", program.len());
            }
        }
    }
}
