//! What a helper gets: what the agent asks for, and the form in which its child is given it.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// More threads make a render no faster, and each collects garbage into memory of its own.
const MOST_PROCESSORS: usize = 4;

/// What is done where the kernel cannot confine a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The helper is not started.
    #[default]
    Required,
    /// The helper is started with whatever confinement there is, limits at the least.
    BestEffort,
}

/// Whether a helper may open connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The helper may open no socket, as far as the kernel can forbid it.
    #[default]
    Denied,
    /// TCP and UDP to wherever the pod may connect.
    Allowed,
}

/// What a helper may reach beside its stdin, stdout and stderr. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelperAccess {
    /// Whether it may open connections.
    pub network: Network,
    /// Files that may be read, and directories with all that is in them. What is not there is left out.
    pub files: Vec<PathBuf>,
    /// Its environment, beside `GOMAXPROCS` and `GOMEMLIMIT`: names and values.
    pub variables: Vec<(String, String)>,
}

/// What one run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperLimits {
    /// From the start to the end. The helper may use that much time of each processor.
    pub time: Duration,
    /// Memory that it may write to, in bytes (`RLIMIT_DATA`). The renderer needs some 100 MiB to start.
    pub memory_bytes: u64,
    /// The longest answer, in bytes.
    pub output_bytes: usize,
}

/// What `driftless sandbox-exec` gets, as JSON in its first argument. Both sides are the same file, so that the form
/// has no versions. It has no values of variables: other processes may read the arguments of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confinement {
    pub mode: Mode,
    /// The process that waits for the answer.
    pub parent: u32,
    pub cpu_seconds: u64,
    pub memory_bytes: u64,
    pub processors: usize,
    pub network: Network,
    pub files: Vec<PathBuf>,
    /// Names of variables that are passed on.
    pub variables: Vec<String>,
}

impl Confinement {
    pub fn new(mode: Mode, access: &HelperAccess, limits: HelperLimits) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_PROCESSORS);
        Self {
            mode,
            parent: std::process::id(),
            cpu_seconds: limits.time.as_secs().saturating_add(1).saturating_mul(processors as u64),
            memory_bytes: limits.memory_bytes,
            processors,
            network: access.network,
            files: access.files.clone(),
            variables: access.variables.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// The environment that Go's runtime understands. It cannot read the limits of the container itself, and it does
    /// not know of `RLIMIT_DATA`: the last eighth is for stacks and for what is not returned yet.
    pub fn of_go(&self) -> [(&'static str, String); 2] {
        let limit = self.memory_bytes - self.memory_bytes / 8;
        [("GOMAXPROCS", self.processors.to_string()), ("GOMEMLIMIT", limit.to_string())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_gets_has_names_of_variables_and_no_values() {
        let access = HelperAccess {
            network: Network::Allowed,
            files: vec!["/etc/hosts".into()],
            variables: vec![("AWS_REGION".to_owned(), "eu-north-1".to_owned())],
        };
        let limits = HelperLimits { time: Duration::from_millis(1500), memory_bytes: 800, output_bytes: 1 };
        let confinement = Confinement::new(Mode::BestEffort, &access, limits);
        let text = serde_json::to_string(&confinement).unwrap();
        assert!(text.contains("AWS_REGION") && !text.contains("eu-north-1"), "{text}");
        assert_eq!(serde_json::from_str::<Confinement>(&text).unwrap(), confinement);
        assert_eq!(confinement.cpu_seconds, 2 * confinement.processors as u64);
        assert_eq!(confinement.of_go()[1].1, "700");
    }
}
