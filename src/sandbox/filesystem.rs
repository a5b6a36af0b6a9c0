//! Landlock: the helper may execute its own file, and read the files that are named. Nothing else of any file system,
//! no TCP unless it is allowed, no abstract Unix socket and no signal to a process outside.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use thiserror::Error;

use super::confinement::Network;

/// The newest that was tried. An older kernel does what it can; what it lacks, the filter of system calls forbids.
const NEWEST: ABI = ABI::V7;

/// Why the helper's files are not confined to those that it may have.
#[derive(Debug, Error)]
pub(super) enum FilesystemError {
    /// The helper's own file is not there.
    #[error("there is no {}", .0.display())]
    NoProgram(PathBuf),
    /// A file that is there cannot be opened.
    #[error(transparent)]
    Open(#[from] PathFdError),
    /// The kernel does not take the rules.
    #[error("apply Landlock: {0}")]
    Apply(#[from] RulesetError),
}

/// Whether anything is enforced; where the kernel has no Landlock, nothing is.
pub(super) fn restrict(program: &Path, files: &[PathBuf], network: Network) -> Result<bool, FilesystemError> {
    // Where there is no Landlock, a program that is missing is found by exec.
    let Some(own) = open(program)? else { return Err(FilesystemError::NoProgram(program.to_owned())) };
    let mut rules = vec![PathBeneath::new(own, AccessFs::Execute | AccessFs::ReadFile)];
    for file in files {
        if let Some(opened) = open(file)? {
            let may: BitFlags<AccessFs> =
                if file.is_dir() { AccessFs::ReadFile | AccessFs::ReadDir } else { AccessFs::ReadFile.into() };
            rules.push(PathBeneath::new(opened, may));
        }
    }
    Ok(apply(rules, network)?)
}

fn apply(rules: Vec<PathBeneath<PathFd>>, network: Network) -> Result<bool, RulesetError> {
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.scope(Scope::from_all(NEWEST))?;
    // Connecting is not all of it: a resolver also binds, to see whether there is IPv6.
    if network == Network::Denied {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let status = ruleset.create()?.add_rules(rules.into_iter().map(Ok::<_, RulesetError>))?.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The file itself where the path is a link. `None`: there is none.
fn open(path: &Path) -> Result<Option<PathFd>, PathFdError> {
    match PathFd::new(path) {
        Ok(opened) => Ok(Some(opened)),
        Err(PathFdError::OpenCall { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
