//! The programs beside driftless, and what one run of each may use.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::super::budget::HELPER_BYTES;
use crate::config::SandboxMode;
use crate::sandbox::{Helper, HelperAccess, HelperLimits, LaunchError, Launcher, Mode, Network, Started};

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
/// Variables that name further files of that kind, where the pod has them elsewhere.
const KMS_FILE_VARIABLES: [&str; 7] = [
    "AWS_CA_BUNDLE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_FEDERATED_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];
/// Beginnings of the variables by which a pod's identity is given to the clients of key services.
const KMS_VARIABLES: [&str; 7] =
    ["AWS_", "AZURE_", "GOOGLE_", "SSL_CERT_", "HTTPS_PROXY", "NO_PROXY", "VAULT_NAMESPACE"];

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

    /// Starts the renderer, to render once.
    pub(super) fn renderer(&self, mode: SandboxMode, time: Duration) -> Result<Started, LaunchError> {
        let limits = HelperLimits { time, memory_bytes: HELPER_BYTES, output_bytes: RENDER_OUTPUT };
        Launcher::new(Helper::Renderer, self.renderer.clone(), sandbox(mode)).start(&[], limits)
    }

    /// Decrypts once. Only with `kms` may the helper open connections.
    pub(super) async fn decrypt(&self, mode: SandboxMode, kms: bool, request: Vec<u8>) -> Result<Vec<u8>, LaunchError> {
        let limits = HelperLimits { time: DECRYPT_TIME, memory_bytes: DECRYPT_MEMORY, output_bytes: DECRYPT_OUTPUT };
        let launcher = Launcher::new(Helper::Decrypter, self.decrypter.clone(), sandbox(mode));
        let launcher = if kms {
            let variables = env::vars_os().map(|(name, value)| (name.into_string(), value.into_string()));
            launcher.with_access(to_key_services(variables.filter_map(|(name, value)| name.ok().zip(value.ok()))))
        } else {
            launcher
        };
        launcher.run(&[], limits, move |out| out.write_all(&request)).await
    }

    /// What a helper prints with `--version`.
    ///
    /// # Errors
    /// It cannot be started, or is another program.
    pub async fn versions(&self, helper: Helper, mode: SandboxMode) -> Result<Versions, VersionError> {
        let limits = HelperLimits { time: DECRYPT_TIME, memory_bytes: HELPER_BYTES, output_bytes: 1 << 16 };
        let program = match helper {
            Helper::Renderer => &self.renderer,
            Helper::Decrypter => &self.decrypter,
        };
        let launcher = Launcher::new(helper, program.clone(), sandbox(mode));
        let printed = launcher.run(&["--version"], limits, |_| Ok(())).await?;
        serde_json::from_slice(&printed).map_err(|source| VersionError::Garbled { helper, source })
    }
}

/// What the decrypter may reach where key services may be asked, out of the agent's own environment.
fn to_key_services(environment: impl Iterator<Item = (String, String)>) -> HelperAccess {
    let passed = |name: &str| KMS_VARIABLES.iter().any(|begins| name.starts_with(begins));
    let variables: Vec<_> = environment.filter(|(name, _)| passed(name)).collect();
    let named = variables.iter().filter(|(name, _)| KMS_FILE_VARIABLES.contains(&name.as_str()));
    // SSL_CERT_DIR may name several.
    let named = named.flat_map(|(_, value)| env::split_paths(value));
    let files = KMS_FILES.iter().map(PathBuf::from).chain(named).collect();
    HelperAccess { network: Network::Allowed, files, variables }
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
    #[error("what {helper} --version prints is no version of it: {source}")]
    Garbled { helper: Helper, source: serde_json::Error },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decrypter_gets_the_identity_of_the_pod_and_nothing_else_of_the_environment() {
        // As the webhook of Azure workload identity sets them, and where the token is elsewhere.
        let token = "/var/run/secrets/azure/tokens/azure-identity-token";
        let given = [
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/"),
            ("AZURE_FEDERATED_TOKEN_FILE", token),
            ("SSL_CERT_DIR", "/a:/b"),
            ("VAULT_NAMESPACE", "team"),
        ];
        let kept_back = [("VAULT_TOKEN", "t"), ("PATH", "/bin"), ("DRIFTLESS_DECRYPT", "/d"), ("KUBECONFIG", "/k")];
        let all = given.into_iter().chain(kept_back).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let access = to_key_services(all);
        let variables: Vec<_> = access.variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(variables, given);
        let named: Vec<_> = access.files.iter().filter_map(|file| file.to_str()).skip(KMS_FILES.len()).collect();
        assert_eq!(named, [token, "/a", "/b"]);
        assert_eq!(access.network, Network::Allowed);
    }
}
