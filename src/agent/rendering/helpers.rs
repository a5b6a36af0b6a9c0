//! The programs beside driftless, and what one run of each may use.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use crate::config::SandboxMode;
use crate::sandbox::{Access, Helper, LaunchError, Launcher, Limits, Mode, Network};

/// Memory of one render: the largest public charts take a quarter of it.
const RENDER_MEMORY: u64 = 768 << 20;
/// What the helper writes at most: 64 MiB of manifests, twice where a chart is random, and their frame.
const RENDER_OUTPUT: usize = 160 << 20;
/// Memory and output of one decryption.
const DECRYPT_MEMORY: u64 = 384 << 20;
const DECRYPT_OUTPUT: usize = 64 << 20;
/// Time of one decryption, with a few requests to a key service.
const DECRYPT_TIME: Duration = Duration::from_secs(30);
/// What clients of key services read: trust, names, and the pod's identity.
const KMS_FILES: [&str; 7] = [
    "/etc/ssl/certs",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/var/run/secrets/eks.amazonaws.com",
    "/var/run/secrets/pods.eks.amazonaws.com",
    "/var/run/secrets/azure/tokens",
];
/// Beginnings of the variables by which a pod's identity is given to the clients of key services.
const KMS_VARIABLES: [&str; 6] = ["AWS_", "AZURE_", "GOOGLE_", "SSL_CERT_", "HTTPS_PROXY", "NO_PROXY"];

/// Where the helpers are.
#[derive(Clone, Debug)]
pub struct Helpers {
    renderer: PathBuf,
    decrypter: PathBuf,
}

impl Helpers {
    /// Those that the environment names, else those beside the running program.
    #[must_use]
    pub fn of_this_program() -> Self {
        let executable = env::current_exe().unwrap_or_default();
        let path = |helper: Helper| helper.path(env::var_os(helper.variable()).as_deref(), &executable);
        Self { renderer: path(Helper::Renderer), decrypter: path(Helper::Decrypter) }
    }

    /// Renders once. `input` writes what the helper reads.
    pub(super) async fn render(
        &self,
        mode: SandboxMode,
        time: Duration,
        input: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Result<Vec<u8>, LaunchError> {
        let limits = Limits { time, memory_bytes: RENDER_MEMORY, output_bytes: RENDER_OUTPUT };
        Launcher::new(Helper::Renderer, self.renderer.clone(), sandbox(mode)).run(&[], limits, input).await
    }

    /// Decrypts once. Only with `kms` may the helper open connections.
    pub(super) async fn decrypt(&self, mode: SandboxMode, kms: bool, request: Vec<u8>) -> Result<Vec<u8>, LaunchError> {
        let limits = Limits { time: DECRYPT_TIME, memory_bytes: DECRYPT_MEMORY, output_bytes: DECRYPT_OUTPUT };
        let launcher = Launcher::new(Helper::Decrypter, self.decrypter.clone(), sandbox(mode));
        let launcher = if kms {
            let variables = env::vars().filter(|(name, _)| KMS_VARIABLES.iter().any(|begins| name.starts_with(begins)));
            let credentials = env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
            launcher.with_access(Access {
                network: Network::Allowed,
                files: KMS_FILES.iter().map(PathBuf::from).chain(credentials).collect(),
                variables: variables.collect(),
            })
        } else {
            launcher
        };
        launcher.run(&[], limits, move |out| out.write_all(&request)).await
    }

    /// What `driftless-renderer --version` prints.
    ///
    /// # Errors
    /// It cannot be started, or is another program.
    pub async fn renderer_version(&self, mode: SandboxMode) -> Result<Versions, VersionError> {
        let limits = Limits { time: DECRYPT_TIME, memory_bytes: RENDER_MEMORY, output_bytes: 1 << 16 };
        let launcher = Launcher::new(Helper::Renderer, self.renderer.clone(), sandbox(mode));
        let printed = launcher.run(&["--version"], limits, |_| Ok(())).await?;
        Ok(serde_json::from_slice(&printed)?)
    }
}

/// The versions of a helper.
#[derive(Debug, Deserialize)]
pub struct Versions {
    /// By the path of the Go module.
    pub libraries: BTreeMap<String, String>,
}

/// The version of a helper is not known.
#[derive(Debug, Error)]
pub enum VersionError {
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("what driftless-renderer --version prints is no version of it: {0}")]
    Garbled(#[from] serde_json::Error),
}

impl VersionError {
    /// There is no such program.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Launch(LaunchError::NotFound { .. }))
    }
}

fn sandbox(mode: SandboxMode) -> Mode {
    match mode {
        SandboxMode::Required => Mode::Required,
        SandboxMode::BestEffort => Mode::BestEffort,
    }
}
