//! The binaries that are compared, and how they are started.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::agent::Agent;
use crate::support::site::Site;

/// `name=path` for each binary, separated by spaces; this build's where it is not set.
pub(super) const BINARIES: &str = "DRIFTLESS_BENCH";

/// A number from the environment, or its default.
pub(super) fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

pub(super) fn binaries() -> Vec<(String, PathBuf)> {
    let Ok(text) = std::env::var(BINARIES) else {
        return vec![("this build".into(), env!("CARGO_BIN_EXE_driftless").into())];
    };
    let named = |pair: &str| {
        let (name, path) = pair.split_once('=').expect("name=path");
        (name.to_owned(), Path::new(path).canonicalize().expect("a binary"))
    };
    text.split_whitespace().map(named).collect()
}

/// The daemon of another build, with everything else alike.
pub(super) fn spawn(site: &Site, binary: &Path) -> Agent {
    let ours = site.command(&["run"]);
    let mut command = Command::new(binary);
    command.env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?)))).args(ours.get_args());
    command.current_dir(site.directory());
    Agent::spawn(site, command)
}

#[expect(clippy::cast_precision_loss, reason = "to one digit after the point")]
pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
